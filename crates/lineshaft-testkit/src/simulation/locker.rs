//! A program that takes locks, one after the other: it renews what it holds, stands still now and then for longer than that
//! lasts, and asks again over the next connection.

use lineshaft_wire::message::{Acquire, LockKind, Message, Ping, RefusalCode, ReleaseLocks, RenewLocks};

use super::network::{Frame, Peer, hello};
use super::plan::generator_of;
use super::world::Step;
use super::{SECOND, Time};

/// How long an answer is waited for that comes at once.
const PATIENCE: Time = 20 * SECOND;
const TTL: Time = 10 * SECOND;
/// So often one who waits says that it is there: its session lives for fifteen seconds in some runs.
const PING_EVERY: Time = 4 * SECOND;
const KEYS: [&str; 2] = ["till", "stock"];
/// Locks that each takes.
const ROUNDS: u32 = 6;

pub(super) struct Locker {
    place: usize,
    rng: fastrand::Rng,
    rounds: u32,
    session: Option<u64>,
    link: Option<u64>,
    is_welcome: bool,
    connect_at: Time,
    act_at: Time,
    asked_at: Option<Time>,
    /// It does nothing until then.
    frozen_until: Time,
    ping_at: Time,
    last_request: u64,
    last_token: u64,
    /// The newest renewal: its request, and when it was sent.
    renewal: Option<(u64, Time)>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Rest,
    /// It asks, since then; the request over this connection and when it was sent.
    Wanted {
        key: usize,
        since: Time,
        request: Option<(u64, Time)>,
    },
    /// It was told of it late, and has to hear that it has it still.
    Given {
        key: usize,
        since: Time,
        fence: u64,
    },
    Held {
        key: usize,
        fence: u64,
        until: Time,
        renew_at: Time,
        ends_at: Time,
    },
    Leaving,
}

impl Locker {
    /// In one run of sixteen: none of those that a mutant is known by.
    pub(super) fn all(seed: u64) -> Vec<Self> {
        let count = if seed % 16 == 6 { 3 } else { 0 };
        (0..count).map(|place| Self::new(place, seed)).collect()
    }

    fn new(place: usize, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(generator_of(seed, "locks").u64(..).wrapping_add(place as u64));
        Self {
            place,
            rng,
            rounds: ROUNDS,
            session: None,
            link: None,
            is_welcome: false,
            connect_at: 0,
            act_at: 0,
            asked_at: None,
            frozen_until: 0,
            ping_at: 0,
            last_request: 0,
            last_token: 0,
            renewal: None,
            stage: Stage::Rest,
        }
    }

    /// Whether it has taken all its locks, and given them back.
    pub(super) fn is_done(&self) -> bool {
        self.rounds == 0 && matches!(self.stage, Stage::Rest)
    }

