//! The policies as one would write them without thinking of speed: lists of keys, searched from end to end.

use std::collections::HashMap;

/// What a policy is in terms of keys: `access` says whether the key was there.
pub(crate) trait Naive {
    fn access(&mut self, key: u32) -> bool;
    fn remove(&mut self, key: u32);
    fn keys(&self) -> Vec<u32>;
}

fn position(list: &[u32], key: u32) -> Option<usize> {
    list.iter().position(|&other| other == key)
}

fn take(list: &mut Vec<u32>, key: u32) -> bool {
    position(list, key).map(|index| list.remove(index)).is_some()
}

/// The oldest first, as in all the lists below.
pub(crate) struct Lru(pub(crate) usize, pub(crate) Vec<u32>);

impl Naive for Lru {
    fn access(&mut self, key: u32) -> bool {
        let was_there = take(&mut self.1, key);
        if self.1.len() == self.0 {
            self.1.remove(0);
        }
        self.1.push(key);
        was_there
    }

    fn remove(&mut self, key: u32) {
        take(&mut self.1, key);
    }

    fn keys(&self) -> Vec<u32> {
        self.1.clone()
    }
}

#[derive(Default)]
pub(crate) struct Sieve {
    pub(crate) max: usize,
    list: Vec<(u32, bool)>,
    hand: usize,
}

impl Sieve {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }
}

impl Naive for Sieve {
    fn access(&mut self, key: u32) -> bool {
        if let Some(entry) = self.list.iter_mut().find(|entry| entry.0 == key) {
            entry.1 = true;
            return true;
        }
        if self.list.len() == self.max {
            loop {
                self.hand %= self.list.len();
                if !std::mem::take(&mut self.list[self.hand].1) {
                    break;
                }
                self.hand += 1;
            }
            self.list.remove(self.hand);
            // Past the newest it goes on with the oldest, not with who comes.
            self.hand = if self.hand == self.list.len() { 0 } else { self.hand };
        }
        self.list.push((key, false));
        false
    }

    fn remove(&mut self, key: u32) {
        let Some(index) = self.list.iter().position(|entry| entry.0 == key) else { return };
        self.list.remove(index);
        if index < self.hand {
            self.hand -= 1;
        }
        if self.hand == self.list.len() {
            self.hand = 0;
        }
    }

    fn keys(&self) -> Vec<u32> {
        self.list.iter().map(|entry| entry.0).collect()
    }
}

pub(crate) struct S3Fifo {
    pub(crate) max: usize,
    small: Vec<u32>,
    main: Vec<u32>,
    ghost: Vec<u32>,
    uses: HashMap<u32, u8>,
    has_evicted: bool,
}

impl S3Fifo {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            small: Vec::new(),
            main: Vec::new(),
            ghost: Vec::new(),
            uses: HashMap::new(),
            has_evicted: false,
        }
    }

    fn small_max(&self) -> usize {
        (self.max / 10).max(1)
    }

    fn evict(&mut self) {
        self.has_evicted = true;
        loop {
            if self.main.len() > self.max - self.small_max() || self.small.is_empty() {
                let key = self.main.remove(0);
                if self.uses[&key] == 0 {
                    return;
                }
                *self.uses.get_mut(&key).unwrap() -= 1;
                self.main.push(key);
            } else {
                let key = self.small.remove(0);
                if self.uses[&key] <= 1 {
                    self.ghost.push(key);
                    if self.ghost.len() > (self.max * 9 / 10).max(1) {
                        self.ghost.remove(0);
                    }
                    return;
                }
                self.uses.insert(key, 0);
                self.main.push(key);
            }
        }
    }
}

impl Naive for S3Fifo {
    fn access(&mut self, key: u32) -> bool {
        if self.keys().contains(&key) {
            let uses = self.uses.get_mut(&key).unwrap();
            *uses = (*uses + 1).min(3);
            return true;
        }
        if self.small.len() + self.main.len() == self.max {
            self.evict();
        }
        let is_back = take(&mut self.ghost, key);
        let overflows = !self.has_evicted && self.small.len() >= self.small_max();
        if is_back || overflows {
            self.main.push(key);
        } else {
            self.small.push(key);
        }
        self.uses.insert(key, 0);
        false
    }

