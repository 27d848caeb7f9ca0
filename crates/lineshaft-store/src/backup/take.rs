//! Taking a backup: what is copied, and in what order.

use std::io;

use super::copy::{Copied, Copier};
use super::{DIRECTORIES, FileEntry, Manifest, Watch, is_of_logs};
use crate::disk::{Disk, is_temporary, join, list_if_there, read_if_there};
use crate::journal::{extent, segment};
use crate::logs::extent::{Extent, extent as extent_of_logs};
use crate::{Error, Home, JournalEnd, archive, gaps, logs};

/// What a manifest says of where it comes from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of Lineshaft.
    pub version: String,
    /// What time it is, Unix milliseconds.
    pub created_ms: u64,
    /// Whether what attempts logged is copied too.
    pub logs: bool,
}

/// Copies the files of a served `home` to `backup`, an empty directory, as of the commit at `end`.
///
/// The server holds its files ([`crate::HeldFiles`]) from before `end` was known until this returns. Nothing beyond `end`
/// is copied: an unfinished write there would be taken for damage. The copy of the journal is checked before the backup is
/// finished. Of what attempts logged, nobody has to hold anything: what was logged before this is called is copied, but for
/// what retention takes away meanwhile.
///
/// Errors: [`Error::Damaged`] or [`Error::DamagedCommits`] if the home is not whole, what `watch` says, and those of the
/// disks. What was written stays and is no backup.
pub fn take<S: Disk, D: Disk>(
    home: &S,
    backup: &D,
    end: JournalEnd,
    facts: Facts,
    watch: &mut dyn Watch,
) -> Result<Manifest, Error> {
    let read = || extent_of_logs(home)?.without_what_is_written(home);
    let logged = facts.logs.then(read).transpose()?;
    copy_all(home, backup, end, facts, logged, watch)
}

/// Copies the files of a home in which nobody works. What attempts logged is copied as it is, whatever a crash has left of it:
/// the next opening finds the same in the copy as in the home.
///
/// Otherwise as [`take`].
pub fn take_stopped<S: Disk, D: Disk>(
    home: &Home<S>,
    backup: &D,
    end: JournalEnd,
    facts: Facts,
    watch: &mut dyn Watch,
) -> Result<Manifest, Error> {
    let logged = facts.logs.then(|| extent_of_logs(home.disk())).transpose()?;
    copy_all(home.disk(), backup, end, facts, logged, watch)
}

fn copy_all<S: Disk, D: Disk>(
    home: &S,
    backup: &D,
    end: JournalEnd,
    facts: Facts,
    logged: Option<Extent>,
    watch: &mut dyn Watch,
) -> Result<Manifest, Error> {
    backup.create_dir_all("").map_err(Error::io("create", ".", 0))?;
    let mut wanted = Vec::new();
    for directory in DIRECTORIES.into_iter().filter(|directory| *directory != logs::DIRECTORY) {
        let listed = wanted_of(home, directory, &end)?;
        wanted.push((directory, listed));
    }
    wanted.push((logs::DIRECTORY, logged.as_ref().map(days_of).unwrap_or_default()));
    let all = || wanted.iter().flat_map(|(_, files)| files);
    watch.began(all().count() as u64, all().map(|file| file.bytes).sum());
    let mut copier = Copier::new(home, backup, &mut *watch);
    let mut files = Vec::new();
    for (directory, listed) in &wanted {
        backup.create_dir_all(directory).map_err(Error::io("create", directory, 0))?;
        for file in listed {
            files.extend(copied(&mut copier, file)?);
        }
        if let Some(logged) = logged.as_ref().filter(|_| *directory == logs::DIRECTORY) {
            files.extend(small_of(home, logged, &mut copier)?);
        }
        copier.sync_dir(directory)?;
    }
    copier.sync_dir("")?;
    let first_lsn = check(backup, &end)?;
    watch.copied()?;
    let manifest = Manifest::new(facts, end.newest, first_lsn, files);
    manifest.write(backup)?;
    Ok(manifest)
}

/// What attempts logged goes on its own way meanwhile: a file of it that is gone is of a time that is not kept any more.
fn copied<S: Disk, D: Disk>(
    copier: &mut Copier<'_, S, D>,
    file: &Copied,
) -> Result<Option<FileEntry>, Error> {
    match copier.copy(file) {
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && is_of_logs(&file.path) =>
        {
            Ok(None)
        }
        copied => copied.map(Some),
    }
}

fn days_of(logged: &Extent) -> Vec<Copied> {
    let copied = |(path, bytes): &(String, u64)| {
        let (path, bytes, is_immutable) = (path.clone(), *bytes, true);
        Copied { path, bytes, is_immutable }
    };
    logged.days.iter().filter(|(_, end)| *end > 0).map(copied).collect()
}

/// The tail, and the number below which nothing is kept: that is read behind the days, since it is written before the newest of
/// them goes.
fn small_of<S: Disk, D: Disk>(
    home: &S,
    logged: &Extent,
    copier: &mut Copier<'_, S, D>,
) -> Result<Vec<FileEntry>, Error> {
    let [tail, next] = [logs::tail::NAME, logs::next::NAME].map(|name| join(logs::DIRECTORY, name));
    let number = read_if_there(home, &next)?.unwrap_or_default();
    let small = [(tail, &logged.tail), (next, &number)];
    let some = small.iter().filter(|(_, content)| !content.is_empty());
    some.map(|(path, content)| copier.put(path, content)).collect()
}

/// The files of a directory that belong to the state at `end`.
fn wanted_of<D: Disk>(home: &D, directory: &str, end: &JournalEnd) -> Result<Vec<Copied>, Error> {
    let listed = list_if_there(home, directory)?.unwrap_or_default();
    let mut files = Vec::new();
    for entry in listed.into_iter().filter(|entry| belongs(directory, &entry.name, end)) {
        let is_last =
            directory == segment::DIRECTORY && segment::number_of(&entry.name) == Some(end.last_segment);
        let bytes = if is_last { end.last_segment_bytes } else { entry.bytes };
        let is_immutable = directory != segment::DIRECTORY;
        files.push(Copied { path: join(directory, &entry.name), bytes, is_immutable });
    }
    Ok(files)
}

fn belongs(directory: &str, name: &str, end: &JournalEnd) -> bool {
    match directory {
        "snap" => name.parse().is_ok_and(|lsn: u64| lsn <= end.newest.lsn),
        segment::DIRECTORY | archive::DIRECTORY if name == gaps::NAME => true,
        segment::DIRECTORY => segment::number_of(name)
            .is_some_and(|number| (end.first_segment..=end.last_segment).contains(&number)),
        archive::DIRECTORY => archive::is_day(name),
        _ => !is_temporary(name),
    }
}

/// Checks that the copy has the journal from its beginning to `end`; gives the oldest commit that can be restored.
fn check<D: Disk>(backup: &D, end: &JournalEnd) -> Result<u64, Error> {
    let extent = extent(backup)?;
    let found = extent.end();
    if found.newest != end.newest {
        let (lsn, wanted) = (found.newest.lsn, end.newest.lsn);
        let reason = format!("the copy ends with commit {lsn} instead of {wanted}");
        return Err(Error::damaged(&segment::path(end.last_segment), end.last_segment_bytes, reason));
    }
    if extent.snapshot_lsn.unwrap_or(0) != extent.newest_snapshot_lsn {
        tracing::warn!("the newest snapshot of the home does not read: the backup rests on an older one");
    }
    Ok(extent.first_restorable_lsn().unwrap_or(0))
}
