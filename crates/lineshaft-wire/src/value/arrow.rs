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

    proptest! {
        #[test]
        fn garbage_never_panics(metadata in proptest::collection::vec(any::<u8>(), 0..80)) {
            let length = u32::try_from(metadata.len()).unwrap();
            let stream = [&CONTINUATION.to_le_bytes()[..], &length.to_le_bytes(), &metadata].concat();
            let _ = check_arrow_stream(&stream);
        }
    }
}
