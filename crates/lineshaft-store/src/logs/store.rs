//! The store of logs: who appends, and drops what is old. `close` makes blocks of the tail, `page` searches.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lineshaft_wire::LogRecord;

use super::catalogue::{Catalogue, Entry};
use super::tail::{Chunk, ChunkWriter, NAME, TAIL_BYTES_MAX};
use super::{BLOCK_RECORDS_MAX, LogCounts, close, fit, next, scan};
use crate::archive::day::{Day, DayFile};
use crate::disk::{Disk, DiskFile, join, remove};
use crate::{Error, Home};

/// The directory of the tail and the files of days.
pub const DIRECTORY: &str = "logs";

/// Records of attempts in the files of a home. Clones share it: one thread appends, any thread searches.
pub struct LogStore<D: Disk> {
    inner: Arc<Inner<D>>,
}

struct Inner<D: Disk> {
    home: Home<D>,
    catalogue: RwLock<Catalogue>,
    /// Held while files change.
    writer: Mutex<Writer<D::File>>,
}

/// When the tail becomes a block, and where that goes. The tail is looked at when something is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The tail becomes a block once it has so many records. Default, and maximum of a block: 4,096.
    pub tail_records: u64,
    /// Or its records take about so many bytes. Default, and maximum of a block: 1 MiB.
    pub tail_bytes: usize,
    /// Or it was begun so long ago. Default: 60 s.
    pub tail_age: Duration,
    /// A day gets another file once one has so many bytes. Default: 64 MiB; less where there is little room.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tail_records: BLOCK_RECORDS_MAX as u64,
            tail_bytes: 1 << 20,
            tail_age: Duration::from_secs(60),
            file_bytes: 64 << 20,
        }
    }
}

/// What who appends knows.
pub(crate) struct Writer<F> {
    pub(crate) limits: Limits,
    /// The tail's file, where its chunks end, and the CRC of the last of them.
    pub(crate) file: F,
    pub(crate) end: u64,
    pub(crate) crc: u32,
    /// The next record's sequence number.
    pub(crate) next: u64,
    /// When the tail was begun, unless it is empty.
    pub(crate) began: Option<Instant>,
    /// How much of the tail's file is known to be durable.
    pub(crate) durable_bytes: u64,
    /// Whether there was no room for blocks the last time.
    pub(crate) is_full: bool,
    /// A write or sync failed; only a restart finds out what is on disk.
    pub(crate) has_failed: bool,
}

impl<F: DiskFile> Writer<F> {
    /// Makes the tail durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if self.durable_bytes < self.end {
            self.file.sync_data().map_err(sync_failed(&join(DIRECTORY, NAME)))?;
            self.durable_bytes = self.end;
        }
        Ok(())
    }
}

impl<D: Disk> Clone for LogStore<D> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<D: Disk> fmt::Debug for LogStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl<D: Disk> LogStore<D> {
    /// Opens the logs of a home, creating them if there are none.
    ///
    /// Reads the tail and the header of every block. What was not written to its end is cut, with a warning; a block that
    /// does not read is passed over, and counted. [`Error::Io`] if the disk does not answer.
    pub fn open(home: &Home<D>) -> Result<Self, Error> {
        home.create_dir(DIRECTORY)?;
        let scan::Scanned { catalogue, file, end, crc, next } = scan::scan(home.disk())?;
        let began = (catalogue.tail_records() > 0).then(Instant::now);
        let (durable_bytes, is_full, has_failed) = (0, false, false);
        let limits = Limits::default();
        let writer = Writer { limits, file, end, crc, next, began, durable_bytes, is_full, has_failed };
        let (catalogue, writer) = (RwLock::new(catalogue), Mutex::new(writer));
        Ok(Self { inner: Arc::new(Inner { home: home.clone(), catalogue, writer }) })
    }

