//! A worker: a supervisor and its children, which give credit, run what they are leased, renew, tell how it ended until
//! that is confirmed, and kill what they can renew no longer.

use std::collections::BTreeMap;

use bytes::Bytes;
use lineshaft_wire::message::{
    AttachChild, AttachWorker, ChildEnded, Credit, End, Finish, Finished, Leases, Message, OtherEnd,
    ProcessKey, RefusalCode, Refused, Release, Renew, Stop, Succeeded,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId};

use super::ledger::{Ledger, result_of};
use super::network::{Frame, Peer};
use super::producer::TASKS;
use super::world::Step;
use super::{MILLISECOND, SECOND, Time};

/// How long an attach is waited for.
const ATTACH_TIMEOUT: Time = 5 * SECOND;
/// Pause before ends that were refused are sent again.
const PAUSE: Time = SECOND;
/// Attempts that run at once in a child, and leases that it holds beyond them.
const SLOTS: usize = 2;
const PREFETCH: u32 = 2;

/// A supervisor with its children.
pub(super) struct Worker {
    pub(super) nonce: u64,
    pub(super) process: ProcessKey,
    link: Option<u64>,
    is_attached: bool,
    connect_at: Time,
    last_request: u64,
    /// What it has to say of dead children, and the request that said it.
    reports: Vec<(u64, ChildEnded)>,
    pub(super) children: Vec<Child>,
    last_child: u32,
    /// When children that died are replaced.
    replace_at: Vec<Time>,
}

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
    pub(super) stalled_until: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    Attaching { request: u64, since: Time },
    Attached,
}

#[derive(Clone, Debug)]
struct Attempt {
    job: JobId,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Waiting,
    Running {
        began_ms: u64,
        until: Time,
        how: How,
    },
    /// Its end, or that it goes back, is to be confirmed.
    Over,
}

/// How an attempt is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Returns,
    Raises,
    IsRejected,
    IsGivenBack,
    IsCancelled,
    Crashes,
}

/// What must not be forgotten before it is confirmed.
#[derive(Clone, Debug)]
enum Entry {
    Ends(Finish),
    Release(Vec<(JobId, Fence)>),
}

/// What a child came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    Dies,
}

impl Worker {
    /// A worker that comes at `from`.
    pub(super) fn new(nonce: u64, children: u32, from: Time) -> Self {
        let mut worker = Self {
            nonce,
            process: process(nonce, 0),
            link: None,
            is_attached: false,
            connect_at: from,
            last_request: 0,
            reports: Vec::new(),
            children: Vec::new(),
            last_child: 0,
            replace_at: Vec::new(),
        };
        (0..children).for_each(|_| worker.add_child(from));
        worker
    }

    fn add_child(&mut self, now: Time) {
        self.last_child += 1;
        self.children.push(Child::new(self.nonce, self.last_child, now));
    }

    pub(super) fn due(&self, server_is_up: bool) -> Option<Time> {
        let connect = (server_is_up && self.link.is_none()).then_some(self.connect_at);
        connect.into_iter().chain(self.replace_at.iter().copied()).min()
    }

    pub(super) fn act(&mut self, step: &mut Step<'_>) {
        let due = self.replace_at.extract_if(.., |at| *at <= step.now).count();
        (0..due).for_each(|_| self.add_child(step.now));
        let Some(engine) = step.engine.filter(|_| self.link.is_none() && step.now >= self.connect_at) else {
            return;
        };
        self.link = Some(step.network.connect(Peer::Supervisor(self.nonce), engine));
        let attach = AttachWorker {
            name: format!("host:{}", self.nonce).into(),
            process: self.process,
            nonce: self.nonce,
            processes: self.children.len() as u32,
        };
        self.send(attach.into(), step);
    }

    fn send(&mut self, message: Message, step: &mut Step<'_>) -> u64 {
        self.last_request += 1;
        let frame = Frame { request_id: self.last_request, message, payload: Bytes::new() };
        if let Some(link) = self.link {
            step.network.send(link, frame, step.now, step.rng);
        }
        self.last_request
    }

