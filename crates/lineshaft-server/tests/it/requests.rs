//! Requests that reach the engine and come back.

use lineshaft_wire::message::{
    Credit, Ended, Fetch, Finish, Leases, Message, PayloadKind, RefusalCode, Renew, Show, Succeeded, Unwait,
    Wait,
};
use lineshaft_wire::{Fence, JobId, JobState};
use serde_bytes::ByteBuf;

use crate::support::{Client, TestServer, attach_child};

fn wait(job: JobId) -> Wait {
    Wait { ids: ByteBuf::from(job.to_bytes()), results: true }
}

/// A child with credit for `leases` jobs.
fn worker(server: &TestServer, leases: u32) -> Client {
    let mut worker = server.client();
    let (message, _) = worker.call(1, attach_child(), b"");
    assert!(matches!(message, Message::ChildAttached(_)), "{message:?}");
    worker.send(0, Credit { leases, reset: false }, b"");
    worker
}

fn take_leases(worker: &mut Client) -> (Leases, bytes::Bytes) {
    let (message, frame) = worker.receive().unwrap();
    let Message::Leases(leases) = message else { panic!("{message:?}") };
    assert_eq!(frame.header.request_id, 0);
    (leases, frame.payload)
}

fn finish(leases: &Leases, result_length: usize) -> Finish {
    let lease = leases.jobs[0];
    let fence = Fence { epoch: leases.epoch, counter: lease.counter };
    let end = Succeeded {
        job: lease.job,
        fence,
        started_at: 1,
        finished_at: 2,
        result_length: result_length as u64,
        output_length: 0,
    };
    Finish { succeeded: vec![end], ..Finish::default() }
}

#[test]
fn a_job_travels_from_client_to_worker_and_its_result_back() {
    let server = TestServer::start();
    let (mut client, mut worker) = (server.client(), worker(&server, 1));
    let job = client.enqueue(b"arguments");
    let (leases, arguments) = take_leases(&mut worker);
    assert_eq!((leases.jobs[0].job, arguments.as_ref()), (job, &b"arguments"[..]));
    worker.send(0, Renew {}, b"");
    client.send(5, wait(job), b"");
    let (message, _) = worker.call(2, finish(&leases, 6), b"result");
    assert!(matches!(&message, Message::Finished(finished) if finished.refused.is_empty()), "{message:?}");
    let (message, frame) = client.receive().unwrap();
    assert_eq!(message, Ended { completed: vec![(job, 6)], last: true, ..Ended::default() }.into());
    assert_eq!(frame.payload.as_ref(), b"result");
}

/// The connection ended, and when the child came back it was given the same job again: nothing else ran any more.
#[test]
fn a_job_whose_arguments_do_not_read_is_over_and_the_others_go_on() {
    let server = TestServer::start();
    let mut client = server.client();
    let spoil: [fn(&std::path::Path); 3] = [
        |blob| std::fs::remove_file(blob).unwrap(),
        |blob| std::fs::write(blob, b"something else").unwrap(),
        // The system refuses to read it.
        |blob| {
            std::fs::remove_file(blob).unwrap();
            std::fs::create_dir(blob).unwrap();
        },
    ];
    let lost = spoil.map(|spoil| {
        let before: Vec<_> = blobs(&server);
        let job = client.enqueue(&vec![7; 2 << 20]);
        spoil(blobs(&server).iter().find(|blob| !before.contains(blob)).unwrap());
        job
    });
    let good = client.enqueue(b"good");
    let mut worker = worker(&server, 1);
    let leases = loop {
        let (leases, _) = take_leases(&mut worker);
        if !leases.jobs.is_empty() {
            break leases;
        }
    };
    assert_eq!(leases.jobs[0].job, good, "its credit is not used up");
    worker.call(2, finish(&leases, 0), b"");

    let mut show = |job| {
        let (Message::Shown(shown), _) = client.call(3, Show { job }, b"") else { panic!("not shown") };
        shown.record
    };
    for job in &lost[..2] {
        let record = show(*job);
        assert_eq!((record.state, record.reason.as_deref()), (JobState::Discarded, Some("payload_lost")));
        let error = record.attempts[0].error.as_ref().unwrap();
        assert!(error.message.contains("do not read: blob/"), "{}", error.message);
    }
    let waiting = show(lost[2]);
    assert_eq!((waiting.state, waiting.attempts.len()), (JobState::Scheduled, 0));
    assert!(waiting.waits_for.unwrap().contains("do not read: cannot read blob/"));
}

fn blobs(server: &TestServer) -> Vec<std::path::PathBuf> {
    let blobs = std::fs::read_dir(server.home().join("blob")).unwrap();
    blobs.map(|blob| blob.unwrap().path()).collect()
}

#[test]
fn many_large_results_come_in_frames_of_moderate_size() {
    const JOBS: usize = 12;
    let server = TestServer::start();
    let (mut client, mut worker) = (server.client(), worker(&server, JOBS as u32));
    let mut ids = Vec::new();
    for number in 0..JOBS {
        let job = client.enqueue(b"");
        ids.extend(job.to_bytes());
        let (leases, _) = take_leases(&mut worker);
        worker.call(2, finish(&leases, 600_000), &vec![number as u8; 600_000]);
    }
    client.send(5, Wait { ids: ByteBuf::from(ids), results: true }, b"");
    let (mut jobs, mut last) = (0, false);
    while !last {
        let (message, frame) = client.receive().unwrap();
        let Message::Ended(ended) = message else { panic!("{message:?}") };
        assert!(frame.payload.len() <= 1 << 20, "{}", frame.payload.len());
        assert_eq!(frame.payload.len(), ended.completed.len() * 600_000);
        jobs += ended.completed.len();
        last = ended.last;
    }
    assert_eq!(jobs, JOBS);
    client.ping();
}

#[test]
fn a_payload_above_a_mebibyte_comes_back_whole() {
    let server = TestServer::start();
    let mut client = server.client();
    let arguments: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    let job = client.enqueue(&arguments);
    let (message, frame) = client.call(3, Fetch { job, payload: PayloadKind::Arguments }, b"");
    assert!(matches!(message, Message::Fetched(fetched) if fetched.length == 5_000_000), "{message:?}");
    assert!(frame.payload == arguments);
}

#[test]
fn a_given_up_wait_frees_its_request_id() {
    let server = TestServer::start();
    let mut client = server.client();
    let job = client.enqueue(b"");
    for _ in 0..3 {
        client.send(5, wait(job), b"");
        client.send(0, Unwait { request: 5 }, b"");
    }
    client.ping();
}

#[test]
fn too_many_awaited_jobs_end_the_connection() {
    let server = TestServer::start_with(|options| options.limits.awaited_jobs = 2);
    let mut client = server.client();
    let job = client.enqueue(b"");
    for request_id in 1..=3 {
        client.send(request_id, wait(job), b"");
    }
    let refused = client.closing_refusal();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (RefusalCode::TooLarge, "a connection may wait for 2 jobs and locks at once")
    );
}
