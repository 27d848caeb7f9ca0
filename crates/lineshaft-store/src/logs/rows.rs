//! Rows that columns and filters left: unpacked, made whole, and looked at again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::{JobId, LogPlace, LogRecord};

use super::attachments::{self, Attachment};
use super::bits::Rows;
use super::block::Search;
use super::columns::Column;
use super::header::BlockHeader;
use super::wanted::Wanted;
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

/// The rows of a piece.
#[derive(Default)]
pub(crate) struct Unpacked {
    pub(crate) texts: Vec<u8>,
    /// The same in small letters, where texts are looked for.
    pub(crate) lowered: Vec<u8>,
    /// `None` if they are among the texts.
    pub(crate) fields: Option<Vec<u8>>,
}

impl Unpacked {
    /// Where the fields are.
    pub(crate) fn fields(&self) -> &[u8] {
        self.fields.as_ref().unwrap_or(&self.texts)
    }

    pub(crate) fn lower(&mut self, wanted: &Wanted<'_>) {
        self.lowered.clear();
        if wanted.has_texts() {
            self.lowered.extend_from_slice(&self.texts);
            self.lowered.make_ascii_lowercase();
        }
    }
}

/// A row as it was packed.
struct Row<'a> {
    texts: &'a [u8],
    fields: Option<&'a [u8]>,
}

type Fields = Vec<(Box<str>, Box<str>)>;

impl Row<'_> {
    /// Message, fields and exception.
    fn decode(&self) -> Decoded<(Box<str>, Fields, Option<Box<str>>)> {
        let mut texts = Decoder::new(self.texts);
        let message = texts.text()?.into();
        let fields = match self.fields {
            Some(bytes) => decode_fields(&mut Decoder::new(bytes))?,
            None => decode_fields(&mut texts)?,
        };
        Ok((message, fields, texts.option(|decoder| decoder.text().map(Box::from))?))
    }
}

fn decode_fields(decoder: &mut Decoder<'_>) -> Decoded<Fields> {
    let count = decoder.count()?;
    (0..count).map(|_| Ok((decoder.text()?.into(), decoder.text()?.into()))).collect()
}

impl Columns {
    /// A row without its attachment.
    fn record(&self, row: usize, bytes: &Row<'_>) -> Decoded<LogRecord> {
        let (message, fields, exception) = bytes.decode()?;
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
        piece: &Range<usize>,
        unpacked: &Unpacked,
        rows: &Rows,
        columns: &Columns,
    ) -> Decoded<()> {
        let (wanted, is_split) = (self.search.wanted, unpacked.fields.is_some());
        let texts = split(&unpacked.texts, piece.len())?;
        let fields = if is_split { split(unpacked.fields(), piece.len())? } else { texts.clone() };
        let spans = piece.clone().zip(texts.into_iter().zip(fields));
        let mut each: Vec<_> = spans.filter(|(row, _)| rows.contains(*row)).collect();
        if self.search.newest_first {
            each.reverse();
        }
        for (row, (texts, fields)) in each {
            let (lowered, fields) = (unpacked.lowered.get(texts.clone()), &unpacked.fields()[fields]);
            if !wanted.texts_may_be_among(lowered.unwrap_or_default()) || !wanted.fields_may_be_among(fields)
            {
                continue;
            }
            let bytes = Row { texts: &unpacked.texts[texts], fields: is_split.then_some(fields) };
            let mut record = columns.record(row, &bytes)?;
            // Read once it is sure that it is wanted.
            record.attachment = attachments::of_row(self.attachments, row).map(|_| Bytes::new());
            if wanted.filter.takes(&record) {
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
