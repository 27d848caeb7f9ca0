//! Values that many jobs share, kept once and counted.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Numbers for values; a number is free again, first in first out, when nobody uses its value any more. The numbers
/// follow from the order of calls alone, so a replay gives the same ones.
#[derive(Debug)]
pub(crate) struct Interned<T: ?Sized> {
    entries: Vec<Option<Entry<T>>>,
    numbers: FxHashMap<Arc<T>, u32>,
    free: VecDeque<u32>,
}

/// Values with their uses by number, and the free numbers in order: what a snapshot keeps.
pub(crate) type Parts<T> = (Vec<Option<(Arc<T>, u64)>>, Vec<u32>);

#[derive(Debug)]
struct Entry<T: ?Sized> {
    value: Arc<T>,
    uses: u64,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), numbers: FxHashMap::default(), free: VecDeque::new() }
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    /// The number of a value that is in use.
    pub(crate) fn number(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    /// The value of a number in use.
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<T>> {
        Some(&self.entries.get(number as usize)?.as_ref()?.value)
    }

    /// The value of a number that came from the state itself.
    pub(crate) fn at(&self, number: u32) -> &Arc<T> {
        self.get(number).expect("interned numbers in the state are in use")
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Uses `value` `uses` times more and gives its number.
    pub(crate) fn acquire(&mut self, value: &Arc<T>, uses: u64) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            self.reuse(number, uses);
            return number;
        }
        let number = self.free.pop_front().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        self.entries[number as usize] = Some(Entry { value: Arc::clone(value), uses });
        self.numbers.insert(Arc::clone(value), number);
        number
    }

    /// Uses a number in use `uses` times more.
    pub(crate) fn reuse(&mut self, number: u32, uses: u64) {
        self.entry(number).uses += uses;
    }

    /// Gives one use back.
    pub(crate) fn release(&mut self, number: u32) {
        let entry = self.entry(number);
        entry.uses -= 1;
        if entry.uses == 0 {
            let entry = self.entries[number as usize].take().expect("it was there a line ago");
            self.numbers.remove(&entry.value);
            self.free.push_back(number);
        }
    }

    fn entry(&mut self, number: u32) -> &mut Entry<T> {
        self.entries[number as usize].as_mut().expect("interned numbers in the state are in use")
    }

    /// Everything, for a snapshot.
    pub(crate) fn parts(&self) -> Parts<T> {
        let entries = self
            .entries
            .iter()
            .map(|entry| entry.as_ref().map(|entry| (Arc::clone(&entry.value), entry.uses)));
        (entries.collect(), self.free.iter().copied().collect())
    }

    /// The same again from a snapshot.
    pub(crate) fn from_parts((entries, free): Parts<T>) -> Self {
        let numbers = entries.iter().enumerate().filter_map(|(number, entry)| {
            entry.as_ref().map(|(value, _)| (Arc::clone(value), number as u32))
        });
        Self {
            numbers: numbers.collect(),
            entries: entries
                .into_iter()
                .map(|entry| entry.map(|(value, uses)| Entry { value, uses }))
                .collect(),
            free: free.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals name values by these numbers, so the order in which they are given again is part of the format.
    #[test]
    fn free_numbers_are_given_again_first_in_first_out() {
        let mut names: Interned<str> = Interned::default();
        let name = |text: &str| Arc::from(text);
        assert_eq!(["a", "b", "c"].map(|text| names.acquire(&name(text), 1)), [0, 1, 2]);
        names.release(2);
        names.release(0);
        assert_eq!(["d", "b", "e", "f"].map(|text| names.acquire(&name(text), 1)), [2, 1, 0, 3]);
    }
}
