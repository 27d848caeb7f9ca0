//! Locks that callers ask for, hold and give back: what the client's task has to say about each, and when. No input or
//! output happens here; time comes in as a value.
//!
//! Everything is said under a token that is never used again, and may be said again over the next connection: who holds a
//! lock is told so once more, and what is not held is not given back twice.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::message::{
    Acquire, Acquired, LOCK_TOKENS_MAX, LocksLost, Message, RefusalCode, ReleaseLocks, RenewLocks,
};
use rustc_hash::FxHashMap;

use super::Slot;
use super::hold::{Asked, Holding};
use super::ledger::{Ledger, Sink};
use crate::Error;

/// A lock is renewed so many times before it would be lost: see ADR 0011.
const RENEWALS: u32 = 5;

/// How long what is given back is kept to be said again, where the lock would be held for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(crate) struct Locks {
    entries: BTreeMap<u64, Entry>,
    /// Tokens with something to say.
    due: BTreeSet<u64>,
    /// When a lock is to be renewed, or given up.
    wakes: BTreeSet<(Instant, u64)>,
    /// Requests over this connection.
    requests: FxHashMap<u64, Request>,
    /// The session that they belong to.
    session: Option<u64>,
    is_connected: bool,
}

struct Entry {
    acquire: Acquire,
    asked_at: Instant,
    ttl: Duration,
    holding: Arc<Holding>,
    phase: Phase,
    /// Among the wakes.
    wake: Option<Instant>,
    /// Whether the server may have heard of it.
    is_told: bool,
    /// Since when there is no connection to ask over.
    since: Instant,
}

enum Phase {
    /// It is asked for.
    Wanted {
        slot: Arc<Slot>,
    },
    /// The server gave it, but that may have been long ago: it is held when a renewal says so.
    Given {
        slot: Arc<Slot>,
        acquired: Acquired,
    },
    Held,
    /// It is given back, or up.
    Leaving {
        slot: Option<Arc<Slot>>,
    },
}

enum Request {
    Acquire { token: u64, sent: Instant },
    Renew { tokens: Vec<u64>, sent: Instant },
    Release { tokens: Vec<u64> },
}

/// What the task knows of the request that it got.
fn acquire_of(asked: &Asked) -> Acquire {
    let request = &asked.request;
    Acquire {
        kind: request.kind,
        key: Arc::clone(&request.key),
        permits: request.permits,
        token: asked.token,
        party: request.party,
        ttl_ms: request.ttl.as_millis() as u64,
        wait: request.wait,
        waited_ms: 0,
        program: Arc::clone(&request.program),
        pid: std::process::id(),
    }
}

impl Locks {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a caller waits for an answer.
    pub(crate) fn has_unanswered(&self) -> bool {
        !self.requests.is_empty() || !self.due.is_empty()
    }

    /// When [`Locks::ask`] has something to say that nobody asked for.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// A caller wants a lock.
    pub(crate) fn want(&mut self, asked: Asked, now: Instant) {
        let (acquire, ttl) = (acquire_of(&asked), asked.request.ttl);
        let Asked { token, holding, slot, .. } = asked;
        let phase = Phase::Wanted { slot };
        let entry =
            Entry { acquire, asked_at: now, ttl, holding, phase, wake: None, is_told: false, since: now };
        self.entries.insert(token, entry);
        self.due.insert(token);
    }

    /// A caller gives a lock back, or up. `slot` is filled when the server has heard of it.
    pub(crate) fn release(&mut self, token: u64, slot: Option<Arc<Slot>>, now: Instant) {
        let Some(entry) = self.entries.get_mut(&token) else {
            return fill(slot, Ok(LocksLost { tokens: vec![token] }));
        };
        if !entry.is_told {
            self.remove(token);
            return fill(slot, Ok(LocksLost::default()));
        }
        entry.phase = Phase::Leaving { slot };
        // Its time will be over, whether or not the server hears of this.
        let until = now + entry.ttl.min(PATIENCE);
        self.wake_at(token, Some(until));
        self.due.insert(token);
    }

