//! A look at Arrow's stream format, for what its readers do not bound by themselves.
//!
//! A reader takes most buffers as they lie in the stream, so that they cost no more than the bytes that came; only a
//! compressed one can become anything. Streams with compressed buffers are therefore refused before a reader sees
//! them. The few numbers needed are found through the tables of the format's `FlatBuffers` metadata.

use super::ValueError;

/// What every message begins with.
const CONTINUATION: u32 = 0xffff_ffff;
const DICTIONARY_BATCH: u8 = 2;
const RECORD_BATCH: u8 = 3;

/// Fields of the metadata's tables, by their place.
mod field {
    pub(super) const MESSAGE_HEADER_TYPE: usize = 1;
    pub(super) const MESSAGE_HEADER: usize = 2;
    pub(super) const MESSAGE_BODY_LENGTH: usize = 3;
    pub(super) const DICTIONARY_DATA: usize = 1;
    pub(super) const BATCH_COMPRESSION: usize = 3;
}

/// Fails unless `stream` is cut into whole messages, none of which has compressed buffers.
pub fn check_arrow_stream(stream: &[u8]) -> Result<(), ValueError> {
    let mut rest = stream;
    while !rest.is_empty() {
        let (metadata, after) = split_message(rest).ok_or(invalid("it is cut off or of another format"))?;
        if metadata.is_empty() {
            return Ok(());
        }
        let message = Table::root(metadata).ok_or(invalid("its metadata does not read"))?;
        if is_compressed(message).ok_or(invalid("its metadata does not read"))? {
            return Err(invalid("its buffers are compressed"));
        }
        let body_bytes = message.number(field::MESSAGE_BODY_LENGTH).map_or(0, u64::from_le_bytes);
        let body_bytes = usize::try_from(body_bytes).unwrap_or(usize::MAX);
        rest = after.get(body_bytes..).ok_or(invalid("it is cut off or of another format"))?;
    }
    Ok(())
}

const fn invalid(reason: &'static str) -> ValueError {
    ValueError::Invalid { offset: 0, what: "table", reason }
}

/// The metadata of the first message, and what follows it; empty metadata is the end of a stream.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mark, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    if u32::from_le_bytes(*mark) != CONTINUATION {
        return None;
    }
    rest.split_at_checked(usize::try_from(i32::from_le_bytes(*length)).ok()?)
}

/// `None` where the metadata leads nowhere.
fn is_compressed(message: Table<'_>) -> Option<bool> {
    let [header_type] = message.number(field::MESSAGE_HEADER_TYPE).unwrap_or([0]);
    let batch = match header_type {
        RECORD_BATCH => message.table(field::MESSAGE_HEADER)?,
        DICTIONARY_BATCH => message.table(field::MESSAGE_HEADER)?.table(field::DICTIONARY_DATA)?,
        _ => return Some(false),
    };
    Some(batch.position_of(field::BATCH_COMPRESSION).is_some())
}

/// A table of the metadata: a place, and a list of where its fields are from there.
#[derive(Clone, Copy)]
struct Table<'a> {
    bytes: &'a [u8],
    position: usize,
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    fn root(bytes: &'a [u8]) -> Option<Self> {
        Self::at(bytes, u32::from_le_bytes(*bytes.first_chunk()?) as usize)
    }

    fn at(bytes: &'a [u8], position: usize) -> Option<Self> {
        let distance = i32::from_le_bytes(chunk(bytes, position)?);
        let list = usize::try_from(i64::try_from(position).ok()? - i64::from(distance)).ok()?;
        let list_bytes = usize::from(u16::from_le_bytes(chunk(bytes, list)?));
        let fields = bytes.get(list.checked_add(4)?..list.checked_add(list_bytes)?)?;
        Some(Self { bytes, position, fields })
    }

    /// Where a field is; `None` if the table does not have it.
    fn position_of(&self, field: usize) -> Option<usize> {
        let distance = u16::from_le_bytes(chunk(self.fields, 2 * field)?);
        (distance != 0).then(|| self.position + usize::from(distance))
    }

    fn number<const N: usize>(&self, field: usize) -> Option<[u8; N]> {
        chunk(self.bytes, self.position_of(field)?)
    }

    fn table(&self, field: usize) -> Option<Self> {
        let position = self.position_of(field)?;
        let distance = u32::from_le_bytes(chunk(self.bytes, position)?) as usize;
        Self::at(self.bytes, position.checked_add(distance)?)
    }
}

