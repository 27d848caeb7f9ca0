//! A producer: makes jobs, cancels some and waits for some; it numbers its requests, and sends again what was not
//! answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{
    Cancel, Enqueue, Hello, JobGroup, Message, RefusalCode, Rules, RunAfter, Sequence, Wait,
};

use super::ledger::Tag;
use super::network::{Frame, Peer};
use super::world::Step;
use super::{MILLISECOND, SECOND, Time};

/// Tasks that there are; every worker runs them all.
pub(super) const TASKS: [&str; 2] = ["shop.send", "shop.bill"];
/// Jobs of one request.
const JOBS_MAX: u16 = 4;
/// How long an answer is waited for before the connection is given up.
const PATIENCE: Time = 20 * SECOND;
/// Pause before a request that was refused is made again.
const PAUSE: Time = SECOND;

pub(super) struct Producer {
    place: usize,
    /// Requests still to be made.
    left: u32,
    session: Option<u64>,
    link: Option<u64>,
    is_welcome: bool,
    connect_at: Time,
    act_at: Time,
    /// Since when an answer is awaited.
    asked_at: Option<Time>,
    last_request: u64,
    last_number: u64,
    last_call: u32,
    /// Requests without an answer, by their number in the session.
    open: BTreeMap<u64, Call>,
    /// Refused for want of room: made again, with another number.
    again: Vec<(Time, Call)>,
    jobs: Vec<JobId>,
}

/// A mutating request.
#[derive(Clone)]
struct Call {
    request_id: u64,
    message: Message,
    payload: Bytes,
}

impl Producer {
    pub(super) fn new(place: usize, requests: u32) -> Self {
        Self {
            place,
            left: requests,
            session: None,
            link: None,
            is_welcome: false,
            connect_at: 0,
            act_at: 0,
            asked_at: None,
            last_request: 0,
            last_number: 0,
            last_call: 0,
            open: BTreeMap::new(),
            again: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Whether it has asked for everything and has every answer.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_empty() && self.again.is_empty()
    }

    /// When it has something to do although nothing arrives.
    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        if self.link.is_none() {
            return (server_is_up && !self.is_done()).then_some(self.connect_at);
        }
        let act = (self.is_welcome && self.left > 0).then_some(self.act_at);
        let again = self.again.iter().map(|(at, _)| *at).filter(|_| self.is_welcome).min();
        let patience = self.asked_at.map(|at| at + PATIENCE);
        [act, again, patience].into_iter().flatten().min()
    }

