//! The directory of an embedded store: who has it, and in which format it is.
//!
//! A [`Home`] is proof that this process holds the lock; the journal and the archive open from it.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::backup::MANIFEST;
use crate::disk::{Disk, LockAttempt, OpenMode, list_if_there, publish, read_all};
use crate::holds::Holds;
use crate::inspect::rework;
use crate::{Error, Usage};

/// The format this version reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The directories with what takes space.
const DIRECTORIES: [&str; 7] = ["seg", "cold", "snap", "blob", "archive", "logs", "output"];

const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";
const FORMAT_PREFIX: &str = "lineshaft home ";
/// What `FORMAT` says while a backup is put back.
const RESTORING: &str = "lineshaft restore\n";

/// A locked home of a known format. Clones share the lock, which ends with the last of them.
#[derive(Debug)]
pub struct Home<D: Disk> {
    disk: D,
    /// Only held, so that it ends with the last clone.
    lock: Arc<D::Lock>,
    holds: Arc<Holds>,
    room: Arc<Room>,
}

/// What is left free on the disk for whom.
#[derive(Debug, Default)]
struct Room {
    /// For everybody.
    bytes: AtomicU64,
    /// For the next snapshot, after which old segments may go.
    snapshot_bytes: AtomicU64,
}

impl<D: Disk> Clone for Home<D> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            lock: Arc::clone(&self.lock),
            holds: Arc::clone(&self.holds),
            room: Arc::clone(&self.room),
        }
    }
}

impl<D: Disk> Home<D> {
    /// Creates the home if it is new, takes its lock and checks its format.
    ///
    /// Fails with [`Error::Locked`] if another process (or another `Home` of this one) has it, and with
    /// [`Error::Format`] if a version with another format wrote it.
    pub fn open(disk: D) -> Result<Self, Error> {
        let home = Self::open_any(disk)?;
        check_format(&home.disk)?;
        Ok(home)
    }

    /// The same for a home of any format.
    pub(crate) fn open_any(disk: D) -> Result<Self, Error> {
        disk.create_dir_all("").map_err(Error::io("create", ".", 0))?;
        let lock = take_lock(&disk)?;
        rework::finish(&disk)?;
        Ok(Self::locked(disk, lock))
    }

    fn locked(disk: D, lock: D::Lock) -> Self {
        Self { disk, lock: Arc::new(lock), holds: Arc::default(), room: Arc::default() }
    }

    /// Takes the lock of an empty directory and marks it as a home that is being restored: nobody can open it before
    /// [`Home::finish_restore`], whatever happens.
    ///
    /// [`Error::Locked`] or [`Error::NotEmpty`] if somebody made a home of it, or is about to.
    pub fn begin_restore(disk: D) -> Result<Self, Error> {
        disk.create_dir_all("").map_err(Error::io("create", ".", 0))?;
        let lock = take_lock(&disk)?;
        let names = disk.list("").map_err(Error::io("list", ".", 0))?;
        if names.iter().any(|file| file.name == FORMAT) {
            return Err(Error::NotEmpty);
        }
        write_text(&disk, RESTORING)?;
        Ok(Self::locked(disk, lock))
    }

    /// Whether a restore into this directory was begun and has not come to its end.
    pub fn is_being_restored(disk: &D) -> bool {
        read_all(disk, FORMAT).is_ok_and(|bytes| bytes == RESTORING.as_bytes())
    }

    /// Whether this directory is a backup: one is restored, and never served in place.
    pub fn is_backup(disk: &D) -> bool {
        let has = |name| disk.open(name, OpenMode::Read).is_ok();
        has(MANIFEST) && !has(FORMAT)
    }

    /// Makes a restored home one that can be opened.
    pub fn finish_restore(&self) -> Result<(), Error> {
        write_format(&self.disk)
    }

    /// The disk the home is on.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Segments and blobs leave this much of the disk free.
    pub(crate) fn keep_room(&self, bytes: u64) {
        self.room.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The newest snapshot has this size: the next one is to find as much.
    pub(crate) fn note_snapshot(&self, bytes: u64) {
        self.room.snapshot_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What segments and blobs leave free on the disk.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.room.bytes.load(Ordering::Relaxed) + self.room.snapshot_bytes.load(Ordering::Relaxed)
    }

    /// [`Error::Full`] if a file that grows by `bytes` would leave less than that free.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), Error> {
        self.check_free(bytes, self.room_bytes())
    }

    /// The same for the archive, which gives up only what the next snapshot needs.
    pub(crate) fn check_room_for_history(&self, bytes: u64) -> Result<(), Error> {
        self.check_free(bytes, self.room.snapshot_bytes.load(Ordering::Relaxed))
    }

    /// What its files take, and what is free.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage {
            free_bytes: self.disk.free_bytes().map_err(Error::io("measure", ".", 0))?,
            ..Usage::default()
        };
        for name in DIRECTORIES {
            let files = list_if_there(&self.disk, name)?.unwrap_or_default();
            if !files.is_empty() {
                usage.used.push((name, files.iter().map(|file| file.bytes).sum()));
            }
        }
        Ok(usage)
    }

    fn check_free(&self, bytes: u64, left: u64) -> Result<(), Error> {
        check_free(&self.disk, bytes + left)
    }

    /// Who holds the files of the home: to be asked before one is removed or written over.
    pub(crate) fn holds(&self) -> &Arc<Holds> {
        &self.holds
    }

    /// Creates a directory of the home so that a crash does not lose it.
    pub(crate) fn create_dir(&self, name: &str) -> Result<(), Error> {
        self.disk.create_dir_all(name).map_err(Error::io("create", name, 0))?;
        self.disk.sync_dir("").map_err(Error::io("sync", ".", 0))
    }
}

