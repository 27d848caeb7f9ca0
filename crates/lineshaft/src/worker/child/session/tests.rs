//! What a child does when its server answers late, not at all, or with a refusal: the other side of its socket.

use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use bytes::Bytes;
use lineshaft_ipc::shared::AttemptPage;
use lineshaft_wire::frame::{FrameDecoder, Header, encode_frame};
use lineshaft_wire::message::{
    Done, End, FRAME_BYTES_MAX, Finish, Finished, Lease, PAYLOAD_BYTES_MAX, PROTOCOL, ProcessKey,
    RefusalCode, Refused, Succeeded, Welcome,
};
use lineshaft_wire::{ErrorRecord, JobId};
use tempfile::TempDir;

use super::*;
use crate::worker::child::helm::Driver;
use crate::worker::child::job::{Ended, Ending, Job, Next};
use crate::{Reply, Target};

const PATIENCE: Duration = Duration::from_secs(10);

/// A session on a thread of its own, and where it connects to.
struct World {
    shared: Arc<Shared>,
    listener: UnixListener,
    said: PipeReader,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let shared = Arc::new(Shared::new(Arc::new(AttemptPage::create(1).unwrap()), Kind::Process));
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
    fn attach(&self, lease: Duration) -> (Peer, Vec<(JobId, Fence)>) {
        self.attach_without(lease, Vec::new())
    }

