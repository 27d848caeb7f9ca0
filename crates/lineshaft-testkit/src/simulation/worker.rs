//! A supervisor: starts its children, says how they died, and replaces them.

use bytes::Bytes;
use lineshaft_wire::message::{AttachWorker, ChildEnded, Message, ProcessKey};

use super::child::Child;
use super::network::{Frame, Peer};
use super::world::Step;
use super::{SECOND, Time};

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
        self.link = Some(step.network.connect(Peer::Supervisor(self.nonce), engine, step.disk));
        let attach = AttachWorker {
            name: format!("host:{}", self.nonce).into(),
            process: self.process,
            nonce: self.nonce,
            processes: self.children.len() as u32,
            attach: self.last_request + 1,
            schema: None,
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

/// A process on another host: the engine looks at those of its own by their pid.
pub(super) fn process(nonce: u64, number: u32) -> ProcessKey {
    ProcessKey { pid: 0, start_time: nonce << 32 | u64::from(number) }
}
