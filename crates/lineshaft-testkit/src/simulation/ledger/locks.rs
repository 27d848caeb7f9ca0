//! Who holds which lock, by what they were told.

use std::collections::BTreeMap;

use crate::simulation::Time;

/// Locks as those know them who hold them.
#[derive(Clone, Default)]
pub(in crate::simulation) struct Locks {
    /// Holders by their places: the key, the fence, and until when they may count on it.
    held: BTreeMap<usize, (&'static str, u64, Time)>,
    /// The greatest fence of each key.
    newest: BTreeMap<&'static str, u64>,
    /// Locks that were held.
    pub(in crate::simulation) given: u64,
}

impl Locks {
    /// One holds a lock for certain until then, for the first time or still.
    ///
    /// Errors if another one may count on it, too, or its fence is not greater than those before.
    pub(in crate::simulation) fn holds(
        &mut self,
        place: usize,
        key: &'static str,
        (fence, until): (u64, Time),
        now: Time,
    ) -> Result<(), String> {
        let other = self
            .held
            .iter()
            .find(|(other, (known, _, until))| **other != place && *known == key && *until > now);
        if let Some((other, (_, theirs, _))) = other {
            return Err(format!("lock {key} is held by {place} with {fence} and by {other} with {theirs}"));
        }
        let newest = self.newest.entry(key).or_default();
        if self.held.insert(place, (key, fence, until)).is_none_or(|before| before.1 != fence) {
            self.given += 1;
            if fence <= *newest {
                return Err(format!("lock {key} has fence {fence} after {newest}"));
            }
            *newest = fence;
        }
        Ok(())
    }

    /// One holds nothing any more.
    pub(in crate::simulation) fn lets_go(&mut self, place: usize) {
        self.held.remove(&place);
    }
}
