//! The life of one child, from its start to the report of its death.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_ipc::memory;
use lineshaft_ipc::process::Exit;
use lineshaft_ipc::shared::{Begun, StopReason};
use lineshaft_wire::Fence;
use lineshaft_wire::message::ChildEnded;
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::escalation::{Escalation, Step};
use super::last_word::{LastWord, describe};
use super::memory::{Excess, LOOK_MEMORY, Memory, Verdict};
use super::process::Process;
use super::wear::{Signs, Wear, Why, Worn};
use crate::worker::Options;
use crate::worker::child::{DRAIN, FAILED, LEASE_USED_MAX, READY, REPORT_BYTES_MAX};
use crate::worker::clock::monotonic_ms;

/// How often the page is looked at while something runs, and while nothing does.
const LOOK_BUSY: Duration = Duration::from_millis(50);
const LOOK_IDLE: Duration = Duration::from_millis(200);

/// What a child that drains gets beyond its grace when nothing runs any more: the server has to confirm the last ends,
/// and one that it never hears of is lost.
const LAST_ENDS: Duration = Duration::from_secs(10);

/// What a child that makes no progress gets to hand back what it has, once there is another one.
const STUCK: Duration = Duration::from_secs(2);

/// What a child's task tells the crew.
#[derive(Debug)]
pub(super) enum Event {
    /// It has loaded the app.
    Ready,
    /// It is attached and takes jobs.
    Working,
    /// It is to be replaced.
    Worn(Worn),
    /// It could not, and says why.
    Failed(String),
    /// It is dead; a replacement may start. Its process group may still be on its way out.
    Died,
    /// Its process group is empty.
    Ended(Box<Ended>),
}

/// A child that is gone with all that it started.
#[derive(Debug)]
pub(super) struct Ended {
    /// For the server; `None` if the child never got as far as a lease.
    pub(super) report: Option<ChildEnded>,
    /// The outputs of the attempts it left.
    pub(super) output: Bytes,
    /// How it ended, in words.
    pub(super) how: String,
}

/// What the crew tells a child's task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// The attempt must stop.
    Stop(Fence, StopReason),
    /// Finish and hand back, however long that takes: somebody else is in its place.
    Retire(Why),
    /// The server is there, or is not.
    Server(bool),
    /// Finish or hand back: attempts are asked to stop after the first time, and killed after the second.
    Drain { ask_after: Duration, kill_after: Duration },
    /// End it all now.
    Kill,
    /// How long a lease lives without renewal.
    Lease(Duration),
}

/// Watches one child.
pub(super) struct Watch {
    options: Arc<Options>,
    process: Process,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<(u32, Event)>,
    /// Attempts that were asked to stop.
    escalations: BTreeMap<lineshaft_ipc::shared::Fence, Escalation>,
    /// Attempts begun at the last look.
    begins: u64,
    /// When the page is looked at again.
    pace: Duration,
    memory: Memory,
    /// The attempt for whose memory the child was killed.
    excess: Option<Excess>,
    /// How many processes the kernel had killed for want of memory when this one started.
    kernel_kills: Option<u64>,
    /// The child's last sign of a renewed lease.
    beat: (u64, Instant),
    lease: Option<Duration>,
    /// Since when the server is there.
    server: Option<Instant>,
    drain: Option<Drain>,
    wear: Wear,
    /// What the crew has been told of it.
    told: Told,
    retired: Option<Retired>,
    said: Vec<u8>,
    ready: bool,
}

/// What the crew knows of a child.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    works: bool,
    worn: Option<Why>,
    leaves: bool,
}

/// A child in whose place there is another one.
#[derive(Clone, Copy, Debug)]
struct Retired {
    /// When nothing ran in it any more.
    idle_since: Option<Instant>,
    /// How long it may stay after that.
    patience: Duration,
}

/// A stop of the worker, as seen by one child.
#[derive(Clone, Copy, Debug)]
struct Drain {
    ask_at: Instant,
    kill_at: Instant,
}

impl Watch {
    pub(super) fn new(
        options: Arc<Options>,
        process: Process,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<(u32, Event)>,
    ) -> Self {
        let pid = process.pid;
        Self {
            memory: Memory::new(pid),
            excess: None,
            kernel_kills: memory::kills(),
            options,
            process,
            commands,
            events,
            escalations: BTreeMap::new(),
            begins: 0,
            pace: LOOK_IDLE,
            beat: (0, Instant::now()),
            lease: None,
            server: None,
            drain: None,
            wear: Wear::new(pid),
            told: Told::default(),
            retired: None,
            said: Vec::new(),
            ready: false,
        }
    }

    /// Watches until the child's group is empty and everything about it is told.
    pub(super) async fn run(mut self) {
        self.live().await;
        self.hear_last_words().await;
        self.tell(Event::Died).await;
        self.process.empty_group().await;
        self.process.take_output();
        let exit = self.process.reap();
        let (report, output) = self.last_word(exit).report();
        let report = (self.process.page.beats() > 0).then_some(report);
        self.tell(Event::Ended(Box::new(Ended { report, output, how: describe(exit) }))).await;
    }

