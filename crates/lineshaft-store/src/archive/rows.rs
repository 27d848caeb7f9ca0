//! Sets of rows of one block.

use super::BLOCK_JOBS_MAX;
use super::codec::{Decoded, Decoder, Encoder, Malformed};

const WORDS: usize = BLOCK_JOBS_MAX.div_ceil(64);

const ALL: u8 = 0;
const LIST: u8 = 1;
const BITMAP: u8 = 2;

/// Which rows of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: [u64; WORDS],
}

impl RowSet {
    pub(crate) const EMPTY: Self = Self { words: [0; WORDS] };

    /// The rows below `count`.
    pub(crate) fn below(count: usize) -> Self {
        let mut set = Self::EMPTY;
        for (index, word) in set.words.iter_mut().enumerate() {
            let bits = count.saturating_sub(index * 64).min(64);
            *word = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        }
        set
    }

    pub(crate) fn insert(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(other.words).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(other.words).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }
}

/// Writes ascending rows of a block of `jobs` in the shortest way.
pub(crate) fn encode_rows(encoder: &mut Encoder, rows: &[u16], jobs: usize) {
    if rows.len() == jobs {
        encoder.u8(ALL);
    } else if 2 * rows.len() <= jobs.div_ceil(8) {
        encoder.u8(LIST);
        encoder.u64(rows.len() as u64);
        for row in rows {
            encoder.fixed(&row.to_le_bytes());
        }
    } else {
        let mut bits = vec![0u8; jobs.div_ceil(8)];
        for row in rows {
            bits[usize::from(row / 8)] |= 1 << (row % 8);
        }
        encoder.u8(BITMAP);
        encoder.fixed(&bits);
    }
}

pub(crate) fn decode_rows(decoder: &mut Decoder<'_>, jobs: usize) -> Decoded<RowSet> {
    match decoder.u8()? {
        ALL => Ok(RowSet::below(jobs)),
        LIST => {
            let mut set = RowSet::EMPTY;
            for _ in 0..decoder.count()? {
                let row = usize::from(u16::from_le_bytes(decoder.array()?));
                if row >= jobs {
                    return Err(Malformed);
                }
                set.insert(row);
            }
            Ok(set)
        }
        BITMAP => {
            let mut set = RowSet::EMPTY;
            for (index, byte) in decoder.fixed(jobs.div_ceil(8))?.iter().enumerate() {
                set.words[index / 8] |= u64::from(*byte) << (8 * (index % 8));
            }
            set.intersect(&RowSet::below(jobs));
            Ok(set)
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_gives_the_rows_back() {
        for (jobs, step) in [(1, 1), (7, 2), (64, 1), (65, 3), (1000, 1), (1000, 2), (1000, 17), (1000, 1000)]
        {
            let rows: Vec<u16> = (0..jobs as u16).step_by(step).collect();
            let mut encoder = Encoder::default();
            encode_rows(&mut encoder, &rows, jobs);
            let set = decode_rows(&mut Decoder::new(&encoder.bytes), jobs).unwrap();
            let back: Vec<u16> = (0..jobs as u16).filter(|row| set.contains(usize::from(*row))).collect();
            assert_eq!(back, rows);
            assert!(encoder.bytes.len() <= 1 + 125);
        }
    }
}