    /// Until when it hears nothing.
    pub(super) fn frozen_until(&self, now: Time) -> Option<Time> {
        Some(self.frozen_until).filter(|until| *until > now)
    }

    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        if self.is_done() {
            return None;
        }
        let ends = match self.stage {
            // Without a server, too, it must not go on for longer than it may.
            Stage::Held { until, .. } => Some(until),
            _ => None,
        };
        let due = if self.link.is_none() {
            server_is_up.then_some(self.connect_at)
        } else {
            let patience = self.asked_at.map(|at| at + PATIENCE);
            let act = match self.stage {
                Stage::Rest => Some(self.act_at),
                Stage::Held { renew_at, ends_at, .. } => Some(renew_at.min(ends_at)),
                Stage::Wanted { .. } => Some(self.ping_at),
                _ => None,
            };
            patience.into_iter().chain(act.filter(|_| self.is_welcome)).min()
        };
        due.into_iter().chain(ends).min().map(|at| at.max(self.frozen_until))
    }

    pub(super) fn act(&mut self, step: &mut Step<'_>) {
        if let Stage::Held { until, .. } = self.stage
            && step.now >= until
        {
            self.let_go(step);
        }
        let Some(link) = self.link else {
            return self.connect(step);
        };
        if self.asked_at.is_some_and(|at| step.now >= at + PATIENCE) {
            step.network.cut(link, 0, step.now, &mut self.rng);
            return self.lost(link, step);
        }
        if !self.is_welcome {
            return;
        }
        match self.stage {
            Stage::Rest if self.rounds > 0 && step.now >= self.act_at => self.want(step),
            Stage::Held { ends_at, .. } if step.now >= ends_at => self.let_go(step),
            Stage::Held { key, fence, until, renew_at, ends_at } if step.now >= renew_at => {
                let renew_at = step.now + TTL / 5;
                self.stage = Stage::Held { key, fence, until, renew_at, ends_at };
                self.renew(step);
            }
            Stage::Wanted { .. } if step.now >= self.ping_at => {
                self.ping_at = step.now + PING_EVERY;
                self.send(Ping {}.into(), step);
            }
            _ => {}
        }
    }

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine else { return };
        if step.now < self.connect_at {
            return;
        }
        self.link = Some(step.network.connect(Peer::Locker(self.place), engine, step.disk));
        (self.is_welcome, self.asked_at) = (false, Some(step.now));
        self.send(hello(self.session), step);
    }

    fn send(&mut self, message: Message, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        let request_id = self.last_request;
        if let Some(link) = self.link {
            let frame = Frame { request_id, message, payload: bytes::Bytes::new() };
            step.network.send(link, frame, step.now, &mut self.rng);
        }
        request_id
    }

    fn want(&mut self, step: &mut Step<'_>) {
        self.rounds -= 1;
        self.last_token += 1;
        self.stage = Stage::Wanted { key: self.rng.usize(..KEYS.len()), since: step.now, request: None };
        self.ask(step);
    }

    fn ask(&mut self, step: &mut Step<'_>) {
        let Stage::Wanted { key, since, .. } = self.stage else { return };
        let acquire = Acquire {
            kind: LockKind::Mutex,
            key: KEYS[key].into(),
            permits: 1,
            token: self.last_token,
            party: 0,
            ttl_ms: TTL / 1_000,
            wait: true,
            waited_ms: (step.now - since) / 1_000,
            program: "locker".into(),
            pid: self.place as u32,
        };
        let request = self.send(acquire.into(), step);
        self.ping_at = step.now + PING_EVERY;
        self.stage = Stage::Wanted { key, since, request: Some((request, step.now)) };
    }

    fn renew(&mut self, step: &mut Step<'_>) {
        let request = self.send(RenewLocks { tokens: vec![self.last_token] }.into(), step);
        self.renewal = Some((request, step.now));
        self.asked_at.get_or_insert(step.now);
    }

    fn let_go(&mut self, step: &mut Step<'_>) {
        step.ledger.locks.lets_go(self.place);
        self.stage = Stage::Leaving;
        if self.is_welcome {
            self.leave(step);
        }
    }

    fn leave(&mut self, step: &mut Step<'_>) {
        self.send(ReleaseLocks { tokens: vec![self.last_token] }.into(), step);
        self.asked_at.get_or_insert(step.now);
    }

    /// Something arrived over the present connection, or one that is gone.
    ///
    /// Errors with a promise that is broken.
    pub(super) fn receive(&mut self, link: u64, frame: &Frame, step: &mut Step<'_>) -> Result<(), String> {
        if self.link != Some(link) {
            return Ok(());
        }
        match &frame.message {
            Message::Welcome(welcome) => self.welcome(welcome.session, step),
            Message::Acquired(acquired) => return self.acquired(frame.request_id, acquired.fence, step),
            Message::LocksLost(lost) => return self.heard(frame.request_id, &lost.tokens, step),
            Message::Refused(refused) => {
                self.asked_at = None;
                // For want of room, or its session is over: once more over the next connection.
                if refused.code == RefusalCode::OutcomeUnknown {
                    self.session = None;
                }
                step.network.cut(link, 0, step.now, &mut self.rng);
                self.lost(link, step);
            }
            _ => {}
        }
        Ok(())
    }

    fn welcome(&mut self, session: Option<u64>, step: &mut Step<'_>) {
        (self.is_welcome, self.asked_at, self.renewal) = (true, None, None);
        let is_same = session == self.session;
        self.session = session;
        match self.stage {
            Stage::Held { .. } | Stage::Given { .. } if is_same => self.renew(step),
            Stage::Held { .. } => {
                step.ledger.locks.lets_go(self.place);
                self.rest(step);
            }
            Stage::Given { key, since, .. } | Stage::Wanted { key, since, .. } => {
                self.stage = Stage::Wanted { key, since, request: None };
                self.ask(step);
            }
            Stage::Leaving if is_same => self.leave(step),
            Stage::Leaving => self.rest(step),
            Stage::Rest => {}
        }
    }

    fn acquired(&mut self, request: u64, fence: Option<u64>, step: &mut Step<'_>) -> Result<(), String> {
        let Stage::Wanted { key, since, request: Some((asked, sent)) } = self.stage else { return Ok(()) };
        if asked != request {
            return Ok(());
        }
        let Some(fence) = fence else {
            // Its session is over. The next one is of the next connection.
            if let Some(link) = self.link {
                self.session = None;
                step.network.cut(link, 0, step.now, &mut self.rng);
                self.lost(link, step);
            }
            return Ok(());
        };
        if step.now - sent <= TTL / 5 {
            return self.hold(key, fence, sent, step);
        }
        self.stage = Stage::Given { key, since, fence };
        self.renew(step);
        Ok(())
    }

    fn hold(&mut self, key: usize, fence: u64, sent: Time, step: &mut Step<'_>) -> Result<(), String> {
        let until = sent + TTL;
        if step.now >= until {
            self.let_go(step);
            return Ok(());
        }
        step.ledger.locks.holds(self.place, KEYS[key], (fence, until), step.now)?;
        let ends_at = step.now + self.rng.u64(..3 * TTL);
        self.stage = Stage::Held { key, fence, until, renew_at: sent + TTL / 5, ends_at };
        if self.rng.u32(..4) == 0 {
            self.frozen_until = step.now + self.rng.u64(..3 * TTL);
        }
        Ok(())
    }

    /// What holds nothing (any more), as an answer or without having asked.
    fn heard(&mut self, request: u64, lost: &[u64], step: &mut Step<'_>) -> Result<(), String> {
        let is_lost = lost.contains(&self.last_token);
        let renewal = self.renewal.take_if(|(renewal, _)| *renewal == request);
        if request != 0 {
            self.asked_at = None;
        }
        match self.stage {
            Stage::Held { .. } if is_lost => {
                step.ledger.locks.lets_go(self.place);
                self.rest(step);
            }
            Stage::Given { key, since, .. } if is_lost => {
                self.stage = Stage::Wanted { key, since, request: None };
                self.ask(step);
            }
            Stage::Given { key, fence, .. } => {
                if let Some((_, sent)) = renewal {
                    return self.hold(key, fence, sent, step);
                }
            }
            Stage::Held { key, fence, until, renew_at, ends_at } => {
                if let Some((_, sent)) = renewal {
                    let until = until.max(sent + TTL);
                    step.ledger.locks.holds(self.place, KEYS[key], (fence, until), step.now)?;
                    self.stage = Stage::Held { key, fence, until, renew_at, ends_at };
                }
            }
            Stage::Leaving if renewal.is_none() && request != 0 => self.rest(step),
            Stage::Leaving | Stage::Wanted { .. } | Stage::Rest => {}
        }
        Ok(())
    }

    fn rest(&mut self, step: &Step<'_>) {
        self.stage = Stage::Rest;
        self.act_at = step.now + self.rng.u64(..4 * SECOND);
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            (self.link, self.is_welcome, self.asked_at, self.renewal) = (None, false, None, None);
            self.connect_at = step.now + self.rng.u64(..2 * SECOND);
            if let Stage::Wanted { key, since, .. } = self.stage {
                self.stage = Stage::Wanted { key, since, request: None };
            }
        }
    }
}
