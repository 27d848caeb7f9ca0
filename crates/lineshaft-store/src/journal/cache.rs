//! Commit bodies in memory: the newest ones as they were appended, and chunks read back from disk.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Bodies of the newest commits, an unbroken row of LSNs.
#[derive(Debug)]
pub(crate) struct Recent {
    /// LSN of the first body.
    first_lsn: u64,
    bodies: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

/// What an empty body costs to keep, so that seals are bounded too.
const ENTRY_BYTES: usize = 64;

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { first_lsn: 0, bodies: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds the body of the commit after the newest one, forgetting the oldest where there is no room.
    pub(crate) fn push(&mut self, lsn: u64, body: Bytes) {
        if self.bodies.is_empty() {
            self.first_lsn = lsn;
        }
        debug_assert_eq!(self.first_lsn + self.bodies.len() as u64, lsn, "bodies are pushed in order");
        self.bytes += body.len() + ENTRY_BYTES;
        self.bodies.push_back(body);
        while self.bytes > self.bytes_max {
            let Some(body) = self.bodies.pop_front() else { break };
            self.first_lsn += 1;
            self.bytes -= body.len() + ENTRY_BYTES;
        }
    }

    pub(crate) fn get(&self, lsn: u64) -> Option<Bytes> {
        self.bodies.get(usize::try_from(lsn.checked_sub(self.first_lsn)?).ok()?).cloned()
    }
}

/// A chunk of a commit's body: the LSN, and which 64 KiB.
pub(crate) type ChunkKey = (u64, u32);

/// Checked chunks, kept by the read that brought them; the oldest read goes first.
#[derive(Debug)]
pub(crate) struct Chunks {
    by_key: HashMap<ChunkKey, Bytes>,
    reads: VecDeque<(usize, Vec<ChunkKey>)>,
    bytes: usize,
    bytes_max: usize,
}

impl Chunks {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { by_key: HashMap::new(), reads: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn get(&self, key: ChunkKey) -> Option<Bytes> {
        self.by_key.get(&key).cloned()
    }

    /// Keeps chunks that share one buffer of `bytes`.
    pub(crate) fn insert(&mut self, bytes: usize, chunks: Vec<(ChunkKey, Bytes)>) {
        self.bytes += bytes;
        self.reads.push_back((bytes, chunks.iter().map(|(key, _)| *key).collect()));
        self.by_key.extend(chunks);
        while self.bytes > self.bytes_max {
            let Some((bytes, keys)) = self.reads.pop_front() else { break };
            self.bytes -= bytes;
            for key in keys {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_bodies_are_found_until_there_is_no_room() {
        let mut recent = Recent::new(2 * (100 + ENTRY_BYTES));
        for lsn in 5..8 {
            recent.push(lsn, Bytes::from(vec![lsn as u8; 100]));
        }
        assert_eq!((recent.get(4), recent.get(5), recent.get(8)), (None, None, None));
        assert_eq!(recent.get(7).unwrap()[0], 7);
        recent.push(8, Bytes::from(vec![0; 10_000]));
        assert_eq!(recent.get(8), None, "a body larger than the cache is not kept");
        recent.push(9, Bytes::new());
        assert_eq!(recent.get(9), Some(Bytes::new()));
    }

    #[test]
    fn the_oldest_read_goes_first() {
        let mut chunks = Chunks::new(100);
        for lsn in 1..4 {
            chunks.insert(50, vec![((lsn, 0), Bytes::from_static(b"x"))]);
        }
        assert_eq!(chunks.get((1, 0)), None);
        assert!(chunks.get((2, 0)).is_some() && chunks.get((3, 0)).is_some());
    }
}
