//! What is kept with some records beside their texts: a table of which rows have any, and the bytes, packed one by one.

use crc32c::crc32c;
use lineshaft_wire::LogRecord;

use super::header::{BlockHeader, Section};
use crate::archive::codec::{Decoded, Decoder, Encoder, Malformed};
use crate::archive::pack;

/// Attachments ready to be written.
#[derive(Default)]
pub(crate) struct Attached {
    pub(crate) packed: Vec<u8>,
    /// Row, stored and unpacked length and CRC of each.
    pub(crate) table: Encoder,
}

/// Where the attachment of a row is, counted from the first one.
pub(crate) struct Attachment {
    pub(crate) row: usize,
    pub(crate) offset: u64,
    pub(crate) section: Section,
}

impl Attached {
    pub(crate) fn of(records: &[&LogRecord]) -> Self {
        let mut attached = Self::default();
        for (row, record) in records.iter().enumerate() {
            let Some(bytes) = record.attachment.as_ref().filter(|bytes| !bytes.is_empty()) else { continue };
            let start = attached.packed.len();
            pack(bytes, &mut attached.packed);
            attached.table.u64(row as u64);
            attached.table.u64((attached.packed.len() - start) as u64);
            attached.table.u64(bytes.len() as u64);
            attached.table.fixed(&crc32c(&attached.packed[start..]).to_le_bytes());
        }
        attached
    }
}

/// The table of a block.
pub(crate) fn decode(bytes: &[u8], header: &BlockHeader) -> Decoded<Vec<Attachment>> {
    let mut decoder = Decoder::new(bytes);
    let (mut found, mut offset, mut least) = (Vec::new(), 0_u64, 0);
    while !decoder.is_empty() {
        let row = decoder.length()?;
        let section = Section {
            stored_bytes: decoder.u32()?,
            unpacked_bytes: decoder.u32()?,
            crc: u32::from_le_bytes(decoder.array()?),
        };
        if row < least || row >= header.records as usize {
            return Err(Malformed);
        }
        found.push(Attachment { row, offset, section });
        (least, offset) = (row + 1, offset + u64::from(section.stored_bytes));
    }
    if offset == header.attachments_bytes { Ok(found) } else { Err(Malformed) }
}

/// The attachment of a row.
pub(crate) fn of_row(table: &[Attachment], row: usize) -> Option<&Attachment> {
    table.binary_search_by_key(&row, |one| one.row).ok().map(|found| &table[found])
}
