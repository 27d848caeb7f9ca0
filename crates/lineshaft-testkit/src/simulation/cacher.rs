//! A program that uses the cache: it looks values up, computes those that are not there, some time later, and changes what
//! they were computed from.
//!
//! What a key's value is computed from is a number that only grows. Nobody may be given an older one than the newest
//! that was said to be in place, by an invalidation or by storing it, before the look-up left. Each key has one program that
//! changes it, one change after the other; all look all of them up and compute them. One is computed from the number of
//! another one, too, and goes with it.

use bytes::Bytes;
use lineshaft_wire::message::{
    CacheFound, CacheGet, CacheInvalidate, CacheSet, Message, NewEntry, RefusalCode, Sequence,
};

use super::network::{Frame, Peer, hello};
use super::plan::generator_of;
use super::world::Step;
use super::{SECOND, Time};

/// How long an answer is waited for.
const PATIENCE: Time = 20 * SECOND;
pub(super) const KEYS: [&str; 3] = ["rates", "prices", "stock"];
/// What the value of a key is computed from besides its own number: prices from rates.
pub(super) const SOURCES: [Option<usize>; KEYS.len()] = [None, Some(0), None];
/// As the number of a source: the value was not computed from it.
pub(super) const NONE: u64 = u64::MAX;
/// The tag of all keys.
const TAG: &str = "shop";
/// What each does.
const ROUNDS: u32 = 40;
/// A value of every seventh number is a blob.
const BLOB_BYTES: usize = (1 << 20) + 1;

pub(super) struct Cacher {
    place: usize,
    rng: fastrand::Rng,
    rounds: u32,
    session: Option<u64>,
    link: Option<u64>,
    is_welcome: bool,
    connect_at: Time,
    act_at: Time,
    asked_at: Option<Time>,
    last_request: u64,
    last_number: u64,
    /// What is asked, under a request over the present connection.
    asked: Option<(u64, Question)>,
    /// What it computes, to be stored when it acts next: key, numbers, ticket.
    computed: Option<(usize, Numbers, u64)>,
}

/// What a value is of: the number of its key, and that of its source or [`NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) own: u64,
    pub(super) source: u64,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// The numbers that were said to be in place when it was asked, and whether there must be a value.
    Look { key: usize, least: Numbers, must: bool },
    /// Stores a number, with a ticket or as the only one who stores this key like that; how often the key had changed.
    Store { number: u64, key: usize, value: Numbers, ticket: Option<u64>, changes: u64 },
    /// Says that the number of its key has grown to this, and that those of all have changed or not.
    Change { number: u64, value: u64, all: bool },
}

/// A value: its numbers, and more where it is to be large.
fn value_of(numbers: Numbers) -> Bytes {
    let mut bytes = [numbers.own.to_le_bytes(), numbers.source.to_le_bytes()].concat();
    if numbers.own % 7 == 6 {
        bytes.resize(BLOB_BYTES, numbers.own as u8);
    }
    bytes.into()
}

impl Cacher {
    /// In one run of sixteen: none of those that a mutant of other rules is known by, as 60 is.
    pub(super) fn all(seed: u64) -> Vec<Self> {
        let is_one = seed % 16 == 12 && seed != 60;
        (0..if is_one { KEYS.len() } else { 0 }).map(|place| Self::new(place, seed)).collect()
    }