    fn remove(&mut self, key: u32) {
        take(&mut self.small, key);
        take(&mut self.main, key);
    }

    fn keys(&self) -> Vec<u32> {
        [self.small.clone(), self.main.clone()].concat()
    }
}

/// Its sketch is that of the crate, counter by counter in a map.
pub(crate) struct WTinyLfu {
    max: usize,
    window: Vec<u32>,
    probation: Vec<u32>,
    protected: Vec<u32>,
    counters: HashMap<(u32, u64, u64), u64>,
    words: u64,
    additions: u64,
}

const SEEDS: [u64; 4] =
    [0xc3a5_c85c_97cb_3127, 0xb492_b66f_be98_f273, 0x9ae1_6a3b_2f90_404f, 0xcbf2_9ce4_8422_2325];

impl WTinyLfu {
    pub(crate) fn new(max: usize) -> Self {
        let lists = (Vec::new(), Vec::new(), Vec::new());
        Self {
            max,
            window: lists.0,
            probation: lists.1,
            protected: lists.2,
            counters: HashMap::new(),
            words: 0,
            additions: 0,
        }
    }

    fn window_max(&self) -> usize {
        (self.max / 100).max(1)
    }

    fn places(&self, key: u32) -> [(u32, u64, u64); 4] {
        std::array::from_fn(|row| {
            let mixed = (u64::from(key) + 1).wrapping_mul(SEEDS[row]);
            (row as u32, (mixed >> 32) % self.words, (mixed >> 28) % 4)
        })
    }

    fn count_use(&mut self, key: u32) {
        let mut is_added = false;
        for place in self.places(key) {
            let counter = self.counters.entry(place).or_default();
            is_added |= *counter < 15;
            *counter = (*counter + 1).min(15);
        }
        self.additions += u64::from(is_added);
        if self.additions >= 10 * self.words {
            self.counters.values_mut().for_each(|counter| *counter /= 2);
            self.additions /= 2;
        }
    }

    fn count(&self, key: u32) -> u64 {
        self.places(key).iter().map(|place| self.counters.get(place).copied().unwrap_or(0)).min().unwrap()
    }

    fn evict(&mut self) {
        let candidate =
            (self.window.len() + 1 > self.window_max()).then(|| self.window.first().copied()).flatten();
        let victim = self.probation.first().or(self.protected.first()).copied();
        let gone = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.count(candidate) > self.count(victim) => victim,
            (candidate, victim) => candidate.or(victim).unwrap_or_else(|| self.window[0]),
        };
        self.remove(gone);
        if let Some(winner) = candidate.filter(|&candidate| candidate != gone) {
            take(&mut self.window, winner);
            self.probation.push(winner);
        }
    }
}

impl Naive for WTinyLfu {
    fn access(&mut self, key: u32) -> bool {
        if take(&mut self.window, key) {
            self.window.push(key);
        } else if take(&mut self.protected, key) {
            self.protected.push(key);
        } else if take(&mut self.probation, key) {
            self.protected.push(key);
            if self.protected.len() > (self.max - self.window_max()) / 5 * 4 {
                let demoted = self.protected.remove(0);
                self.probation.push(demoted);
            }
        } else {
            if self.keys().len() == self.max {
                self.evict();
            }
            let len = self.keys().len() as u64 + 1;
            if len > self.words {
                (self.words, self.additions) = (len.next_power_of_two().max(64), 0);
                self.counters.clear();
            }
            self.count_use(key);
            self.window.push(key);
            if self.window.len() > self.window_max() {
                let oldest = self.window.remove(0);
                self.probation.push(oldest);
            }
            return false;
        }
        self.count_use(key);
        true
    }

    fn remove(&mut self, key: u32) {
        take(&mut self.window, key);
        take(&mut self.probation, key);
        take(&mut self.protected, key);
    }

    fn keys(&self) -> Vec<u32> {
        [self.window.clone(), self.probation.clone(), self.protected.clone()].concat()
    }
}
