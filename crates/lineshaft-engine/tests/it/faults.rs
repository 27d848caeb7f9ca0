//! The running engine on a disk that fails, or answers late.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{Clock, Options, open_on, open_with};
use lineshaft_jobs::Limits;
use lineshaft_store::Options as JournalOptions;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{
    AttachChild, Fetch, Message, PayloadKind, RESULT_EXPIRED, RefusalCode, Status, Wait,
};
use lineshaft_wire::{JobState, code};

use crate::live::{Client, stop, worker};
use crate::world::{attach_child, enqueue, long_leases};

#[test]
fn a_failed_sync_stops_the_engine_and_the_restart_is_right() {
    for skipped in 1..=2 {
        let disk = SimulatedDisk::new();
        let (engine, _) = open_on(disk.clone(), Options::default()).unwrap();
        let mut client = Client::connect(&engine);
        let jobs = client.enqueue(&[b"acknowledged"]);
        // Let what is written ahead come to rest.
        std::thread::sleep(Duration::from_millis(1_500));
        disk.fail_at(disk.operations() + skipped);
        let (message, payload) = enqueue(2, "shop.send", &[b"never acknowledged"]);
        let request = client.send(message, payload);
        let error = engine.join().expect_err("it goes on");
        assert_eq!(error.code(), Some(code::STORE_FAILED), "{error}");
        let answered = client.mailbox.has(|outgoing| outgoing.request_id == request);
        assert!(!answered, "an answer left before it was durable");
        assert!(client.mailbox.is_closed(), "the connection stays open");

        let (engine, _) = open_on(disk.power_loss(Loss::Some(skipped)), Options::default()).unwrap();
        let mut client = Client::connect(&engine);
        client.show(jobs[0]);
        client.enqueue(&[b"goes on"]);
        engine.stop();
        engine.join().unwrap();
    }
}

/// The answer to an end is lost with the server, before or after the end was durable: the child says it again.
#[test]
fn an_end_that_is_sent_again_after_a_crash_counts_once() {
    for was_durable in [false, true] {
        let disk = SimulatedDisk::new();
        let (engine, _) = open_on(disk.clone(), long_leases()).unwrap();
        let mut client = Client::connect(&engine);
        client.enqueue(&[b"once"]);
        let mut child = worker(&engine);
        child.credit();
        let (job, fence, _) = child.leased();
        let before = disk.power_loss(Loss::Everything);
        child.succeed(job, fence, b"result");
        let crashed = if was_durable { disk.power_loss(Loss::Everything) } else { before };
        stop(&engine);

        let (engine, _) = open_on(crashed, long_leases()).unwrap();
        let mut child = Client::connect(&engine);
        let Message::AttachChild(attach) = attach_child(1, &["shop.send"]) else { panic!("another message") };
        let attached = child.ask(AttachChild { held: vec![(job, fence)], ..attach });
        let Message::ChildAttached(attached) = attached else { panic!("{attached:?}") };
        assert_eq!(attached.stale, if was_durable { vec![fence] } else { Vec::new() });
        // None of them is refused, and only the first one counts.
        child.succeed(job, fence, if was_durable { b"other" } else { b"result" });
        child.succeed(job, fence, b"other");
        let mut client = Client::connect(&engine);
        let record = client.show(job);
        assert_eq!((record.state, record.attempts.len()), (JobState::Completed, 1));
        let fetch = client.send(Fetch { job, payload: PayloadKind::Result }, Bytes::new());
        let payload = client.mailbox.take(|it| (it.request_id == fetch).then(|| it.payloads[0].clone()));
        assert_eq!(client.bytes(&payload), "result");
        stop(&engine);
    }
}

/// It was archived as an empty one, and given out as that.
#[test]
fn a_result_that_is_lost_before_its_job_is_archived_is_said_to_be_lost() {
    let (disk, clock) = (SimulatedDisk::new(), Clock::default());
    let segments = JournalOptions { cache_bytes: 1 << 10, ..JournalOptions::default() };
    let options = Options { clock: clock.clone(), ..long_leases() };
    let (engine, _) = open_with(disk.clone(), segments, options).unwrap();
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b"arguments"])[0];
    let mut worker = worker(&engine);
    worker.credit();
    let (_, fence, _) = worker.leased();
    let result: &[u8] = b"a result that is going to be lost";
    worker.succeed(job, fence, result);
    // From here on it is read from its file.
    client.enqueue(&[&[7; 4_000]]);
    let place = |path: &String| {
        disk.content(path).windows(result.len()).position(|bytes| bytes == result).map(|at| at as u64)
    };
    let (path, at) = disk.files().iter().find_map(|path| Some((path.clone(), place(path)?))).unwrap();
    disk.flip(&path, at, 1);
    clock.advance(Duration::from_secs(61));
    // A block has it before the engine hears of that, and until then the job is answered for from memory.
    let unarchived = |client: &mut Client| match client.ask(Status {}) {
        Message::StatusReport(status) => status.unarchived,
        other => panic!("{other:?}"),
    };
    let until = Instant::now() + Duration::from_secs(60);
    while unarchived(&mut client) > 0 {
        assert!(Instant::now() < until, "it is not archived");
        std::thread::sleep(Duration::from_millis(5));
    }
    let Message::Refused(refused) = client.ask(Fetch { job, payload: PayloadKind::Result }) else {
        panic!("it is read")
    };
    assert_eq!(refused.code, RefusalCode::ResultExpired);
    assert!(refused.message.contains("are lost: the file that held them was damaged"), "{}", refused.message);
    let wait = Wait { ids: job.to_bytes().to_vec().into(), results: true };
    let Message::Ended(ended) = client.ask(wait) else { panic!("no end") };
    assert_eq!(ended.completed, [(job, RESULT_EXPIRED)]);
    assert_eq!(client.show(job).result_bytes, result.len() as u64);
    stop(&engine);
}

/// Renewals come in while the engine waits for the disk, and nobody hears them.
#[test]
fn a_disk_that_stands_still_for_longer_than_a_lease_costs_no_lease() {
    let disk = SimulatedDisk::new();
    let limits = Limits { lease_ms: 4_000, ..Limits::default() };
    let (engine, _) = open_on(disk.clone(), Options { limits, ..Options::default() }).unwrap();
    let mut client = Client::connect(&engine);
    client.enqueue(&[b"long"]);
    let mut worker = worker(&engine);
    worker.credit();
    let (job, fence, _) = worker.leased();
    let renewed_at = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    // Whatever comes: now the engine has heard all that was sent before.
    client.enqueue(&[b"another"]);
    disk.stall(Duration::from_secs(9));
    let waiting = client.send_enqueue(&[b"other"]);
    assert!(engine.has_heard(renewed_at) && !engine.outlasts(renewed_at), "it does not stand still yet");
    std::thread::sleep(Duration::from_secs(2));
    assert!(engine.outlasts(renewed_at), "a renewal is answered in its place");
    assert!(matches!(client.mailbox.answer(waiting), Message::Enqueued(_)));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!engine.outlasts(renewed_at), "it goes on");
    worker.succeed(job, fence, b"result");
    let record = client.show(job);
    assert_eq!(record.attempts.len(), 1);
    engine.stop();
    engine.join().unwrap();
}
