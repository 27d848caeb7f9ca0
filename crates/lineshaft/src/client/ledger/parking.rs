//! Deadlines, and what becomes of a request whose caller has been told that its outcome is unknown.

use std::mem;
use std::time::{Duration, Instant};

use super::{Caller, Ledger, PARKED_FOR, Parked, Request, Sink};
use crate::Error;
use crate::client::outcome::forgotten;

impl Ledger {
    /// Answers what is past its deadline; `trouble` is why there is no connection, if there is none.
    pub(crate) fn expire(&mut self, now: Instant, trouble: Option<&Error>) {
        while let Some((at, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            let waiting = self.mutations_waiting.remove(&id).or_else(|| self.reads_waiting.remove(&id));
            match waiting {
                Some(waiting) => waiting.request.callers.fill(Err(too_late(&waiting.request, trouble))),
                None => self.expire_open(now, id, trouble),
            }
        }
    }

    fn expire_open(&mut self, now: Instant, id: u64, trouble: Option<&Error>) {
        let Some(open) = self.open.get(&id) else { return };
        match (open.number, &open.parked) {
            (Some(number), Parked::No) => self.park(now, id, number),
            _ => {
                if let Some(open) = self.close(id) {
                    open.request.callers.fill(Err(too_late(&open.request, trouble)));
                }
            }
        }
    }

    fn park(&mut self, now: Instant, id: u64, number: u64) {
        let until = now + PARKED_FOR;
        let commands = self.commands.upgrade();
        let Some(open) = self.open.get_mut(&id) else { return };
        open.parked = Parked::Unanswered { until };
        open.holders += open.request.callers.iter().count() as u32;
        self.deadlines.insert((until, id));
        if let Some(open) = self.open.get(&id) {
            self.say_unknown(commands.as_ref(), id, number, &open.request);
        }
    }

    /// A caller asks again for the outcome of a parked request. With a `sink` it is sent at once, unless it is under way
    /// there, else with the next connection.
    pub(crate) fn unpark(&mut self, id: u64, again: Again, sink: Option<&mut impl Sink>) {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.holders > 0) else {
            return again.caller.slot.fill(Err(forgotten(again.request)));
        };
        match mem::take(&mut open.parked) {
            Parked::Answered { until, answer } => {
                again.caller.fill_from(&answer);
                open.parked = Parked::Answered { until, answer };
            }
            Parked::Unanswered { until } => {
                self.deadlines.remove(&(until, id));
                self.deadlines.insert((again.deadline, id));
                open.request.deadline = again.deadline;
                open.request.patience = again.patience;
                open.request.callers = again.caller.into();
                if let Some(sink) = sink {
                    open.send(id, sink);
                }
            }
            // Somebody else asked again already.
            Parked::No => open.request.callers.push(again.caller),
        }
    }

    /// One who could have asked for an unknown outcome will not.
    pub(crate) fn forget(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.holders = open.holders.saturating_sub(1);
        if open.holders == 0 {
            self.drop_parked(Some(id));
        }
    }

    /// Answers everything with `error`; what was sent and is mutating, with its unknown outcome.
    pub(crate) fn fail_all(&mut self, now: Instant, error: &Error) {
        let waiting =
            mem::take(&mut self.mutations_waiting).into_iter().chain(mem::take(&mut self.reads_waiting));
        for (id, waiting) in waiting {
            self.deadlines.remove(&(waiting.request.deadline, id));
            waiting.request.callers.fill(Err(error.clone()));
        }
        let open: Vec<u64> = self.open.keys().copied().collect();
        for id in open.into_iter().filter(|id| !self.is_parked(*id)).collect::<Vec<_>>() {
            if let Some(open) = self.open.get(&id) {
                self.deadlines.remove(&(open.wakes_at(), id));
            }
            self.expire_open(now, id, Some(error));
        }
    }
}

/// How a caller asks again.
pub(crate) struct Again {
    pub(crate) request: &'static str,
    pub(crate) deadline: Instant,
    pub(crate) patience: Duration,
    pub(crate) caller: Caller,
}

fn too_late(request: &Request, trouble: Option<&Error>) -> Error {
    trouble.cloned().unwrap_or(Error::Timeout { request: request.message.name(), after: request.patience })
}