    fn new(place: usize, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(generator_of(seed, "cache").u64(..).wrapping_add(place as u64));
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
            last_request: 0,
            last_number: 0,
            asked: None,
            computed: None,
        }
    }

    /// Whether it has done all that it was to do.
    pub(super) fn is_done(&self) -> bool {
        self.rounds == 0 && self.asked.is_none() && self.computed.is_none()
    }

    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        if self.is_done() {
            return None;
        }
        if self.link.is_none() {
            return server_is_up.then_some(self.connect_at);
        }
        self.asked_at.map(|at| at + PATIENCE).or_else(|| self.is_welcome.then_some(self.act_at))
    }

    pub(super) fn act(&mut self, step: &mut Step<'_>) {
        let Some(link) = self.link else {
            return self.connect(step);
        };
        if self.asked_at.is_some_and(|at| step.now >= at + PATIENCE) {
            step.network.cut(link, 0, step.now, &mut self.rng);
            return self.lost(link, step);
        }
        if !self.is_welcome || self.asked.is_some() || step.now < self.act_at {
            return;
        }
        if let Some((key, value, ticket)) = self.computed.take() {
            return self.store(key, value, Some(ticket), step);
        }
        self.rounds -= 1;
        match self.rng.u32(..10) {
            0 | 1 => self.change(false, step),
            2 => self.change(true, step),
            3 => self.put(step),
            _ => {
                let key = self.rng.usize(..KEYS.len());
                self.look(key, step);
            }
        }
    }

    fn look(&mut self, key: usize, step: &mut Step<'_>) {
        let (least, must) = step.ledger.cache.expected(key);
        self.ask(Question::Look { key, least, must }, step);
    }

    fn change(&mut self, all: bool, step: &mut Step<'_>) {
        self.last_number += 1;
        let value = step.ledger.cache.change(self.place, all);
        self.ask(Question::Change { number: self.last_number, value, all }, step);
    }

    /// Grows the number of its key, and stores it at once.
    fn put(&mut self, step: &mut Step<'_>) {
        let value = Numbers { own: step.ledger.cache.grow(self.place), source: NONE };
        self.store(self.place, value, None, step);
    }

    fn store(&mut self, key: usize, value: Numbers, ticket: Option<u64>, step: &mut Step<'_>) {
        self.last_number += 1;
        let (number, changes) = (self.last_number, step.ledger.cache.begin_store(key));
        self.ask(Question::Store { number, key, value, ticket, changes }, step);
    }

    fn ask(&mut self, question: Question, step: &mut Step<'_>) {
        let (message, payload) = self.words(question);
        let request = self.send(message, payload, step);
        self.asked = Some((request, question));
        self.asked_at = Some(step.now);
    }

    fn words(&self, question: Question) -> (Message, Bytes) {
        let place = |number: u64| Sequence { number, lowest: number };
        match question {
            Question::Look { key, .. } => {
                (CacheGet { keys: vec![KEYS[key].into()], peek: false }.into(), Bytes::new())
            }
            Question::Store { number, key, value, ticket, .. } => {
                let payload = value_of(value);
                let entry = NewEntry {
                    key: KEYS[key].into(),
                    length: payload.len() as u32,
                    tags: vec![TAG.into()],
                    sources: SOURCES[key].map(|source| KEYS[source].into()).into_iter().collect(),
                    ticket,
                    ..NewEntry::default()
                };
                (CacheSet { sequence: place(number), entries: vec![entry] }.into(), payload)
            }
            Question::Change { number, all, .. } => {
                let keys = if all { Vec::new() } else { vec![KEYS[self.place].into()] };
                let tags = if all { vec![TAG.into()] } else { Vec::new() };
                (CacheInvalidate { sequence: place(number), keys, tags, all: false }.into(), Bytes::new())
            }
        }
    }

    fn send(&mut self, message: Message, payload: Bytes, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        let request_id = self.last_request;
        if let Some(link) = self.link {
            step.network.send(link, Frame { request_id, message, payload }, step.now, &mut self.rng);
        }
        request_id
    }

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine else { return };
        if step.now < self.connect_at {
            return;
        }
        self.link = Some(step.network.connect(Peer::Cacher(self.place), engine, step.disk));
        (self.is_welcome, self.asked_at) = (false, Some(step.now));
        self.send(hello(self.session), Bytes::new(), step);
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
            Message::Refused(refused) => {
                if refused.code == RefusalCode::OutcomeUnknown {
                    self.forget();
                }
                // For want of room, or its session is over: once more over the next connection.
                step.network.cut(link, 0, step.now, &mut self.rng);
                self.lost(link, step);
            }
            message => {
                let Some((_, question)) = self.asked.take_if(|(request, _)| *request == frame.request_id)
                else {
                    return Ok(());
                };
                self.asked_at = None;
                self.act_at = step.now + self.rng.u64(..2 * SECOND);
                return self.heard(question, message, &frame.payload, step);
            }
        }
        Ok(())
    }

    /// The session is over: what was asked may have happened or not, and is not asked again.
    fn forget(&mut self) {
        (self.session, self.last_number, self.computed) = (None, 0, None);
        self.asked = self.asked.filter(|(_, question)| matches!(question, Question::Look { .. }));
    }

    fn welcome(&mut self, session: Option<u64>, step: &mut Step<'_>) {
        (self.is_welcome, self.asked_at) = (true, None);
        if session != self.session {
            self.forget();
            self.session = session;
        }
        if let Some((_, question)) = self.asked {
            match question {
                // What must be in place is what is so by now.
                Question::Look { key, .. } => self.look(key, step),
                question => self.ask(question, step),
            }
        }
    }

    fn heard(
        &mut self,
        question: Question,
        message: &Message,
        payload: &Bytes,
        step: &mut Step<'_>,
    ) -> Result<(), String> {
        let cache = &mut step.ledger.cache;
        match (question, message) {
            (Question::Look { key, least, must }, Message::CacheFound(CacheFound { entries, ticket })) => {
                let found = entries.first().is_some_and(Option::is_some).then(|| numbers_of(payload));
                cache.found(key, found.transpose()?, least, must)?;
                if found_nothing(entries) && self.rng.bool() {
                    self.computed = Some((key, cache.computed(key), *ticket));
                    self.act_at = step.now + self.rng.u64(..4 * SECOND);
                }
            }
            (Question::Store { key, value, ticket, changes, .. }, Message::Changed(changed)) => {
                if ticket.is_none() && changed.jobs != 1 {
                    return Err(format!("a value of {} is not stored", KEYS[key]));
                }
                cache.end_store(key);
                if changed.jobs == 1 {
                    cache.stored(key, value.own, ticket.is_none(), changes);
                }
            }
            (Question::Change { value, all, .. }, Message::Changed(_)) => {
                cache.changed(self.place, all, value);
            }
            (question, message) => return Err(format!("{question:?} is answered with {}", message.name())),
        }
        Ok(())
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            (self.link, self.is_welcome, self.asked_at) = (None, false, None);
            self.connect_at = step.now + self.rng.u64(..2 * SECOND);
        }
    }
}

fn found_nothing(entries: &[Option<lineshaft_wire::message::FoundEntry>]) -> bool {
    entries.first().is_none_or(Option::is_none)
}

/// The numbers that a value is of. Errors if it is no such value.
fn numbers_of(payload: &Bytes) -> Result<Numbers, String> {
    let number = |at: usize| payload.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let numbers = number(0).zip(number(8)).map(|(own, source)| Numbers { own, source });
    let numbers = numbers.filter(|numbers| value_of(*numbers) == *payload);
    numbers.ok_or_else(|| format!("a value of {} bytes that nobody stored", payload.len()))
}