fn chunk<const N: usize>(bytes: &[u8], position: usize) -> Option<[u8; N]> {
    bytes.get(position..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_stream_is_refused() {
        for stream in [&b"ARROW1"[..], &[0xff; 4], &[0xff, 0xff, 0xff, 0xff, 9, 0, 0, 0, 1], &[0; 16]] {
            assert!(check_arrow_stream(stream).is_err(), "{stream:x?}");
        }
        assert!(check_arrow_stream(&[]).is_ok());
        assert!(check_arrow_stream(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).is_ok(), "a stream that has ended");
    }

    /// A table of the metadata with the bytes of these fields.
    fn table(fields: &[Option<Vec<u8>>]) -> Vec<u8> {
        let list_bytes = 4 + 2 * fields.len();
        let mut list = [list_bytes as u16, 0].map(u16::to_le_bytes).concat();
        let mut content = Vec::new();
        for field in fields {
            let position = field.as_ref().map_or(0, |_| 4 + content.len());
            list.extend((position as u16).to_le_bytes());
            content.extend(field.iter().flatten());
        }
        // The list of the fields stands right before the table.
        [list, (list_bytes as i32).to_le_bytes().to_vec(), content].concat()
    }

    /// A table with `fields` that leads on to `inner`, a table, by the field at `at`.
    fn around(inner: &[u8], mut fields: Vec<Option<Vec<u8>>>, at: usize) -> Vec<u8> {
        fields[at] = Some(vec![0; 4]);
        let outer = table(&fields);
        let start = 4 + 2 * fields.len();
        let field = start + usize::from(u16::from_le_bytes([outer[4 + 2 * at], outer[5 + 2 * at]]));
        let inner_fields = usize::from(u16::from_le_bytes([inner[0], inner[1]]));
        let distance = outer.len() + inner_fields - field;
        let mut whole = [outer, inner.to_vec()].concat();
        whole[field..field + 4].copy_from_slice(&(distance as u32).to_le_bytes());
        whole
    }

    /// A batch of rows, with or without compression.
    fn batch(is_compressed: bool) -> Vec<u8> {
        table(&[None, None, None, is_compressed.then(|| vec![0; 4])])
    }

    /// A message of one kind, with its body.
    fn message(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
        let body_bytes = Some((body.len() as u64).to_le_bytes().to_vec());
        let fields = vec![None, Some(vec![kind]), None, body_bytes];
        let whole = around(header, fields, field::MESSAGE_HEADER);
        let root = (4 + 4 + 2 * 4_u32).to_le_bytes();
        let metadata = [&root[..], &whole].concat();
        let length = (metadata.len() as u32).to_le_bytes();
        [&CONTINUATION.to_le_bytes(), &length[..], &metadata, body].concat()
    }

    fn refused(stream: &[u8]) -> String {
        check_arrow_stream(stream).unwrap_err().to_string()
    }

    #[test]
    fn batches_are_taken_unless_they_are_compressed() {
        let dictionary = |batch: &[u8]| around(batch, vec![None; 2], field::DICTIONARY_DATA);
        let plain = [message(RECORD_BATCH, &batch(false), b"rows"), message(1, &table(&[]), b"")].concat();
        assert_eq!(check_arrow_stream(&plain), Ok(()));
        assert_eq!(
            check_arrow_stream(&message(DICTIONARY_BATCH, &dictionary(&batch(false)), b"words")),
            Ok(())
        );
        for compressed in [
            [plain, message(RECORD_BATCH, &batch(true), b"rows")].concat(),
            message(DICTIONARY_BATCH, &dictionary(&batch(true)), b"words"),
        ] {
            assert!(refused(&compressed).ends_with("its buffers are compressed"));
        }
    }

    #[test]
    fn a_body_shorter_than_it_says_and_a_batch_without_a_table_are_refused() {
        let mut stream = message(RECORD_BATCH, &batch(false), b"rows");
        stream.pop();
        assert!(refused(&stream).ends_with("it is cut off or of another format"));
        let headless = table(&[None, Some(vec![RECORD_BATCH])]);
        let metadata = [&(4 + 4 + 2 * 2_u32).to_le_bytes()[..], &headless].concat();
        let stream =
            [&CONTINUATION.to_le_bytes(), &(metadata.len() as u32).to_le_bytes()[..], &metadata].concat();
        assert!(refused(&stream).ends_with("its metadata does not read"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(metadata in proptest::collection::vec(any::<u8>(), 0..80)) {
            let length = u32::try_from(metadata.len()).unwrap();
            let stream = [&CONTINUATION.to_le_bytes()[..], &length.to_le_bytes(), &metadata].concat();
            let _ = check_arrow_stream(&stream);
        }
    }
}
