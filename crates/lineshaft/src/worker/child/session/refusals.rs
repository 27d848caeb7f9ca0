//! What a child does with ends that the server does not take: later again, over a new connection, or less of them.
//! Never nothing, since a lease whose end is forgotten is renewed for ever.

use std::time::{Duration, Instant};

use lineshaft_wire::message::{Finished, RefusalCode, Refused};

use super::{Phase, Session};
use crate::worker::child::checkpoint::Pending;
use crate::worker::child::ledger::Entry;

/// Pause before ends that were refused are sent again.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(1) };

impl Session {
    pub(super) fn refuse(&mut self, request: u64, refused: &Refused) {
        let Refused { code, message, .. } = refused;
        if matches!(self.phase, Phase::Attaching { request: attach, .. } if attach == request) || request == 0
        {
            tracing::warn!(?code, message, "the server refuses this child");
            self.words.say(&format!("the server refuses child {}: {message}", self.introduction.number));
            return self.reset(refused.clone().into());
        }
        if let Some((_, end)) = self.logs.iter().find(|(logs, _)| *logs == request) {
            tracing::warn!(?code, message, "the server does not take what attempts logged");
            if is_for_its_own_sake(*code) {
                // Nothing that is cut as these are is refused by a server of this version.
                self.shared.logs.confirmed(*end);
            }
            self.shared.logs.again();
            (self.logs_sent, self.logs) = Default::default();
            self.logs_at = Instant::now() + PAUSE;
            return;
        }
        if let Some((_, entry)) = self.ledger.take(request) {
            self.refuse_entry(entry, refused);
        }
    }

    fn refuse_entry(&mut self, mut entry: Entry, refused: &Refused) {
        let Refused { code, message, .. } = refused;
        if let Entry::Checkpoint(pending) = entry {
            return self.refuse_checkpoint(pending, refused);
        }
        if is_for_want_of_room(*code) {
            return entry.apart().into_iter().for_each(|entry| self.postpone(entry));
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

    /// Only the newest one of an attempt is sent again: older ones must not replace it.
    fn refuse_checkpoint(&mut self, mut pending: Pending, refused: &Refused) {
        if is_for_its_own_sake(refused.code) {
            return pending.answer(Err(refused.clone().into()));
        }
        let is_outdated = self.shared.state().is_outdated(&pending);
        if is_outdated {
            return pending.answer(Ok(Finished::default()));
        }
        let mut state = self.shared.state();
        let postponed = self.refused.iter_mut().filter_map(|(_, entry)| entry.as_checkpoint());
        let others = state.checkpoints.iter_mut().chain(self.ledger.checkpoints()).chain(postponed);
        if let Some(newer) = others.filter(|other| other.is_after(&pending)).max_by_key(|other| other.number)
        {
            return newer.replace(pending);
        }
        drop(state);
        self.postpone(Entry::Checkpoint(pending));
        if !is_for_want_of_room(refused.code) {
            tracing::error!(code = ?refused.code, message = refused.message, "the server refuses a checkpoint");
            self.reset(refused.clone().into());
        }
    }

    /// An older checkpoint that was refused must not be sent after this one.
    pub(super) fn replace_postponed(&mut self, newer: &mut Pending) {
        let is_older =
            |entry: &mut (Instant, Entry)| entry.1.as_checkpoint().is_some_and(|it| newer.is_after(it));
        let older: Vec<_> = self.refused.extract_if(.., is_older).collect();
        for (_, entry) in older {
            if let Entry::Checkpoint(older) = entry {
                newer.replace(older);
            }
        }
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

fn is_for_want_of_room(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::StoreFull | RefusalCode::QueueFull | RefusalCode::ShuttingDown)
}

fn is_for_its_own_sake(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::TooLarge | RefusalCode::BadRequest | RefusalCode::BadFrame)
}
