//! The items of a call on their way in.

use std::time::{Duration, Instant};

use super::Error;
use super::agenda::Chunk;
use super::registry::Lookup;
use crate::Call;
use crate::task::spare;

/// A chunk has so many items or bytes at most, unless one has more.
const ITEMS_MAX: u64 = 4_096;
const BYTES_MAX: usize = 64 << 10;
/// What was read so long ago is not kept from workers by an iterator that takes its time.
const TIME_MAX: Duration = Duration::from_millis(1);

/// Encodes what an iterator gives.
pub(super) struct Feed<'f, R> {
    calls: Box<dyn FnMut() -> Option<Call<R>> + 'f>,
    lookup: Lookup,
    /// A large one, which is to have a chunk of its own.
    next: Option<(u32, Vec<u8>)>,
    /// How many items came, with how many bytes.
    pub(super) came: u64,
    pub(super) bytes: u64,
    pub(super) is_over: bool,
    /// Why it ended before its iterator.
    pub(super) error: Option<Error>,
}

impl<'f, R> Feed<'f, R> {
    pub(super) fn new<T>(
        items: impl IntoIterator<Item = T, IntoIter: 'f>,
        mut call: impl FnMut(T) -> Call<R> + 'f,
    ) -> Self {
        let mut items = items.into_iter();
        let calls = Box::new(move || items.next().map(&mut call));
        Self { calls, lookup: Lookup::default(), next: None, came: 0, bytes: 0, is_over: false, error: None }
    }

    /// A call for each item that comes next, so many at most.
    pub(super) fn next_chunk(&mut self, items_max: u64) -> Chunk {
        let mut chunk = Chunk::default();
        let (began, items_max) = (Instant::now(), items_max.min(ITEMS_MAX));
        while chunk.items() < items_max && chunk.size_bytes() < BYTES_MAX {
            if !self.add_next(&mut chunk) {
                break;
            }
            let count = chunk.items();
            if (count < 16 || count.is_multiple_of(16)) && began.elapsed() > TIME_MAX {
                break;
            }
        }
        self.came += chunk.items();
        self.bytes += chunk.size_bytes() as u64;
        chunk
    }

    /// Adds the next item to a chunk, unless there is none, or it is to have one of its own.
    fn add_next(&mut self, chunk: &mut Chunk) -> bool {
        if let Some((task, mut arguments)) = self.next.take() {
            chunk.push(task, &mut arguments);
            return true;
        }
        let call = if self.is_over { None } else { (self.calls)() };
        let Some(call) = call else {
            self.is_over = true;
            return false;
        };
        let added = encode(call, &mut self.lookup, |task, arguments| {
            let is_alone = arguments.len() >= BYTES_MAX && chunk.items() > 0;
            if is_alone {
                self.next = Some((task, std::mem::take(arguments)));
            } else {
                chunk.push(task, arguments);
            }
            !is_alone
        });
        added.unwrap_or_else(|error| {
            self.error = Some(error);
            self.is_over = true;
            false
        })
    }
}

/// Gives the number of the task of a call and its arguments to `take`, which takes large ones away.
pub(super) fn encode<R, T>(
    call: Call<R>,
    lookup: &mut Lookup,
    take: impl FnOnce(u32, &mut Vec<u8>) -> T,
) -> Result<T, Error> {
    let mut local = call.prepare_local().map_err(Error::Unencodable)?;
    let task = lookup.find(&local.task, local.version)?;
    let encoded = local.arguments.plain();
    let arguments = encoded
        .map_err(|error| Error::Unencodable(Box::new(crate::Error::unencodable(&local.task, error))))?;
    let taken = take(task, arguments);
    spare::give_call_back(local.arguments);
    Ok(taken)
}
