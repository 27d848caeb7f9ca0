//! Who waits for the answer to a request: one caller, or several whose requests were joined.

use std::sync::Arc;

use lineshaft_wire::message::{Enqueued, Message};
use serde_bytes::ByteBuf;

use crate::client::Slot;
use crate::client::reply::Answer;

/// Bytes of an id in [`Enqueued::ids`].
const ID_BYTES: usize = 16;

/// Which of the jobs of a joined request are a caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// One who waits for an answer, or for a part of it.
pub(crate) struct Caller {
    pub(crate) slot: Arc<Slot>,
    pub(crate) part: Option<Part>,
}

impl Caller {
    /// Gives the caller its part of an answer of which others have a part, too.
    pub(crate) fn fill_from(&self, answer: &Answer) {
        self.slot.fill(match (self.part, answer) {
            (Some(part), Ok((Message::Enqueued(enqueued), payload))) => {
                Ok((part.of(enqueued).into(), payload.clone()))
            }
            (_, answer) => answer.clone(),
        });
    }

    fn fill_shared(&self, enqueued: &Arc<Enqueued>) {
        let all = Part { start: 0, count: (enqueued.ids.len() / ID_BYTES) as u32 };
        self.slot.fill_part(enqueued, self.part.unwrap_or(all));
    }
}

impl Part {
    pub(crate) fn of(self, enqueued: &Enqueued) -> Enqueued {
        let (start, end) = (self.start as usize, (self.start + self.count) as usize);
        // An answer that is too short is told from a right one by whoever reads it.
        let ids = enqueued.ids.get(start * ID_BYTES..end * ID_BYTES).unwrap_or_default();
        let existing = enqueued.existing.iter().filter(|index| (self.start..end as u32).contains(index));
        let existing = existing.map(|index| index - self.start).collect();
        // Only requests without keys are joined, and none of their jobs was there before.
        Enqueued { ids: ByteBuf::from(ids), existing, completed: Vec::new() }
    }
}

/// All who wait for one request: at least one.
pub(crate) struct Callers {
    first: Caller,
    others: Vec<Caller>,
}

impl Callers {
    pub(crate) fn push(&mut self, caller: Caller) {
        self.others.push(caller);
    }

    pub(crate) fn fill(&self, answer: Answer) {
        match answer {
            answer if self.others.is_empty() && self.first.part.is_none() => self.first.slot.fill(answer),
            Ok((Message::Enqueued(enqueued), _)) => {
                let enqueued = Arc::new(enqueued);
                self.iter().for_each(|caller| caller.fill_shared(&enqueued));
            }
            answer => self.iter().for_each(|caller| caller.fill_from(&answer)),
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn are_gone(&self) -> bool {
        self.iter().all(|caller| caller.slot.is_abandoned())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Caller> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Adds those who wait for the jobs that come behind ours: `jobs` are the numbers of both.
    pub(crate) fn join(&mut self, jobs: (usize, usize), behind: Self) {
        let (start, count) = (jobs.0 as u32, jobs.1 as u32);
        self.first.part.get_or_insert(Part { start: 0, count: start });
        self.others.extend(behind.into_iter().map(|caller| {
            let within = caller.part.unwrap_or(Part { start: 0, count });
            Caller { slot: caller.slot, part: Some(Part { start: start + within.start, ..within }) }
        }));
    }

    fn into_iter(self) -> impl Iterator<Item = Caller> {
        std::iter::once(self.first).chain(self.others)
    }
}

impl From<Caller> for Callers {
    fn from(first: Caller) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl From<Arc<Slot>> for Callers {
    fn from(slot: Arc<Slot>) -> Self {
        Caller { slot, part: None }.into()
    }
}
