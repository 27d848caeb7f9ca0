//! The end of a snapshot: what its layout had no place for at first. Snapshots of earlier versions end before it.

use std::sync::Arc;

use lineshaft_wire::message::Rules;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::SnapshotError;
use crate::interned::{Interned, Parts};
use crate::rules::{Handlers, Plain};
use crate::slot::{Checkpoint, Failure, SlotState};
use crate::state::State;

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Handlers of failures, by the number of the rules that have them.
    handlers: Vec<(u32, Handlers)>,
    /// What ties jobs that gave up to their handlers, by slot.
    failures: Vec<(u32, Failure)>,
}

/// Slot and checkpoint of every job that has one: a part of its own, behind the rest of the tail.
pub(super) type Checkpoints = Vec<(u32, Checkpoint)>;

/// Versions of the handlers of rules, by the number of the rules: the last part, for rules with one after the first.
pub(super) type Versions = Vec<(u32, Vec<u32>)>;

/// The tail in the bytes after the slots.
pub(super) fn read(bytes: &[u8]) -> Result<(Tail, Checkpoints, Versions), SnapshotError> {
    let (tail, rest) = take_part(bytes)?;
    let (checkpoints, rest) = take_part(rest)?;
    let (versions, _) = take_part(rest)?;
    Ok((tail, checkpoints, versions))
}

fn take_part<'a, T: Default + Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), SnapshotError> {
    Ok(if bytes.is_empty() { (T::default(), bytes) } else { postcard::take_from_bytes(bytes)? })
}

/// Rules without their handlers.
pub(super) fn plain((rules, free): Parts<Rules>) -> Parts<Plain> {
    let plain = |(rules, uses): (Arc<Rules>, u64)| (Arc::new(Plain((*rules).clone())), uses);
    (rules.into_iter().map(|entry| entry.map(plain)).collect(), free)
}

impl State {
    pub(super) fn tail(&self) -> Tail {
        let slots = (0..).zip(self.slots.0.iter());
        let failures = slots.filter_map(|(index, slot)| Some((index, slot.failure()?)));
        Tail { handlers: self.handlers().collect(), failures: failures.collect() }
    }

    pub(super) fn versions(&self) -> Versions {
        let versions = self.handlers().map(|(number, handlers)| (number, handlers.versions()));
        versions.filter(|(_, versions)| !versions.is_empty()).collect()
    }

    /// Rules with handlers, by number.
    fn handlers(&self) -> impl Iterator<Item = (u32, Handlers)> {
        let rules = (0..).zip(self.rules.parts().0);
        let handlers = rules.filter_map(|(number, entry)| Some((number, Handlers::of(&entry?.0))));
        handlers.filter(|(_, handlers)| !handlers.is_empty())
    }

    pub(super) fn take_tail(
        &mut self,
        rules: Parts<Plain>,
        tail: Tail,
        versions: Versions,
    ) -> Result<(), SnapshotError> {
        let (rules, free) = rules;
        let mut handlers: FxHashMap<u32, Handlers> = tail.handlers.into_iter().collect();
        for (number, versions) in versions {
            let versioned = handlers.remove(&number).and_then(|handlers| handlers.of_versions(&versions));
            let versioned = versioned.ok_or(SnapshotError::Inconsistent("versions of other handlers"))?;
            handlers.insert(number, versioned);
        }
        let rules = (0..).zip(rules).map(|(number, entry)| {
            let (plain, uses) = entry?;
            let handlers = handlers.remove(&number).unwrap_or_default();
            Some((Arc::new(handlers.complete((*plain).clone())), uses))
        });
        self.rules = Interned::from_parts((rules.collect(), free));
        if !handlers.is_empty() {
            return Err(SnapshotError::Inconsistent("handlers of unknown rules"));
        }
        for (index, failure) in tail.failures {
            let slot = self.slots.0.get_mut(index).filter(|slot| slot.state != SlotState::Free);
            let slot = slot.ok_or(SnapshotError::Inconsistent("the failure of no job"))?;
            slot.extra_mut().failure = Some(Box::new(failure));
        }
        Ok(())
    }

    pub(super) fn checkpoint_rows(&self) -> Checkpoints {
        let slots = (0..).zip(self.slots.0.iter());
        slots.filter_map(|(index, slot)| Some((index, slot.checkpoint()?))).collect()
    }

    pub(super) fn take_checkpoints(&mut self, checkpoints: Checkpoints) -> Result<(), SnapshotError> {
        for (index, checkpoint) in checkpoints {
            let slot = self.slots.0.get_mut(index).filter(|slot| slot.state != SlotState::Free);
            let slot = slot.ok_or(SnapshotError::Inconsistent("a checkpoint of no job"))?;
            slot.extra_mut().checkpoint = Some(Box::new(checkpoint));
        }
        Ok(())
    }
}
