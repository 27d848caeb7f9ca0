//! The embedded archive: blocks appended to the files of UTC days.
//!
//! The headers of all blocks are in memory, ordered by finish number; everything else is read when it is needed.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use lineshaft_wire::JobId;

use super::block::{BlockReader, Found};
use super::build::{Built, build};
use super::catalogue::{Catalogue, Entry};
use super::day::{Day, DayFile};
use super::filters::FILTERS_PER_SEARCH;
use super::header::BlockHeader;
use super::open_file::OpenFile;
use super::{
    Archive, ArchiveCounts, ArchiveHead, ArchivedJob, Block, DayCounts, Dropped, Filter, ListedJob, Page,
    PageRequest, scan,
};
use crate::disk::{Disk, DiskFile, OpenMode, join};
use crate::gaps::Gaps;
use crate::{Error, Home};

/// The directory of files of days.
pub(crate) const DIRECTORY: &str = "archive";

/// An archive in block files. Clones share it.
pub struct BlockArchive<D: Disk> {
    inner: Arc<Inner<D>>,
}

struct Inner<D: Disk> {
    home: Home<D>,
    catalogue: RwLock<Catalogue>,
    /// Held while files change.
    writing: Mutex<Writing>,
}

/// A block that does not read.
#[derive(Debug)]
pub struct DamagedBlock {
    /// Its file, relative to the home.
    pub file: String,
    /// Where it begins there.
    pub offset: u64,
    /// Finish number of its first job.
    pub first: u64,
    /// Finish number of its last job.
    pub last: u64,
    /// What is wrong.
    pub error: Error,
}

/// Whether the archive may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Possible,
    /// A write or sync failed; only a restart finds out what is on disk.
    Failed,
}