    /// The same, where these leases are somebody else's by now.
    fn attach_without(&self, lease: Duration, stale: Vec<Fence>) -> (Peer, Vec<(JobId, Fence)>) {
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
    fn said(&self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0; 1]);
        while line.last() != Some(&b'\n') {
            (&self.said).read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    fn driver(&self) -> Driver {
        self.shared.helm().unwrap().driver()
    }

    /// The next job, which ends at once.
    fn run_one(&self, ending: impl Fn(&Job) -> Ending) {
        let Next::Job(job) = self.shared.next(PATIENCE) else { panic!("no job came") };
        self.end(&job, ending(&job));
    }

    fn end(&self, job: &Job, ending: Ending) {
        self.shared.finish(
            job.ticket(),
            Ended::new(job, (1, 2), ending, Bytes::new()),
            Instant::now(),
            false,
        );
    }
}

/// The server's end of a connection.
struct Peer {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Peer {
    fn send(&mut self, request_id: u64, message: &Message, payload: &[u8]) {
        let (mut map, mut frame) = (Vec::new(), Vec::new());
        message.encode(&mut map);
        let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
        encode_frame(&mut frame, header, &map, &[payload]).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    /// The next message; `None` when the child has closed the connection.
    fn next(&mut self) -> Option<(u64, Message)> {
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
    fn is_quiet(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut buffer = [0; 4 << 10];
        let read = self.stream.read(&mut buffer);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.map(|count| self.decoder.push(&buffer[..count])).is_err()
    }

    /// Reads on until `wanted` gives something.
    fn until<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> (u64, T) {
        loop {
            let (request, message) = self.next().expect("the child closed its connection");
            if let Some(found) = wanted(&message) {
                return (request, found);
            }
        }
    }

    fn finish(&mut self) -> (u64, Finish) {
        self.until(|message| match message {
            Message::Finish(finish) => Some(finish.clone()),
            _ => None,
        })
    }

    fn refuse(&mut self, request: u64, code: RefusalCode) {
        let refused = Refused { code, message: "not like this".into(), hint: None };
        self.send(request, &refused.into(), b"");
    }

    fn lease(&mut self, counters: std::ops::RangeInclusive<u64>) {
        self.lease_of(&counters.map(|counter| (counter, 0)).collect::<Vec<_>>());
    }

    /// Leases with these counters, each of the task with this number.
    fn lease_of(&mut self, jobs: &[(u64, u32)]) {
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
    fn serve(mut self) {
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

fn returned(_: &Job) -> Ending {
    Ending::Returned(Bytes::from_static(b"result"))
}

fn counters(held: &[(JobId, Fence)]) -> Vec<u64> {
    held.iter().map(|(_, fence)| fence.counter).collect()
}

/// They were dropped without a word while renewals went on: their jobs stayed `running` for ever.
#[test]
fn leases_dropped_after_a_standstill_are_given_up_by_a_new_connection() {
    let world = World::new();
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert!(held.is_empty());
    peer.lease(1..=2);
    while world.shared.state().waiting.len() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    world.shared.state().leased_until = Some(Instant::now());
    assert_eq!(world.shared.try_next(), None);
    peer.serve();
    let (_, held) = world.attach(Duration::from_secs(60));
    assert!(held.is_empty(), "{held:?}");
}

/// A connection whose other end is gone without a word was kept for ever.
#[test]
fn a_server_that_answers_no_renewal_is_left_for_a_new_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_millis(500));
    let start = Instant::now();
    while peer.next().is_some() {
        assert!(start.elapsed() < PATIENCE, "the child stays");
    }
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    world.attach(Duration::from_secs(60));
}

#[test]
fn renewals_that_are_answered_keep_the_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(2));
    // Two leases long.
    for _ in 0..2 * RENEWALS {
        let (request, ()) = peer.until(|message| matches!(message, Message::Renew(_)).then_some(()));
        peer.send(request, &Done {}.into(), b"");
    }
}

/// A renewal was a third of the lease ago when the connection was cut, and the next one was up to 1.25 s away.
#[test]
fn a_connection_may_be_cut_for_half_a_lease_at_the_worst_moment() {
    let lease = Duration::from_secs(15);
    let back = lease / RENEWALS + lease / 2 + crate::worker::link::PAUSE_MAX.mul_f64(1.25);
    assert!(back + Duration::from_millis(500) < lease.mul_f64(LEASE_USED_MAX), "{back:?}");
}

#[test]
fn an_end_that_comes_too_late_is_dropped_and_said() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=2);
    for is_refused in [true, false] {
        world.run_one(returned);
        let (request, finish) = peer.finish();
        let Succeeded { job, fence, .. } = finish.succeeded[0];
        if is_refused {
            peer.send(request, &Finished { refused: vec![(job, fence)] }.into(), b"");
        } else {
            drop(peer);
            let (again, held) = world.attach_without(Duration::from_secs(60), vec![fence]);
            assert_eq!(held, [(job, fence)]);
            peer = again;
        }
        let expected = format!(
            "the end of an attempt of job {job} came too late and does not count: it had lost its lease\n"
        );
        assert_eq!(world.said(), expected);
        assert!(world.shared.settle(PATIENCE));
    }
}

/// One thread read each job and woke the slot's, which woke that one for the end.
#[test]
fn an_idle_slot_reads_its_jobs_itself_and_its_end_leaves_when_it_comes_back() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    let slot = thread::scope(|scope| {
        let slot = scope.spawn(|| {
            world.run_one(returned);
            let next = world.shared.next(Duration::from_millis(200));
            assert_eq!(next, Next::TimedOut);
        });
        while world.driver() != Driver::Slot {
            thread::sleep(Duration::from_millis(1));
        }
        peer.lease(1..=1);
        peer.finish();
        slot.join()
    });
    slot.unwrap();
}

#[test]
fn the_lease_of_a_body_that_computes_is_renewed() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(3));
    peer.lease(1..=1);
    assert!(matches!(world.shared.next(PATIENCE), Next::Job(_)));
    assert_eq!(world.shared.next(Duration::from_millis(20)), Next::TimedOut);
    assert_ne!(world.driver(), Driver::Slot);
    // The slot does not come back.
    peer.until(|message| matches!(message, Message::Renew(_)).then_some(()));
    assert_eq!(world.driver(), Driver::Thread);
}

/// The end was forgotten and its lease renewed: the job stayed `running` for ever.
#[test]
fn an_end_that_the_server_fails_to_take_is_sent_again_over_a_new_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(returned);
    let (request, first) = peer.finish();
    peer.refuse(request, RefusalCode::Internal);
    peer.serve();
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert_eq!(counters(&held), [1]);
    let (request, second) = peer.finish();
    assert_eq!(first, second);
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
}

