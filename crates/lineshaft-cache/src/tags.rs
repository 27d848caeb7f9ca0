//! Names under which many entries are invalidated at once, in a time that does not depend on how many they are.
//!
//! Nobody goes through the entries: a tag remembers the moment of its last invalidation, an entry the moment of its
//! making, and who looks an entry up compares the two. Equal sets of tags are kept once, so that an entry has a number.

use rustc_hash::FxHashMap;

use crate::statistics::TagStatistics;

#[derive(Default)]
pub(crate) struct Tags {
    numbers: FxHashMap<Box<str>, u32>,
    tags: Vec<Tag>,
    free_tags: Vec<u32>,
    set_numbers: FxHashMap<Box<[u32]>, u32>,
    /// Set `n` is at `n - 1`: 0 is no set.
    sets: Vec<Set>,
    free_sets: Vec<u32>,
    /// The last invalidation of a tag that had no entries: one that comes for it may have been computed before.
    forgotten_at: u32,
}

#[derive(Default)]
struct Tag {
    name: Box<str>,
    /// Sets that have it.
    sets: u32,
    invalidated_at: u32,
    statistics: TagStatistics,
}

struct Set {
    tags: Box<[u32]>,
    entries: u32,
    /// The last invalidation of any of its tags, as of `looked_at`.
    invalidated_at: u32,
    looked_at: u32,
}

impl Tags {
    /// The number of the set of these names, with one more entry; 0 if there are none.
    pub(crate) fn enter(&mut self, names: &[&str]) -> u32 {
        if names.is_empty() {
            return 0;
        }
        let mut tags: Vec<u32> = names.iter().map(|name| self.tag(name)).collect();
        tags.sort_unstable();
        tags.dedup();
        let number = match self.set_numbers.get(tags.as_slice()) {
            Some(&number) => number,
            None => self.new_set(tags.into()),
        };
        let set = &mut self.sets[number as usize - 1];
        set.entries += 1;
        for &tag in &set.tags {
            self.tags[tag as usize].statistics.entries += 1;
        }
        number
    }

    /// The names of the tags of a set.
    pub(crate) fn names(&self, number: u32) -> Vec<String> {
        let set = (number as usize).checked_sub(1).and_then(|index| self.sets.get(index));
        let tags = set.into_iter().flat_map(|set| &set.tags);
        tags.map(|&tag| String::from(&*self.tags[tag as usize].name)).collect()
    }

    /// An entry of the set, made at `stamp`, is gone.
    pub(crate) fn leave(&mut self, number: u32, stamp: u32) {
        if number == 0 {
            return;
        }
        let set = &mut self.sets[number as usize - 1];
        set.entries -= 1;
        for &tag in &set.tags {
            let tag = &mut self.tags[tag as usize];
            // Those made before the last invalidation are not counted any more.
            if stamp >= tag.invalidated_at {
                tag.statistics.entries = tag.statistics.entries.saturating_sub(1);
            }
        }
        if set.entries == 0 {
            self.drop_set(number);
        }
    }

    /// Whether an entry of the set, made at `stamp`, is true as far as its tags go. `present` is the last
    /// invalidation of all.
    pub(crate) fn is_true(&mut self, number: u32, stamp: u32, present: u32) -> bool {
        if number == 0 {
            return true;
        }
        let set = &mut self.sets[number as usize - 1];
        if set.looked_at != present {
            let tags = set.tags.iter().map(|&tag| self.tags[tag as usize].invalidated_at);
            set.invalidated_at = tags.max().unwrap_or(0);
            set.looked_at = present;
        }
        set.invalidated_at <= stamp
    }

    pub(crate) fn count_hit(&mut self, number: u32) {
        if number != 0 {
            for &tag in &self.sets[number as usize - 1].tags {
                self.tags[tag as usize].statistics.hits += 1;
            }
        }
    }

    /// Whether there are entries of the tag.
    pub(crate) fn invalidate(&mut self, name: &str, present: u32) -> bool {
        let Some(&number) = self.numbers.get(name) else {
            self.forgotten_at = present;
            return false;
        };
        let tag = &mut self.tags[number as usize];
        tag.invalidated_at = present;
        tag.statistics.invalidations += 1;
        tag.statistics.entries = 0;
        true
    }

    pub(crate) fn statistics(&self, name: &str) -> TagStatistics {
        self.numbers
            .get(name)
            .map_or_else(TagStatistics::default, |&number| self.tags[number as usize].statistics)
    }

    fn tag(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let tag = Tag { name: name.into(), invalidated_at: self.forgotten_at, ..Tag::default() };
        let number = place(&mut self.tags, &mut self.free_tags, tag);
        self.numbers.insert(name.into(), number);
        number
    }

    fn new_set(&mut self, tags: Box<[u32]>) -> u32 {
        tags.iter().for_each(|&tag| self.tags[tag as usize].sets += 1);
        let set = Set { tags: tags.clone(), entries: 0, invalidated_at: 0, looked_at: u32::MAX };
        let number = place(&mut self.sets, &mut self.free_sets, set) + 1;
        self.set_numbers.insert(tags, number);
        number
    }

    /// Forgets a set without entries, and the tags that no other has.
    fn drop_set(&mut self, number: u32) {
        let tags = std::mem::take(&mut self.sets[number as usize - 1].tags);
        self.set_numbers.remove(&tags);
        self.free_sets.push(number - 1);
        for &tag in &tags {
            let row = &mut self.tags[tag as usize];
            row.sets -= 1;
            if row.sets == 0 {
                self.forgotten_at = self.forgotten_at.max(row.invalidated_at);
                self.numbers.remove(&std::mem::take(&mut row.name));
                self.free_tags.push(tag);
            }
        }
    }
}

fn place<T>(rows: &mut Vec<T>, free: &mut Vec<u32>, row: T) -> u32 {
    if let Some(number) = free.pop() {
        rows[number as usize] = row;
        return number;
    }
    rows.push(row);
    rows.len() as u32 - 1
}
