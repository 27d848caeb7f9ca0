//! Questions to the engine's cache, and changes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::message::{CacheFound, CacheGet, CacheInvalidate, CacheSet, Changed, Message, NewEntry};

use super::connection::unexpected;
use super::{Client, Reply};
use crate::Error;

/// What keys of the cache were found with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedUp {
    /// For each key its value, and whether its time is over.
    pub values: Vec<Option<(Bytes, bool)>>,
    /// For [`Client::cache_set`] of what is computed now, so that it is not stored if it is invalidated meanwhile.
    pub ticket: u64,
}

/// Deadlines of all of these are as in [`Client::call`].
impl Client {
    /// Looks keys up, at most 1,024. With `peek` that counts as no use.
    pub fn cache_get(&self, keys: Vec<Arc<str>>, peek: bool, deadline: Option<Duration>) -> Reply<LookedUp> {
        self.call(CacheGet { keys, peek }, Vec::new(), deadline).into_looked_up()
    }

    /// Stores entries with these values, in the order of the entries; [`Changed::jobs`] says how many: those with a ticket
    /// are left out if they were invalidated since.
    pub fn cache_set(
        &self,
        entries: Vec<NewEntry>,
        values: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Reply<Changed> {
        self.mutate(|sequence| CacheSet { sequence, entries }.into(), values, deadline).into_changed()
    }

    /// Makes entries untrue, by their keys, by tags, or all; nobody is given them any more once this is answered.
    /// [`Changed::jobs`] says how many of the keys there were.
    pub fn cache_invalidate(
        &self,
        keys: Vec<Arc<str>>,
        tags: Vec<Arc<str>>,
        all: bool,
        deadline: Option<Duration>,
    ) -> Reply<Changed> {
        self.mutate(|sequence| CacheInvalidate { sequence, keys, tags, all }.into(), Vec::new(), deadline)
            .into_changed()
    }
}

impl Reply {
    fn into_looked_up(self) -> Reply<LookedUp> {
        self.map(|message, values| match message {
            Message::CacheFound(found) => looked_up(&found, values),
            other => Err(unexpected(&other, "CacheFound")),
        })
    }
}

/// Cuts the values of an answer.
pub fn looked_up(found: &CacheFound, mut values: Bytes) -> Result<LookedUp, Error> {
    let lengths = || found.entries.iter().flatten().map(|entry| entry.length as usize);
    if lengths().sum::<usize>() != values.len() {
        return Err(Error::Protocol("CacheFound announces other values than there are".into()));
    }
    let mut cut = |length: u32| values.split_to(length as usize);
    let values = found.entries.iter().map(|entry| entry.map(|entry| (cut(entry.length), entry.is_stale)));
    Ok(LookedUp { values: values.collect(), ticket: found.ticket })
}
