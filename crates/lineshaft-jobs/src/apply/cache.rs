//! Entries of the cache that come, go, and become untrue.

use std::sync::Arc;

use crate::change::{CachedValue, MovedValue, Place};
use crate::command::Event;
use crate::state::State;

impl State {
    pub(super) fn store_entry(&mut self, entry: &CachedValue, place: Place) {
        self.drop_entry(&entry.key);
        self.keep(place);
        let index = self.cache.insert(entry.clone(), place);
        self.events.push(Event::EntryStored { index });
    }

    pub(super) fn drop_entry(&mut self, key: &str) {
        let Some((index, entry)) = self.cache.remove(key) else { return };
        self.unkeep(entry.place);
        self.events.push(Event::EntryGone { index });
    }

    pub(super) fn invalidate_entries(&mut self, keys: &[Arc<str>], tags: &[Arc<str>], all: bool) {
        keys.iter().for_each(|key| self.drop_entry(key));
        self.cache.invalidate(keys, tags, all);
    }

    pub(super) fn move_value(&mut self, file: u64, moved: &MovedValue) {
        let to = Place::cold(file, moved.offset, moved.from.length);
        if self.cache.move_value(&moved.key, moved.from, to) {
            self.kept.remove(moved.from);
            self.kept.add(to);
        }
    }
}
