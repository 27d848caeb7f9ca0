//! What a child does with ends that the server does not take: later again, over a new connection, or less of them.
//! Never nothing, since a lease whose end is forgotten is renewed for ever.

use std::time::{Duration, Instant};

use lineshaft_wire::message::{RefusalCode, Refused};

use super::{Phase, Session};
use crate::worker::child::ledger::Entry;

/// Pause before ends that were refused are sent again.
const PAUSE: Duration = Duration::from_secs(1);

impl Session {
    pub(super) fn refuse(&mut self, request: u64, refused: &Refused) {
        let Refused { code, message, .. } = refused;
        if matches!(self.phase, Phase::Attaching { request: attach, .. } if attach == request) || request == 0
        {
            tracing::warn!(?code, message, "the server refuses this child");
            return self.reset(refused.clone().into());
        }
        if let Some((_, entry)) = self.ledger.take(request) {
            self.refuse_entry(entry, refused);
        }
    }

    fn refuse_entry(&mut self, mut entry: Entry, refused: &Refused) {
        let Refused { code, message, .. } = refused;
        if matches!(code, RefusalCode::StoreFull | RefusalCode::QueueFull | RefusalCode::ShuttingDown) {
            return self.postpone(entry);
        }
        if let Entry::Checkpoint(pending) = &entry
            && is_for_its_own_sake(*code)
        {
            return pending.answer(Err(refused.clone().into()));
        }
        tracing::error!(?code, message, "the server refuses what this child says of its attempts");
        if is_for_its_own_sake(*code) && entry.is_hopeless_after_this() {
            return self.send_less(entry, message);
        }
        if let Entry::Release(leases) = &entry {
            // A new connection that does not list them hands them back as well.
            self.shared.settled(leases, 0);
        } else {
            self.postpone(entry);
        }
        // Forgotten, the leases would be renewed for ever; a server that knows this child anew may see it otherwise.
        self.reset(refused.clone().into());
    }

    fn postpone(&mut self, entry: Entry) {
        self.refused.push((Instant::now() + PAUSE, entry));
    }

    pub(super) fn send_less(&mut self, entry: Entry, why: &str) {
        let before = entry.weight().1;
        let less = entry.lessened(why);
        self.shared.reweigh(before, less.iter().map(|entry| entry.weight().1).sum());
        less.into_iter().for_each(|entry| self.postpone(entry));
    }
}

fn is_for_its_own_sake(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::TooLarge | RefusalCode::BadRequest | RefusalCode::BadFrame)
}
