//! A child: gives credit, runs what it is leased, renews, tells how it ended until that is confirmed, and kills what it can
//! renew no longer. Here is its connection; `heard.rs` has what it makes of what comes, `attempts.rs` what it runs.

mod attempts;
mod heard;

use std::collections::BTreeMap;

use bytes::Bytes;
use lineshaft_wire::Fence;
use lineshaft_wire::message::{AttachChild, Credit, Message, ProcessKey, Renew};

use super::asks::TASKS;
use super::attempt::{Attempt, Entry, Stage};
use super::network::{Frame, Peer};
use super::worker::process;
use super::world::Step;
use super::{SECOND, Time};

/// How long an attach is waited for.
const ATTACH_TIMEOUT: Time = 5 * SECOND;
/// Attempts that run at once in a child, and leases that it holds beyond them.
const SLOTS: usize = 2;
const PREFETCH: u32 = 2;

/// A process that runs attempts.
pub(super) struct Child {
    nonce: u64,
    number: u32,
    pub(super) process: ProcessKey,
    link: Option<u64>,
    phase: Phase,
    connect_at: Time,
    last_request: u64,
    /// Every lease that it holds, in the order in which they are taken up.
    held: BTreeMap<Fence, Attempt>,
    newest_begun: Option<Fence>,
    /// Ends and releases on their way, by request; those that have none yet, and when they may leave.
    sent: BTreeMap<u64, Entry>,
    unsent: Vec<(Time, Entry)>,
    outstanding: u32,
    is_fresh: bool,
    lease: Time,
    leased_until: Option<Time>,
    renew_at: Time,
    renewing: Option<(u64, Time)>,
    /// How long the engine had served when it asked last that its leases be renewed, and when it asked for what was granted.
    asked_served: Time,
    renewed_served: Option<Time>,
    pub(super) stalled_until: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    Attaching { request: u64, since: Time },
    Attached,
}

/// What a child came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    Dies,
}

impl Child {
    pub(super) fn new(nonce: u64, number: u32, now: Time) -> Self {
        Self {
            nonce,
            number,
            process: process(nonce, number),
            link: None,
            phase: Phase::Away,
            connect_at: now,
            last_request: 0,
            held: BTreeMap::new(),
            newest_begun: None,
            sent: BTreeMap::new(),
            unsent: Vec::new(),
            outstanding: 0,
            is_fresh: true,
            lease: 0,
            leased_until: None,
            renew_at: 0,
            renewing: None,
            asked_served: 0,
            renewed_served: None,
            stalled_until: None,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        Peer::Child(self.nonce, self.number)
    }

    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        if let Some(until) = self.stalled_until {
            return Some(until);
        }
        let session = match self.phase {
            Phase::Away => server_is_up.then_some(self.connect_at),
            Phase::Attaching { since, .. } => Some(since + ATTACH_TIMEOUT),
            Phase::Attached => Some(self.renew_at),
        };
        let unsent = self.unsent.iter().map(|(at, _)| *at).filter(|_| self.phase == Phase::Attached).min();
        let ends = self.held.values().filter_map(|attempt| match attempt.stage {
            Stage::Running { until, .. } => Some(until),
            _ => None,
        });
        session.into_iter().chain(unsent).chain(self.leased_until).chain(ends).min()
    }

    /// Does what is due. Errors if a promise was broken to it.
    pub(super) fn act(&mut self, step: &mut Step<'_>) -> Result<Fate, String> {
        if self.stalled_until.is_some_and(|until| until > step.now) {
            return Ok(Fate::Lives);
        }
        let was_stalled = self.stalled_until.take().is_some();
        // A lease that could not be renewed may soon be somebody else's: what runs under it must be dead by then.
        if self.leased_until.is_some_and(|until| step.now >= until) {
            if self.running().next().is_some() {
                return Ok(Fate::Dies);
            }
            self.held.retain(|_, attempt| !matches!(attempt.stage, Stage::Waiting));
            self.leased_until = None;
            self.reset(step);
        }
        if was_stalled {
            for (job, fence) in self.running().collect::<Vec<_>>() {
                step.ledger.go_on(job, fence, self.peer())?;
            }
        }
        match self.phase {
            Phase::Away => self.connect(step),
            Phase::Attaching { since, .. } if step.now >= since + ATTACH_TIMEOUT => self.reset(step),
            Phase::Attaching { .. } => {}
            Phase::Attached => self.renew(step),
        }
        if self.end_attempts(step) == Fate::Dies {
            return Ok(Fate::Dies);
        }
        self.begin_attempts(step)?;
        if self.phase == Phase::Attached {
            self.flush(step);
            self.grant(step);
        }
        Ok(Fate::Lives)
    }