impl<D: Disk> Clone for BlockArchive<D> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<D: Disk> fmt::Debug for BlockArchive<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockArchive").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl<D: Disk> BlockArchive<D> {
    /// Opens the archive of a home, creating it if there is none.
    ///
    /// Reads the header of every block and checks the last one of each file whole: a torn one is cut, with a warning.
    /// [`Error::Damaged`] if a block before the last of its file cannot be read.
    pub fn open(home: &Home<D>) -> Result<Self, Error> {
        Self::open_after(home, 0)
    }

    /// The same, where jobs up to the finish number `archived` are known to have been archived.
    ///
    /// [`Error::HistoryMissing`] if jobs are missing up to there, or between others, unless retention dropped them or
    /// somebody gave them up.
    pub fn open_after(home: &Home<D>, archived: u64) -> Result<Self, Error> {
        home.create_dir(DIRECTORY)?;
        let (catalogue, torn) = scan::scan(home.disk(), archived)?;
        torn.iter().try_for_each(|end| scan::cut(home.disk(), end))?;
        scan::settle(home.disk(), &catalogue)?;
        if let Some(oldest) = catalogue.entries().first() {
            note_beginning(home.disk(), oldest.header.first_finish_number)?;
        }
        let writing = Mutex::new(Writing::Possible);
        Ok(Self { inner: Arc::new(Inner { home: home.clone(), catalogue: RwLock::new(catalogue), writing }) })
    }

    /// Begins another file of the day once one has so many bytes. Default: 64 MiB.
    pub fn set_file_bytes(&self, bytes: u64) {
        self.change_catalogue(|catalogue| catalogue.file_bytes = bytes);
    }

    /// Files that hold blocks of another day than the one whose name they have, and which name would be free and theirs,
    /// both relative to the home. They are read like others, but go when the day goes that they are named after.
    pub fn misnamed(&self) -> Vec<(String, String)> {
        let path = |file: DayFile| join(DIRECTORY, &file.to_string());
        let files = self.with_catalogue(Catalogue::misnamed).into_iter();
        files.map(|(file, right)| (path(file), path(right))).collect()
    }

    /// What each day holds, oldest day first.
    pub fn days(&self) -> Vec<DayCounts> {
        self.with_catalogue(Catalogue::days)
    }

    /// The file of the oldest block, relative to the home, and its first finish number.
    pub fn oldest(&self) -> Option<(String, u64)> {
        self.with_catalogue(|catalogue| {
            let entry = catalogue.entries().first()?;
            Some((join(DIRECTORY, &entry.file.to_string()), entry.header.first_finish_number))
        })
    }

    /// Passes on every job that matches, oldest finish first, with its payloads, a block at a time. Jobs that are archived
    /// meanwhile are not seen.
    ///
    /// A block that does not read is passed on as its error.
    pub fn each<E: From<Error>>(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Result<ArchivedJob, Error>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut files = OpenFile::new(DIRECTORY);
        let entries = self.with_catalogue(|catalogue| catalogue.entries().to_vec());
        for entry in entries.iter().filter(|entry| entry.header.may_match(filter)) {
            match self.read(entry, &mut files, |block| block.matching(filter)) {
                Ok(jobs) => jobs.into_iter().map(Ok).try_for_each(&mut visit)?,
                Err(error) => visit(Err(error))?,
            }
        }
        Ok(())
    }

    /// Reads every block, checks every part of it and takes every row apart. Gives blocks and bytes read.
    pub fn verify(
        &self,
        mut progress: impl FnMut(u64),
        mut visit: impl FnMut(Result<Vec<ArchivedJob>, DamagedBlock>),
    ) -> (u64, u64) {
        let entries = self.with_catalogue(|catalogue| catalogue.entries().to_vec());
        let mut files = OpenFile::new(DIRECTORY);
        let mut bytes = 0;
        for entry in &entries {
            bytes += entry.header.stored_bytes();
            let jobs = self.read(entry, &mut files, |block| block.matching(&Filter::default()));
            visit(jobs.map_err(|error| {
                let BlockHeader { first_finish_number: first, last_finish_number: last, .. } = entry.header;
                DamagedBlock { file: entry.path(), offset: entry.offset, first, last, error }
            }));
            progress(entry.header.stored_bytes());
        }
        (entries.len() as u64, bytes)
    }

    fn with_catalogue<T>(&self, read: impl FnOnce(&Catalogue) -> T) -> T {
        read(&self.inner.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_catalogue<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(&mut self.inner.catalogue.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops old files, unless they are held for a backup.
    fn retain(&self, files: impl FnOnce(&Catalogue) -> Vec<DayFile>) -> Result<Dropped, Error> {
        self.write(|| {
            let files = self.with_catalogue(files);
            if files.is_empty() {
                return Ok(Dropped::default());
            }
            let Some(_removing) = self.inner.home.holds().removing() else { return Err(Error::Held) };
            self.drop_files(&files)
        })
    }

    /// Changes files, one caller at a time; after a failure nobody does.
    fn write<T>(&self, change: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let mut writing = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if *writing == Writing::Failed {
            return Err(Error::Poisoned);
        }
        let result = change();
        if let Err(Error::Io { .. }) = result {
            *writing = Writing::Failed;
        }
        result
    }

    fn append(&self, built: &Built) -> Result<(), Error> {
        let day = Day::of(built.header.finished_ms.1);
        // Unknown only if the disk fails, which writing then finds out.
        let free_bytes = self.inner.home.disk().free_bytes().unwrap_or(0);
        let (place, end) = self.with_catalogue(|catalogue| catalogue.place_in(day, free_bytes));
        let (path, offset) = (join(DIRECTORY, &place.to_string()), end.unwrap_or(0));
        self.inner.home.check_room_for_history(built.bytes.len() as u64)?;
        let disk = self.inner.home.disk();
        if self.with_catalogue(|catalogue| catalogue.entries().is_empty()) {
            note_beginning(disk, built.header.first_finish_number)?;
        }
        let mode = if end.is_some() { OpenMode::Write } else { OpenMode::Create };
        let file = disk.open(&path, mode).map_err(Error::io("open", &path, built.bytes.len() as u64))?;
        append_block(&file, &path, offset, &built.bytes)?;
        if end.is_none() {
            disk.sync_dir(DIRECTORY).map_err(sync_failed(DIRECTORY))?;
        }
        let entry = Entry { file: place, offset, header: built.header };
        self.change_catalogue(|catalogue| catalogue.push(entry));
        Ok(())
    }

    /// Jobs of one block; none if retention took it away meanwhile.
    fn read<T: Default>(
        &self,
        entry: &Entry,
        files: &mut OpenFile<D>,
        read: impl FnOnce(&BlockReader<'_, D::File>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some((file, path)) = files.get(self.inner.home.disk(), entry.file)? else {
            return Ok(T::default());
        };
        let result = read(&BlockReader { file, path, offset: entry.offset, header: entry.header });
        let still_there = self.with_catalogue(|catalogue| catalogue.contains(entry));
        if still_there { result } else { result.or_else(|_| Ok(T::default())) }
    }

    /// Drops files that nobody shall miss.
    fn drop_files(&self, files: &[DayFile]) -> Result<Dropped, Error> {
        if files.is_empty() {
            return Ok(Dropped::default());
        }
        self.note_gaps(files)?;
        let dropped = self.remove_files(files)?;
        if let Some(oldest) = self.with_catalogue(|catalogue| catalogue.entries().first().copied()) {
            note_beginning(self.inner.home.disk(), oldest.header.first_finish_number)?;
        }
        Ok(dropped)
    }

    fn remove_files(&self, files: &[DayFile]) -> Result<Dropped, Error> {
        let mut dropped = Dropped::default();
        for file in files {
            dropped.add(self.change_catalogue(|catalogue| catalogue.remove_file(*file)));
            let path = join(DIRECTORY, &file.to_string());
            self.inner.home.disk().remove_file(&path).map_err(Error::io("remove", &path, 0))?;
        }
        self.inner.home.disk().sync_dir(DIRECTORY).map_err(sync_failed(DIRECTORY))?;
        Ok(dropped)
    }

    /// Writes down what will be missing before it is removed on purpose: the beginning as one range from 0.
    fn note_gaps(&self, files: &[DayFile]) -> Result<(), Error> {
        let (stay, go): (Vec<Entry>, Vec<Entry>) =
            self.with_catalogue(|it| it.entries().iter().partition(|entry| !files.contains(&entry.file)));
        let disk = self.inner.home.disk();
        let mut gaps = Gaps::load(disk, DIRECTORY)?;
        if let Some(oldest) = stay.first() {
            gaps.add(0, oldest.header.first_finish_number - 1);
        }
        for entry in go {
            gaps.add(entry.header.first_finish_number, entry.header.last_finish_number);
        }
        match gaps.save(disk, DIRECTORY) {
            // Files go to make room: for want of it they may not stay.
            Err(Error::Full { .. }) if gaps.has_only_beginning() => Gaps::remove(disk, DIRECTORY),
            saved => saved,
        }
    }

    /// Cuts a file before the block at `offset`.
    fn cut_file(&self, file: DayFile, offset: u64) -> Result<Dropped, Error> {
        if offset == 0 {
            return self.remove_files(&[file]);
        }
        let dropped = self.change_catalogue(|catalogue| catalogue.cut_file(file, offset));
        scan::cut_file(self.inner.home.disk(), &join(DIRECTORY, &file.to_string()), offset)?;
        Ok(dropped)
    }
}

impl<D: Disk> Archive for BlockArchive<D> {
    fn put(&self, block: &Block) -> Result<(), Error> {
        self.write(|| {
            let built = build(block, self.head().last_finish_number)?;
            self.append(&built)
        })
    }

    fn head(&self) -> ArchiveHead {
        self.with_catalogue(Catalogue::head)
    }

    fn page(&self, request: &PageRequest) -> Result<Page, Error> {
        let began = Instant::now();
        let mut files = OpenFile::new(DIRECTORY);
        let mut page = Page { jobs: Vec::new(), cursor: request.before.or(Some(u64::MAX)) };
        let limit = request.limit.max(1);
        while let Some(before) = page.cursor {
            let Some(entry) = self.with_catalogue(|catalogue| catalogue.last_before(before)) else {
                page.cursor = None;
                break;
            };
            let rows = if entry.header.may_match(&request.filter) {
                let left = limit - page.jobs.len();
                self.read(&entry, &mut files, |block| block.page(&request.filter, before, left))?
            } else {
                Vec::new()
            };
            let found = rows
                .into_iter()
                .map(|row| ListedJob { finish_number: row.finish_number, record: row.record });
            page.jobs.extend(found);
            page.cursor = Some(entry.header.first_finish_number);
            if page.jobs.len() >= limit {
                page.cursor = page.jobs.last().map(|job| job.finish_number);
                break;
            }
            if began.elapsed() >= request.budget {
                break;
            }
        }
        page.cursor = page
            .cursor
            .filter(|before| self.with_catalogue(|catalogue| catalogue.last_before(*before).is_some()));
        Ok(page)
    }

    fn get_many(&self, ids: &[JobId]) -> Result<Vec<ArchivedJob>, Error> {
        let mut wanted: BTreeSet<JobId> = ids.iter().copied().collect();
        let mut files = OpenFile::new(DIRECTORY);
        let mut found = Vec::new();
        let mut before = u64::MAX;
        let mut filters_left = FILTERS_PER_SEARCH;
        while let Some((entry, here, makes_filter)) =
            self.with_catalogue(|catalogue| catalogue.last_with(before, &wanted))
        {
            before = entry.header.first_finish_number;
            let Found { jobs, filter } = self
                .read(&entry, &mut files, |block| block.get_many(&here, makes_filter && filters_left > 0))?;
            if let Some(filter) = filter {
                filters_left -= 1;
                self.change_catalogue(|catalogue| catalogue.keep_filter(&entry, filter));
            }
            for job in jobs {
                wanted.remove(&job.record.id);
                found.push(job);
            }
        }
        Ok(found)
    }

    fn counts(&self) -> ArchiveCounts {
        self.with_catalogue(Catalogue::counts)
    }

    fn oldest_ms(&self) -> Option<u64> {
        self.with_catalogue(Catalogue::oldest_ms)
    }

    fn drop_before(&self, finished_ms: u64) -> Result<Dropped, Error> {
        let first_kept = Day::of(finished_ms);
        self.retain(|catalogue| catalogue.files_before(first_kept))
    }

    fn drop_oldest_until(&self, bytes: u64) -> Result<Dropped, Error> {
        self.retain(|catalogue| catalogue.oldest_files_above(bytes))
    }

    fn drop_beyond(&self, lsn: u64) -> Result<Dropped, Error> {
        self.write(|| {
            let mut dropped = Dropped::default();
            for (file, offset) in self.with_catalogue(|catalogue| catalogue.beyond(lsn)) {
                dropped.add(self.cut_file(file, offset)?);
            }
            Ok(dropped)
        })
    }
}

/// Writes down that nothing is missing before finish number `first`, unless it is known where the history begins. Where
/// there is no room for that, another time will do: nothing is missed until then. Nor does a file that does not read hold
/// up the history: the next start refuses it.
fn note_beginning<D: Disk>(disk: &D, first: u64) -> Result<(), Error> {
    let mut gaps = match Gaps::load(disk, DIRECTORY) {
        Err(error @ Error::Damaged { .. }) => {
            tracing::error!(%error, "it is not known any more what of the history may be missing");
            return Ok(());
        }
        loaded => loaded?,
    };
    if gaps.beginning().is_some() {
        return Ok(());
    }
    gaps.add(0, first.saturating_sub(1));
    match gaps.save(disk, DIRECTORY) {
        Err(Error::Full { .. }) => Ok(()),
        saved => saved,
    }
}

fn append_block<F: DiskFile>(file: &F, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    if let Err(source) = file.write_all_at(offset, bytes) {
        // What was written of it is cut at the next open if this fails too.
        let _ = file.set_len(offset);
        return Err(Error::io("write", path, bytes.len() as u64)(source));
    }
    file.sync_data().map_err(sync_failed(path))
}

/// A failed sync ends writing even if the disk is only full: what was written before may be gone.
fn sync_failed(path: &str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action: "sync", path, source }
}
