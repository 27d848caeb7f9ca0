//! The life of one child, from its start to the report of its death.

mod due;
mod orders;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_ipc::memory;
use lineshaft_ipc::process::Exit;
use tokio::sync::mpsc;

use super::escalation::Escalation;
use super::last_word::{LastWord, describe};
use super::memory::{Excess, Memory};
use super::messages::{Command, Ended, Event};
use super::process::Process;
use super::wear::{Wear, Why};
use crate::worker::Options;
use crate::worker::child::{FAILED, LIMITED, READY, REPORT_BYTES_MAX};

/// How often the page is looked at while nothing runs.
const LOOK_IDLE: Duration = Duration::from_millis(200);

/// What a child that drains gets beyond its grace when nothing runs any more: the server has to confirm the last ends,
/// and one that it never hears of is lost.
const LAST_ENDS: Duration = Duration::from_secs(10);

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
        // It may have grown, taken no more and left between two looks.
        if let Some(event) = self.last_news() {
            self.tell(event).await;
        }
        self.tell(Event::Died).await;
        self.process.empty().await;
        self.process.take_output();
        let exit = self.process.reap();
        let (report, output) = self.last_word(exit).report();
        let report = (self.process.page.beats() > 0).then_some(report);
        let logs = self.process.logs_left();
        self.tell(Event::Ended(Box::new(Ended { report, logs, output, how: describe(exit) }))).await;
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
        if !self.ready {
            let room = (REPORT_BYTES_MAX + 1).saturating_sub(self.said.len());
            self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.ready = self.said.first() == Some(&READY);
            if self.ready {
                self.tell(Event::Ready).await;
            }
        }
        if self.ready && bytes.contains(&LIMITED) {
            self.memory.expect(Instant::now());
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
}
