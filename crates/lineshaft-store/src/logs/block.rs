//! Searching a block: columns and filters first, pieces only where rows are left. Everything read is checked first.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use crc32c::crc32c;
use lineshaft_structures::BloomFilter;
use lineshaft_wire::log_record::is_below;
use lineshaft_wire::{JobId, LogPlace, LogRecord};

use super::attachments::{self, Attachment};
use super::bits::Rows;
use super::columns::{Column, decode_times};
use super::header::{BlockHeader, Part, Section};
use super::rows::{Columns, Found, Unpacked};
use super::wanted::Wanted;
use crate::Error;
use crate::archive::codec::{Decoded, Decoder, Malformed};
use crate::archive::unpack;
use crate::disk::DiskFile;

/// What a section or a piece may take; those of records that were taken are far smaller.
const UNPACKED_BYTES_MAX: u32 = 4 << 20;

/// A block in a file.
pub(crate) struct BlockReader<'a, F> {
    pub(crate) file: &'a F,
    pub(crate) path: &'a str,
    pub(crate) offset: u64,
    pub(crate) header: &'a BlockHeader,
}

/// Which records of a block: those that are wanted, with sequence numbers from `first` up to `end`.
pub(crate) struct Search<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) numbers: Range<u64>,
    pub(crate) newest_first: bool,
    pub(crate) limit: usize,
}

/// Rows packed together.
pub(crate) struct Piece {
    pub(crate) rows: Range<usize>,
    texts: Half,
    /// `None` if they are packed with the texts, as earlier versions did.
    fields: Option<Half>,
}

/// What was packed for itself, `offset` behind the beginning of the pieces.
struct Half {
    offset: u64,
    section: Section,
}

