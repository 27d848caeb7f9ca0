//! Rows that columns and filters left: unpacked, made whole, and looked at again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::{JobId, LogPlace, LogRecord};

use super::attachments::{self, Attachment};
use super::bits::Rows;
use super::block::{Piece, Search};
use super::columns::Column;
use super::header::BlockHeader;
use crate::archive::codec::{Decoded, Decoder};

/// What rows have in columns.
pub(crate) struct Columns {
    pub(crate) tasks: Column<Arc<str>>,
    pub(crate) workers: Column<Arc<str>>,
    pub(crate) loggers: Column<Arc<str>>,
    pub(crate) places: Column<Option<LogPlace>>,
    pub(crate) levels: Column<i32>,
    pub(crate) jobs: Column<JobId>,
    pub(crate) attempts: Column<u32>,
    pub(crate) times: Vec<u64>,
}

impl Columns {
    /// A row without its attachment.
    fn record(&self, row: usize, bytes: &[u8]) -> Decoded<LogRecord> {
        let mut decoder = Decoder::new(bytes);
        let message = decoder.text()?.into();
        let count = decoder.count()?;
        let mut field = || Ok((decoder.text()?.into(), decoder.text()?.into()));
        let fields = (0..count).map(|_| field()).collect::<Decoded<Vec<_>>>()?;
        let exception = decoder.option(|decoder| decoder.text().map(Box::from))?;
        Ok(LogRecord {
            time_us: self.times[row],
            level: *self.levels.get(row),
            job: *self.jobs.get(row),
            attempt: *self.attempts.get(row),
            task: Arc::clone(self.tasks.get(row)),
            worker: Arc::clone(self.workers.get(row)),
            logger: Arc::clone(self.loggers.get(row)),
            message,
            fields,
            place: self.places.get(row).clone(),
            exception,
            attachment: None,
        })
    }
}

/// What a search has found so far.
pub(crate) struct Found<'a> {
    pub(crate) search: &'a Search<'a>,
    pub(crate) header: &'a BlockHeader,
    /// Those of the block, where they are asked for.
    pub(crate) attachments: &'a [Attachment],
    pub(crate) records: Vec<(u64, LogRecord)>,
}

impl Found<'_> {
    /// Adds the rows of a piece that are wanted.
    pub(crate) fn look_through(
        &mut self,
        piece: &Piece,
        (bytes, lowered): (&[u8], &[u8]),
        rows: &Rows,
        columns: &Columns,
    ) -> Decoded<()> {
        let spans = split(bytes, piece.rows.len())?;
        let mut each: Vec<_> = piece.rows.clone().zip(spans).filter(|(row, _)| rows.contains(*row)).collect();
        if self.search.newest_first {
            each.reverse();
        }
        for (row, span) in each {
            let lowered = lowered.get(span.clone()).unwrap_or_default();
            if !self.search.wanted.may_be_among(&bytes[span.clone()], lowered) {
                continue;
            }
            let mut record = columns.record(row, &bytes[span])?;
            // Read once it is sure that it is wanted.
            record.attachment = attachments::of_row(self.attachments, row).map(|_| Bytes::new());
            if self.search.wanted.filter.takes(&record) {
                self.records.push((self.header.first + row as u64, record));
            }
            if self.records.len() >= self.search.limit {
                break;
            }
        }
        Ok(())
    }
}

/// Where each row of a piece is.
fn split(bytes: &[u8], rows: usize) -> Decoded<Vec<Range<usize>>> {
    let mut decoder = Decoder::new(bytes);
    let span = |_| {
        let row = decoder.bytes()?;
        let start = row.as_ptr() as usize - bytes.as_ptr() as usize;
        Ok(start..start + row.len())
    };
    (0..rows).map(span).collect()
}