#[test]
fn an_end_that_is_refused_again_and_again_becomes_one_that_the_server_takes() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(returned);
    for _ in 0..2 {
        let (request, finish) = peer.finish();
        assert_eq!(finish.succeeded.len(), 1);
        peer.refuse(request, RefusalCode::BadRequest);
        peer.serve();
        peer = world.attach(Duration::from_secs(60)).0;
    }
    let (request, _) = peer.finish();
    peer.refuse(request, RefusalCode::BadRequest);
    let (request, finish) = peer.finish();
    let [other] = &finish.others[..] else { panic!("{finish:?}") };
    let End::Rejected { reason, error } = &other.end else { panic!("{other:?}") };
    assert_eq!(&**reason, "result_unencodable");
    assert_eq!(error.message, "the server refuses the end of this attempt: not like this");
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
    assert_eq!(world.shared.state().unsettled_bytes, 0);
}

/// It was noted as sent though no frame takes it, and its lease was renewed for ever.
#[test]
fn an_end_too_large_for_a_frame_is_reported_without_what_is_too_much() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(|_| {
        let types = vec!["shop.Large".to_owned()];
        let error = ErrorRecord {
            types,
            arguments: Some(vec![0; FRAME_BYTES_MAX as usize]),
            ..ErrorRecord::default()
        };
        Ending::Other(End::Errored { error, retry_after_ms: Some(7) })
    });
    let (request, finish) = peer.finish();
    let End::Errored { error, retry_after_ms: Some(7) } = &finish.others[0].end else { panic!("{finish:?}") };
    assert_eq!((&error.types[..], &error.arguments), (&["shop.Large".to_owned()][..], &None));
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
    assert_eq!(world.shared.state().unsettled_bytes, 0);
}

/// What waits when a whole worker dies is `maybe_ran`, though it never began. One task that may run once made all
/// others run one by one, with a sync each.
#[test]
fn what_may_run_once_waits_in_no_child_and_what_may_run_again_does() {
    let world = World::new();
    let mut state = world.shared.state();
    state.once = vec![false, true];
    (0..100).for_each(|_| state.pace.record_run(Duration::from_micros(8), 100));
    drop(state);
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    let credit = |message: &Message| match message {
        Message::Credit(credit) => Some((credit.leases, credit.reset)),
        _ => None,
    };
    assert_eq!(peer.until(credit).1, (375, true));
    peer.lease_of(&[(1, 0), (2, 0), (3, 1), (4, 0), (5, 1)]);
    assert_eq!(peer.until(credit).1, (0, true));
    let (request, back) = peer.until(|message| match message {
        Message::Release(release) => Some(release.leases.clone()),
        _ => None,
    });
    assert_eq!(counters(&back), [3, 5]);
    peer.send(request, &Finished::default().into(), b"");
    for _ in 0..3 {
        world.run_one(returned);
    }
    assert_eq!(peer.until(credit).1, (1, false));
    peer.lease_of(&[(6, 1)]);
    world.run_one(returned);
    // After some that may run again others are asked for ahead.
    for counter in 7..=7 + u64::from(super::super::queue::CAREFUL_JOBS) {
        assert_eq!(peer.until(credit).1, (1, false));
        peer.lease(counter..=counter);
        world.run_one(returned);
        if world.shared.state().missing(0) > 1 {
            return assert_eq!(counter, 6 + u64::from(super::super::queue::CAREFUL_JOBS));
        }
    }
    panic!("it asks for one job at a time for ever");
}

impl World {
    /// Takes the leased job up and leaves a checkpoint.
    fn checkpoint(&self) -> (Job, Reply<bool>) {
        let Next::Job(job) = self.shared.next(PATIENCE) else { panic!("no job came") };
        let reply = self.shared.leave_checkpoint(job.ticket(), b"page 7".to_vec());
        (job, reply)
    }
}

impl Peer {
    fn checkpoint(&mut self) -> (u64, (u64, u32)) {
        self.until(|message| match message {
            Message::Checkpoint(checkpoint) => Some((checkpoint.fence.counter, checkpoint.length)),
            _ => None,
        })
    }
}

#[test]
fn a_checkpoint_is_sent_again_over_a_new_connection_until_it_is_confirmed() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    assert_eq!(peer.checkpoint().1, (1, 6));
    drop(peer);
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert_eq!(counters(&held), [1], "the attempt runs, and is listed once");
    let (request, _) = peer.checkpoint();
    assert!(reply.wait_timeout(Duration::ZERO).is_none(), "nobody confirmed it");
    peer.send(request, &Finished::default().into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    world.end(&job, returned(&job));
    let (request, _) = peer.finish();
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
}

