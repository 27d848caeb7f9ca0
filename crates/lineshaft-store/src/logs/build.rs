//! A block of records as bytes: header, columns, filters, pieces, attachments.

use crc32c::crc32c;
use lineshaft_wire::LogRecord;

use super::attachments::Attached;
use super::columns::{ColumnWriter, encode_times};
use super::filters;
use super::header::{ALIGNMENT, BlockHeader, HEADER_BYTES, PARTS, Part, Section};
use crate::archive::codec::Encoder;
use crate::archive::pack;

/// Rows are packed together until they have this size: a hit unpacks no more.
const PIECE_BYTES: usize = 64 << 10;

/// A block ready to be written.
pub(crate) struct Built {
    pub(crate) header: BlockHeader,
    pub(crate) bytes: Vec<u8>,
}

/// A block of records with sequence numbers from `first` on: at least one, and at most
/// [`BLOCK_RECORDS_MAX`](super::BLOCK_RECORDS_MAX). About 2 us for each.
pub(crate) fn build(first: u64, records: &[&LogRecord]) -> Built {
    let mut header = summarise(first, records);
    let (pieces, attached) = (Pieces::of(records), Attached::of(records));
    let mut bytes = vec![0; HEADER_BYTES];
    for (index, content) in sections(&header, records, (&pieces, &attached)).iter().enumerate() {
        let start = bytes.len();
        if is_packed(index) {
            pack(content, &mut bytes);
        } else {
            bytes.extend_from_slice(content);
        }
        header.sections[index] = Section {
            stored_bytes: (bytes.len() - start) as u32,
            unpacked_bytes: content.len() as u32,
            crc: crc32c(&bytes[start..]),
        };
    }
    header.pieces_bytes = pieces.packed.len() as u64;
    bytes.extend_from_slice(&pieces.packed);
    header.attachments_bytes = attached.packed.len() as u64;
    bytes.extend_from_slice(&attached.packed);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    Built { header, bytes }
}

/// Filters look random: packing them would only take time.
fn is_packed(section: usize) -> bool {
    ![Part::Fields, Part::Texts, Part::Words].into_iter().any(|filter| section == filter as usize)
}

fn summarise(first: u64, records: &[&LogRecord]) -> BlockHeader {
    let range = |values: &mut dyn Iterator<Item = u64>| {
        values.fold((u64::MAX, 0), |(min, max), value| (min.min(value), max.max(value)))
    };
    let levels = || records.iter().map(|record| record.level);
    let jobs = || records.iter().map(|record| record.job);
    let some_job = records[0].job;
    BlockHeader {
        is_split: true,
        records: records.len() as u32,
        first,
        times: range(&mut records.iter().map(|record| record.time_us)),
        levels: (levels().min().unwrap_or(0), levels().max().unwrap_or(0)),
        jobs: (jobs().min().unwrap_or(some_job), jobs().max().unwrap_or(some_job)),
        pieces_bytes: 0,
        attachments_bytes: 0,
        sections: [Section::default(); PARTS],
    }
}

/// The sections in the order of [`Part`].
fn sections(
    header: &BlockHeader,
    records: &[&LogRecord],
    (pieces, attached): (&Pieces, &Attached),
) -> [Vec<u8>; PARTS] {
    [
        names(records, |record| &record.task),
        names(records, |record| &record.worker),
        names(records, |record| &record.logger),
        places(records),
        column(records, |record| record.level, |encoder, level| encoder.i64(i64::from(level))),
        column(records, |record| record.job.to_bytes(), |encoder, job| encoder.fixed(&job)),
        column(records, |record| record.attempt, |encoder, attempt| encoder.u64(u64::from(attempt))),
        encode_times(records.iter().map(|record| record.time_us), header.times.0),
        filters::of_fields(records).to_bytes([0; 2]),
        filters::of_texts(records).to_bytes([0; 2]),
        pieces.table.bytes.clone(),
        attached.table.bytes.clone(),
        filters::of_words(records).to_bytes([0; 2]),
    ]
}

fn column<'a, K: Copy + Eq + std::hash::Hash>(
    records: &[&'a LogRecord],
    value: impl Fn(&'a LogRecord) -> K,
    encode: impl Fn(&mut Encoder, K),
) -> Vec<u8> {
    let mut writer = ColumnWriter::default();
    records.iter().for_each(|record| writer.push(value(record)));
    writer.encode(encode)
}

fn names<'a>(records: &[&'a LogRecord], name: impl Fn(&'a LogRecord) -> &'a str) -> Vec<u8> {
    column(records, name, |encoder, name| encoder.bytes(name.as_bytes()))
}

fn places(records: &[&LogRecord]) -> Vec<u8> {
    let mut writer = ColumnWriter::default();
    for record in records {
        writer.push(record.place.as_ref().map(|place| (&*place.file, place.line, &*place.function)));
    }
    writer.encode(|encoder, place| {
        encoder.option(place, |encoder, (file, line, function)| {
            encoder.bytes(file.as_bytes());
            encoder.u64(u64::from(line));
            encoder.bytes(function.as_bytes());
        });
    })
}

/// What is not in columns, packed in pieces: messages and exceptions, and apart from them the fields.
///
/// A search for a text then unpacks no fields, and one for a field no texts.
#[derive(Default)]
struct Pieces {
    packed: Vec<u8>,
    /// Rows of each piece, and of both of its halves the stored and unpacked length and the CRC.
    table: Encoder,
}

/// A piece that is being filled.
#[derive(Default)]
struct Open {
    texts: Encoder,
    fields: Encoder,
    row: Encoder,
    rows: u64,
}

impl Pieces {
    fn of(records: &[&LogRecord]) -> Self {
        let (mut pieces, mut open) = (Self::default(), Open::default());
        for record in records {
            open.push(record);
            if open.texts.bytes.len().max(open.fields.bytes.len()) >= PIECE_BYTES {
                pieces.close(&mut open);
            }
        }
        pieces.close(&mut open);
        pieces
    }

    fn close(&mut self, open: &mut Open) {
        if open.rows == 0 {
            return;
        }
        self.table.u64(std::mem::take(&mut open.rows));
        for half in [&mut open.texts, &mut open.fields] {
            let start = self.packed.len();
            pack(&half.bytes, &mut self.packed);
            self.table.u64((self.packed.len() - start) as u64);
            self.table.u64(half.bytes.len() as u64);
            self.table.fixed(&crc32c(&self.packed[start..]).to_le_bytes());
            half.bytes.clear();
        }
    }
}

impl Open {
    fn push(&mut self, record: &LogRecord) {
        let Self { texts, fields, row, rows } = self;
        row.bytes.clear();
        row.bytes(record.message.as_bytes());
        row.option(record.exception.as_deref(), |row, text| row.bytes(text.as_bytes()));
        texts.bytes(&row.bytes);
        row.bytes.clear();
        row.u64(record.fields.len() as u64);
        for (name, json) in &record.fields {
            row.bytes(name.as_bytes());
            row.bytes(json.as_bytes());
        }
        fields.bytes(&row.bytes);
        *rows += 1;
    }
}