impl<F: DiskFile> BlockReader<'_, F> {
    /// The records and their sequence numbers, in the order that is asked for.
    pub(crate) fn search(&self, search: &Search<'_>) -> Result<Vec<(u64, LogRecord)>, Error> {
        let mut rows = self.candidates(search)?;
        let attachments = if search.wanted.filter.attached { self.attachments()? } else { Vec::new() };
        if search.wanted.filter.attached {
            rows.retain(|row| attachments::of_row(&attachments, row).is_some());
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut pieces = self.pieces()?;
        if search.newest_first {
            pieces.reverse();
        }
        let (header, records) = (self.header, Vec::new());
        let mut found = Found { search, header, attachments: &attachments, records };
        let (mut columns, mut unpacked) = (None, Unpacked::default());
        for piece in pieces.iter().filter(|piece| piece.rows.clone().any(|row| rows.contains(row))) {
            if !self.unpack(piece, search.wanted, &mut unpacked)? {
                continue;
            }
            let columns = match &mut columns {
                Some(columns) => columns,
                none => none.insert(self.columns()?),
            };
            found
                .look_through(&piece.rows, &unpacked, &rows, columns)
                .map_err(|Malformed| self.damaged("pieces"))?;
            if found.records.len() >= search.limit {
                break;
            }
        }
        let mut records = found.records;
        for (number, record) in &mut records {
            let row = (*number - self.header.first) as usize;
            let attachment = attachments::of_row(&attachments, row);
            record.attachment = attachment.map(|one| self.attachment(one)).transpose()?;
        }
        Ok(records)
    }

    /// Reads every part of the block and checks it.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        self.columns()?;
        self.filter(Part::Fields)?;
        self.filter(Part::Texts)?;
        self.words()?;
        self.attachments()?.iter().try_for_each(|one| self.attachment(one).map(drop))?;
        let pieces = self.pieces()?;
        let halves = pieces.iter().flat_map(|piece| [Some(&piece.texts), piece.fields.as_ref()]);
        halves.flatten().try_for_each(|half| self.half(half).map(drop))
    }

    /// Unpacks a piece, but no more of it than it takes to know that it has nothing. Whether it may have something.
    fn unpack(&self, piece: &Piece, wanted: &Wanted<'_>, unpacked: &mut Unpacked) -> Result<bool, Error> {
        let texts_first = wanted.has_texts() || piece.fields.is_none();
        if !texts_first && !self.fields_of(piece, wanted, unpacked)? {
            return Ok(false);
        }
        unpacked.texts = self.half(&piece.texts)?;
        unpacked.lower(wanted);
        if !wanted.texts_may_be_among(&unpacked.lowered) {
            return Ok(false);
        }
        Ok(!texts_first || self.fields_of(piece, wanted, unpacked)?)
    }

    fn fields_of(&self, piece: &Piece, wanted: &Wanted<'_>, unpacked: &mut Unpacked) -> Result<bool, Error> {
        unpacked.fields = piece.fields.as_ref().map(|half| self.half(half)).transpose()?;
        Ok(wanted.fields_may_be_among(unpacked.fields()))
    }

    /// The rows that columns and filters leave.
    fn candidates(&self, search: &Search<'_>) -> Result<Rows, Error> {
        let (wanted, filter) = (search.wanted, search.wanted.filter);
        let row =
            |number: u64| number.saturating_sub(self.header.first).min(self.header.records.into()) as usize;
        let mut rows = Rows::between(row(search.numbers.start), row(search.numbers.end));
        let none = Rows::between(0, 0);
        if wanted.has_fields() && !wanted.fields_may_be_in(&self.filter(Part::Fields)?) {
            return Ok(none);
        }
        if wanted.has_trigrams() && !wanted.texts_may_be_in(&self.filter(Part::Texts)?) {
            return Ok(none);
        }
        if wanted.has_words() && !self.words()?.is_none_or(|filter| wanted.words_may_be_in(&filter)) {
            return Ok(none);
        }
        if let Some(job) = filter.job {
            self.narrow(&mut rows, Part::Jobs, |decoder| Ok(job_id(decoder)? == job))?;
        }
        if let Some(task) = &filter.task {
            self.narrow(&mut rows, Part::Tasks, |decoder| Ok(*decoder.text()? == **task))?;
        }
        if let Some(least) = filter.level
            && self.header.levels.0 < least
        {
            self.narrow(&mut rows, Part::Levels, |decoder| Ok(level(decoder)? >= least))?;
        }
        if let Some(logger) = &filter.logger {
            self.narrow(&mut rows, Part::Loggers, |decoder| Ok(is_below(logger, decoder.text()?)))?;
        }
        if let Some(worker) = &filter.worker {
            self.narrow(&mut rows, Part::Workers, |decoder| Ok(*decoder.text()? == **worker))?;
        }
        if let Some(attempt) = filter.attempt {
            self.narrow(&mut rows, Part::Attempts, |decoder| Ok(self::attempt(decoder)? == attempt))?;
        }
        self.narrow_times(&mut rows, filter.since_us.unwrap_or(0), filter.until_us)?;
        Ok(rows)
    }

    /// Keeps the rows whose value in a column is wanted.
    fn narrow(
        &self,
        rows: &mut Rows,
        part: Part,
        is_wanted: impl Fn(&mut Decoder<'_>) -> Decoded<bool>,
    ) -> Result<(), Error> {
        if !rows.is_empty() {
            let column = self.column(part, is_wanted)?;
            rows.retain(|row| *column.get(row));
        }
        Ok(())
    }

    fn narrow_times(&self, rows: &mut Rows, since: u64, until: Option<u64>) -> Result<(), Error> {
        let is_in = |time: u64| time >= since && until.is_none_or(|until| time < until);
        if rows.is_empty() || (is_in(self.header.times.0) && is_in(self.header.times.1)) {
            return Ok(());
        }
        let times = self.times()?;
        rows.retain(|row| is_in(times[row]));
        Ok(())
    }

    fn columns(&self) -> Result<Columns, Error> {
        Ok(Columns {
            tasks: self.column(Part::Tasks, name)?,
            workers: self.column(Part::Workers, name)?,
            loggers: self.column(Part::Loggers, name)?,
            places: self.column(Part::Places, |decoder| decoder.option(place))?,
            levels: self.column(Part::Levels, level)?,
            jobs: self.column(Part::Jobs, job_id)?,
            attempts: self.column(Part::Attempts, attempt)?,
            times: self.times()?,
        })
    }

    fn column<V>(
        &self,
        part: Part,
        value: impl Fn(&mut Decoder<'_>) -> Decoded<V>,
    ) -> Result<Column<V>, Error> {
        let bytes = self.section(part)?;
        Column::decode(&bytes, self.header.records as usize, value)
            .map_err(|Malformed| self.damaged(name_of(part)))
    }

    fn times(&self) -> Result<Vec<u64>, Error> {
        let bytes = self.section(Part::Times)?;
        let times = decode_times(&bytes, self.header.records as usize, self.header.times.0);
        times.map_err(|Malformed| self.damaged(name_of(Part::Times)))
    }

    fn filter(&self, part: Part) -> Result<BloomFilter, Error> {
        let filter = BloomFilter::from_bytes(&self.section(part)?);
        filter.map(|(filter, _)| filter).map_err(|_| self.damaged(name_of(part)))
    }

    /// The filter of words; blocks of earlier versions have none.
    fn words(&self) -> Result<Option<BloomFilter>, Error> {
        let is_there = self.header.section(Part::Words).stored_bytes > 0;
        is_there.then(|| self.filter(Part::Words)).transpose()
    }

    fn pieces(&self) -> Result<Vec<Piece>, Error> {
        let bytes = self.section(Part::Pieces)?;
        decode_pieces(&bytes, self.header).map_err(|Malformed| self.damaged(name_of(Part::Pieces)))
    }

    fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        let bytes = self.section(Part::Attachments)?;
        attachments::decode(&bytes, self.header).map_err(|Malformed| self.damaged(name_of(Part::Attachments)))
    }

    fn attachment(&self, one: &Attachment) -> Result<Bytes, Error> {
        let start = self.header.attachments_start() + one.offset;
        self.read(start, one.section, name_of(Part::Attachments)).map(Bytes::from)
    }

    fn half(&self, half: &Half) -> Result<Vec<u8>, Error> {
        self.read(self.header.pieces_start() + half.offset, half.section, "pieces")
    }

    fn section(&self, part: Part) -> Result<Vec<u8>, Error> {
        self.read(self.header.start_of(part), self.header.section(part), name_of(part))
    }

    fn read(&self, start: u64, section: Section, part: &str) -> Result<Vec<u8>, Error> {
        let length = section.stored_bytes.max(section.unpacked_bytes);
        if start + u64::from(section.stored_bytes) > self.header.stored_bytes() || length > UNPACKED_BYTES_MAX
        {
            return Err(self.damaged(part));
        }
        let mut bytes = vec![0; section.stored_bytes as usize];
        let count = self.file.read_at(self.offset + start, &mut bytes);
        let count = count.map_err(Error::io("read", self.path, 0))?;
        if count != bytes.len() || crc32c(&bytes) != section.crc {
            return Err(self.damaged(part));
        }
        unpack(bytes, section.unpacked_bytes as usize).map_err(|Malformed| self.damaged(part))
    }

    fn damaged(&self, part: &str) -> Error {
        Error::damaged(self.path, self.offset, format!("the {part} of the block of logs fail their check"))
    }
}

