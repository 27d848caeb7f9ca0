//! What is unanswered: places in the session, the window, deadlines, and what to send again. No input or output
//! happens here; time comes in as a value.
//!
//! A request first waits for room. When it is admitted it gets its place in the session, and from then on it is
//! *open* until its answer comes, on however many connections. A mutating one whose deadline passes while it is open
//! is *parked*: its caller has been told that the outcome is unknown and may ask for it again.

mod callers;
mod joining;
mod parking;

pub(crate) use callers::{Caller, Callers, Part};
pub(crate) use joining::Batch;
pub(crate) use parking::Again;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::message::{Done, Message, RefusalCode, Sequence, WINDOW};

use super::commands::{Commands, WeakCommands};
use super::outcome::{OutcomeUnknown, Place};
use super::reply::Answer;
use crate::Error;

/// The place of a request that has none yet.
pub(crate) const UNPLACED: Sequence = Sequence { number: 0, lowest: 0 };
/// Payload of mutating requests on their way at once.
const WINDOW_BYTES: usize = 64 << 20;
/// How long a parked request is kept.
const PARKED_FOR: Duration = Duration::from_secs(300);
/// Times that a request is given to a new session before its refusal is believed.
const RENEWALS_MAX: u8 = 3;
/// Waiting requests at which abandoned ones are first looked for.
const SWEEP_FROM: usize = 1024;

/// A request as its caller made it.
pub(crate) struct Request {
    pub(crate) message: Message,
    pub(crate) payload: Vec<Bytes>,
    pub(crate) deadline: Instant,
    pub(crate) patience: Duration,
    pub(crate) callers: Callers,
}

/// Where admitted requests go.
pub(crate) trait Sink {
    /// Takes a message to be written, or refuses it for its size.
    fn send(&mut self, id: u64, message: &Message, payload: &[Bytes]) -> Result<(), Error>;
}

/// What an answer means beyond itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The server does not know the session any more; what was numbered from here on was not carried out.
    SessionLost { from: u64 },
}

struct Waiting {
    request: Request,
    renewals: u8,
}

struct Open {
    request: Request,
    /// Its number in the session, if it is mutating.
    number: Option<u64>,
    sends: u32,
    /// Whether it was sent over the present connection. It is never sent there twice: a refusal is not remembered by the
    /// server, so that of the first copy would be believed while the second one is carried out.
    is_under_way: bool,
    renewals: u8,
    /// Unknown outcomes of it that somebody holds, and may ask for more than once.
    holders: u32,
    parked: Parked,
}

#[derive(Default)]
enum Parked {
    #[default]
    No,
    /// The caller was told that the outcome is unknown.
    Unanswered { until: Instant },
    /// And then the answer came.
    Answered { until: Instant, answer: Box<Answer> },
}

/// See the module.
pub(crate) struct Ledger {
    commands: WeakCommands,
    session: Option<u64>,
    id_next: u64,
    number_next: u64,
    mutations_waiting: BTreeMap<u64, Waiting>,
    reads_waiting: BTreeMap<u64, Waiting>,
    open: BTreeMap<u64, Open>,
    /// Numbers without an answer, and their requests.
    unanswered: BTreeMap<u64, u64>,
    reads_open: usize,
    payload_bytes: usize,
    deadlines: BTreeSet<(Instant, u64)>,
    sweep_at: usize,
}

