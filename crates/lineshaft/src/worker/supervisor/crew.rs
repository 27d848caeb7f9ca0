//! The children of a worker as a whole, and its connection to the server.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_ipc::process::ProcessId;
use lineshaft_ipc::shared::AttemptPage;
use lineshaft_wire::message::{AttachWorker, Message, ProcessKey, StopReason as WireReason};
use tokio::sync::{mpsc, watch as changes};

use super::process::Process;
use super::reports::Reports;
use super::watch::{Command, Ended, Event, Watch};
use super::wear::{Why, Worn};
use super::{Phase, Pids, Wish, Worker};
use crate::client::connection::Incoming;
use crate::worker::farewell::{Farewell, words_of_kill};
use crate::worker::link::{Happened, Link};
use crate::worker::{Error, StopReason};

/// How long the server may take to answer a worker that starts.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Children that may end in a row before the first one was ready.
const EARLY_DEATHS_MAX: u32 = 3;
/// Pause before a child takes the place of one that never got ready; doubles each time.
const HIRE_PAUSE_MIN: Duration = Duration::from_millis(100);
const HIRE_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the server may be away before people hear of it.
const AWAY_LATE: Duration = Duration::from_secs(5);
/// How long the last reports may take after the last child.
const LAST_REPORTS: Duration = Duration::from_secs(10);
/// The part of the grace after which attempts that run on are asked to stop.
const ASK_AT: f64 = 0.75;
/// What attempts get that nobody waits for any more.
const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// Unread events of all children.
const EVENTS: usize = 256;
const IDLE: Duration = Duration::from_secs(3_600);

/// A child as the crew knows it.
struct Member {
    /// Unbounded, since a child's task reads it at once whatever it waits for.
    commands: mpsc::UnboundedSender<Command>,
    pid: u32,
    page: Arc<AttemptPage>,
    ready: bool,
    /// Why another one is to take its place.
    worn: Option<Why>,
    /// It takes no more jobs: its place is free.
    leaves: bool,
    /// The one whose place it is to take.
    follows: Option<u32>,
    /// Dead, its group perhaps not empty yet: its place is free.
    dead: bool,
}

pub(super) struct Crew {
    worker: Worker,
    wishes: changes::Receiver<Wish>,
    wish: Wish,
    /// Nobody has wishes any more.
    folded: bool,
    pids: Pids,
    members: BTreeMap<u32, Member>,
    last_number: u32,
    events: mpsc::Receiver<(u32, Event)>,
    tell: mpsc::Sender<(u32, Event)>,
    link: Link,
    last_request: u64,
    attaching: Option<u64>,
    lease: Option<Duration>,
    reports: Reports,
    started: Instant,
    greeted: bool,
    away_since: Option<Instant>,
    /// Why there is no connection.
    trouble: Option<crate::Error>,
    /// Some child was ready once: the app is fine, and later failures are worth another try.
    proven: bool,
    early_deaths: u32,
    hire_at: Instant,
    said: String,
    failure: Option<Error>,
    /// When the last child was gone.
    over_at: Option<Instant>,
    farewell: Option<Farewell>,
}

impl Crew {
    pub(super) fn new(worker: Worker, wishes: changes::Receiver<Wish>, pids: Pids) -> Self {
        let (tell, events) = mpsc::channel(EVENTS);
        let now = Instant::now();
        let link = Link::new(worker.options.target.running_only());
        Self {
            wish: Wish { processes: worker.options.processes, phase: Phase::Running, aloud: false },
            folded: false,
            worker,
            wishes,
            pids,
            members: BTreeMap::new(),
            last_number: 0,
            events,
            tell,
            link,
            last_request: 1,
            attaching: None,
            lease: None,
            reports: Reports::default(),
            started: now,
            greeted: false,
            away_since: None,
            trouble: None,
            proven: false,
            early_deaths: 0,
            hire_at: now,
            said: String::new(),
            failure: None,
            over_at: None,
            farewell: None,
        }
    }