fn decode_pieces(bytes: &[u8], header: &BlockHeader) -> Decoded<Vec<Piece>> {
    let mut decoder = Decoder::new(bytes);
    let (mut pieces, mut row, mut offset) = (Vec::new(), 0, 0_u64);
    while !decoder.is_empty() {
        let rows = decoder.length()?;
        if rows == 0 || rows > header.records as usize - row {
            return Err(Malformed);
        }
        let texts = decode_half(&mut decoder, &mut offset)?;
        let fields = header.is_split.then(|| decode_half(&mut decoder, &mut offset)).transpose()?;
        pieces.push(Piece { rows: row..row + rows, texts, fields });
        row += rows;
    }
    if row == header.records as usize && offset == header.pieces_bytes { Ok(pieces) } else { Err(Malformed) }
}

fn decode_half(decoder: &mut Decoder<'_>, offset: &mut u64) -> Decoded<Half> {
    let section = Section {
        stored_bytes: decoder.u32()?,
        unpacked_bytes: decoder.u32()?,
        crc: u32::from_le_bytes(decoder.array()?),
    };
    let half = Half { offset: *offset, section };
    *offset += u64::from(section.stored_bytes);
    Ok(half)
}

fn name(decoder: &mut Decoder<'_>) -> Decoded<Arc<str>> {
    decoder.text().map(Arc::from)
}

fn place(decoder: &mut Decoder<'_>) -> Decoded<LogPlace> {
    Ok(LogPlace { file: name(decoder)?, line: decoder.u32()?, function: name(decoder)? })
}

fn level(decoder: &mut Decoder<'_>) -> Decoded<i32> {
    i32::try_from(decoder.i64()?).map_err(|_| Malformed)
}

fn attempt(decoder: &mut Decoder<'_>) -> Decoded<u32> {
    decoder.u32()
}

fn job_id(decoder: &mut Decoder<'_>) -> Decoded<JobId> {
    JobId::from_bytes(decoder.array()?).ok_or(Malformed)
}

fn name_of(part: Part) -> &'static str {
    match part {
        Part::Tasks => "tasks",
        Part::Workers => "workers",
        Part::Loggers => "loggers",
        Part::Places => "places",
        Part::Levels => "levels",
        Part::Jobs => "jobs",
        Part::Attempts => "attempts",
        Part::Times => "times",
        Part::Fields => "bits of fields",
        Part::Texts => "bits of texts",
        Part::Pieces => "places of the pieces",
        Part::Attachments => "attachments",
        Part::Words => "bits of words",
    }
}
