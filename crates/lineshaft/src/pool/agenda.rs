//! What a pool has to do: calls, and of each the items that are not done.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::message::Share;
use super::sink::Sink;

/// So many bytes of arguments are copied rather than kept in the buffer in which they were encoded.
const COPIED_MAX: usize = 16 << 10;

/// Items of a call that stand side by side, encoded.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    start: u64,
    tasks: Vec<u32>,
    /// Where the arguments of each item end.
    ends: Vec<u32>,
    payloads: Vec<u8>,
    /// How many items of it are not done.
    left: u64,
}

impl Chunk {
    /// Adds the next item: a call of this task with these arguments. Large ones are taken away, and not copied if they are the
    /// first.
    pub(super) fn push(&mut self, task: u32, arguments: &mut Vec<u8>) {
        let is_large = arguments.len() > COPIED_MAX;
        if self.payloads.is_empty() && is_large {
            std::mem::swap(&mut self.payloads, arguments);
        } else {
            self.payloads.extend_from_slice(arguments);
        }
        if is_large {
            *arguments = Vec::new();
        }
        self.tasks.push(task);
        self.ends.push(self.payloads.len() as u32);
        self.left += 1;
    }

    pub(super) fn items(&self) -> u64 {
        self.tasks.len() as u64
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.payloads.len()
    }

    fn end(&self) -> u64 {
        self.start + self.items()
    }

    /// Where the arguments of item `index` begin.
    fn place(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Writes the entries of these items into a table; their payloads.
    fn part(&self, items: Range<u64>, table: &mut Vec<u8>) -> &[u8] {
        let (first, behind) = ((items.start - self.start) as usize, (items.end - self.start) as usize);
        for index in first..behind {
            let length = self.ends[index] - self.place(index) as u32;
            table.extend_from_slice(&self.tasks[index].to_le_bytes());
            table.extend_from_slice(&length.to_le_bytes());
        }
        &self.payloads[self.place(first)..self.place(behind)]
    }
}

/// A call of which something is to be done.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sink: Arc<Sink>,
    chunks: VecDeque<Chunk>,
    /// How many items came.
    came: u64,
    left: u64,
    /// Whether more may come.
    pub(super) is_open: bool,
}

impl Call {
    pub(super) fn new(sink: Arc<Sink>) -> Self {
        Self { sink, chunks: VecDeque::new(), came: 0, left: 0, is_open: true }
    }

    pub(super) fn extend(&mut self, mut chunk: Chunk) {
        chunk.start = self.came;
        self.came += chunk.items();
        self.left += chunk.items();
        self.chunks.push_back(chunk);
    }

    /// The table of these items, and the pieces of their payloads.
    pub(super) fn share(&self, items: Range<u64>) -> (Vec<u8>, Vec<&[u8]>) {
        let mut table = Vec::with_capacity((items.end - items.start) as usize * Share::ENTRY_BYTES);
        let mut pieces = Vec::new();
        for chunk in self.chunks.range(self.place_of(items.start)..) {
            let part = items.start.max(chunk.start)..items.end.min(chunk.end());
            if part.is_empty() {
                break;
            }
            pieces.push(chunk.part(part, &mut table));
        }
        (table, pieces)
    }

    /// These items need not be kept any more.
    pub(super) fn done(&mut self, items: Range<u64>) {
        self.left -= items.end - items.start;
        let place = self.place_of(items.start);
        for chunk in self.chunks.range_mut(place..) {
            let part = items.start.max(chunk.start)..items.end.min(chunk.end());
            if part.is_empty() {
                break;
            }
            chunk.left -= part.end - part.start;
            if chunk.left == 0 {
                chunk.payloads = Vec::new();
            }
        }
        while self.chunks.front().is_some_and(|chunk| chunk.left == 0) {
            self.chunks.pop_front();
        }
    }

    /// Whether nothing is left to be done of it.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0 && !self.is_open
    }

    /// The place of the chunk that has an item.
    fn place_of(&self, item: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.end() <= item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(payloads: &[&str]) -> Chunk {
        let mut chunk = Chunk::default();
        for (task, payload) in (7..).zip(payloads) {
            chunk.push(task, &mut payload.as_bytes().to_vec());
        }
        chunk
    }

    fn call(chunks: &[&[&str]]) -> Call {
        let mut call = Call::new(Arc::default());
        chunks.iter().for_each(|payloads| call.extend(chunk(payloads)));
        call
    }

    #[test]
    fn a_share_goes_over_the_ends_of_chunks() {
        let call = call(&[&["a", "bc"], &["", "def"], &["g"]]);
        let (table, pieces) = call.share(1..4);
        assert_eq!(pieces.concat(), b"bcdef");
        let entries: Vec<u32> =
            table.as_chunks().0.iter().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes)).collect();
        assert_eq!(entries, [8, 2, 7, 0, 8, 3]);
    }

    #[test]
    fn large_arguments_are_taken_away_and_small_ones_copied() {
        let mut chunk = Chunk::default();
        let mut arguments = vec![1; COPIED_MAX + 1];
        let place = arguments.as_ptr();
        chunk.push(7, &mut arguments);
        assert!(arguments.capacity() == 0 && chunk.payloads.as_ptr() == place, "not copied");
        for size in [COPIED_MAX, COPIED_MAX + 1] {
            let mut arguments = vec![2; size];
            chunk.push(7, &mut arguments);
            assert_eq!(arguments.is_empty(), size > COPIED_MAX);
        }
        assert_eq!((chunk.items(), chunk.size_bytes()), (3, 3 * COPIED_MAX + 2));
    }

    #[test]
    fn what_is_done_is_not_kept_whatever_the_order() {
        let mut call = call(&[&["a", "b"], &["c", "d"], &["e"]]);
        call.done(2..3);
        call.done(3..5);
        assert_eq!(call.chunks.len(), 3);
        assert_eq!(call.chunks[1].payloads.capacity(), 0);
        assert_eq!(call.share(0..2).1.concat(), b"ab");
        call.done(0..2);
        assert!(call.chunks.is_empty() && !call.is_over());
        call.is_open = false;
        assert!(call.is_over());
        call.extend(chunk(&["f"]));
        assert_eq!(call.share(5..6).1.concat(), b"f");
    }
}