impl Ledger {
    pub(crate) fn new(commands: WeakCommands) -> Self {
        Self {
            commands,
            session: None,
            id_next: 2,
            number_next: 1,
            mutations_waiting: BTreeMap::new(),
            reads_waiting: BTreeMap::new(),
            open: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            reads_open: 0,
            payload_bytes: 0,
            deadlines: BTreeSet::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    /// A request id that nothing else has.
    pub(crate) fn take_id(&mut self) -> u64 {
        self.id_next += 1;
        self.id_next - 1
    }

    /// The session to go on with.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session
    }

    /// Whether mutating requests wait for a session.
    pub(crate) fn needs_session(&self) -> bool {
        self.session.is_none() && !self.mutations_waiting.is_empty()
    }

    /// Whether anything waits or is open for a caller.
    pub(crate) fn has_work(&self) -> bool {
        !self.mutations_waiting.is_empty() || !self.reads_waiting.is_empty() || self.has_open()
    }

    /// Whether an answer is expected.
    fn has_open(&self) -> bool {
        self.open.values().any(|open| matches!(open.parked, Parked::No))
    }

    /// When [`Ledger::expire`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes a new request.
    pub(crate) fn push(&mut self, request: Request) {
        let id = self.take_id();
        self.deadlines.insert((request.deadline, id));
        self.enqueue(id, Waiting { request, renewals: 0 });
        self.sweep();
    }

    fn enqueue(&mut self, id: u64, waiting: Waiting) {
        let is_mutation = waiting.request.message.sequence().is_some();
        let queue = if is_mutation { &mut self.mutations_waiting } else { &mut self.reads_waiting };
        queue.insert(id, waiting);
    }

    /// Frees waiting requests whose replies were dropped; cheap, since the queue has doubled in between.
    fn sweep(&mut self) {
        if self.mutations_waiting.len() + self.reads_waiting.len() < self.sweep_at {
            return;
        }
        let deadlines = &mut self.deadlines;
        for queue in [&mut self.mutations_waiting, &mut self.reads_waiting] {
            queue.retain(|id, Waiting { request, .. }| {
                let is_wanted = !request.callers.are_gone();
                if !is_wanted {
                    deadlines.remove(&(request.deadline, *id));
                }
                is_wanted
            });
        }
        self.sweep_at = SWEEP_FROM.max(2 * (self.mutations_waiting.len() + self.reads_waiting.len()));
    }

    /// Sends as much as there is room for.
    pub(crate) fn admit(&mut self, sink: &mut impl Sink) {
        while self.session.is_some() {
            let Some((&id, first)) = self.mutations_waiting.first_key_value() else { break };
            if !first.request.callers.are_gone() && !self.has_room(payload_bytes(&first.request)) {
                break;
            }
            let waiting = self.mutations_waiting.remove(&id).expect("it was the first");
            self.open_one(id, waiting, sink);
        }
        while self.reads_open < WINDOW as usize {
            let Some((id, waiting)) = self.reads_waiting.pop_first() else { break };
            self.open_one(id, waiting, sink);
        }
    }

    /// Whether one more mutating request with this payload fits the window; gives up parked ones that are in the way.
    fn has_room(&mut self, bytes: usize) -> bool {
        while self.number_next - self.lowest() >= WINDOW {
            if !self.drop_parked(self.unanswered.values().next().copied()) {
                return false;
            }
        }
        while self.payload_bytes > 0 && self.payload_bytes + bytes > WINDOW_BYTES {
            let parked = self.unanswered.values().copied().find(|id| self.is_parked(*id));
            if !self.drop_parked(parked) {
                return false;
            }
        }
        true
    }

    fn is_parked(&self, id: u64) -> bool {
        self.open.get(&id).is_some_and(|open| !matches!(open.parked, Parked::No))
    }

    fn drop_parked(&mut self, id: Option<u64>) -> bool {
        let Some(id) = id.filter(|id| self.is_parked(*id)) else { return false };
        self.close(id);
        true
    }

    fn lowest(&self) -> u64 {
        self.unanswered.first_key_value().map_or(self.number_next, |(number, _)| *number)
    }

    fn open_one(&mut self, id: u64, mut waiting: Waiting, sink: &mut impl Sink) {
        if waiting.request.callers.are_gone() {
            self.deadlines.remove(&(waiting.request.deadline, id));
            return;
        }
        self.join(id, &mut waiting);
        let Waiting { mut request, renewals } = waiting;
        let place = Sequence { number: self.number_next, lowest: self.lowest() };
        let number = request.message.sequence_mut().map(|sequence| {
            *sequence = place;
            place.number
        });
        if let Err(error) = sink.send(id, &request.message, &request.payload) {
            self.deadlines.remove(&(request.deadline, id));
            return request.callers.fill(Err(error));
        }
        self.count_in(id, number, &request);
        let open =
            Open { request, number, sends: 1, is_under_way: true, renewals, holders: 0, parked: Parked::No };
        self.open.insert(id, open);
    }

    fn count_in(&mut self, id: u64, number: Option<u64>, request: &Request) {
        if let Some(number) = number {
            self.number_next = number + 1;
            self.unanswered.insert(number, id);
            self.payload_bytes += payload_bytes(request);
        } else {
            self.reads_open += 1;
        }
    }

    /// Forgets an open request altogether.
    fn close(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.deadlines.remove(&(open.wakes_at(), id));
        self.count_out(open.number, &open.request);
        Some(open)
    }

    fn count_out(&mut self, number: Option<u64>, request: &Request) {
        match number {
            None => self.reads_open -= 1,
            Some(number) if self.unanswered.remove(&number).is_some() => {
                self.payload_bytes -= payload_bytes(request);
            }
            Some(_) => {}
        }
    }

    /// Sends everything open again, in order: a connection was lost and there is a new one.
    pub(crate) fn resend(&mut self, sink: &mut impl Sink) {
        for (id, open) in &mut self.open {
            if matches!(open.parked, Parked::No) {
                open.send(*id, sink);
            }
        }
    }

    /// A connection was lost. A server that was asked to stop has said so by closing.
    pub(crate) fn disconnected(&mut self) {
        self.open.values_mut().for_each(|open| open.is_under_way = false);
        let is_shutdown = |open: &Open| matches!(open.request.message, Message::Shutdown(_));
        let stops: Vec<u64> =
            self.open.iter().filter(|(_, open)| is_shutdown(open)).map(|(id, _)| *id).collect();
        for id in stops {
            self.finish(id, Ok((Message::Done(Done {}), Bytes::new())));
        }
    }

    /// Takes an answer; one that nobody waits for is ignored.
    pub(crate) fn answer(&mut self, id: u64, message: Message, payload: Bytes) -> Effect {
        let Some(open) = self.open.get_mut(&id) else { return Effect::None };
        let Message::Refused(refused) = message else {
            self.finish(id, Ok((message, payload)));
            return Effect::None;
        };
        if let (RefusalCode::OutcomeUnknown, Some(from), 1) = (refused.code, open.number, open.sends)
            && open.renewals < RENEWALS_MAX
        {
            return Effect::SessionLost { from };
        }
        self.finish(id, Err(refused.into()));
        Effect::None
    }

    fn finish(&mut self, id: u64, answer: Answer) {
        let Some(open) = self.open.get_mut(&id) else { return };
        match open.parked {
            Parked::No if open.holders > 0 => {
                open.request.callers.fill(answer.clone());
                let until = open.request.deadline + PARKED_FOR;
                self.deadlines.remove(&(open.request.deadline, id));
                self.deadlines.insert((until, id));
                self.keep_answer(id, until, answer);
            }
            Parked::No => {
                if let Some(open) = self.close(id) {
                    open.request.callers.fill(answer);
                }
            }
            Parked::Unanswered { until } => self.keep_answer(id, until, answer),
            Parked::Answered { .. } => {}
        }
    }

    /// Keeps an answer for whoever asks again; its place in the window is free.
    fn keep_answer(&mut self, id: u64, until: Instant, answer: Answer) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.parked = Parked::Answered { until, answer: Box::new(answer) };
        let (number, payload) = (open.number, mem::take(&mut open.request.payload));
        self.release_window(number, &payload);
    }