#[test]
fn an_attempt_whose_checkpoint_is_refused_is_asked_to_stop() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    let (request, _) = peer.checkpoint();
    // The signal that the only slot of a process hears of it by must not end this process.
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::default()).unwrap();
    peer.send(request, &Finished { refused: vec![(job.id, job.fence)] }.into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(false))));
    let fence = crate::worker::child::queue::page_fence(job.fence);
    assert_eq!(world.shared.page.stop_requested(job.place, fence), Some(StopReason::LeaseLost));
}

#[test]
fn a_checkpoint_waits_for_room_on_the_disk_and_not_for_sense() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    let (request, _) = peer.checkpoint();
    peer.refuse(request, RefusalCode::StoreFull);
    let (request, _) = peer.checkpoint();
    assert!(reply.wait_timeout(Duration::ZERO).is_none());
    peer.send(request, &Finished::default().into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    let mut reply = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    let (request, _) = peer.checkpoint();
    peer.refuse(request, RefusalCode::TooLarge);
    let Some(Err(error)) = reply.wait_timeout(PATIENCE) else { panic!("no answer") };
    assert_eq!(error.to_string(), "not like this");
}

/// On a full disk each was tried again by itself, so that an older one could replace a newer one.
#[test]
fn an_older_checkpoint_never_replaces_a_newer_one() {
    const LEFT: usize = 60;
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let Next::Job(job) = world.shared.next(PATIENCE) else { panic!("no job came") };
    let hang_up = peer.stream.try_clone().unwrap();
    let server = thread::spawn(move || peer.serve_checkpoints_on_a_full_disk());
    let mut random = fastrand::Rng::with_seed(11);
    let leave = |length| {
        if random.u8(0..3) == 0 {
            thread::sleep(Duration::from_millis(random.u64(2..40)));
        }
        world.shared.leave_checkpoint(job.ticket(), vec![7; length])
    };
    let replies: Vec<_> = (1..=LEFT).map(leave).collect();
    for mut reply in replies {
        assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    }
    hang_up.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(server.join().unwrap(), LEFT);
}

/// It was sent again after the newer one.
#[test]
fn a_newer_checkpoint_takes_the_place_of_one_that_waits_for_room() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut older) = world.checkpoint();
    let (request, (_, length)) = peer.checkpoint();
    peer.refuse(request, RefusalCode::StoreFull);
    // It may be sent again meanwhile; mostly it waits.
    thread::sleep(Duration::from_millis(3));
    let mut newer = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    loop {
        match peer.checkpoint() {
            (request, (1, 1)) => break peer.send(request, &Finished::default().into(), b""),
            (request, other) => {
                assert_eq!(other.1, length);
                peer.refuse(request, RefusalCode::StoreFull);
            }
        }
    }
    for reply in [&mut newer, &mut older] {
        assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    }
}

impl Peer {
    /// Keeps checkpoints in the order in which they come, if there happens to be room; its answers overtake each other.
    /// The length of the last one that it kept, which none may be shorter than.
    fn serve_checkpoints_on_a_full_disk(mut self) -> usize {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut kept, mut unanswered) = (0, Vec::new());
        loop {
            while !unanswered.is_empty() && (self.is_quiet() || random.bool()) {
                match unanswered.swap_remove(random.usize(..unanswered.len())) {
                    (request, true) => self.send(request, &Finished::default().into(), b""),
                    (request, false) => self.refuse(request, RefusalCode::StoreFull),
                }
            }
            let Some((request, message)) = self.next() else { return kept };
            if let Message::Checkpoint(checkpoint) = message {
                let has_room = random.bool();
                if has_room {
                    assert!(checkpoint.length as usize >= kept, "{} replaces {kept}", checkpoint.length);
                    kept = checkpoint.length as usize;
                }
                unanswered.push((request, has_room));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_an_attempt_that_is_over_says_so() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let Next::Job(job) = world.shared.next(PATIENCE) else { panic!("no job came") };
    world.end(&job, returned(&job));
    let mut reply = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    assert!(matches!(reply.wait_timeout(Duration::ZERO), Some(Ok(false))));
}
