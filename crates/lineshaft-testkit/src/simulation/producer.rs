//! A producer: makes jobs, cancels some and waits for some; it numbers its requests, and sends again what was not
//! answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{ChangeQueue, Message, QueueVerb, RefusalCode, Sequence};

use super::asks::{self, Ask};
use super::flood::Flood;
use super::network::{Frame, Peer, hello};
use super::world::Step;
use super::{MILLISECOND, SECOND, Time};

/// How long an answer is waited for before the connection is given up.
const PATIENCE: Time = 20 * SECOND;
/// Pause before a request that was refused is made again, and the longest one.
const PAUSE: Time = SECOND;
const PAUSE_MAX: Time = 8 * SECOND;

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
    /// Asked for jobs, and was answered last of those.
    answered: Option<Call>,
    /// Refused for want of room: made again, with another number.
    again: Vec<(Time, Call)>,
    /// Queues that it paused, and when they go on.
    paused: Vec<(Time, Arc<str>)>,
    jobs: Vec<JobId>,
    flood: Option<Flood>,
}

/// A mutating request.
#[derive(Clone)]
struct Call {
    request_id: u64,
    message: Message,
    payload: Bytes,
}

impl Producer {
    pub(super) fn new(place: usize, requests: u32, flood: Option<Flood>) -> Self {
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
            answered: None,
            again: Vec::new(),
            paused: Vec::new(),
            jobs: Vec::new(),
            flood,
        }
    }

    /// Whether it has asked for everything and has every answer.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_empty() && self.again.is_empty() && self.paused.is_empty()
    }

    /// When it has something to do although nothing arrives.
    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        if self.link.is_none() {
            return (server_is_up && !self.is_done()).then_some(self.connect_at);
        }
        let act = (self.is_welcome && self.left > 0).then_some(self.act_at);
        let again = self.again.iter().map(|(at, _)| *at);
        let again = again.chain(self.paused.iter().map(|(at, _)| *at)).filter(|_| self.is_welcome).min();
        let patience = self.asked_at.map(|at| at + PATIENCE);
        [act, again, patience].into_iter().flatten().min()
    }

    pub(super) fn act(&mut self, step: &mut Step<'_>) {
        let Some(link) = self.link else {
            return self.connect(step);
        };
        if self.asked_at.is_some_and(|at| step.now >= at + PATIENCE) {
            return self.give_up(link, step);
        }
        let again: Vec<Call> =
            self.again.extract_if(.., |(at, _)| *at <= step.now).map(|(_, call)| call).collect();
        for call in again {
            self.make(call, step);
        }
        let resumed: Vec<_> = self.paused.extract_if(.., |(at, _)| *at <= step.now).collect();
        for (_, queue) in resumed {
            let message = asks::change(queue, QueueVerb::Resume);
            self.make(Call { request_id: 0, message, payload: Bytes::new() }, step);
        }
        if self.left > 0 && step.now >= self.act_at {
            self.left -= 1;
            self.act_at = step.now + pause(step.rng);
            self.ask(step);
            self.flood(step);
        }
    }

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine else { return };
        let link = step.network.connect(Peer::Producer(self.place), engine, step.disk);
        (self.link, self.is_welcome, self.asked_at) = (Some(link), false, Some(step.now));
        self.send(hello(self.session), Bytes::new(), step);
    }

    fn send(&mut self, message: Message, payload: Bytes, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        let request_id = self.last_request;
        step.ledger.resuming(&message);
        if let Some(link) = self.link {
            step.network.send(link, Frame { request_id, message, payload }, step.now, step.rng);
        }
        request_id
    }

    fn ask(&mut self, step: &mut Step<'_>) {
        self.last_call += 1;
        let ask = asks::any(self.place as u16, self.last_call, &self.jobs, step);
        self.make_first(ask, step);
    }

    fn flood(&mut self, step: &mut Step<'_>) {
        let Some(flood) = &self.flood else { return };
        for ask in flood.asks(self.left, self.place as u16, &mut self.last_call, step) {
            self.make_first(ask, step);
        }
    }

    fn make_first(&mut self, Ask { message, payload }: Ask, step: &mut Step<'_>) {
        if let Message::ChangeQueue(ChangeQueue { queue, verb: QueueVerb::Pause, .. }) = &message {
            self.paused.push((step.now + step.rng.u64(..30 * SECOND), Arc::clone(queue)));
        }
        self.make(Call { request_id: 0, message, payload }, step);
    }

    /// Sends a request; one that changes something gets its place in the session, and is kept until it is answered.
    fn make(&mut self, mut call: Call, step: &mut Step<'_>) {
        let number = self.last_number + 1;
        let lowest = self.open.keys().next().copied().unwrap_or(number);
        let has_place = asks::place(&mut call.message, Sequence { number, lowest });
        if is_change(&call, QueueVerb::Pause) {
            step.ledger.pausing(self.place, &call.message);
        }
        call.request_id = self.send(call.message.clone(), call.payload.clone(), step);
        // Who is impatient sends it twice, and goes by the second answer: what was refused may be carried out yet.
        if has_place && step.rng.u32(..12) == 0 {
            call.request_id = self.send(call.message.clone(), call.payload.clone(), step);
        }
        if has_place {
            self.last_number = number;
            self.open.insert(number, call);
            self.asked_at.get_or_insert(step.now);
        }
        // Who keeps requests in a file and did not note an answer sends one again that the server may have forgotten.
        if let Some(forgotten) = self.answered.take_if(|_| step.rng.u32(..6) == 0) {
            self.send(forgotten.message, forgotten.payload, step);
        }
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
                let call = number.and_then(|number| self.open.remove(&number));
                self.answered = call.or(self.answered.take());
            }
            Message::Refused(refused) => {
                let call = number.and_then(|number| self.open.remove(&number));
                // Its session is over: the next connection gets another one.
                let is_over = refused.code == RefusalCode::OutcomeUnknown && call.is_some();
                let may_pass = matches!(refused.code, RefusalCode::StoreFull | RefusalCode::QueueFull);
                match call {
                    Some(call) if is_change(&call, QueueVerb::Resume) => self.resume(&call, step),
                    // It would come after what ends it.
                    Some(call) if may_pass && !is_change(&call, QueueVerb::Pause) => {
                        self.again.push((step.now + step.rng.u64(PAUSE..PAUSE_MAX), call));
                    }
                    _ => {}
                }
                if is_over {
                    return self.give_up(link, step);
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
        self.answered = None;
        // Nobody can say any more whether these were carried out.
        for call in std::mem::take(&mut self.open).into_values() {
            if is_change(&call, QueueVerb::Resume) {
                self.resume(&call, step);
            }
        }
        (self.session, self.last_number) = (session, 0);
    }

    /// A queue that it paused must not stay so.
    fn resume(&mut self, call: &Call, step: &Step<'_>) {
        if let Message::ChangeQueue(request) = &call.message {
            self.paused.push((step.now + PAUSE, Arc::clone(&request.queue)));
        }
    }

    /// Closes its connection, and opens another one soon.
    fn give_up(&mut self, link: u64, step: &mut Step<'_>) {
        step.network.cut(link, 0, step.now, step.rng);
        self.lost(link, step);
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            (self.link, self.is_welcome, self.asked_at) = (None, false, None);
            self.connect_at = step.now + step.rng.u64(..2 * SECOND);
        }
    }
}

fn is_change(call: &Call, verb: QueueVerb) -> bool {
    matches!(&call.message, Message::ChangeQueue(request) if request.verb == verb)
}

/// Requests come in bursts.
fn pause(rng: &mut fastrand::Rng) -> Time {
    match rng.u32(..4) {
        0 => rng.u64(..20 * SECOND),
        1 => rng.u64(..2 * SECOND),
        _ => rng.u64(..50 * MILLISECOND),
    }
}
