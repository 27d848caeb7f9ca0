//! How far a side of the ring has come.

/// Bytes of a grain: what records begin at multiples of.
pub(super) const GRAIN_BYTES: usize = 16;

/// How many messages and grains have passed, both counted around 2^32. In one word, so that one store moves both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) messages: u32,
    pub(super) grains: u32,
}

impl Cursor {
    pub(super) fn from_word(word: u64) -> Self {
        Self { messages: (word >> 32) as u32, grains: word as u32 }
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.messages) << 32 | u64::from(self.grains)
    }

    /// Behind one more message of so many grains.
    pub(super) fn after(self, grains: u32) -> Self {
        Self { messages: self.messages.wrapping_add(1), grains: self.grains.wrapping_add(grains) }
    }

    /// From `earlier` to here.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            messages: self.messages.wrapping_sub(earlier.messages),
            grains: self.grains.wrapping_sub(earlier.grains),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_counts_go_around() {
        let last = Cursor { messages: u32::MAX, grains: u32::MAX - 1 };
        let next = last.after(5);
        assert_eq!(next, Cursor { messages: 0, grains: 3 });
        assert_eq!(next.since(last), Cursor { messages: 1, grains: 5 });
        assert_eq!(Cursor::from_word(last.word()), last);
    }
}