    pub(super) fn receive(&mut self, link: u64, frame: &Frame, step: &mut Step<'_>) {
        if self.link != Some(link) {
            return;
        }
        match frame.message {
            Message::WorkerAttached(_) => {
                self.is_attached = true;
                for (_, report) in std::mem::take(&mut self.reports) {
                    self.report(report, step);
                }
            }
            Message::Done(_) => self.reports.retain(|(request, _)| *request != frame.request_id),
            _ => {}
        }
    }

    fn report(&mut self, report: ChildEnded, step: &mut Step<'_>) {
        let request = if self.is_attached { self.send(report.clone().into(), step) } else { 0 };
        self.reports.push((request, report));
    }

    pub(super) fn lost(&mut self, link: u64, step: &mut Step<'_>) {
        if self.link == Some(link) {
            (self.link, self.is_attached) = (None, false);
            self.connect_at = step.now + step.rng.u64(..2 * SECOND);
        }
    }

    /// One of its children is dead: it says how, and starts another one.
    pub(super) fn child_died(&mut self, child: Child, step: &mut Step<'_>) {
        let report = child.last_words(step);
        self.report(report, step);
        self.replace_at.push(step.now + step.rng.u64(..3 * SECOND));
    }
}

impl Child {
    fn new(nonce: u64, number: u32, now: Time) -> Self {
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

    fn running(&self) -> impl Iterator<Item = (JobId, Fence)> + '_ {
        let running = self.held.iter().filter(|(_, attempt)| matches!(attempt.stage, Stage::Running { .. }));
        running.map(|(fence, attempt)| (attempt.job, *fence))
    }

    // ---- The connection.

    fn connect(&mut self, step: &mut Step<'_>) {
        let Some(engine) = step.engine.filter(|_| step.now >= self.connect_at) else { return };
        self.link = Some(step.network.connect(self.peer(), engine));
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
        };
        let request = self.send(attach.into(), Bytes::new(), step);
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

    fn flush(&mut self, step: &mut Step<'_>) {
        let due: Vec<Entry> =
            self.unsent.extract_if(.., |(at, _)| *at <= step.now).map(|(_, entry)| entry).collect();
        for entry in due {
            let (message, payload) = entry.message();
            let request = self.send(message, payload, step);
            self.sent.insert(request, entry);
        }
    }

    // ---- What comes.

    /// Something arrived. Errors if it says that a lease was ended which had been renewed in time.
    pub(super) fn receive(&mut self, link: u64, frame: &Frame, step: &mut Step<'_>) -> Result<(), String> {
        if self.link != Some(link) {
            return Ok(());
        }
        match &frame.message {
            Message::ChildAttached(attached) => {
                let Phase::Attaching { since, .. } = self.phase else { return Ok(()) };
                self.check_stale(&attached.stale)?;
                self.phase = Phase::Attached;
                self.is_fresh = true;
                self.lease = attached.lease_ms * MILLISECOND;
                self.renew_at = since + self.lease / 3;
                self.leased_from(since);
                self.forget(&attached.stale, step);
            }
            Message::Leases(leases) => self.leased(leases),
            Message::Finished(finished) => self.confirmed(frame.request_id, finished)?,
            Message::Done(_) => {
                if let Some((_, sent_at)) = self.renewing.take_if(|(renewal, _)| *renewal == frame.request_id)
                {
                    self.leased_from(sent_at);
                }
            }
            Message::Stop(stop) => self.stop(*stop, step),
            Message::Refused(refused) => self.refused(frame.request_id, refused, step),
            _ => {}
        }
        Ok(())
    }

    /// An attempt that waits or runs is under a lease that was renewed: whoever ended that would let it run twice.
    fn check_stale(&self, stale: &[Fence]) -> Result<(), String> {
        let is_alive = |attempt: &&Attempt| !matches!(attempt.stage, Stage::Over);
        let ended = stale.iter().find_map(|fence| Some((fence, self.held.get(fence).filter(is_alive)?)));
        ended.map_or(Ok(()), |(fence, attempt)| {
            Err(format!(
                "{:?} is told that its lease {fence} of {} is stale, though it was renewed",
                self.peer(),
                attempt.job
            ))
        })
    }

    /// Four fifths of a lease are used, so that what runs is dead before the engine gives it to others.
    fn leased_from(&mut self, instant: Time) {
        self.leased_until = Some(instant + self.lease * 4 / 5);
    }

