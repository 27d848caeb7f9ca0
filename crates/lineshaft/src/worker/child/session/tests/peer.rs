//! A session on a thread of its own, and the server's end of its connection.

use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_ipc::shared::{AttemptPage, Backlog};
use lineshaft_wire::frame::{FrameDecoder, Header, encode_frame};
use lineshaft_wire::message::{
    AttachChild, ChildAttached, Done, FRAME_BYTES_MAX, Finish, Lease, Leases, Message, PAYLOAD_BYTES_MAX,
    PROTOCOL, ProcessKey, RefusalCode, Refused, Welcome,
};
use lineshaft_wire::{Fence, JobId};
use tempfile::TempDir;

use crate::Target;
use crate::worker::Kind;
use crate::worker::child::helm::Driver;
use crate::worker::child::job::{Ended, Ending, Job, Next};
use crate::worker::child::queue::Shared;
use crate::worker::child::session::Session;
use crate::worker::child::words::Words;
use crate::worker::link::Link;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A session on a thread of its own, and where it connects to.
pub(super) struct World {
    pub(super) shared: Arc<Shared>,
    listener: UnixListener,
    said: PipeReader,
    _directory: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let shared = Arc::new(Shared::new(
            Arc::new(AttemptPage::create(1).unwrap()),
            Kind::Process,
            Arc::new(Backlog::create().unwrap()),
            "worker".into(),
        ));
        let introduction = AttachChild {
            worker: 1,
            worker_name: "test".into(),
            number: 1,
            process: ProcessKey::default(),
            tasks: vec!["task".into()],
            queues: Vec::new(),
            held: Vec::new(),
            declared: Vec::new(),
            attach: 0,
        };
        let (said, words) = std::io::pipe().unwrap();
        let link = Link::new(Target::Socket(path));
        let session = Session::new(Arc::clone(&shared), link, introduction, Words::new(Some(words.into())));
        shared.helm().unwrap().spawn(session.run());
        let standing_by = Arc::clone(&shared);
        thread::spawn(move || standing_by.stand_by());
        Self { shared, listener, said, _directory: directory }
    }

    /// Accepts the child's next connection and what it says it holds.
    pub(super) fn attach(&self, lease: Duration) -> (Peer, Vec<(JobId, Fence)>) {
        self.attach_without(lease, Vec::new())
    }

    /// The same, where these leases are somebody else's by now.
    pub(super) fn attach_without(&self, lease: Duration, stale: Vec<Fence>) -> (Peer, Vec<(JobId, Fence)>) {
        let stream = self.accept();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { stream, decoder: FrameDecoder::new(FRAME_BYTES_MAX) };
        let (request, ()) = peer.until(|message| matches!(message, Message::Hello(_)).then_some(()));
        peer.send(request, &welcome().into(), b"");
        let (request, held) = peer.until(|message| match message {
            Message::AttachChild(attach) => Some(attach.held.clone()),
            _ => None,
        });
        let lease_ms = lease.as_millis() as u64;
        peer.send(request, &ChildAttached { lease_ms, stale }.into(), b"");
        (peer, held)
    }

    fn accept(&self) -> UnixStream {
        let start = Instant::now();
        self.listener.set_nonblocking(true).unwrap();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return stream;
                }
                Err(error) => assert!(start.elapsed() < PATIENCE, "the child does not connect: {error}"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next line of its words.
    pub(super) fn said(&self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0; 1]);
        while line.last() != Some(&b'\n') {
            (&self.said).read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    pub(super) fn driver(&self) -> Driver {
        self.shared.helm().unwrap().driver()
    }

    /// The next job, which ends at once.
    pub(super) fn run_one(&self, ending: impl Fn(&Job) -> Ending) {
        let Next::Job(job) = self.shared.next(PATIENCE) else { panic!("no job came") };
        self.end(&job, ending(&job));
    }

    pub(super) fn end(&self, job: &Job, ending: Ending) {
        self.shared.finish(
            job.ticket(),
            Ended::new(job, (1, 2), ending, Bytes::new()),
            Instant::now(),
            false,
        );
    }
}

/// The server's end of a connection.
pub(super) struct Peer {
    pub(super) stream: UnixStream,
    decoder: FrameDecoder,
}

impl Peer {
    pub(super) fn send(&mut self, request_id: u64, message: &Message, payload: &[u8]) {
        let (mut map, mut frame) = (Vec::new(), Vec::new());
        message.encode(&mut map);
        let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
        encode_frame(&mut frame, header, &map, &[payload]).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    /// The next message; `None` when the child has closed the connection.
    pub(super) fn next(&mut self) -> Option<(u64, Message)> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                let message = Message::decode(frame.header.kind, &frame.map).unwrap();
                return Some((frame.header.request_id, message));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came from the child: {error}"),
            }
        }
    }

    /// Whether nothing comes for a moment.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut buffer = [0; 4 << 10];
        let read = self.stream.read(&mut buffer);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.map(|count| self.decoder.push(&buffer[..count])).is_err()
    }

    /// Reads on until `wanted` gives something.
    pub(super) fn until<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> (u64, T) {
        loop {
            let (request, message) = self.next().expect("the child closed its connection");
            if let Some(found) = wanted(&message) {
                return (request, found);
            }
        }
    }

    pub(super) fn finish(&mut self) -> (u64, Finish) {
        self.until(|message| match message {
            Message::Finish(finish) => Some(finish.clone()),
            _ => None,
        })
    }

    pub(super) fn refuse(&mut self, request: u64, code: RefusalCode) {
        let refused = Refused { code, message: "not like this".into(), hint: None };
        self.send(request, &refused.into(), b"");
    }

    pub(super) fn lease(&mut self, counters: std::ops::RangeInclusive<u64>) {
        self.lease_of(&counters.map(|counter| (counter, 0)).collect::<Vec<_>>());
    }

    /// Leases with these counters, each of the task with this number.
    pub(super) fn lease_of(&mut self, jobs: &[(u64, u32)]) {
        let jobs = jobs.iter().map(|&(counter, task)| Lease {
            job: JobId::direct(1, 0, counter as u32, 0),
            counter,
            task,
            attempt: 1,
            timeout_ms: 0,
            keep_result: true,
            length: 0,
        });
        self.send(0, &Leases { epoch: 1, jobs: jobs.collect(), ..Leases::default() }.into(), b"");
    }

    /// Answers renewals until the child closes the connection.
    pub(super) fn serve(mut self) {
        while let Some((request, message)) = self.next() {
            if matches!(message, Message::Renew(_)) {
                self.send(request, &Done {}.into(), b"");
            }
        }
    }
}

fn welcome() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        version: "1".into(),
        executable: String::new(),
        pid: 1,
        home: String::new(),
        on_demand: false,
        epoch: 1,
        session: None,
        frame_bytes_max: FRAME_BYTES_MAX,
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        window: 1_024,
    }
}

pub(super) fn returned(_: &Job) -> Ending {
    Ending::Returned(Bytes::from_static(b"result"))
}

pub(super) fn counters(held: &[(JobId, Fence)]) -> Vec<u64> {
    held.iter().map(|(_, fence)| fence.counter).collect()
}