/// [`Error::Full`] if less than that is free.
pub(crate) fn check_free<D: Disk>(disk: &D, needed_bytes: u64) -> Result<(), Error> {
    let free_bytes = disk.free_bytes().map_err(Error::io("measure", ".", 0))?;
    if free_bytes < needed_bytes {
        return Err(Error::Full { needed_bytes, free_bytes: Some(free_bytes) });
    }
    Ok(())
}

fn take_lock<D: Disk>(disk: &D) -> Result<D::Lock, Error> {
    match disk.lock(LOCK, &describe_owner()).map_err(Error::io("lock", LOCK, 0))? {
        LockAttempt::Taken(lock) => Ok(lock),
        LockAttempt::HeldBy(owner) => Err(Error::Locked {
            pid: field(&owner, "pid").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            host: field(&owner, "host").unwrap_or_default().chars().take(80).collect(),
        }),
    }
}

/// The lines of `LOCK`: enough to tell whether the process named there still exists.
fn describe_owner() -> String {
    // Asked for once, since a simulation opens thousands of homes; a fork is another process.
    static OWNER: OnceLock<(u32, String)> = OnceLock::new();
    let pid = std::process::id();
    let (known, owner) = OWNER.get_or_init(|| (pid, owner_lines(pid)));
    if *known == pid { owner.clone() } else { owner_lines(pid) }
}

fn owner_lines(pid: u32) -> String {
    let started = process_start().unwrap_or_default();
    let boot = system_text("/proc/sys/kernel/random/boot_id");
    let host = system_text("/proc/sys/kernel/hostname");
    format!("pid={pid}\nstarted={started}\nboot={boot}\nhost={host}\n")
}

/// Start of this process in clock ticks since boot, which with the pid names it for good.
fn process_start() -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold anything, so count from its end.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

fn system_text(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn field<'a>(owner: &'a str, name: &str) -> Option<&'a str> {
    owner.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn check_format<D: Disk>(disk: &D) -> Result<(), Error> {
    match read_all(disk, FORMAT) {
        Ok(bytes) => parse_format(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_format(disk),
        Err(error) => Err(Error::io("read", FORMAT, 0)(error)),
    }
}

fn parse_format(text: &str) -> Result<(), Error> {
    match version_of(text) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(version) if version < FORMAT_VERSION => {
            Err(other_format(version.to_string(), "`lineshaft store upgrade` brings it to this version's"))
        }
        Some(version) => Err(no_way_from(version)),
        None => Err(no_format(text)),
    }
}

fn version_of(text: &str) -> Option<u32> {
    text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.trim_end().parse().ok())
}

/// The format that the home has.
pub(crate) fn read_version<D: Disk>(disk: &D) -> Result<u32, Error> {
    let bytes = read_all(disk, FORMAT).map_err(Error::io("read", FORMAT, 0))?;
    let text = String::from_utf8_lossy(&bytes);
    version_of(&text).ok_or_else(|| no_format(&text))
}

/// A format that this version does not read and cannot bring to its own.
pub(crate) fn no_way_from(version: u32) -> Error {
    let hint = if version > FORMAT_VERSION {
        "use the newer version of Lineshaft that wrote it; it is left as it is"
    } else {
        "no version of Lineshaft is known to have written it; it is left as it is"
    };
    other_format(version.to_string(), hint)
}

fn no_format(text: &str) -> Error {
    let hint = match text {
        RESTORING => "a restore into it did not come to its end: remove it and restore again",
        _ => "this is not a home, or its FORMAT file is damaged: `lineshaft store doctor` looks at the rest",
    };
    other_format(format!("{:?}", text.chars().take(40).collect::<String>()), hint)
}

fn other_format(found: String, hint: &'static str) -> Error {
    Error::Format { found, supported: FORMAT_VERSION, hint }
}

/// `FORMAT` is the first file of a home, so a journal without one is not a new home but a damaged one.
fn create_format<D: Disk>(disk: &D) -> Result<(), Error> {
    if Home::is_backup(disk) {
        return Err(other_format("backup".to_owned(), "`lineshaft store restore` makes a home of it"));
    }
    if disk.list("seg").is_ok_and(|files| !files.is_empty()) {
        return Err(Error::damaged(FORMAT, 0, "the file is missing, but the home has a journal"));
    }
    write_format(disk)
}

/// Writes `FORMAT` of this version.
pub(crate) fn write_format<D: Disk>(disk: &D) -> Result<(), Error> {
    write_version(disk, FORMAT_VERSION)
}

/// Writes `FORMAT`.
pub(crate) fn write_version<D: Disk>(disk: &D, version: u32) -> Result<(), Error> {
    write_text(disk, &format!("{FORMAT_PREFIX}{version}\n"))
}

fn write_text<D: Disk>(disk: &D, text: &str) -> Result<(), Error> {
    publish(disk, "", FORMAT, &[text.as_bytes()]).map_err(Error::io("write", FORMAT, text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_refused_with_the_way_on() {
        let check = |text: &str, expected: &str| {
            let message = parse_format(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check("lineshaft home 2\n", "newer version");
        check("lineshaft home 0\n", "store upgrade");
        check("something else", "not a home");
        assert!(parse_format("lineshaft home 1\n").is_ok());
    }

    #[test]
    fn owner_names_this_process() {
        let owner = describe_owner();
        assert_eq!(field(&owner, "pid"), Some(std::process::id().to_string().as_str()));
        assert!(field(&owner, "started").is_some_and(|ticks| ticks.parse::<u64>().is_ok()), "{owner}");
    }
}
