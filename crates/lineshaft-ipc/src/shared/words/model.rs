//! See [`crate::shared::model`]. The words are read when their writer is dead, which it may be at any store.

use super::*;
use crate::shared::atomics::mortal::dies_after;
use crate::shared::model::check_deaths;

const OLD: Fence = Fence { epoch: 7, counter: 1 };
const NEW: Fence = Fence { epoch: 7, counter: 2 };

fn cell() -> Cell {
    let zero = || AtomicU64::new(0);
    Cell {
        number: zero(),
        epoch: zero(),
        counter: zero(),
        start: zero(),
        length: AtomicU32::new(0),
        text: std::array::from_fn(|_| AtomicU8::new(0)),
    }
}

/// Words, less a cell at most, whose bytes a line counts.
fn check_part(words: &[u8], whole: &[u8]) {
    let is_prefix = whole.starts_with(words);
    let is_without_a_cell = (0..whole.len()).step_by(TEXT_BYTES).any(|start| {
        let after = &whole[(start + TEXT_BYTES).min(whole.len())..];
        let parts = [&whole[..start], &gap(TEXT_BYTES as u64), after].concat();
        parts.starts_with(words)
    });
    assert!(is_prefix || is_without_a_cell, "{:?}", String::from_utf8_lossy(words));
}

/// A cell that changes hands is never read as the words of the wrong attempt.
#[test]
fn a_dead_writer_leaves_to_each_attempt_its_own_words() {
    check_deaths(|stores| {
        let cells: Vec<Cell> = std::iter::repeat_with(cell).take(3).collect();
        let (words, mut writer) = (Words(&cells), Writer::default());
        let (mut old, mut new) = (Cursor::default(), Cursor::default());
        writer.append(words, OLD, &mut old, b"abcd");
        let lived = dies_after(stores, || {
            writer.append(words, NEW, &mut new, b"A");
            writer.append(words, NEW, &mut new, b"BCD");
        });
        let [of_old, of_new] = words.read(&[OLD, NEW]).try_into().unwrap();
        check_part(&of_old, b"abcd");
        assert!(b"ABCD".starts_with(&of_new[..]), "{:?}", String::from_utf8_lossy(&of_new));
        lived
    });
}