    /// There is a connection, whose session is this one: everything is said again.
    pub(crate) fn connected(&mut self, session: Option<u64>, now: Instant) {
        self.is_connected = true;
        if mem::replace(&mut self.session, session) != session {
            self.begin_anew();
        }
        let tokens: Vec<u64> = self.entries.keys().copied().collect();
        for token in tokens {
            match self.entries[&token].phase {
                Phase::Held | Phase::Given { .. } => self.wake_at(token, Some(now)),
                Phase::Wanted { .. } | Phase::Leaving { .. } => _ = self.due.insert(token),
            }
        }
    }

    /// Another session knows nothing of what was held in the one before.
    fn begin_anew(&mut self) {
        let tokens: Vec<u64> = self.entries.keys().copied().collect();
        for token in tokens {
            match &self.entries[&token].phase {
                Phase::Wanted { .. } => {}
                Phase::Given { .. } => self.want_again(token),
                Phase::Held | Phase::Leaving { .. } => self.lost(token),
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.is_connected = false;
        self.requests.clear();
        let tokens: Vec<u64> = self.entries.keys().copied().collect();
        for token in tokens {
            let Some(entry) = self.entries.get_mut(&token) else { continue };
            entry.since = now;
            let (ttl, phase) = (entry.ttl, &entry.phase);
            match phase {
                Phase::Held => self.wake_at(token, Some(now + ttl)),
                Phase::Given { .. } => self.wake_at(token, None),
                Phase::Wanted { .. } | Phase::Leaving { .. } => {}
            }
        }
    }

    /// Says what there is to say.
    pub(crate) fn ask(&mut self, ledger: &mut Ledger, sink: &mut impl Sink, now: Instant) {
        if ledger.session().is_none() {
            return;
        }
        let due = mem::take(&mut self.due).into_iter();
        let (leaving, wanted): (Vec<u64>, Vec<u64>) =
            due.partition(|token| self.entries.get(token).is_some_and(Entry::is_leaving));
        // First what is given back: whoever did so and asks again does not wait for itself.
        for tokens in leaving.chunks(LOCK_TOKENS_MAX) {
            let message = ReleaseLocks { tokens: tokens.to_vec() }.into();
            self.send(ledger, sink, &message, Request::Release { tokens: tokens.to_vec() });
        }
        for token in wanted {
            let Some(entry) = self.entries.get_mut(&token) else { continue };
            if matches!(entry.phase, Phase::Wanted { .. }) {
                entry.is_told = true;
                entry.acquire.waited_ms = now.duration_since(entry.asked_at).as_millis() as u64;
                let message = entry.acquire.clone().into();
                self.send(ledger, sink, &message, Request::Acquire { token, sent: now });
            }
        }
        self.renew(ledger, sink, now);
    }

    fn renew(&mut self, ledger: &mut Ledger, sink: &mut impl Sink, now: Instant) {
        let due: Vec<u64> = self.wakes.range(..=(now, u64::MAX)).map(|(_, token)| *token).collect();
        let held = due.into_iter().filter(|token| {
            let entry = self.entries.get(token);
            entry.is_some_and(|entry| matches!(entry.phase, Phase::Held | Phase::Given { .. }))
        });
        let held: Vec<u64> = held.collect();
        for tokens in held.chunks(LOCK_TOKENS_MAX) {
            for token in tokens {
                let pause = self.entries[token].ttl / RENEWALS;
                self.wake_at(*token, Some(now + pause));
            }
            let message = RenewLocks { tokens: tokens.to_vec() }.into();
            self.send(ledger, sink, &message, Request::Renew { tokens: tokens.to_vec(), sent: now });
        }
    }

    fn send(&mut self, ledger: &mut Ledger, sink: &mut impl Sink, message: &Message, request: Request) {
        let id = ledger.take_id();
        // They are small: none is refused for its size.
        let _ = sink.send(id, message, &[]);
        self.requests.insert(id, request);
    }

    /// Whether an answer is for us.
    pub(crate) fn is_ours(&self, request_id: u64) -> bool {
        self.requests.contains_key(&request_id)
    }

    /// Takes an answer.
    pub(crate) fn answer(&mut self, request_id: u64, message: Message, now: Instant) -> Result<(), Error> {
        let Some(request) = self.requests.remove(&request_id) else { return Ok(()) };
        match (request, message) {
            (Request::Acquire { token, sent }, Message::Acquired(acquired)) => {
                self.acquired(token, acquired, sent, now);
            }
            (Request::Acquire { token, .. }, Message::Refused(refused)) => {
                // A server that stops has a successor, which is asked again.
                if refused.code != RefusalCode::ShuttingDown && self.is_wanted(token) {
                    self.fail(token, refused.into());
                }
            }
            (Request::Renew { tokens, sent }, Message::LocksLost(lost)) => {
                self.renewed(&tokens, &lost.tokens, sent);
            }
            (Request::Release { tokens }, Message::LocksLost(lost)) => {
                for token in tokens {
                    let lost = if lost.tokens.contains(&token) { vec![token] } else { Vec::new() };
                    self.left(token, Ok(LocksLost { tokens: lost }));
                }
            }
            (Request::Release { tokens }, Message::Refused(refused)) => {
                let error = Error::from(refused);
                tokens.into_iter().for_each(|token| self.left(token, Err(error.clone())));
            }
            // Its time goes on, and it is renewed again before that is over.
            (Request::Renew { .. }, Message::Refused(_)) => {}
            (_, other) => {
                return Err(Error::Protocol(format!("{} answers what was asked of locks", other.name())));
            }
        }
        Ok(())
    }

    /// The server took locks away.
    pub(crate) fn taken(&mut self, tokens: &[u64]) {
        for token in tokens {
            match self.entries.get(token).map(|entry| &entry.phase) {
                Some(Phase::Given { .. }) => self.want_again(*token),
                Some(Phase::Held) => self.lost(*token),
                Some(Phase::Wanted { .. } | Phase::Leaving { .. }) | None => {}
            }
        }
    }

    fn is_wanted(&self, token: u64) -> bool {
        self.entries.get(&token).is_some_and(|entry| matches!(entry.phase, Phase::Wanted { .. }))
    }

    fn acquired(&mut self, token: u64, acquired: Acquired, sent: Instant, now: Instant) {
        let Some(entry) = self.entries.get_mut(&token) else { return };
        let Phase::Wanted { slot } = &entry.phase else { return };
        let slot = Arc::clone(slot);
        if acquired.fence.is_none() {
            self.remove(token);
            return slot.fill(Ok((acquired.into(), Bytes::new())));
        }
        if now.duration_since(sent) > entry.ttl / RENEWALS {
            entry.phase = Phase::Given { slot, acquired };
            return self.wake_at(token, Some(now));
        }
        entry.holding.confirm(sent);
        self.hold(token, &slot, acquired, sent);
    }

    fn hold(&mut self, token: u64, slot: &Arc<Slot>, acquired: Acquired, sent: Instant) {
        let Some(entry) = self.entries.get_mut(&token) else { return };
        entry.holding.hold(acquired);
        entry.phase = Phase::Held;
        let renew_at = sent + entry.ttl / RENEWALS;
        self.wake_at(token, Some(renew_at));
        slot.fill(Ok((acquired.into(), Bytes::new())));
    }

    fn renewed(&mut self, tokens: &[u64], lost: &[u64], sent: Instant) {
        self.taken(lost);
        for token in tokens.iter().filter(|token| !lost.contains(token)) {
            let Some(entry) = self.entries.get(token) else { continue };
            entry.holding.confirm(sent);
            if let Phase::Given { slot, acquired } = &entry.phase {
                let (slot, acquired) = (Arc::clone(slot), *acquired);
                self.hold(*token, &slot, acquired, sent);
            }
        }
    }

    /// It was given and lost again before it was heard of.
    fn want_again(&mut self, token: u64) {
        let Some(entry) = self.entries.get_mut(&token) else { return };
        if let Phase::Given { slot, .. } = &entry.phase {
            entry.phase = Phase::Wanted { slot: Arc::clone(slot) };
            self.wake_at(token, None);
            self.due.insert(token);
        }
    }

    fn lost(&mut self, token: u64) {
        let Some(entry) = self.remove(token) else { return };
        entry.holding.lose();
        if let Phase::Leaving { slot } = entry.phase {
            fill(slot, Ok(LocksLost { tokens: vec![token] }));
        }
    }

    fn left(&mut self, token: u64, answer: Result<LocksLost, Error>) {
        if let Some(Entry { phase: Phase::Leaving { slot }, .. }) = self.remove(token) {
            fill(slot, answer);
        }
    }

    fn fail(&mut self, token: u64, error: Error) {
        let Some(entry) = self.remove(token) else { return };
        match entry.phase {
            Phase::Wanted { slot } | Phase::Given { slot, .. } => slot.fill(Err(error)),
            Phase::Held => {}
            Phase::Leaving { slot } => fill(slot, Err(error)),
        }
    }

    /// Forgets what was given back so long ago that its time is over, and what was held when the connection ended. Fails,
    /// with the `error` that keeps the connection away, what could not be asked for since before `limit`.
    pub(crate) fn expire(&mut self, now: Instant, trouble: Option<(&Error, Instant)>) {
        let due: Vec<u64> = self.wakes.range(..=(now, u64::MAX)).map(|(_, token)| *token).collect();
        for token in due {
            match self.entries[&token].phase {
                Phase::Leaving { .. } => self.left(token, Ok(LocksLost { tokens: vec![token] })),
                Phase::Held if !self.is_connected => self.lost(token),
                _ => {}
            }
        }
        let Some((error, limit)) = trouble else { return };
        let late = self.entries.iter().filter(|(_, entry)| entry.is_asked_for() && entry.since <= limit);
        let late: Vec<u64> = late.map(|(token, _)| *token).collect();
        late.into_iter().for_each(|token| self.fail(token, error.clone()));
    }

    /// Since when the oldest one could not be asked for.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| entry.is_asked_for()).map(|entry| entry.since).min()
    }

    /// There will be no connection: fails what is asked for.
    pub(crate) fn fail_all(&mut self, error: &Error) {
        let asked = self.entries.iter().filter(|(_, entry)| !matches!(entry.phase, Phase::Held));
        let asked: Vec<u64> = asked.map(|(token, _)| *token).collect();
        asked.into_iter().for_each(|token| self.fail(token, error.clone()));
    }

    fn wake_at(&mut self, token: u64, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&token) else { return };
        if let Some(before) = mem::replace(&mut entry.wake, at) {
            self.wakes.remove(&(before, token));
        }
        self.wakes.extend(at.map(|at| (at, token)));
    }

    fn remove(&mut self, token: u64) -> Option<Entry> {
        self.wake_at(token, None);
        self.due.remove(&token);
        self.entries.remove(&token)
    }
}

impl Entry {
    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    fn is_asked_for(&self) -> bool {
        matches!(self.phase, Phase::Wanted { .. } | Phase::Given { .. })
    }
}

fn fill(slot: Option<Arc<Slot>>, answer: Result<LocksLost, Error>) {
    if let Some(slot) = slot {
        slot.fill(answer.map(|lost| (lost.into(), Bytes::new())));
    }
}

#[cfg(test)]
mod tests;