    pub(super) fn act(&mut self, step: &mut Step<'_>) {
        let Some(link) = self.link else {
            return self.connect(step);
        };
        if self.asked_at.is_some_and(|at| step.now >= at + PATIENCE) {
            step.network.cut(link, 0, step.now, step.rng);
            self.asked_at = None;
            return;
        }
        let again: Vec<Call> =
            self.again.extract_if(.., |(at, _)| *at <= step.now).map(|(_, call)| call).collect();
        for call in again {
            self.make(call, step);
        }
        if self.left > 0 && step.now >= self.act_at {
            self.left -= 1;
            self.act_at = step.now + pause(step.rng);
            self.ask(step);
        }
    }

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine else { return };
        let link = step.network.connect(Peer::Producer(self.place), engine);
        (self.link, self.is_welcome, self.asked_at) = (Some(link), false, Some(step.now));
        let hello = Hello {
            protocol: (1, 1),
            version: "simulated".to_owned(),
            executable: String::new(),
            pid: 0,
            session: self.session,
            open_session: true,
            token: None,
            hand_over: false,
        };
        self.send(hello.into(), Bytes::new(), step);
    }

    fn send(&mut self, message: Message, payload: Bytes, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        let request_id = self.last_request;
        if let Some(link) = self.link {
            step.network.send(link, Frame { request_id, message, payload }, step.now, step.rng);
        }
        request_id
    }

    fn ask(&mut self, step: &mut Step<'_>) {
        let known = (!self.jobs.is_empty()).then(|| self.jobs[step.rng.usize(..self.jobs.len())]);
        match (step.rng.u32(..10), known) {
            (0, Some(job)) => {
                let request = Cancel { sequence: Sequence { number: 0, lowest: 0 }, job };
                let call = Call { request_id: 0, message: request.into(), payload: Bytes::new() };
                self.make(call, step);
            }
            (1, Some(job)) => {
                let wait = Wait { ids: job.to_bytes().to_vec().into(), results: true };
                self.send(wait.into(), Bytes::new(), step);
            }
            _ => {
                let call = self.enqueue(step);
                self.make(call, step);
            }
        }
    }

    fn enqueue(&mut self, step: &mut Step<'_>) -> Call {
        self.last_call += 1;
        let (mut payload, mut lengths) = (Vec::new(), Vec::new());
        let at_most_once = step.rng.u32(..5) == 0;
        for place in 0..step.rng.u16(1..=JOBS_MAX) {
            let tag = Tag { producer: self.place as u16, call: self.last_call, place };
            let length = if step.rng.u32(..8) == 0 {
                step.rng.usize(1_000..3_000)
            } else {
                step.rng.usize(Tag::BYTES..200)
            };
            let bytes = tag.payload(length);
            lengths.push(bytes.len() as u32);
            payload.extend_from_slice(&bytes);
            step.ledger.asked_for(tag, length, at_most_once);
        }
        let rules = Rules {
            max_attempts: step.rng.u32(1..=4),
            backoff_first_ms: step.rng.u64(..3_000),
            timeout_ms: None,
            at_most_once,
            ..Rules::default()
        };
        let group = JobGroup {
            task: TASKS[step.rng.usize(..TASKS.len())].into(),
            queue: ["default", "mail"][step.rng.usize(..2)].into(),
            priority: step.rng.u8(1..=9),
            rules: Arc::new(rules),
            run_after: match step.rng.u32(..10) {
                0 => Some(RunAfter::In(step.rng.u64(..20_000))),
                _ => None,
            },
            expires: None,
            deadline: None,
            unique: None,
            idempotency_key: None,
            tags: Vec::new(),
            metadata: None,
            lengths,
        };
        let request = Enqueue { sequence: Sequence { number: 0, lowest: 0 }, groups: vec![group] };
        Call { request_id: 0, message: request.into(), payload: payload.into() }
    }

    /// Gives a request its place in the session and sends it.
    fn make(&mut self, mut call: Call, step: &mut Step<'_>) {
        self.last_number += 1;
        let number = self.last_number;
        let lowest = self.open.keys().next().copied().unwrap_or(number);
        match &mut call.message {
            Message::Enqueue(Enqueue { sequence, .. }) | Message::Cancel(Cancel { sequence, .. }) => {
                *sequence = Sequence { number, lowest };
            }
            other => unreachable!("{} has no place in a session", other.name()),
        }
        call.request_id = self.send(call.message.clone(), call.payload.clone(), step);
        self.open.insert(number, call);
        self.asked_at.get_or_insert(step.now);
    }

    /// Something arrived over the present connection, or one that is gone.
    pub(super) fn receive(&mut self, link: u64, frame: &Frame, step: &mut Step<'_>) {
        if self.link != Some(link) {
            return;
        }
        let number = self.open.iter().find(|(_, call)| call.request_id == frame.request_id);
        let number = number.map(|(number, _)| *number);
        match &frame.message {
            Message::Welcome(welcome) => self.welcome(welcome.session, step),
            Message::Enqueued(enqueued) => {
                let ids = enqueued.ids.as_chunks::<16>().0.iter();
                self.jobs.extend(ids.filter_map(|id| JobId::from_bytes(*id)));
                number.and_then(|number| self.open.remove(&number));
            }
            Message::Refused(refused) => {
                let call = number.and_then(|number| self.open.remove(&number));
                let may_pass = matches!(refused.code, RefusalCode::StoreFull | RefusalCode::QueueFull);
                if let Some(call) = call.filter(|_| may_pass) {
                    self.again.push((step.now + PAUSE, call));
                }
            }
            _ => {
                number.and_then(|number| self.open.remove(&number));
            }
        }
        self.asked_at = (!self.open.is_empty() || !self.is_welcome).then_some(step.now);
    }

    fn welcome(&mut self, session: Option<u64>, step: &mut Step<'_>) {
        self.is_welcome = true;
        if session == self.session {
            // The same requests with the same places, in their order.
            for number in self.open.keys().copied().collect::<Vec<_>>() {
                let call = self.open[&number].clone();
                let request_id = self.send(call.message, call.payload, step);
                self.open.get_mut(&number).expect("it is open").request_id = request_id;
            }
            return;
        }
        // Nobody can say any more whether these were carried out.
        self.open.clear();
        (self.session, self.last_number) = (session, 0);
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            (self.link, self.is_welcome, self.asked_at) = (None, false, None);
            self.connect_at = step.now + step.rng.u64(..2 * SECOND);
        }
    }
}

/// Requests come in bursts.
fn pause(rng: &mut fastrand::Rng) -> Time {
    match rng.u32(..4) {
        0 => rng.u64(..20 * SECOND),
        1 => rng.u64(..2 * SECOND),
        _ => rng.u64(..50 * MILLISECOND),
    }
}