    fn last_word(&self, exit: Option<Exit>) -> LastWord<'_> {
        LastWord {
            process: &self.process,
            exit,
            excess: self.excess,
            worn: self.told.worn,
            drains: self.drain.is_some(),
            kernel_kills: self.kernel_kills,
        }
    }

    async fn live(&mut self) {
        let mut heard = true;
        loop {
            tokio::select! {
                () = self.process.exited() => return,
                Some(command) = self.commands.recv() => self.obey(command),
                readable = self.process.lifeline.readable(), if heard => {
                    // Closed, but the child may live on for a moment.
                    heard = readable.is_ok() && self.listen().await;
                }
                () = tokio::time::sleep(self.pace) => {}
            }
            self.look(Instant::now());
            for event in self.news(Instant::now()).into_iter().flatten() {
                self.tell(event).await;
            }
        }
    }

    async fn tell(&self, event: Event) {
        // The crew is gone only when the worker is.
        let _ = self.events.send((self.process.number, event)).await;
    }

    // ---- What the child says.

    /// Reads what is there; false when nothing more can come.
    async fn listen(&mut self) -> bool {
        let mut buffer = [0; 4_096];
        loop {
            match self.process.lifeline.try_read(&mut buffer) {
                Ok(count @ 1..) => self.hear(&buffer[..count]).await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                _ => return false,
            }
        }
    }

    async fn hear(&mut self, bytes: &[u8]) {
        let room = (REPORT_BYTES_MAX + 1).saturating_sub(self.said.len());
        self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.said.first() == Some(&READY) && !self.ready {
            self.ready = true;
            self.tell(Event::Ready).await;
        }
    }

    /// What a dead child had still to say: that it could not load the app, and why.
    async fn hear_last_words(&mut self) {
        let mut buffer = [0; 4_096];
        // Not by the runtime, which may not have seen yet that there is something.
        while let Ok(count @ 1..) = rustix::io::read(&self.process.lifeline, &mut buffer) {
            self.hear(&buffer[..count]).await;
        }
        if let Some((&FAILED, report)) = self.said.split_first() {
            let report = String::from_utf8_lossy(report).into_owned();
            self.tell(Event::Failed(report)).await;
        }
    }

    // ---- What the crew says.

    fn obey(&mut self, command: Command) {
        match command {
            Command::Stop(fence, reason) => self.stop(fence, reason),
            Command::Retire(why) => self.retire(why),
            Command::Server(is_there) => self.server = is_there.then(Instant::now),
            Command::Drain { ask_after, kill_after } => self.drain(ask_after, kill_after),
            Command::Kill => self.kill(StopReason::Shutdown),
            Command::Lease(lease) => self.lease = Some(lease),
        }
    }

    /// The child hears of it too and asks the body, or hands back what has not begun; this makes sure where it cannot.
    fn stop(&self, fence: Fence, reason: StopReason) {
        let fence = lineshaft_ipc::shared::Fence { epoch: fence.epoch, counter: fence.counter };
        if let Some(begun) = self.process.page.begun().find(|begun| begun.fence == fence) {
            self.request(&begun, reason);
        }
    }

    fn drain(&mut self, ask_after: Duration, kill_after: Duration) {
        let now = Instant::now();
        self.drain = Some(Drain { ask_at: now + ask_after, kill_at: now + kill_after });
        self.ask_to_drain();
    }

    /// It takes nothing new. What it does not even do then is to end.
    fn retire(&mut self, why: Why) {
        let patience = if why.is_stuck() { STUCK } else { LAST_ENDS + self.options.grace };
        self.retired = Some(Retired { idle_since: None, patience });
        self.ask_to_drain();
    }

    fn ask_to_drain(&self) {
        // Not by the runtime, which would refuse until it has seen that the socket takes something.
        if let Err(error) = rustix::io::write(&self.process.lifeline, &[DRAIN]) {
            tracing::debug!(%error, "a child cannot be told to drain");
        }
    }

    fn kill(&self, reason: StopReason) {
        self.process.page.begun().for_each(|begun| self.request(&begun, reason));
        self.end_group(Signal::KILL);
    }

    fn request(&self, begun: &Begun, reason: StopReason) {
        if self.stop_of(begun).is_none() {
            self.process.page.request_stop(begun.place, begun.fence, reason);
        }
    }

    fn stop_of(&self, begun: &Begun) -> Option<StopReason> {
        self.process.page.stop_requested(begun.place, begun.fence)
    }

    /// Signals the group so that the child ends, and says in its page that this is why.
    fn end_group(&self, signal: Signal) {
        self.process.page.set_ending();
        self.process.signal_group(signal);
    }

    // ---- What is due.

    fn look(&mut self, now: Instant) {
        let begun: Vec<Begun> = self.process.page.begun().collect();
        let begins = self.process.page.begins();
        let more = std::mem::replace(&mut self.begins, begins) != begins;
        let busy = more || !begun.is_empty() || self.drain.is_some();
        self.pace = match busy {
            true if Memory::is_limited(&begun) => LOOK_MEMORY,
            true => LOOK_BUSY,
            false => LOOK_IDLE,
        };
        self.note_beat(now);
        begun.iter().for_each(|begun| self.watch_clock(begun));
        self.watch_memory(&begun, now);
        if !begun.is_empty() {
            self.watch_lease(now);
        }
        self.watch_drain(&begun, now);
        self.watch_retired(begun.is_empty(), now);
        self.escalate(&begun, now);
    }

    fn note_beat(&mut self, now: Instant) {
        let beats = self.process.page.beats();
        if beats != self.beat.0 {
            self.beat = (beats, now);
        }
    }

    fn watch_clock(&self, begun: &Begun) {
        let ran = monotonic_ms().saturating_sub(begun.started_ms);
        if begun.timeout_ms > 0 && ran >= begun.timeout_ms {
            self.request(begun, StopReason::TimedOut);
        }
    }

    /// Memory grows too fast for anybody to be asked.
    fn watch_memory(&mut self, begun: &[Begun], now: Instant) {
        match self.memory.look(begun, now) {
            Verdict::Kill(excess) if self.excess.is_none() => {
                self.excess = Some(excess);
                self.end_group(Signal::KILL);
            }
            Verdict::Warn(words) => self.process.say(&words),
            Verdict::Kill(_) | Verdict::Fine => {}
        }
    }

    /// A child that stands still, or whose connection does, cannot end its attempt before its lease ends.
    fn watch_lease(&self, now: Instant) {
        let (beats, at) = self.beat;
        if beats > 0 && self.lease.is_some_and(|lease| now >= at + lease.mul_f64(LEASE_USED_MAX)) {
            self.kill(StopReason::LeaseLost);
        }
    }

    /// The way down of one attempt is that of its whole child: its neighbours run again elsewhere.
    fn escalate(&mut self, begun: &[Begun], now: Instant) {
        let asked = begun.iter().filter(|begun| self.stop_of(begun).is_some()).map(|begun| begun.fence);
        let asked: BTreeSet<_> = asked.collect();
        self.escalations.retain(|fence, _| asked.contains(fence));
        for fence in asked {
            self.escalations.entry(fence).or_insert_with(|| Escalation::new(self.options.grace, now));
        }
        let mut steps: Vec<Step> = self.escalations.values_mut().filter_map(|one| one.due(now)).collect();
        steps.sort_unstable();
        steps.dedup();
        for step in steps {
            match step {
                Step::Ask => self.process.signal(Signal::USR1),
                Step::Terminate => {
                    self.end_group(Signal::TERM);
                    // A stopped process acts on SIGTERM only when it goes on.
                    self.process.signal_group(Signal::CONT);
                }
                Step::Kill => self.end_group(Signal::KILL),
            }
        }
    }

    fn watch_drain(&mut self, begun: &[Begun], now: Instant) {
        let Some(drain) = self.drain else { return };
        let only_tells = begun.is_empty() && self.process.page.unsettled() > 0;
        let extra = if only_tells { LAST_ENDS } else { Duration::ZERO };
        if now >= drain.kill_at + extra {
            self.kill(StopReason::Shutdown);
        } else if now >= drain.ask_at {
            begun.iter().for_each(|begun| self.request(begun, StopReason::Shutdown));
        }
    }

    fn watch_retired(&mut self, is_idle: bool, now: Instant) {
        let Some(retired) = &mut self.retired else { return };
        retired.idle_since = if is_idle { retired.idle_since.or(Some(now)) } else { None };
        if retired.idle_since.is_some_and(|since| now >= since + retired.patience) {
            self.kill(StopReason::Shutdown);
        }
    }

    /// What the crew does not know yet of a child that works.
    fn news(&mut self, now: Instant) -> [Option<Event>; 2] {
        let works = self.process.page.beats() > 0 && !self.told.works;
        self.told.works |= works;
        let worn =
            self.worn(now).filter(|worn| self.told.worn.is_none() || (worn.leaves && !self.told.leaves));
        if let Some(worn) = worn {
            self.told.worn = Some(worn.why);
            self.told.leaves |= worn.leaves;
        }
        [works.then_some(Event::Working), worn.map(Event::Worn)]
    }

    fn worn(&mut self, now: Instant) -> Option<Worn> {
        if self.drain.is_some() || self.retired.is_some() || self.told.leaves {
            return None;
        }
        let lease = self.lease.unwrap_or_default();
        let signs = Signs { heard: self.beat.1, server: self.server, lease };
        self.wear.look(&self.options, &self.process.page, signs, now)
    }
}
