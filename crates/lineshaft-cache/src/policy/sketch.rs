//! How often a hash was seen lately: a count-min sketch of four bits a counter, all halved from time to time.

const ROWS: u32 = 4;
const COUNT_MAX: u64 = 15;
/// Counters are halved after ten times as many uses as there are residents.
const PERIOD: u64 = 10;
const SEEDS: [u64; ROWS as usize] =
    [0xc3a5_c85c_97cb_3127, 0xb492_b66f_be98_f273, 0x9ae1_6a3b_2f90_404f, 0xcbf2_9ce4_8422_2325];

/// Sixteen counters a word, a word for each resident; four of them count a hash.
pub(super) struct Sketch {
    words: Vec<u64>,
    additions: u64,
}

impl Sketch {
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), additions: 0 }
    }

    /// Makes it large enough for `len` residents. What was counted is forgotten when it grows.
    pub(super) fn make_room(&mut self, len: u32) {
        if len as usize > self.words.len() {
            self.words = vec![0; (len as usize).next_power_of_two().max(64)];
            self.additions = 0;
        }
    }

    /// Counts a use.
    pub(super) fn add(&mut self, hash: u32) {
        let mut is_added = false;
        for row in 0..ROWS {
            let (word, shift) = self.place(hash, row);
            if (self.words[word] >> shift) & COUNT_MAX < COUNT_MAX {
                self.words[word] += 1 << shift;
                is_added = true;
            }
        }
        self.additions += u64::from(is_added);
        if self.additions >= PERIOD * self.words.len() as u64 {
            self.halve();
        }
    }

    /// How often it was seen lately, 0 to 15; rather too often than too seldom.
    pub(super) fn count(&self, hash: u32) -> u64 {
        let counts = (0..ROWS).map(|row| {
            let (word, shift) = self.place(hash, row);
            (self.words[word] >> shift) & COUNT_MAX
        });
        counts.min().unwrap_or(0)
    }

    fn halve(&mut self) {
        self.words.iter_mut().for_each(|word| *word = (*word >> 1) & 0x7777_7777_7777_7777);
        self.additions /= 2;
    }

    fn place(&self, hash: u32, row: u32) -> (usize, u32) {
        let mixed = (u64::from(hash) + 1).wrapping_mul(SEEDS[row as usize]);
        let word = (mixed >> 32) as usize & (self.words.len() - 1);
        // Each row has four of the sixteen counters of a word, so that two rows never count in one.
        (word, (row * 4 + (mixed >> 28) as u32 % 4) * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_never_too_low_before_they_are_halved() {
        let mut sketch = Sketch::new();
        sketch.make_room(1_024);
        for hash in 0..200_u32 {
            (0..hash % 16).for_each(|_| sketch.add(hash.wrapping_mul(0x9e37_79b9)));
        }
        for hash in 0..200_u32 {
            assert!(sketch.count(hash.wrapping_mul(0x9e37_79b9)) >= u64::from(hash % 16), "{hash}");
        }
    }

    #[test]
    fn what_is_not_seen_any_more_is_forgotten() {
        let mut sketch = Sketch::new();
        sketch.make_room(64);
        (0..15).for_each(|_| sketch.add(7));
        (0..20_000_u32).for_each(|other| sketch.add(other.wrapping_mul(0x9e37_79b9)));
        assert!(sketch.count(7) < 15, "{}", sketch.count(7));
    }
}