    // ---- The connection.

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine.filter(|_| step.now >= self.connect_at) else { return };
        self.link = Some(step.network.connect(self.peer(), engine, step.disk));
        let held: Vec<_> = self.held.iter().map(|(fence, attempt)| (attempt.job, *fence)).collect();
        step.ledger.holds(self.peer(), &held);
        let attach = AttachChild {
            worker: self.nonce,
            worker_name: format!("host:{}", self.nonce).into(),
            number: self.number,
            process: self.process,
            tasks: TASKS.iter().map(|task| (*task).into()).collect(),
            queues: Vec::new(),
            held,
            declared: Vec::new(),
            attach: self.last_request + 1,
        };
        let request = self.send(attach.into(), Bytes::new(), step);
        self.asked_served = step.ledger.served;
        self.phase = Phase::Attaching { request, since: step.now };
    }

    /// Gives the connection up for another one.
    fn reset(&mut self, step: &mut Step<'_>) {
        if let Some(link) = self.link.take() {
            step.network.cut(link, 0, step.now, step.rng);
        }
        self.away(step);
    }

    fn away(&mut self, step: &mut Step<'_>) {
        self.phase = Phase::Away;
        (self.link, self.renewing, self.outstanding) = (None, None, 0);
        self.connect_at = step.now + step.rng.u64(..2 * SECOND);
        let sent = std::mem::take(&mut self.sent).into_values();
        self.unsent.extend(sent.map(|entry| (step.now, entry)));
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            self.away(step);
        }
    }

    fn send(&mut self, message: Message, payload: Bytes, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        if let Some(link) = self.link {
            let frame = Frame { request_id: self.last_request, message, payload };
            step.network.send(link, frame, step.now, step.rng);
        }
        self.last_request
    }

    fn renew(&mut self, step: &mut Step<'_>) {
        if step.now >= self.renew_at {
            self.renew_at = step.now + self.lease / 3;
            let request = self.send(Renew {}.into(), Bytes::new(), step);
            self.asked_served = step.ledger.served;
            self.renewing = Some((request, step.now));
        }
    }

    fn grant(&mut self, step: &mut Step<'_>) {
        let busy = self.held.values().filter(|attempt| !matches!(attempt.stage, Stage::Over)).count() as u32;
        let missing = (SLOTS as u32 + PREFETCH).saturating_sub(busy + self.outstanding);
        if missing > 0 {
            let reset = std::mem::take(&mut self.is_fresh);
            self.outstanding += missing;
            self.send(Credit { leases: missing, reset }.into(), Bytes::new(), step);
        }
    }

    fn is_of_the_past(&self, entry: &Entry) -> bool {
        let Entry::Checkpoint(_, fence) = entry else { return false };
        !self.held.get(fence).is_some_and(|attempt| matches!(attempt.stage, Stage::Running { .. }))
    }

    fn flush(&mut self, step: &mut Step<'_>) {
        let due: Vec<Entry> =
            self.unsent.extract_if(.., |(at, _)| *at <= step.now).map(|(_, entry)| entry).collect();
        for entry in due {
            // A word that comes after the end, or was left before an end that has been sent, is of no use.
            if self.is_of_the_past(&entry) {
                continue;
            }
            let (message, payload) = entry.message();
            let request = self.send(message, payload, step);
            self.sent.insert(request, entry);
        }
    }
}