    fn release_window(&mut self, number: Option<u64>, payload: &[Bytes]) {
        if number.is_some_and(|number| self.unanswered.remove(&number).is_some()) {
            self.payload_bytes -= payload.iter().map(Bytes::len).sum::<usize>();
        }
    }

    /// The server greeted with `session`. Another one than asked for means that it forgot ours.
    pub(crate) fn greeted(&mut self, session: Option<u64>) {
        if self.session.is_some() && session != self.session {
            self.session_lost(u64::MAX);
        }
        self.session = session;
    }

    /// The session is gone. Requests numbered at least `from` were refused without being carried out and go into a new
    /// session; of the others nobody can say.
    pub(crate) fn session_lost(&mut self, from: u64) {
        let lost: Vec<(u64, u64)> = self.unanswered.iter().map(|(number, id)| (*number, *id)).collect();
        for (number, id) in lost {
            let Some(open) = self.close(id) else { continue };
            let Open { request, sends, renewals, parked, .. } = open;
            if !matches!(parked, Parked::No) {
                continue;
            }
            if number >= from && sends == 1 {
                self.deadlines.insert((request.deadline, id));
                self.enqueue(id, Waiting { request, renewals: renewals + 1 });
            } else {
                self.say_unknown(None, id, number, &request);
            }
        }
        self.session = None;
        self.number_next = 1;
    }

    /// Tells everybody who waits for `request` that its outcome is unknown; with `commands`, that it may be asked for.
    fn say_unknown(&self, commands: Option<&Commands>, id: u64, number: u64, request: &Request) {
        let session = self.session.unwrap_or_default();
        let name = request.message.name();
        for caller in request.callers.iter() {
            let place = Place { request: name, session, number, after: request.patience, part: caller.part };
            let outcome = OutcomeUnknown::new(commands.cloned(), id, place);
            caller.slot.fill(Err(Error::OutcomeUnknown(outcome)));
        }
    }
}

impl Open {
    /// Sends it, unless it is under way.
    fn send(&mut self, id: u64, sink: &mut impl Sink) {
        if !mem::replace(&mut self.is_under_way, true) {
            self.sends += 1;
            // It passed for its size when it was sent first.
            let _ = sink.send(id, &self.request.message, &self.request.payload);
        }
    }

    /// Its entry among the deadlines.
    fn wakes_at(&self) -> Instant {
        match self.parked {
            Parked::No => self.request.deadline,
            Parked::Unanswered { until } | Parked::Answered { until, .. } => until,
        }
    }
}

fn payload_bytes(request: &Request) -> usize {
    request.payload.iter().map(Bytes::len).sum()
}

#[cfg(test)]
mod tests;