    /// Keeps the children until the worker is over.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        self.obey();
        loop {
            self.expect_answer();
            self.fill();
            self.send_reports();
            self.say_farewell();
            if self.is_over(Instant::now()) {
                return self.failure.map_or(Ok(()), Err);
            }
            let due = tokio::time::sleep_until(self.due().into());
            tokio::select! {
                Some((number, event)) = self.events.recv() => self.hear(number, event),
                happened = self.link.next() => self.happened(happened),
                changed = self.wishes.changed(), if !self.folded => match changed {
                    Ok(()) => self.obey(),
                    // Every handle is gone; nobody can ever stop this worker but its signals.
                    Err(_) => self.fold(),
                },
                () = due => {}
            }
        }
    }

    /// A worker that nobody can steer any more ends.
    fn fold(&mut self) {
        self.folded = true;
        self.enter(Phase::Draining);
    }

    fn due(&self) -> Instant {
        let now = Instant::now();
        if let Some(over_at) = self.over_at {
            return over_at + LAST_REPORTS;
        }
        let hires = self.missing() > 0 || self.to_follow().is_some();
        let hire = hires.then_some(self.hire_at);
        let answer = self.awaits_first_answer().then(|| self.started + FIRST_ANSWER);
        let words = self.farewell.as_ref().map(Farewell::due);
        [hire, answer, words].into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn is_over(&mut self, now: Instant) -> bool {
        if self.wish.phase == Phase::Running || !self.members.is_empty() {
            return false;
        }
        let over_at = *self.over_at.get_or_insert(now);
        let nobody_listens = self.link.connection().is_none();
        self.reports.is_empty() || nobody_listens || now >= over_at + LAST_REPORTS
    }

    // ---- Wishes.

    fn obey(&mut self) {
        let wish = *self.wishes.borrow_and_update();
        self.wish.processes = self.wish.processes.max(wish.processes);
        if wish.aloud && (self.farewell.is_none() || wish.phase > self.wish.phase) {
            self.farewell = Some(Farewell::new(Instant::now(), self.grace(wish.phase), Some("kills")));
        }
        if wish.phase == Phase::Killing && self.farewell.take().is_some() {
            words_of_kill(self.running()).into_iter().for_each(|words| self.tell(&words));
        }
        self.enter(wish.phase);
    }

    fn enter(&mut self, phase: Phase) {
        if phase <= self.wish.phase {
            return;
        }
        self.wish.phase = phase;
        let kill_after = self.grace(phase);
        self.tell_all(match phase {
            Phase::Killing => Command::Kill,
            Phase::Leaving => Command::Drain { ask_after: Duration::ZERO, kill_after },
            _ => Command::Drain { ask_after: kill_after.mul_f64(ASK_AT), kill_after },
        });
    }

    /// What attempts get when the worker stops in this way.
    fn grace(&self, phase: Phase) -> Duration {
        let grace = self.worker.options.grace;
        if phase == Phase::Leaving { grace.min(LEAVE_GRACE) } else { grace }
    }

    /// Attempts that run in the children.
    fn running(&self) -> usize {
        self.members.values().map(|member| member.page.begun().count()).sum()
    }

    fn say_farewell(&mut self) {
        let running = self.running();
        let words = self.farewell.as_mut().and_then(|farewell| farewell.words(Instant::now(), running));
        words.into_iter().for_each(|words| self.tell(&words));
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
        self.enter(Phase::Killing);
    }

    fn tell_all(&self, command: Command) {
        // A child whose task is over needs no more telling.
        self.members.values().for_each(|member| _ = member.commands.send(command));
    }

    // ---- Children.

    fn missing(&self) -> usize {
        if self.wish.phase != Phase::Running {
            return 0;
        }
        let living = self.members.values().filter(|member| !member.dead && !member.leaves);
        // One that is to follow another is there beside it.
        let follow =
            living.clone().filter(|member| member.follows.is_some_and(|of| self.holds_place(of))).count();
        let living = living.count() - follow;
        (self.wish.processes as usize).saturating_sub(living)
    }

    fn fill(&mut self) {
        while self.missing() > 0 && Instant::now() >= self.hire_at {
            if let Err(error) = self.hire(None) {
                return self.cannot_hire(error);
            }
        }
        if let Some(worn) = self.to_follow().filter(|_| Instant::now() >= self.hire_at)
            && let Err(error) = self.hire(Some(worn))
        {
            self.cannot_hire(error);
        }
    }

    /// Whether this child takes jobs still.
    fn holds_place(&self, number: u32) -> bool {
        self.members.get(&number).is_some_and(|member| !member.dead && !member.leaves)
    }

    /// The child whose successor is to be started now: one at a time, or all of them would be there twice.
    fn to_follow(&self) -> Option<u32> {
        let is_followed =
            |member: &Member| !member.dead && member.follows.is_some_and(|of| self.holds_place(of));
        if self.wish.phase != Phase::Running || self.members.values().any(is_followed) {
            return None;
        }
        let worn =
            self.members.iter().find(|(number, member)| member.worn.is_some() && self.holds_place(**number));
        worn.map(|(number, _)| *number)
    }

    fn hire(&mut self, follows: Option<u32>) -> Result<(), Error> {
        self.last_number += 1;
        let number = self.last_number;
        let process = Process::spawn(&self.worker, number)?;
        let (commands, obeyed) = mpsc::unbounded_channel();
        if let Some(lease) = self.lease {
            let _ = commands.send(Command::Lease(lease));
        }
        let _ = commands.send(Command::Server(self.lease.is_some() && self.away_since.is_none()));
        let (pid, page) = (process.pid, Arc::clone(&process.page));
        let (worn, leaves, ready, dead) = Default::default();
        self.members.insert(number, Member { commands, pid, page, ready, worn, leaves, follows, dead });
        self.show_pids();
        let options = Arc::clone(&self.worker.options);
        tokio::spawn(Watch::new(options, process, obeyed, self.tell.clone()).run());
        Ok(())
    }

    /// The first children must start; a replacement may find the host short of memory or processes for a while.
    fn cannot_hire(&mut self, error: Error) {
        if !self.proven {
            return self.fail(error);
        }
        self.say(&format!("a child cannot be started: {error}"));
        self.pause_hiring();
    }

    fn pause_hiring(&mut self) {
        self.early_deaths += 1;
        let pause = HIRE_PAUSE_MIN * 2u32.saturating_pow(self.early_deaths.min(16) - 1);
        self.hire_at = Instant::now() + pause.min(HIRE_PAUSE_MAX);
    }

    fn show_pids(&self) {
        let living = self.members.iter().filter(|(_, member)| !member.dead);
        let pids = living.map(|(number, member)| (*number, member.pid)).collect();
        *self.pids.lock().unwrap_or_else(PoisonError::into_inner) = pids;
    }

    fn hear(&mut self, number: u32, event: Event) {
        match event {
            Event::Ready => {
                self.proven = true;
                self.early_deaths = 0;
                if let Some(member) = self.members.get_mut(&number) {
                    member.ready = true;
                }
            }
            Event::Working => self.works(number),
            Event::Worn(worn) => self.worn(number, worn),
            Event::Failed(report) => self.app_failed(report),
            Event::Died => self.died(number),
            Event::Ended(ended) => self.ended(number, *ended),
        }
    }

    /// Who was to be replaced by it takes no more jobs from here on.
    fn works(&mut self, number: u32) {
        let followed = self.members.get_mut(&number).and_then(|member| member.follows.take());
        let Some(old) = followed.filter(|old| self.holds_place(*old)) else { return };
        if let Some(member) = self.members.get_mut(&old)
            && let Some(why) = member.worn
        {
            member.leaves = true;
            let _ = member.commands.send(Command::Retire(why));
        }
    }

    fn worn(&mut self, number: u32, worn: Worn) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let is_news = member.worn.is_none();
        member.worn = Some(worn.why);
        member.leaves |= worn.leaves;
        let pid = member.pid;
        if is_news && self.wish.phase == Phase::Running {
            tracing::info!(child = number, pid, why = %worn.why, "a child is replaced");
            self.tell(&format!("child {number} (pid {pid}) is replaced: {}", worn.why));
        }
    }

    fn app_failed(&mut self, report: String) {
        if !self.proven {
            return self.fail(Error::AppFailed { report });
        }
        self.say(&format!("the app cannot be loaded any more; the other children go on\n{report}"));
    }

    fn died(&mut self, number: u32) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.dead = true;
        if !member.ready {
            self.pause_hiring();
        }
        self.show_pids();
    }

    fn ended(&mut self, number: u32, ended: Ended) {
        let Some(member) = self.members.remove(&number) else { return };
        if let Some(report) = ended.report {
            self.reports.push(report, ended.output);
        }
        tracing::debug!(child = number, pid = member.pid, how = ended.how, "a child is gone");
        if !self.proven && !member.ready && self.early_deaths >= EARLY_DEATHS_MAX {
            self.fail(Error::ChildrenDie { deaths: self.early_deaths, how: ended.how });
        }
    }

    /// Words for the people who run the worker; the same ones only once.
    fn say(&mut self, text: &str) {
        if self.said == text {
            return;
        }
        text.clone_into(&mut self.said);
        tracing::error!("{text}");
        self.tell(text);
    }

    fn tell(&self, text: &str) {
        if let Some(talk) = &self.worker.talk {
            talk.say(format!("{text}\n").as_bytes());
        }
    }

    // ---- The server.

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected => {
                self.trouble = None;
                self.introduce();
            }
            Happened::Message(incoming) => self.receive(*incoming),
            Happened::Lost(error) => self.lost(error),
        }
    }

    fn awaits_first_answer(&self) -> bool {
        !self.greeted && self.failure.is_none()
    }

    /// A worker that starts does not wait for long, also not for a server that accepts and then says nothing.
    fn expect_answer(&mut self) {
        if self.awaits_first_answer() && self.started.elapsed() >= FIRST_ANSWER {
            let silence = crate::Error::Timeout { request: "AttachWorker", after: FIRST_ANSWER };
            let error = self.trouble.take().unwrap_or(silence);
            self.fail(error.into());
        }
    }

    fn introduce(&mut self) {
        let process = match ProcessId::current() {
            Ok(ProcessId { pid, start_time }) => ProcessKey { pid, start_time },
            Err(error) => return self.fail(error.into()),
        };
        let Worker { options, name, nonce, .. } = self.worker.clone();
        self.last_request += 1;
        self.attaching = Some(self.last_request);
        let request = self.last_request;
        let (processes, schema) = (options.processes, options.schema.clone());
        let message = AttachWorker { name, process, nonce, processes, attach: request, schema };
        if let Some(connection) = self.link.connection()
            && let Err(error) = connection.queue(request, &message.into(), &[])
        {
            self.fail(error.into());
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        let Incoming { request_id, message, .. } = incoming;
        match message {
            Message::WorkerAttached(attached) => {
                self.back();
                let lease = Duration::from_millis(attached.lease_ms);
                self.lease = Some(lease);
                self.tell_all(Command::Lease(lease));
                self.tell_all(Command::Server(true));
            }
            Message::Stop(stop) => {
                let reason = match stop.reason {
                    WireReason::Cancelled => StopReason::Cancelled,
                    WireReason::Stale => StopReason::LeaseLost,
                };
                if let Some(member) = self.members.get(&stop.child) {
                    let _ = member.commands.send(Command::Stop(stop.fence, reason));
                }
            }
            Message::Done(_) => self.reports.answered(request_id),
            Message::Refused(refused) if self.attaching == Some(request_id) || request_id == 0 => {
                self.link.reset(refused.into());
            }
            Message::Refused(refused) => {
                tracing::warn!(message = refused.message, "the server refuses the report of a dead child");
                self.reports.answered(request_id);
            }
            other => tracing::warn!(name = other.name(), "a message that a supervisor does not expect"),
        }
    }

    fn back(&mut self) {
        self.greeted = true;
        self.attaching = None;
        self.link.settled();
        if self.away_since.take().is_some_and(|since| since.elapsed() >= AWAY_LATE) {
            self.say("the server is back");
        }
    }

    fn lost(&mut self, error: crate::Error) {
        tracing::debug!(%error, "a worker has no connection");
        self.attaching = None;
        self.tell_all(Command::Server(false));
        self.reports.repeat();
        let away_since = *self.away_since.get_or_insert_with(Instant::now);
        if self.greeted && away_since.elapsed() >= AWAY_LATE {
            let home = &self.worker.options.target;
            self.say(&format!("the server of {home} is away; waiting for it"));
        }
        if matches!(error, crate::Error::VersionMismatch { .. }) {
            return self.fail(error.into());
        }
        self.trouble = Some(error);
    }

    fn send_reports(&mut self) {
        if self.attaching.is_none()
            && let Some(connection) = self.link.connection()
        {
            self.reports.send(connection, &mut self.last_request);
        }
    }
}