    fn leased(&mut self, leases: &Leases) {
        self.outstanding = self.outstanding.saturating_sub(leases.jobs.len() as u32);
        for lease in &leases.jobs {
            let fence = Fence { epoch: leases.epoch, counter: lease.counter };
            self.held.insert(fence, Attempt { job: lease.job, stage: Stage::Waiting });
        }
    }

    fn confirmed(&mut self, request: u64, finished: &Finished) -> Result<(), String> {
        let Some(entry) = self.sent.remove(&request) else { return Ok(()) };
        self.held.retain(|fence, _| !entry.fences().iter().any(|(_, over)| over == fence));
        finished.refused.first().map_or(Ok(()), |(job, fence)| {
            Err(format!(
                "{:?} is refused the end of {job} with {fence}, though it had renewed the lease",
                self.peer()
            ))
        })
    }

    fn refused(&mut self, request: u64, refused: &Refused, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Attaching { request: attach, .. } if attach == request) {
            return self.reset(step);
        }
        if let Some(entry) = self.sent.remove(&request) {
            self.unsent.push((step.now + PAUSE, entry));
            if !matches!(refused.code, RefusalCode::StoreFull | RefusalCode::QueueFull) {
                self.reset(step);
            }
        }
    }

    /// Leases that are somebody else's: what runs is stopped, and nothing is said of it.
    fn forget(&mut self, stale: &[Fence], step: &mut Step<'_>) {
        for fence in stale {
            if let Some(attempt) = self.held.remove(fence) {
                step.ledger.stop(attempt.job, *fence);
            }
        }
        for (_, entry) in &mut self.unsent {
            entry.forget(stale);
        }
        self.unsent.retain(|(_, entry)| !entry.fences().is_empty());
    }

    fn stop(&mut self, stop: Stop, step: &mut Step<'_>) {
        let Some(attempt) = self.held.get_mut(&stop.fence) else { return };
        match &mut attempt.stage {
            Stage::Waiting => {
                attempt.stage = Stage::Over;
                let lease = (attempt.job, stop.fence);
                self.release(lease, step);
            }
            Stage::Running { until, how, .. } => {
                (*until, *how) = ((*until).min(step.now + step.rng.u64(..SECOND)), How::IsCancelled);
            }
            Stage::Over => {}
        }
    }

    fn release(&mut self, lease: (JobId, Fence), step: &mut Step<'_>) {
        step.ledger.let_go(lease.1);
        self.unsent.push((step.now, Entry::Release(vec![lease])));
    }

    // ---- Attempts.

    fn begin_attempts(&mut self, step: &mut Step<'_>) -> Result<(), String> {
        while self.running().count() < SLOTS {
            let waiting = self.held.iter_mut().find(|(_, attempt)| matches!(attempt.stage, Stage::Waiting));
            let Some((&fence, attempt)) = waiting else { break };
            let job = attempt.job;
            // Now and then it goes back, as it does behind a long one.
            if step.rng.u32(..20) == 0 {
                attempt.stage = Stage::Over;
                self.release((job, fence), step);
                continue;
            }
            let (time, how) = (duration(step.rng), how(step.rng));
            attempt.stage = Stage::Running { began_ms: step.wall_ms, until: step.now + time, how };
            self.newest_begun = self.newest_begun.max(Some(fence));
            step.ledger.begin(job, fence, self.peer())?;
        }
        Ok(())
    }

    fn end_attempts(&mut self, step: &mut Step<'_>) -> Fate {
        let mut finish = Finish::default();
        for (fence, attempt) in &mut self.held {
            let Stage::Running { began_ms, until, how } = attempt.stage else { continue };
            if until > step.now {
                continue;
            }
            if how == How::Crashes {
                return Fate::Dies;
            }
            let job = attempt.job;
            attempt.stage = Stage::Over;
            step.ledger.stop(job, *fence);
            match how.end() {
                None => finish.succeeded.push(Succeeded {
                    job,
                    fence: *fence,
                    started_at: began_ms,
                    finished_at: step.wall_ms,
                    result_length: result_of(job, *fence).len() as u64,
                    output_length: 0,
                }),
                Some(end) => finish.others.push(other_end(job, *fence, began_ms, step.wall_ms, end)),
            }
        }
        if !(finish.succeeded.is_empty() && finish.others.is_empty()) {
            self.unsent.push((step.now, Entry::Ends(finish)));
        }
        Fate::Lives
    }

    /// What its supervisor says of it when it is dead.
    fn last_words(&self, step: &mut Step<'_>) -> ChildEnded {
        let mut ended = ChildEnded {
            child: self.number,
            begun: Vec::new(),
            newest: self.newest_begun,
            unbegun: Vec::new(),
        };
        for (fence, attempt) in &self.held {
            match attempt.stage {
                Stage::Running { began_ms, how, .. } => {
                    step.ledger.stop(attempt.job, *fence);
                    let error = ErrorRecord::default();
                    let end = if how == How::Crashes { End::Crashed { error } } else { End::Lost { error } };
                    ended.begun.push(other_end(attempt.job, *fence, began_ms, step.wall_ms, end));
                }
                Stage::Waiting if Some(*fence) < self.newest_begun => ended.unbegun.push(*fence),
                _ => {}
            }
        }
        step.ledger.holds(self.peer(), &[]);
        ended
    }

    /// It is stopped: what it runs does nothing until it goes on.
    pub(super) fn stall(&mut self, until: Time, ledger: &mut Ledger) {
        self.stalled_until = Some(until);
        for (job, fence) in self.running().collect::<Vec<_>>() {
            ledger.stop(job, fence);
        }
    }

    /// It ends with its supervisor, and nobody is left to say how.
    pub(super) fn vanish(&self, ledger: &mut Ledger) {
        for (job, fence) in self.running() {
            ledger.stop(job, fence);
        }
        ledger.holds(self.peer(), &[]);
    }
}

