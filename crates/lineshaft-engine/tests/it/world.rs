//! What both kinds of test need: requests, and a connection that keeps what it is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{Options, Outbox, Outgoing};
use lineshaft_jobs::Limits;
use lineshaft_wire::message::{
    AttachChild, AttachWorker, Enqueue, Hello, JobGroup, Message, ProcessKey, Rules, Sequence,
};

/// A connection's end that keeps every message.
#[derive(Default)]
pub(crate) struct Mailbox {
    messages: Mutex<Vec<Outgoing>>,
    arrived: Condvar,
    closed: AtomicBool,
}

impl Outbox for Mailbox {
    fn deliver(&self, messages: Vec<Outgoing>) {
        self.messages.lock().unwrap().extend(messages);
        self.arrived.notify_all();
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits for the first message that `pick` likes, and takes it out.
    pub(crate) fn take<T>(&self, mut pick: impl FnMut(&Outgoing) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut messages = self.messages.lock().unwrap();
        loop {
            if let Some((index, found)) =
                messages.iter().enumerate().find_map(|(at, it)| Some((at, pick(it)?)))
            {
                messages.remove(index);
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no such message; there are {messages:?}");
            messages = self.arrived.wait_timeout(messages, left).unwrap().0;
        }
    }

    /// Whether a message that `pick` likes is there.
    pub(crate) fn has(&self, pick: impl Fn(&Outgoing) -> bool) -> bool {
        self.messages.lock().unwrap().iter().any(pick)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The answer to a request.
    pub(crate) fn answer(&self, request_id: u64) -> Message {
        self.take(|outgoing| (outgoing.request_id == request_id).then(|| outgoing.message.clone()))
    }
}

/// The defaults for a test on the machine's own time whose workers do not renew: no lease ends before the test does, however
/// slow the machine is.
pub(crate) fn long_leases() -> Options {
    let limits = Limits { lease_ms: 3_600_000, ..Limits::default() };
    Options { limits, ..Options::default() }
}

pub(crate) fn hello() -> Message {
    Hello {
        protocol: (1, 1),
        version: "test".to_owned(),
        executable: "test".to_owned(),
        pid: 1,
        session: None,
        open_session: true,
        token: None,
        hand_over: false,
    }
    .into()
}

pub(crate) fn group(task: &str, lengths: &[u32]) -> JobGroup {
    JobGroup {
        rules: Arc::new(Rules { max_attempts: 3, backoff_first_ms: 0, ..Rules::default() }),
        ..JobGroup::new(task, lengths.to_vec())
    }
}

pub(crate) fn sequence(number: u64) -> Sequence {
    Sequence { number, lowest: 1 }
}

/// A request for one job per argument, and the bytes that follow it.
pub(crate) fn enqueue(number: u64, task: &str, arguments: &[&[u8]]) -> (Message, Bytes) {
    let lengths: Vec<u32> = arguments.iter().map(|argument| argument.len() as u32).collect();
    let request = Enqueue { sequence: sequence(number), groups: vec![group(task, &lengths)] };
    (request.into(), arguments.concat().into())
}

/// This process: alive as long as the test is.
pub(crate) fn process() -> ProcessKey {
    let process = lineshaft_ipc::process::ProcessId::current().unwrap();
    ProcessKey { pid: process.pid, start_time: process.start_time }
}

pub(crate) fn attach_worker() -> Message {
    AttachWorker {
        name: "host:1".into(),
        process: process(),
        nonce: 7,
        processes: 1,
        attach: 0,
        schema: None,
    }
    .into()
}

pub(crate) fn attach_child(number: u32, tasks: &[&str]) -> Message {
    AttachChild {
        worker: 7,
        worker_name: "host:1".into(),
        number,
        process: process(),
        tasks: tasks.iter().map(|task| (*task).into()).collect(),
        queues: Vec::new(),
        held: Vec::new(),
        declared: Vec::new(),
        attach: 0,
    }
    .into()
}
