//! What the attempts of a child with many slots printed: all of them share cells of 256 bytes, each of which says whose
//! words it holds.
//!
//! An attempt takes cells as it prints, and gives them back when it is over. Its first [`HEAD_CELLS`] stay, and of the
//! later ones the last: so it never has more than [`CELLS_PER_ATTEMPT`], and one that chatters costs its neighbours
//! nothing. There are [`CELLS`]; when all are in use, one that was taken long ago is taken from whoever has it.
//!
//! The [`Writer`] keeps the accounts in the child's own memory. A reader needs none of them: it looks at each cell. The
//! writer may die at any instruction, which costs the words of one cell.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::atomics::{AtomicU8, AtomicU32, AtomicU64, fence};
use super::output::{GAP_BYTES_MAX, OUTPUT_BYTES_MAX, gap};
use super::{Fence, SLOTS_MAX};

/// Cells of a child: one for each of the most slots there may be, 4 MiB in all.
pub(super) const CELLS: usize = SLOTS_MAX as usize;
/// Cells of one attempt, whose words make an output of the longest kind.
const CELLS_PER_ATTEMPT: usize = (OUTPUT_BYTES_MAX - GAP_BYTES_MAX) / TEXT_BYTES;
/// Those of them that hold what it printed first.
const HEAD_CELLS: usize = CELLS_PER_ATTEMPT / 4;
const CELL_BYTES: usize = 256;
const TEXT_BYTES: usize = if cfg!(model) { 2 } else { CELL_BYTES - 40 };

/// Words of one attempt, in one piece. Only atomics, all zero at first.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Cell {
    /// Grows with every cell taken; 0 before the first time, and while the cell changes hands.
    number: AtomicU64,
    epoch: AtomicU64,
    counter: AtomicU64,
    /// Bytes that the attempt had printed before these.
    start: AtomicU64,
    length: AtomicU32,
    text: [AtomicU8; TEXT_BYTES + 4],
}

const _: () = assert!(cfg!(model) || size_of::<Cell>() == CELL_BYTES);

/// The words of all attempts of a child.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(pub(super) &'a [Cell]);

/// Where the words of one attempt are.
#[derive(Debug, Default)]
pub struct Cursor {
    /// Index and number of its cells, in the order of their words. Some may be somebody else's by now.
    cells: Vec<(u32, u64)>,
    /// Bytes printed.
    total: u64,
}

/// Hands the cells out. One per child, one thread at a time.
#[derive(Debug, Default)]
pub struct Writer {
    /// Cells that were given back.
    free: Vec<u32>,
    /// Cells that were ever taken; the others are free too, and take no memory yet.
    touched: u32,
    /// The cell that is taken from somebody next.
    next: u32,
    /// The newest number of a cell.
    number: u64,
}

impl Writer {
    /// Adds to the words of an attempt.
    pub fn append(&mut self, words: Words<'_>, of: Fence, cursor: &mut Cursor, bytes: &[u8]) {
        // What more cells than it may have cannot hold is not worth writing.
        let skipped = bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
        let (mut first, last) = bytes.split_at(skipped);
        if skipped > 0 && cursor.cells.len() < HEAD_CELLS {
            first = &first[..skipped.min((HEAD_CELLS - cursor.cells.len()) * TEXT_BYTES)];
            self.write(words, of, cursor, first);
            cursor.total -= first.len() as u64;
        }
        cursor.total += skipped as u64;
        self.write(words, of, cursor, last);
    }

    /// The attempt is over: its cells are free.
    pub fn end(&mut self, words: Words<'_>, cursor: &Cursor) {
        let own = cursor.cells.iter().filter(|(index, number)| words.cell(*index).is(*number));
        self.free.extend(own.map(|(index, _)| index));
    }

    fn write(&mut self, words: Words<'_>, of: Fence, cursor: &mut Cursor, mut bytes: &[u8]) {
        if let Some((index, number)) = cursor.cells.last()
            && words.cell(*index).is(*number)
            && words.cell(*index).ends_at(cursor.total)
        {
            let more = words.cell(*index).extend(bytes);
            cursor.total += more as u64;
            bytes = &bytes[more..];
        }
        while !bytes.is_empty() {
            let index = self.take(words, cursor);
            self.number += 1;
            let count = words.cell(index).fill(self.number, of, cursor.total, bytes);
            cursor.cells.push((index, self.number));
            cursor.total += count as u64;
            bytes = &bytes[count..];
        }
    }

