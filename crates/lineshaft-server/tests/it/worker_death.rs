//! The end of a worker's process ends its attempts at once; a closed connection does not.

use std::time::{Duration, Instant};

use lineshaft_wire::message::{
    AttachChild, Credit, Ended, Finish, Leases, Message, ProcessKey, RefusalCode, Succeeded, Wait,
};
use lineshaft_wire::{Fence, JobId};
use rustix::process::Signal;
use serde_bytes::ByteBuf;

use crate::support::{
    Client, OtherProcess, PATIENCE, TestServer, attach_child, given_home, own_process, say_ready,
};

const HOLDER: &str = "worker_death::other_child_that_holds_a_lease";
const FINISHER: &str = "worker_death::other_child_that_finishes_and_dies";
const RESULT_BYTES: usize = 3 << 20;

fn leased(client: &mut Client, attach: AttachChild) -> (JobId, Fence) {
    client.call(1, attach, b"");
    client.send(0, Credit { leases: 1, reset: true }, b"");
    next_lease(client)
}

fn next_lease(client: &mut Client) -> (JobId, Fence) {
    let (message, _) = client.receive().unwrap();
    let Message::Leases(Leases { epoch, jobs, .. }) = message else { panic!("{message:?}") };
    (jobs[0].job, Fence { epoch, counter: jobs[0].counter })
}

#[test]
#[ignore = "a child of a worker, for other tests"]
fn other_child_that_holds_a_lease() {
    let mut client = Client::connect(&given_home()).greeted();
    leased(&mut client, attach_child());
    say_ready();
    std::thread::sleep(PATIENCE);
}

/// Ends without waiting for its answer: what it sent is in the socket when the kernel reports its death.
#[test]
#[ignore = "a child of a worker, for other tests"]
fn other_child_that_finishes_and_dies() {
    let mut client = Client::connect(&given_home()).greeted();
    let (job, fence) = leased(&mut client, attach_child());
    say_ready();
    let end = Succeeded {
        job,
        fence,
        started_at: 1,
        finished_at: 2,
        result_length: RESULT_BYTES as u64,
        output_length: 0,
    };
    client.send(2, Finish { succeeded: vec![end], ..Finish::default() }, &vec![7; RESULT_BYTES]);
    rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).unwrap();
}

#[test]
fn the_job_of_a_killed_child_is_leased_again_at_once() {
    let server = TestServer::start();
    let job = server.client().enqueue(b"");
    let child = OtherProcess::start(HOLDER, server.home());
    let mut other = server.client();
    other.call(1, AttachChild { worker: 1, ..attach_child() }, b"");
    other.send(0, Credit { leases: 1, reset: true }, b"");
    let killed = Instant::now();
    child.signal(Signal::KILL);
    assert_eq!(next_lease(&mut other).0, job);
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
}

#[test]
fn what_a_child_finished_before_it_died_counts() {
    let server = TestServer::start();
    let mut client = server.client();
    let job = client.enqueue(b"");
    let _child = OtherProcess::start(FINISHER, server.home());
    let (message, frame) = client.call(5, Wait { ids: ByteBuf::from(job.to_bytes()), results: true }, b"");
    let expected = Ended { completed: vec![(job, RESULT_BYTES as u64)], last: true, ..Ended::default() };
    assert_eq!(message, expected.into());
    assert_eq!(frame.payload.len(), RESULT_BYTES);
}

#[test]
fn a_child_that_only_lost_its_connection_keeps_its_lease() {
    let server = TestServer::start();
    let job = server.client().enqueue(b"");
    let mut child = server.client();
    let (leased_job, fence) = leased(&mut child, attach_child());
    assert_eq!(leased_job, job);
    drop(child);
    std::thread::sleep(Duration::from_millis(300));
    let mut child = server.client();
    let (message, _) = child.call(1, AttachChild { held: vec![(job, fence)], ..attach_child() }, b"");
    let Message::ChildAttached(attached) = message else { panic!("{message:?}") };
    assert!(attached.stale.is_empty(), "{attached:?}");
}

#[test]
fn a_false_claim_of_a_process_is_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    let own = own_process();
    for process in [ProcessKey { pid: 1, ..own }, ProcessKey { start_time: 7, ..own }] {
        let (message, _) = client.call(1, AttachChild { process, ..attach_child() }, b"");
        let Message::Refused(refused) = message else { panic!("{message:?}") };
        assert_eq!(refused.code, RefusalCode::BadRequest);
        assert!(refused.message.contains(&format!("process {}", own.pid)), "{}", refused.message);
    }
    client.ping();
}
