//! Records to a file that others may write, move and delete too.
//!
//! Whole lines go into one `write(2)` with `O_APPEND`, so that those of several processes do not mix. Before each, the
//! path is looked at: if it is another file by now, or none, that one is opened. After each, the file is: if it was
//! deleted meanwhile, the lines are written again. So is the first of them if it stands behind a part of a line, which
//! somebody left who died amid it: before the write nobody can tell that from a line that is being written. With a
//! rotation, everybody who writes has a shared lock of the file
//! (`flock`), and who rotates it an exclusive one, so that nobody writes to a file that is being compressed.

mod lock;
mod rotation;

use std::fs::OpenOptions;
use std::io::{self, Seek};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, fcntl_setfl, flock};
use rustix::io::Errno;

use super::{Failure, Handler, say};
use crate::error::Error;
use crate::format::{Format, Formatter, Zone};
use crate::level::LevelNames;
use crate::record::Record;
pub use rotation::{Compression, Rotation};

/// Where and how to write.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The file. Directories above it are made.
    pub path: PathBuf,
    /// The form of a record.
    pub format: Format,
    /// The zone of times.
    pub zone: Zone,
    /// Who may read it, as far as the mask of the process allows.
    pub mode: u32,
    /// When another file is begun, and what becomes of those before. Whoever writes the file has to say the same.
    pub rotation: Option<Rotation>,
}

/// Appends to a file.
#[derive(Debug)]
pub struct File {
    options: FileOptions,
    formatter: Formatter,
    file: std::fs::File,
    /// Device and inode of `file`.
    identity: (u64, u64),
    /// Whether what was written last is a part of a line.
    is_torn: bool,
    out: Vec<u8>,
    /// Where in `out` each record ends.
    ends: Vec<usize>,
    /// How many bytes of `out` are in the file.
    written: usize,
    /// A rotation that failed: when it is tried again, and how long it is waited for that.
    put_off: Option<(Instant, Duration)>,
}

/// So much is written at once at most.
const WRITE_BYTES: usize = 1 << 20;
/// How often a file is opened again, for others that rotate or delete it as often, until that is a failure.
const TRIES: u32 = 256;
/// How long a rotation of somebody else is waited for: as long as compressing a gigabyte takes.
const WAIT: Duration = Duration::from_secs(60);
/// Pauses before a rotation that failed is tried again: the first, and the longest, to which they double.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(600);

impl File {
    /// Opens a file, or makes it.
    pub fn open(options: FileOptions, levels: &Arc<LevelNames>) -> Result<Self, Error> {
        let formatter = Formatter::new(options.format.clone(), options.zone, levels.clone());
        let opened = open(&options.path, options.mode);
        let (file, identity) = opened.map_err(|source| Error::File { path: options.path.clone(), source })?;
        Ok(Self {
            options,
            formatter,
            file,
            identity,
            is_torn: false,
            out: Vec::new(),
            ends: Vec::new(),
            written: 0,
            put_off: None,
        })
    }

    /// Writes what is in `out`, wherever the path leads by now.
    fn write_out(&mut self) -> io::Result<()> {
        for _ in 0..TRIES {
            if self.options.rotation.is_some() {
                self.rotate_if_due();
                if !lock::wait(&self.file, FlockOperation::NonBlockingLockShared, WAIT)? {
                    let reason = "somebody has kept it locked for as long as a rotation may take";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
                }
            }
            let written = self.append_at_path();
            if self.options.rotation.is_some() {
                // Not by letting go of the file: a process that was forked meanwhile has it open, too.
                flock(&self.file, FlockOperation::Unlock)?;
            }
            if written? {
                return Ok(());
            }
            // What went into a file that is gone is lost with it.
            self.written = 0;
            self.reopen()?;
        }
        Err(io::Error::other("others rotate or delete it again and again"))
    }

