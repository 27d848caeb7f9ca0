//! What an entry contains, in cells: its tags, its sources, its key and its value, each from a word of its own on.
//!
//! A reader may be here without the lock, while the cells become those of somebody else: it stays within them whatever
//! it finds, and comes to an end.

use super::words::{CELL_WORDS, Cell, Slot, Word};
use super::{Source, Tag};

/// Bytes of a word.
const WORD: usize = 8;

/// Goes through the words of an entry.
pub(super) struct Reader<'a> {
    cells: &'a [Cell],
    cell: Option<&'a Cell>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// `first` is one more than the place of the first cell.
    pub(super) fn new(cells: &'a [Cell], first: u32) -> Self {
        Self { cells, cell: cell(cells, first.into()), at: 0 }
    }

    /// `None` behind the last cell.
    pub(super) fn word(&mut self) -> Option<u64> {
        let word = self.step()?.words[self.at].get();
        self.at += 1;
        Some(word)
    }

    /// The cell of the next word.
    fn step(&mut self) -> Option<&'a Cell> {
        if self.at == CELL_WORDS {
            self.cell = cell(self.cells, self.cell?.next.get());
            self.at = 0;
        }
        self.cell
    }

    pub(super) fn skip(&mut self, words: usize) -> Option<()> {
        (0..words).try_for_each(|_| self.word().map(|_| ()))
    }

    /// Whether these bytes come now.
    pub(super) fn is(&mut self, bytes: &[u8]) -> bool {
        words(bytes).all(|word| self.word() == Some(word))
    }

    /// Appends so many bytes to `into`; `None` if there are fewer.
    pub(super) fn copy(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        if length > self.cells.len() * CELL_WORDS * WORD {
            return None;
        }
        into.reserve(length);
        let mut left = length;
        while left > 0 {
            // What is left of a cell at a time.
            let cell = self.step()?;
            let mut bytes = [0; CELL_WORDS * WORD];
            let count = (CELL_WORDS - self.at).min(left.div_ceil(WORD));
            for (word, bytes) in cell.words[self.at..][..count].iter().zip(bytes.chunks_exact_mut(WORD)) {
                bytes.copy_from_slice(&word.get().to_le_bytes());
            }
            let taken = (count * WORD).min(left);
            into.extend_from_slice(&bytes[..taken]);
            self.at += count;
            left -= taken;
        }
        Some(())
    }
}

/// The tags of an entry.
pub(super) fn tags<'a>(cells: &'a [Cell], slot: &Slot) -> impl Iterator<Item = Option<u16>> + 'a {
    let (mut reader, count) = (Reader::new(cells, slot.cell.get()), slot.tags());
    let mut word = None;
    (0..count).map(move |index| {
        if index % 4 == 0 {
            word = reader.word();
        }
        word.map(|word| (word >> (16 * (index % 4))) as u16)
    })
}

/// When an entry was stored that was computed from others, and the places of those.
pub(super) fn sources<'a>(
    cells: &'a [Cell],
    slot: &Slot,
) -> Option<(u64, impl Iterator<Item = Option<u32>> + use<'a>)> {
    let (mut reader, count) = (Reader::new(cells, slot.cell.get()), slot.sources.get());
    reader.skip(slot.tags().div_ceil(4))?;
    let stored = reader.word()?;
    let mut word = None;
    let places = (0..count).map(move |index| {
        if index % 2 == 0 {
            word = reader.word();
        }
        word.map(|word| (word >> (32 * (index % 2))) as u32)
    });
    Some((stored, places))
}

/// What an entry is filled with.
pub(super) struct Content<'a> {
    pub(super) tags: &'a [Tag],
    /// When it is stored, if it has sources.
    pub(super) stored: u64,
    pub(super) sources: &'a [Source],
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Fills the cells of an entry, which are chained already.
pub(super) fn write(cells: &[Cell], first: u32, content: &Content<'_>) {
    let Content { tags, stored, sources, key, value } = *content;
    let tags = tags.chunks(4).map(|tags| {
        tags.iter().enumerate().fold(0, |word, (index, tag)| word | u64::from(tag.0) << (16 * index))
    });
    let stored = (!sources.is_empty()).then_some(stored);
    let sources = sources.chunks(2).map(|sources| {
        sources.iter().enumerate().fold(0, |word, (index, it)| word | u64::from(it.place) << (32 * index))
    });
    let packed = tags.chain(stored).chain(sources);
    let mut at = cell(cells, first.into()).map(|cell| (cell, 0));
    for word in packed.chain(words(key)).chain(words(value)) {
        if let Some((full, CELL_WORDS)) = at {
            at = cell(cells, full.next.get()).map(|cell| (cell, 0));
        }
        let (cell, index) = at.as_mut().expect("an entry has cells enough");
        cell.words[*index].set(word);
        *index += 1;
    }
}

/// `number` is one more than its place; 0 is none.
fn cell(cells: &[Cell], number: u64) -> Option<&Cell> {
    cells.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// Bytes as words, with zeros behind the last.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(WORD).map(|bytes| {
        let mut word = [0; WORD];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    })
}