impl Entry {
    fn message(&self) -> (Message, Bytes) {
        match self {
            Self::Ends(finish) => {
                let results = finish.succeeded.iter().map(|end| result_of(end.job, end.fence));
                (finish.clone().into(), results.collect::<Vec<_>>().concat().into())
            }
            Self::Release(leases) => (Release { leases: leases.clone() }.into(), Bytes::new()),
        }
    }

    fn fences(&self) -> Vec<(JobId, Fence)> {
        match self {
            Self::Ends(finish) => {
                let succeeded = finish.succeeded.iter().map(|end| (end.job, end.fence));
                succeeded.chain(finish.others.iter().map(|end| (end.job, end.fence))).collect()
            }
            Self::Release(leases) => leases.clone(),
        }
    }

    fn forget(&mut self, stale: &[Fence]) {
        match self {
            Self::Ends(finish) => {
                finish.succeeded.retain(|end| !stale.contains(&end.fence));
                finish.others.retain(|end| !stale.contains(&end.fence));
            }
            Self::Release(leases) => leases.retain(|(_, fence)| !stale.contains(fence)),
        }
    }
}

impl How {
    /// `None` if it returned.
    fn end(self) -> Option<End> {
        let error = || ErrorRecord { message: "no".into(), ..ErrorRecord::default() };
        match self {
            Self::Returns => None,
            Self::Raises => Some(End::Errored { error: error(), retry_after_ms: None }),
            Self::IsRejected => Some(End::Rejected { reason: "result_unencodable".into(), error: error() }),
            Self::IsGivenBack => Some(End::Released),
            Self::IsCancelled => Some(End::Cancelled),
            Self::Crashes => Some(End::Crashed { error: error() }),
        }
    }
}

fn other_end(job: JobId, fence: Fence, started_at: u64, finished_at: u64, end: End) -> OtherEnd {
    OtherEnd { job, fence, started_at, finished_at, end, output_length: 0 }
}

fn how(rng: &mut fastrand::Rng) -> How {
    match rng.u32(..100) {
        0..10 => How::Raises,
        10..12 => How::IsRejected,
        12..14 => How::IsGivenBack,
        14..16 => How::Crashes,
        _ => How::Returns,
    }
}

/// Most attempts are short, some longer than a lease.
fn duration(rng: &mut fastrand::Rng) -> Time {
    match rng.u32(..20) {
        0 => rng.u64(..30 * SECOND),
        1..=4 => rng.u64(..2 * SECOND),
        _ => rng.u64(..50 * MILLISECOND),
    }
}

/// A process on another host: the engine looks at those of its own by their pid.
fn process(nonce: u64, number: u32) -> ProcessKey {
    ProcessKey { pid: 0, start_time: nonce << 32 | u64::from(number) }
}
