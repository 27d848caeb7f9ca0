//! Steps about the cache, and what of it must be as the model says.

use std::sync::Arc;

use lineshaft_jobs::{Command, Place};
use lineshaft_wire::message::{CacheInvalidate, CacheSet, NewEntry};

use super::World;
use crate::steps::{Kept, LOCKS, TAGS, Turn};

impl World {
    pub(super) fn store(
        &mut self,
        turn: Turn,
        entries: &[Kept],
        ticket: Option<u8>,
        blob: Option<u8>,
        lie: bool,
    ) {
        let (session, sequence) = self.turn(turn);
        let ticket = ticket.and_then(|back| self.tickets.iter().rev().nth(usize::from(back)).copied());
        let entries: Vec<NewEntry> = entries.iter().map(|kept| new_entry(kept, ticket)).collect();
        let lengths: Vec<usize> = entries.iter().map(|entry| entry.length as usize).collect();
        let mut values = self.payloads(&lengths, blob.map(usize::from));
        if lie {
            values.bytes = [&values.bytes[..], b"!"].concat().into();
        }
        // What makes no sense is refused, by the model too.
        let _ = self.command(Command::CacheSet { session, request: CacheSet { sequence, entries }, values });
    }

    pub(super) fn invalidate_entries(&mut self, turn: Turn, keys: &[u8], tags: &[u8], all: bool) {
        let (session, sequence) = self.turn(turn);
        let keys = keys.iter().map(|key| name(&LOCKS, *key)).collect();
        let tags = tags.iter().map(|tag| name(&TAGS, *tag)).collect();
        let request = CacheInvalidate { sequence, keys, tags, all };
        let _ = self.command(Command::CacheInvalidate { session, request });
    }

    pub(super) fn evict(&mut self, keys: &[u8]) {
        let keys = keys.iter().map(|key| name(&LOCKS, *key)).collect();
        self.command(Command::CacheEvict { keys }).expect("an eviction is never refused");
    }

    pub(super) fn compare_cache(&mut self) {
        let state = &self.machine.state;
        for key in LOCKS.map(Arc::from) {
            let seen = state.cache_entry(&key, self.machine.now);
            let expected = self.model.cached_value(&key);
            assert_eq!(seen.map(|it| it.is_stale), expected.as_ref().map(|(_, is_stale)| *is_stale), "{key}");
            if let (Some(seen), Some((value, _))) = (seen, expected) {
                self.compare_payload(seen.place, &value);
            }
        }
        let entries = self.model.cached_values().count() as u64;
        assert_eq!((state.cache_size().0, state.cache_ticket()), (entries, self.model.cache_ticket()));
        self.tickets.push(state.cache_ticket());
    }

    /// Where the values of all entries lie.
    pub(super) fn cached_places(&self) -> Vec<Place> {
        let state = &self.machine.state;
        state.cache_indexes().filter_map(|index| state.cache_place(index)).collect()
    }
}

fn new_entry(kept: &Kept, ticket: Option<u64>) -> NewEntry {
    NewEntry {
        key: name(&LOCKS, kept.key),
        length: u32::from(kept.length),
        ttl_ms: kept.ttl_ms.map(u64::from),
        idle_ms: None,
        stale_ms: u64::from(kept.stale_ms),
        tags: kept.tags.iter().map(|tag| name(&TAGS, *tag)).collect(),
        ticket,
        sources: kept.sources.iter().map(|key| name(&LOCKS, *key)).collect(),
    }
}

/// One of the names, or one that cannot be.
fn name(names: &[&str; 3], at: u8) -> Arc<str> {
    names.get(usize::from(at)).copied().unwrap_or("\n").into()
}