    /// Begins another file if this one is full. Where that fails, what is written goes on into this one: a file that is
    /// too long is better than none.
    fn rotate_if_due(&mut self) {
        let Some(rotation) = &self.options.rotation else { return };
        if self.put_off.is_some_and(|(until, _)| Instant::now() < until) {
            return;
        }
        let (path, now) =
            (&self.options.path, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let rotated = rotation.rotate_if_due(path, &self.file, self.out.len() as u64, now);
        let (path, pause) = (path.display(), self.put_off.map(|(_, pause)| pause));
        match (&rotated, pause) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(_)) => say(&format!("the log file {path} can be rotated again")),
            (Err(error), None) => {
                say(&format!("the log file {path} cannot be rotated: {error}; it grows until it can be"));
            }
        }
        let pause = pause.map_or(PAUSE_FIRST, |pause| (pause * 2).min(PAUSE_MAX));
        self.put_off = rotated.err().map(|_| (Instant::now() + pause, pause));
    }

    /// Appends, if this is the file at the path, and was when that was done.
    fn append_at_path(&mut self) -> io::Result<bool> {
        if !self.is_at_path() {
            return Ok(false);
        }
        self.append()?;
        // Asked before others may rotate it, after which it is gone and its lines are not.
        Ok(self.file.metadata()?.nlink() > 0)
    }

    fn append(&mut self) -> io::Result<()> {
        if self.is_torn {
            // What comes after the part of a line is a line again.
            write_all(&self.file, b"\n", &mut 0)?;
            self.is_torn = false;
        }
        self.written = 0;
        let appended = write_all(&self.file, &self.out, &mut self.written);
        if appended.is_ok() && self.is_behind_a_part() {
            // The lines are there in any case: what is behind the part is only hard to read.
            let _ = write_all(&self.file, &self.out[..self.ends[0]], &mut 0);
        }
        self.is_torn = self.written > 0 && self.out[self.written - 1] != b'\n';
        appended
    }

    /// Whether what was written last does not begin a line. This one has the file open by itself, so its position is where
    /// the kernel put the end of that.
    fn is_behind_a_part(&self) -> bool {
        let end = (&self.file).stream_position().unwrap_or(0);
        let mut before = [b'\n'];
        let start = end.saturating_sub(self.out.len() as u64);
        start > 0 && self.file.read_at(&mut before, start - 1).is_ok() && before != *b"\n"
    }

    /// So much is written at once: no more than a file is long, so that none is longer; a longer record all the same.
    fn bytes_max(&self) -> usize {
        let rotation = self.options.rotation.as_ref();
        rotation
            .and_then(|rotation| rotation.size_bytes)
            .map_or(WRITE_BYTES, |most| WRITE_BYTES.min(most as usize))
    }

    /// Writes the records that are in `out`, and counts those that are written in `done`.
    fn write_records(&mut self, done: &mut usize) -> Result<(), Failure> {
        let written = self.write_out();
        *done += if written.is_ok() {
            self.ends.len()
        } else {
            self.ends.iter().take_while(|end| **end <= self.written).count()
        };
        self.clear();
        written.map_err(|error| Failure { done: *done, refused: 0, reason: error.to_string() })
    }

    /// Begins anew with what has to be written.
    fn clear(&mut self) {
        self.out.clear();
        self.ends.clear();
        self.written = 0;
    }

    fn is_at_path(&self) -> bool {
        std::fs::metadata(&self.options.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.identity) = open(&self.options.path, self.options.mode)?;
        self.is_torn = false;
        Ok(())
    }
}

impl Handler for File {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        self.clear();
        self.formatter.prepare(records);
        let (mut done, bytes_max, mut line) = (0, self.bytes_max(), Vec::new());
        for record in records {
            line.clear();
            self.formatter.push(&mut line, record);
            if !self.out.is_empty() && self.out.len() + line.len() > bytes_max {
                self.write_records(&mut done)?;
            }
            self.out.extend_from_slice(&line);
            self.ends.push(self.out.len());
        }
        if !self.out.is_empty() {
            self.write_records(&mut done)?;
        }
        Ok(())
    }

    fn unformatted(&self) -> (u64, &str) {
        self.formatter.unformatted()
    }
}

/// Writes all of `bytes`, and says in `written` how many are.
fn write_all(file: &std::fs::File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match rustix::io::write(file, &bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn open(path: &Path, mode: u32) -> io::Result<(std::fs::File, (u64, u64))> {
    let file = match open_at(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            open_at(path, mode)?
        }
        opened => opened?,
    };
    // To open a pipe that nobody reads would have waited for somebody; to write may wait.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    let found = file.metadata()?;
    Ok((file, (found.dev(), found.ino())))
}

/// To read as well, if that is allowed, for what is at the end.
fn open_at(path: &Path, mode: u32) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(mode).custom_flags(OFlags::NONBLOCK.bits() as i32);
    let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_pipe {
        // With somebody who reads it, which would be this one.
        return options.open(path);
    }
    match options.clone().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
        opened => opened,
    }
}