    /// A cell for the attempt's next words.
    fn take(&mut self, words: Words<'_>, cursor: &mut Cursor) -> u32 {
        if cursor.cells.len() == CELLS_PER_ATTEMPT {
            let (index, number) = cursor.cells.remove(HEAD_CELLS);
            if words.cell(index).is(number) {
                return index;
            }
        }
        if let Some(index) = self.free.pop() {
            return index;
        }
        if (self.touched as usize) < words.0.len() {
            self.touched += 1;
            return self.touched - 1;
        }
        let index = self.next;
        self.next = (index + 1) % words.0.len() as u32;
        index
    }
}

impl Words<'_> {
    fn cell(&self, index: u32) -> &Cell {
        &self.0[index as usize]
    }

    /// The words of `attempts`, in their order, at most [`OUTPUT_BYTES_MAX`] each; lines say where some are missing.
    pub(super) fn read(&self, attempts: &[Fence]) -> Vec<Vec<u8>> {
        let mut pieces: BTreeMap<Fence, Vec<(u64, &Cell)>> =
            attempts.iter().map(|attempt| (*attempt, Vec::new())).collect();
        for cell in self.0 {
            let number = cell.number.load(Acquire);
            if let Some(pieces) = pieces.get_mut(&cell.owner()).filter(|_| number > 0) {
                pieces.push((number, cell));
            }
        }
        attempts.iter().map(|attempt| join(pieces.remove(attempt).unwrap_or_default())).collect()
    }
}

fn join(mut pieces: Vec<(u64, &Cell)>) -> Vec<u8> {
    pieces.sort_unstable_by_key(|(number, _)| *number);
    let (mut text, mut end) = (Vec::new(), 0u64);
    for (_, cell) in pieces {
        let start = cell.start.load(Relaxed);
        text.extend(gap(start.saturating_sub(end)));
        let bytes = cell.bytes();
        end = start.saturating_add(bytes.len() as u64);
        text.extend(bytes);
    }
    text.split_off(text.len().saturating_sub(OUTPUT_BYTES_MAX))
}

impl Cell {
    fn is(&self, number: u64) -> bool {
        self.number.load(Relaxed) == number
    }

    fn owner(&self) -> Fence {
        Fence { epoch: self.epoch.load(Relaxed), counter: self.counter.load(Relaxed) }
    }

    fn ends_at(&self, position: u64) -> bool {
        self.start.load(Relaxed).wrapping_add(self.used() as u64) == position
    }

    /// Bytes in it, whatever its length says.
    fn used(&self) -> usize {
        (self.length.load(Acquire) as usize).min(TEXT_BYTES)
    }

    fn bytes(&self) -> impl ExactSizeIterator<Item = u8> {
        self.text[..self.used()].iter().map(|byte| byte.load(Relaxed))
    }

    /// Takes the cell over for the first of `bytes`; how many.
    fn fill(&self, number: u64, of: Fence, start: u64, bytes: &[u8]) -> usize {
        self.number.store(0, Relaxed);
        // A reader that sees a new owner or word must not see the old number.
        fence(Release);
        self.epoch.store(of.epoch, Relaxed);
        self.counter.store(of.counter, Relaxed);
        self.start.store(start, Relaxed);
        self.length.store(0, Relaxed);
        let count = self.extend(bytes);
        self.number.store(number, Release);
        count
    }

    /// Adds what fits of `bytes`; how many.
    fn extend(&self, bytes: &[u8]) -> usize {
        let used = self.used();
        let count = bytes.len().min(TEXT_BYTES - used);
        for (place, byte) in self.text[used..].iter().zip(&bytes[..count]) {
            place.store(*byte, Relaxed);
        }
        self.length.store((used + count) as u32, Release);
        count
    }
}

