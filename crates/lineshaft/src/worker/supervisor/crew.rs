//! The children of a worker as a whole, and its connection to the server.

mod children;
mod server;
mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::AttemptPage;
use tokio::sync::{mpsc, watch as changes};

use super::messages::{Command, Event};
use super::reports::Reports;
use super::wear::Why;
use super::{Phase, Pids, TOLD, Wish, Worker};
use crate::worker::Error;
use crate::worker::farewell::Farewell;
use crate::worker::link::Link;

/// How long the server may take to answer a worker that starts.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// How long the last reports may take after the last child.
const LAST_REPORTS: Duration = Duration::from_secs(10);
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
        [hire, answer, words, self.reports.due()].into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn is_over(&mut self, now: Instant) -> bool {
        if self.wish.phase == Phase::Running || !self.members.is_empty() {
            return false;
        }
        let over_at = *self.over_at.get_or_insert(now);
        let nobody_listens = self.link.connection().is_none();
        self.reports.is_empty() || nobody_listens || now >= over_at + LAST_REPORTS
    }

    /// Words for the people who run the worker; the same ones only once.
    fn say(&mut self, text: &str) {
        if self.said == text {
            return;
        }
        text.clone_into(&mut self.said);
        tracing::error!(target: TOLD, "{text}");
        self.tell(text);
    }

    fn tell(&self, text: &str) {
        if let Some(talk) = &self.worker.talk {
            talk.say(format!("{text}\n").as_bytes());
        }
    }
}
