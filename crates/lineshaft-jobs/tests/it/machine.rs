//! The state machine with a journal in memory, driven as an engine drives it: decide, encode, apply.

use std::collections::BTreeMap;

use bytes::Bytes;
use lineshaft_jobs::{
    Answer, Attach, Change, Command, Copied, Decision, Entry, Event, Limits, Movable, Now, PayloadOwner,
    Place, Refusal, Reply, State, Wanted,
};
use lineshaft_testkit::model::{Happened, Told};
use lineshaft_wire::message::{Enqueued, RefusalCode};
use lineshaft_wire::{Fence, JobId, JobRecord};

/// Commits are numbered this far apart, so that those of one history fall into many buckets.
const LSN_STEP: u64 = 100;

pub(crate) struct Machine {
    pub(crate) state: State,
    pub(crate) limits: Limits,
    pub(crate) now: Now,
    pub(crate) commits: BTreeMap<u64, Vec<u8>>,
    pub(crate) blobs: BTreeMap<u64, Bytes>,
    pub(crate) cold: BTreeMap<u64, Vec<u8>>,
}

impl Machine {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Now { wall_ms: 1_790_000_000_000, logical_ms: 0, random: 0 };
        let state = State::new(0, limits);
        Self { state, limits, now, commits: BTreeMap::new(), blobs: BTreeMap::new(), cold: BTreeMap::new() }
    }

    /// A machine in epoch 1 with session 1.
    pub(crate) fn started(limits: Limits) -> Self {
        let mut machine = Self::new(limits);
        machine.begin();
        machine.start(1, 7);
        machine.run(Command::OpenSession).expect("the first session is not refused");
        machine
    }

    pub(crate) fn lsn(&self) -> u64 {
        self.commits.keys().next_back().copied().unwrap_or(0)
    }

    /// The next commit begins.
    pub(crate) fn begin(&mut self) {
        self.commits.insert(self.lsn() + LSN_STEP, Vec::new());
        self.now.random = self.lsn().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Now { wall_ms, logical_ms, .. } = self.now;
        self.record(Change::Clock { wall_ms, logical_ms }.into());
    }

    /// Writes a change into the open commit and applies what a reader of that commit would see.
    pub(crate) fn record(&mut self, entry: Entry) -> Vec<Happened> {
        let lsn = self.lsn();
        let body = self.commits.get_mut(&lsn).expect("a commit is open");
        let start = body.len();
        entry.change.encode(body);
        let offset = body.len();
        entry.payload.iter().for_each(|part| body.extend_from_slice(part));
        let (change, payload) = Change::decode(&body[start..]).expect("what was encoded reads");
        assert_eq!(change, entry.change);
        assert_eq!(payload.len() as u64, change.inline_length(), "payload of {change:?}");
        self.state.apply(&change, lsn, offset as u32);
        self.happened()
    }

    fn happened(&mut self) -> Vec<Happened> {
        let events = self.state.take_events();
        events.into_iter().filter_map(|event| self.translate(event)).collect()
    }

    /// Entries of the cache are told to the engine alone, which knows how they are used.
    fn translate(&self, event: Event) -> Option<Happened> {
        Some(match event {
            Event::EntryStored { .. } | Event::EntryGone { .. } => return None,
            Event::Finished { slot } => Happened::Finished(self.state.job_id(slot)),
            Event::Leased { child, slots, counter } => {
                let fence = |counter| Fence { epoch: self.state.epoch(), counter };
                let jobs =
                    slots.iter().zip(counter..).map(|(slot, at)| (self.state.job_id(*slot), fence(at)));
                Happened::Leased(child, jobs.collect())
            }
            Event::Stop { child, fence } => Happened::Stop(child, fence),
            Event::Locked { session, token, fence } => Happened::Locked(session, token, fence),
            Event::LockLost { session, token } => Happened::LockLost(session, token),
            Event::BlobFreed { id } => Happened::BlobFreed(id),
        })
    }

    /// Carries a command out, and gives its answer and what those outside hear.
    pub(crate) fn run(&mut self, command: Command) -> Result<(Told, Vec<Happened>), Refusal> {
        let Decision { entries, reply } = self.state.decide(command, self.now)?;
        let happened = entries.into_iter().flat_map(|entry| self.record(entry)).collect();
        Ok((self.told(reply), happened))
    }

    fn told(&self, reply: Reply) -> Told {
        match reply {
            Reply::Session => Told::Session(self.state.newest_session()),
            Reply::Answer { session, number } => {
                Told::Answer(self.state.answer(session, number).expect("an answer is remembered").clone())
            }
            Reply::AnswerCompleted { session, number, completed } => {
                let Some(Answer::Enqueued(enqueued)) = self.state.answer(session, number) else {
                    panic!("jobs were made")
                };
                Told::Answer(Answer::Enqueued(Enqueued { completed, ..enqueued.clone() }))
            }
            Reply::Found(enqueued) => Told::Answer(Answer::Enqueued(enqueued)),
            Reply::Attached { child, stale } => Told::Attached { child, stale },
            Reply::Finished { refused } => Told::Finished { refused },
            Reply::Locked { session, token } => Told::Locked(
                self.state.acquired(session, token).fence.expect("it was just given, or held before"),
            ),
            Reply::LockTaken => Told::LockTaken,
            Reply::LocksLost { tokens } => Told::LocksLost(tokens),
            Reply::LocksBroken { fences } => Told::LocksBroken(fences),
            Reply::Passed(passed) => Told::Passed(passed),
            Reply::Done => Told::Done,
            Reply::NotInMemory { job } => Told::NotInMemory(job),
        }
    }

    /// Time passes on both clocks.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now.wall_ms += milliseconds;
        self.now.logical_ms += milliseconds;
        self.begin();
    }

    /// Does all that time brings, and leases what can be leased.
    pub(crate) fn settle(&mut self) -> Vec<Happened> {
        let mut happened = Vec::new();
        while self.state.is_due(self.now) {
            for entry in self.state.tick(self.now) {
                happened.extend(self.record(entry));
            }
        }
        while let Some(change) = self.state.next_lease(u32::MAX) {
            happened.extend(self.record(change.into()));
        }
        while let Some(change) = self.state.next_lock() {
            happened.extend(self.record(change.into()));
        }
        happened
    }

    pub(crate) fn record_of(&self, job: JobId) -> JobRecord {
        self.state.view(self.state.slot_of(job).expect("the job is in memory")).record
    }

    pub(crate) fn attach(&mut self, child: u32, tasks: &[&str], queues: &[&str]) {
        let tasks: Vec<_> = tasks.iter().map(|task| (*task).into()).collect();
        let queues: Vec<_> = queues.iter().map(|queue| (*queue).into()).collect();
        self.state.attach(Attach { child, tasks: &tasks, queues: &queues });
    }

    /// The bytes that a place stands for.
    pub(crate) fn read(&self, place: Place) -> Bytes {
        if place.length == 0 {
            return Bytes::new();
        }
        if place.is_blob() {
            return self.blobs[&place.lsn].clone();
        }
        if place.is_cold() {
            let start = (place.offset & !Place::COLD) as usize;
            return Bytes::copy_from_slice(&self.cold[&place.lsn][start..start + place.length as usize]);
        }
        let start = place.offset as usize;
        Bytes::copy_from_slice(&self.commits[&place.lsn][start..start + place.length as usize])
    }

    /// Copies payloads into a cold file, as a compactor does.
    pub(crate) fn copy(&mut self, wanted: &Wanted) -> (u64, Vec<Copied>) {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(first) = next {
            next = self.state.movable(wanted, first, 3, self.now, &mut found);
        }
        // Entries of the cache have other places after a load; a compactor sorts in the same way.
        let jobs = found.iter().take_while(|it| matches!(it.owner, PayloadOwner::Job { .. })).count();
        found[jobs..].sort_unstable_by_key(|it| (it.from.lsn, it.from.offset));
        let file = self.cold.keys().next_back().copied().unwrap_or(0) + 1;
        let mut content = vec![0; 32];
        let mut copy = |payload: Movable| {
            let offset = content.len() as u32;
            content.extend_from_slice(&self.read(payload.from));
            Copied { payload, offset }
        };
        let copied = found.into_iter().map(&mut copy).collect();
        self.cold.insert(file, content);
        (file, copied)
    }

    /// Begins a new run of the engine on a state that was loaded.
    pub(crate) fn restart_on(&mut self, state: State) {
        self.state = state;
        self.begin();
        let epoch = self.state.epoch() + 1;
        self.start(epoch, epoch);
    }

    fn start(&mut self, epoch: u64, nonce: u64) {
        self.state.begin(epoch, nonce).into_iter().for_each(|change| drop(self.record(change.into())));
    }
}

/// A state from the commits after `after`.
pub(crate) fn replay(mut state: State, commits: &BTreeMap<u64, Vec<u8>>, after: u64) -> State {
    for (lsn, body) in commits.range(after + 1..) {
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (change, payload) = Change::decode(rest).expect("a journal reads");
            state.apply(&change, *lsn, (body.len() - payload.len()) as u32);
            rest = &payload[change.inline_length() as usize..];
        }
    }
    state.take_events();
    state
}

pub(crate) fn code<T>(result: Result<T, Refusal>) -> Result<T, RefusalCode> {
    result.map_err(|refusal| refusal.code)
}