#[cfg(all(test, model))]
mod model;
#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    struct Shared {
        cells: Vec<Cell>,
        writer: Writer,
        cursors: BTreeMap<u64, Cursor>,
    }

    impl Shared {
        fn new(count: usize) -> Self {
            let cell = || Cell {
                number: AtomicU64::new(0),
                epoch: AtomicU64::new(0),
                counter: AtomicU64::new(0),
                start: AtomicU64::new(0),
                length: AtomicU32::new(0),
                text: [const { AtomicU8::new(0) }; TEXT_BYTES + 4],
            };
            Self {
                cells: std::iter::repeat_with(cell).take(count).collect(),
                writer: Writer::default(),
                cursors: BTreeMap::new(),
            }
        }

        fn print(&mut self, attempt: u64, bytes: &[u8]) {
            let cursor = self.cursors.entry(attempt).or_default();
            self.writer.append(Words(&self.cells), of(attempt), cursor, bytes);
        }

        fn end(&mut self, attempt: u64) {
            self.writer.end(Words(&self.cells), &self.cursors.remove(&attempt).unwrap());
        }

        fn read(&self, attempts: &[u64]) -> Vec<Vec<u8>> {
            let attempts: Vec<Fence> = attempts.iter().map(|attempt| of(*attempt)).collect();
            Words(&self.cells).read(&attempts)
        }
    }

    fn of(attempt: u64) -> Fence {
        Fence { epoch: 7, counter: attempt }
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn each_attempt_has_its_own_words_and_ended_ones_have_none_of_the_living() {
        let mut shared = Shared::new(CELLS);
        for round in 0..40 {
            for attempt in 1..=50 {
                shared.print(attempt, format!("{attempt} says {round}\n").as_bytes());
            }
        }
        let all: Vec<u64> = (1..=50).collect();
        for (attempt, words) in all.iter().zip(shared.read(&all)) {
            let expected: Vec<String> = (0..40).map(|round| format!("{attempt} says {round}\n")).collect();
            assert_eq!(String::from_utf8(words).unwrap(), expected.concat());
        }
        let touched = shared.writer.touched;
        (1..=49).for_each(|attempt| shared.end(attempt));
        (100..190).for_each(|attempt| shared.print(attempt, b"new"));
        assert_eq!(shared.writer.touched, touched, "the cells of the ended ones are enough");
        assert_eq!(shared.read(&[150, 300]), [b"new".to_vec(), vec![]]);
        assert_eq!(shared.read(&[50])[0].len(), 10 * 10 + 30 * 11);
    }

    #[test]
    fn head_and_tail_are_kept_whatever_the_sizes() {
        let all = CELLS_PER_ATTEMPT * TEXT_BYTES;
        for length in [0, 1, TEXT_BYTES, TEXT_BYTES + 1, all, all + 1, 300_007] {
            for step in [1, 217, 5_001, 1 << 20] {
                let (mut shared, bytes) = (Shared::new(CELLS), text(length));
                bytes.chunks(step).for_each(|chunk| shared.print(1, chunk));
                let words = shared.read(&[1]).remove(0);
                assert!(words.len() <= OUTPUT_BYTES_MAX);
                if length <= all {
                    assert!(words == bytes, "{length} bytes in steps of {step}");
                    continue;
                }
                let head = HEAD_CELLS * TEXT_BYTES;
                assert!(words[..head] == bytes[..head], "{length} bytes in steps of {step}");
                let gap_ends =
                    head + 1 + words[head + 1..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
                let line = String::from_utf8(words[head..gap_ends].to_vec()).unwrap();
                let tail = &words[gap_ends..];
                assert_eq!(line, format!("\n[... {} bytes left out ...]\n", length - head - tail.len()));
                assert!(tail.len() > all / 2 && bytes.ends_with(tail), "{length} bytes in steps of {step}");
            }
        }
    }

    #[test]
    fn a_chatterer_costs_the_quiet_nothing_and_too_many_lose_their_oldest() {
        let mut shared = Shared::new(2 * CELLS_PER_ATTEMPT);
        shared.print(1, b"quiet");
        (0..5_000).for_each(|_| shared.print(2, &text(200)));
        assert_eq!(shared.read(&[1]), [b"quiet"]);
        for attempt in 3..1_000 {
            shared.print(attempt, b"one of many");
        }
        let kept = shared.read(&(3..1_000).collect::<Vec<_>>());
        let kept: Vec<bool> = kept.iter().map(|words| words == b"one of many").collect();
        assert!(kept.iter().filter(|kept| **kept).count() >= CELLS_PER_ATTEMPT);
        assert!(kept.ends_with(&[true; 100]), "the newest are there");
        shared.print(1, b" again");
        assert_eq!(shared.read(&[1]), [b"\n[... 5 bytes left out ...]\n again"]);
    }

    #[test]
    fn a_writer_that_died_costs_the_cell_it_wrote() {
        let mut shared = Shared::new(CELLS);
        shared.print(1, &text(3 * TEXT_BYTES));
        shared.cells[1].number.store(0, Relaxed);
        let line = format!("\n[... {TEXT_BYTES} bytes left out ...]\n").into_bytes();
        let bytes = text(3 * TEXT_BYTES);
        let expected = [&bytes[..TEXT_BYTES], &line, &bytes[2 * TEXT_BYTES..]].concat();
        assert!(shared.read(&[1])[0] == expected);
    }

    #[test]
    fn scribbled_numbers_are_read_without_panic() {
        let mut shared = Shared::new(64);
        for number in [u64::MAX, 1 << 63, 12_345] {
            for cell in &shared.cells {
                for word in [&cell.number, &cell.start] {
                    word.store(number, Relaxed);
                }
                cell.epoch.store(7, Relaxed);
                cell.counter.store(1, Relaxed);
                cell.length.store(number as u32, Relaxed);
            }
            assert!(shared.read(&[1])[0].len() <= OUTPUT_BYTES_MAX);
            shared.print(2, b"more");
        }
    }
}