    /// Sets when the tail becomes a block.
    pub fn set_limits(&self, limits: Limits) {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).limits = limits;
    }

    /// Adds records after all others. They are in the file when this returns, so the death of the process does not take
    /// them; a power cut does, until the next [`LogStore::sync`] or until their block was closed.
    ///
    /// Texts are cut to [`LOG_TEXT_BYTES_MAX`](lineshaft_wire::log_record::LOG_TEXT_BYTES_MAX). Nothing is stored, and the
    /// store goes on, after [`Error::TooLarge`] (a record above [`RECORD_BYTES_MAX`](super::RECORD_BYTES_MAX), or all above
    /// [`APPEND_BYTES_MAX`](super::APPEND_BYTES_MAX)) and [`Error::Full`]. [`Error::Io`] ends writing:
    /// [`Error::Poisoned`] from then on.
    pub fn append(&self, records: &[LogRecord]) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let records: Vec<_> = records.iter().map(fit::fitted).collect();
        self.write(|writer| {
            if self.is_due(writer) {
                self.close_if_room(writer)?;
            }
            let mut chunks = ChunkWriter::after(writer.crc, writer.next, writer.durable_bytes);
            records.iter().try_for_each(|record| chunks.push(record))?;
            chunks.close();
            self.write_chunks(writer, &chunks)?;
            let records: Arc<[LogRecord]> = records.into_iter().map(std::borrow::Cow::into_owned).collect();
            let chunk = Chunk { first: writer.next, records };
            writer.next = chunk.last() + 1;
            self.change_catalogue(|catalogue| {
                catalogue.push_chunk(chunk);
                catalogue.tail_bytes = writer.end;
            });
            Ok(())
        })
    }

    /// Makes everything durable that was appended. Costs nothing if it is.
    pub fn sync(&self) -> Result<(), Error> {
        self.write(Writer::sync)
    }

    /// How much there is. O(blocks and records of the tail).
    pub fn counts(&self) -> LogCounts {
        self.with_catalogue(Catalogue::counts)
    }

    /// Drops the files of the UTC days before that of `time_us` (Unix microseconds). The tail is closed before if it is of
    /// such a day: where nothing is logged any more nothing else would. Gives the bytes that are free now.
    pub fn drop_before(&self, time_us: u64) -> Result<u64, Error> {
        let first_kept = Day::of(time_us / 1_000);
        self.write(|writer| {
            if self.with_catalogue(|catalogue| close::is_before(catalogue.tail(), first_kept)) {
                self.close_if_room(writer)?;
            }
            let files = self.with_catalogue(|catalogue| catalogue.files_before(first_kept));
            let newest = self.with_catalogue(Catalogue::newest_file);
            let (last, others) = files.into_iter().partition::<Vec<_>, _>(|file| Some(*file) == newest);
            let bytes = self.remove_files(&others)?;
            if !last.is_empty() {
                // Then no block tells any more which numbers were given, and which records of a tail that a power cut
                // brings back are not kept any more.
                let first =
                    self.with_catalogue(|catalogue| catalogue.tail().first().map(|chunk| chunk.first));
                next::write(self.disk(), first.unwrap_or(writer.next))?;
            }
            Ok(bytes + self.remove_files(&last)?)
        })
    }

    /// Drops the files with the oldest records until at most `bytes` are left on disk, except the newest. Gives the bytes
    /// that are free now.
    pub fn drop_oldest_until(&self, bytes: u64) -> Result<u64, Error> {
        self.write(|_| {
            let files = self.with_catalogue(|catalogue| catalogue.oldest_files_above(bytes));
            self.remove_files(&files)
        })
    }

    fn remove_files(&self, files: &[DayFile]) -> Result<u64, Error> {
        let mut bytes = 0;
        for file in files {
            let path = join(DIRECTORY, &file.to_string());
            bytes += self.change_catalogue(|catalogue| catalogue.remove_file(*file));
            remove(self.disk(), &path).map_err(Error::io("remove", &path, 0))?;
        }
        if !files.is_empty() {
            self.disk().sync_dir(DIRECTORY).map_err(sync_failed(DIRECTORY))?;
        }
        Ok(bytes)
    }

    pub(crate) fn home(&self) -> &Home<D> {
        &self.inner.home
    }

    pub(crate) fn disk(&self) -> &D {
        self.inner.home.disk()
    }

    pub(crate) fn with_catalogue<T>(&self, read: impl FnOnce(&Catalogue) -> T) -> T {
        read(&self.inner.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change_catalogue<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(&mut self.inner.catalogue.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says once for each block that it is damaged.
    pub(crate) fn note_damaged(&self, entry: &Entry, error: &Error) {
        if self.change_catalogue(|catalogue| catalogue.note_damaged(entry)) {
            tracing::warn!(%error, records = entry.header.records, "passed over a block of logs");
        }
    }

    /// Changes files, one caller at a time; after a failure nobody does.
    fn write<T>(&self, change: impl FnOnce(&mut Writer<D::File>) -> Result<T, Error>) -> Result<T, Error> {
        let mut writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.has_failed {
            return Err(Error::Poisoned);
        }
        let result = change(&mut writer);
        writer.has_failed = matches!(result, Err(Error::Io { .. }));
        result
    }

    fn write_chunks(&self, writer: &mut Writer<D::File>, chunks: &ChunkWriter) -> Result<(), Error> {
        let needed_bytes = chunks.bytes.len() as u64;
        if writer.end + needed_bytes > TAIL_BYTES_MAX {
            return Err(Error::Full { needed_bytes: writer.end + needed_bytes, free_bytes: None });
        }
        self.inner.home.check_room(needed_bytes)?;
        let path = join(DIRECTORY, NAME);
        if let Err(source) = writer.file.write_all_at(writer.end, &chunks.bytes) {
            // What was written of it must not be found by the next opening.
            writer.file.set_len(writer.end).map_err(sync_failed(&path))?;
            return Err(Error::io("write", &path, needed_bytes)(source));
        }
        (writer.end, writer.crc) = (writer.end + needed_bytes, chunks.crc);
        writer.began.get_or_insert_with(Instant::now);
        Ok(())
    }
}

/// A failed sync ends writing even if the disk is only full: what was written before may be gone.
pub(crate) fn sync_failed(path: &str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action: "sync", path, source }
}
