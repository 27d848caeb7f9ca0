//! Who went lately, by hash: four bytes in a queue and a place in an index each.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::residents::spread;

/// The hashes of the last ones to go, at most as many as it is told.
pub(super) struct Ghost {
    queue: VecDeque<u32>,
    /// Number of the first in the queue; numbers wrap.
    first: u32,
    /// Numbers of those in the queue that are still meant: others were taken out of the middle.
    index: HashTable<u32>,
}

impl Ghost {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), first: 0, index: HashTable::new() }
    }

    /// Takes in `hash` as the newest, and lets the oldest go until there are `max` at most.
    pub(super) fn push(&mut self, hash: u32, max: usize) {
        if max == 0 {
            return;
        }
        self.take(hash);
        while self.index.len() >= max {
            self.pop();
        }
        // Those taken out of the middle stand in the queue until they come to its end, but never more than as many.
        if self.queue.len() >= 2 * max {
            self.compact();
        }
        if self.queue.len() == self.queue.capacity() {
            let more = (self.queue.len() / 8).clamp(16, (2 * max).saturating_sub(self.queue.len()).max(16));
            self.queue.reserve_exact(more);
        }
        let number = self.first.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(hash);
        let (queue, first) = (&self.queue, self.first);
        self.index.insert_unique(spread(hash), number, |&number| {
            spread(queue[number.wrapping_sub(first) as usize])
        });
    }

    /// Takes `hash` out; whether it was there.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        let (queue, first) = (&self.queue, self.first);
        let found =
            self.index.find_entry(spread(hash), |&number| queue[number.wrapping_sub(first) as usize] == hash);
        if let Ok(entry) = found {
            entry.remove();
            return true;
        }
        false
    }

    /// Leaves those in the queue that are still meant.
    fn compact(&mut self) {
        let (queue, first, index) = (&self.queue, self.first, &self.index);
        let is_meant =
            |&(number, hash): &(u32, u32)| index.find(spread(hash), |&other| other == number).is_some();
        let numbered = queue.iter().enumerate().map(|(at, &hash)| (first.wrapping_add(at as u32), hash));
        let meant: VecDeque<u32> = numbered.filter(is_meant).map(|(_, hash)| hash).collect();
        self.index.clear();
        (self.queue, self.first) = (meant, 0);
        for (number, &hash) in (0..).zip(&self.queue) {
            self.index.insert_unique(spread(hash), number, |&number| spread(self.queue[number as usize]));
        }
    }

    fn pop(&mut self) {
        let Some(hash) = self.queue.pop_front() else { return };
        let number = self.first;
        self.first = number.wrapping_add(1);
        if let Ok(entry) = self.index.find_entry(spread(hash), |&other| other == number) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_no_more() {
        let mut ghost = Ghost::new();
        (0..10).for_each(|hash| ghost.push(hash, 4));
        let remembered: Vec<u32> = (0..10).filter(|&hash| ghost.take(hash)).collect();
        assert_eq!(remembered, [6, 7, 8, 9]);
        assert!(!ghost.take(9), "taken out before");
    }

    #[test]
    fn what_was_taken_and_came_again_is_the_newest() {
        let mut ghost = Ghost::new();
        (0..3).for_each(|hash| ghost.push(hash, 3));
        assert!(ghost.take(0));
        ghost.push(0, 3);
        ghost.push(3, 3);
        assert_eq!((0..4).filter(|&hash| ghost.take(hash)).collect::<Vec<u32>>(), [0, 2, 3]);
    }

    #[test]
    fn the_queue_is_bounded_whatever_is_taken_out() {
        let mut ghost = Ghost::new();
        for round in 0..1_000 {
            ghost.push(round, 8);
            ghost.take(round);
        }
        assert!(ghost.queue.len() <= 16, "{}", ghost.queue.len());
    }
}
