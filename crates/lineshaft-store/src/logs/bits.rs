//! Rows of a block that are still wanted.

use super::BLOCK_RECORDS_MAX;

const WORDS: usize = BLOCK_RECORDS_MAX / 64;

/// A set of row numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rows([u64; WORDS]);

impl Rows {
    /// The rows from `first` up to `end`.
    pub(crate) fn between(first: usize, end: usize) -> Self {
        let mut rows = Self([0; WORDS]);
        (first..end).for_each(|row| rows.0[row / 64] |= 1 << (row % 64));
        rows
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.0[row / 64] >> (row % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Keeps the rows for which `stays` holds.
    pub(crate) fn retain(&mut self, stays: impl Fn(usize) -> bool) {
        for (index, word) in self.0.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                if !stays(64 * index + bit) {
                    *word &= !(1 << bit);
                }
                left &= left - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_that_shall() {
        let mut rows = Rows::between(60, 200);
        rows.retain(|row| row % 3 == 0);
        let found: Vec<usize> = (0..BLOCK_RECORDS_MAX).filter(|row| rows.contains(*row)).collect();
        assert_eq!(found, (60..200).filter(|row| row % 3 == 0).collect::<Vec<_>>());
        rows.retain(|_| false);
        assert!(rows.is_empty() && !Rows::between(0, BLOCK_RECORDS_MAX).is_empty());
    }
}
