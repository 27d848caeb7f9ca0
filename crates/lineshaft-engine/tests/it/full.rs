//! The running engine on a disk that fills up, and gets room again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_engine::{Handle, Options, Room, open_on};
use lineshaft_store::Disk;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{
    Cancel, Credit, DiskState, Finish, Message, RefusalCode, Status, StatusReport, Succeeded,
};
use lineshaft_wire::{Fence, JobId};

use crate::crashes::{CLIENT, World};
use crate::live::{Client, worker};
use crate::world::{Mailbox, enqueue, hello, long_leases};

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

fn start(disk: &SimulatedDisk, options: Options) -> Handle {
    open_on(disk.clone(), options).expect("the home opens").0
}

fn stop(engine: &Handle) {
    engine.stop();
    engine.join().unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for_reserve(disk: &SimulatedDisk) {
    until("the reserve is there", || {
        disk.list("seg").unwrap().iter().any(|file| file.name == "reserve" && file.bytes == 4 * MIB)
    });
}

/// Leaves so much free, once nothing is under way that would take some of it: segments are prepared ahead.
fn fill_up_to(disk: &SimulatedDisk, free_bytes: u64) {
    let mut used_before = 0;
    until("the disk is at rest", || {
        std::thread::sleep(Duration::from_millis(50));
        let is_preparing = disk.list("seg").unwrap().iter().any(|file| file.name.contains(".tmp"));
        let used = std::mem::replace(&mut used_before, disk.used_bytes());
        !is_preparing && used == used_before
    });
    disk.set_capacity(Some(used_before + free_bytes));
}

fn status(client: &mut Client) -> StatusReport {
    let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
    report
}

fn random(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..bytes).map(|_| random.u8(..)).collect()
}

impl Client {
    /// Asks for jobs; the code of the refusal if it is refused.
    fn try_enqueue(&mut self, arguments: &[&[u8]]) -> Result<Vec<JobId>, RefusalCode> {
        let number = self.next_sequence().number;
        let (mut message, payload) = enqueue(number, "shop.send", arguments);
        if let Message::Enqueue(enqueue) = &mut message {
            enqueue.sequence.lowest = number;
        }
        let request = self.send(message, payload);
        match self.mailbox.answer(request) {
            Message::Enqueued(enqueued) => {
                let ids = enqueued.ids.as_chunks::<16>().0.iter();
                Ok(ids.map(|id| JobId::from_bytes(*id).unwrap()).collect())
            }
            Message::Refused(refused) => Err(refused.code),
            other => panic!("{other:?}"),
        }
    }

    fn try_finish(&mut self, (job, fence): (JobId, Fence), result: Bytes) -> Result<(), RefusalCode> {
        let result_length = result.len() as u64;
        let end = Succeeded { job, fence, started_at: 1, finished_at: 2, result_length, output_length: 0 };
        let request = self.send(Finish { succeeded: vec![end], ..Finish::default() }, result);
        match self.mailbox.answer(request) {
            Message::Finished(finished) => {
                assert_eq!(finished.refused, []);
                Ok(())
            }
            Message::Refused(refused) => Err(refused.code),
            other => panic!("{other:?}"),
        }
    }

    fn lease(&mut self) -> (JobId, Fence) {
        self.credit();
        let (job, fence, _) = self.leased();
        (job, fence)
    }

    /// Grants credit and takes every lease that comes, until `count` did.
    fn lease_many(&mut self, count: usize) -> Vec<(JobId, Fence)> {
        self.send_credit(count as u32);
        let mut leased = Vec::new();
        while leased.len() < count {
            leased.extend(self.next_leases());
        }
        leased
    }

    fn send_credit(&mut self, leases: u32) {
        self.send(Credit { leases, reset: false }, Bytes::new());
    }

    fn next_leases(&self) -> Vec<(JobId, Fence)> {
        let leases = self.mailbox.take(|outgoing| match &outgoing.message {
            Message::Leases(leases) => Some(leases.clone()),
            _ => None,
        });
        let fence = |counter| Fence { epoch: leases.epoch, counter };
        leases.jobs.iter().map(|lease| (lease.job, fence(lease.counter))).collect()
    }

    fn finish_many(&mut self, leased: &[(JobId, Fence)]) {
        self.try_finish_many(leased, b"").unwrap();
    }

    /// Ends all of them in one request, with the same result.
    fn try_finish_many(&mut self, leased: &[(JobId, Fence)], result: &[u8]) -> Result<(), RefusalCode> {
        let end = |(job, fence): &(JobId, Fence)| Succeeded {
            job: *job,
            fence: *fence,
            started_at: 1,
            finished_at: 2,
            result_length: result.len() as u64,
            output_length: 0,
        };
        let finish = Finish { succeeded: leased.iter().map(end).collect(), ..Finish::default() };
        let request = self.send(finish, Bytes::from(result.repeat(leased.len())));
        match self.mailbox.answer(request) {
            Message::Finished(_) => Ok(()),
            Message::Refused(refused) => Err(refused.code),
            other => panic!("{other:?}"),
        }
    }
}

/// A running engine whose disk has not a byte more, with jobs that wait; the newest jobs last.
fn filled(disk: &SimulatedDisk, options: Options) -> (Handle, Client, Vec<JobId>) {
    let engine = start(disk, options);
    wait_for_reserve(disk);
    let mut client = Client::connect(&engine);
    let mut jobs = client.enqueue(&[&b"small"[..]; 20]);
    fill_up_to(disk, 0);
    let argument = random(100_000);
    let code = loop {
        match client.try_enqueue(&[&argument]) {
            Ok(more) => jobs.extend(more),
            Err(code) => break code,
        }
        assert!(jobs.len() < 1_000, "the disk is never full");
    };
    assert_eq!(code, RefusalCode::StoreFull);
    (engine, client, jobs)
}

#[test]
fn on_a_full_disk_new_jobs_are_refused_and_old_ones_go_on() {
    let disk = SimulatedDisk::new();
    let (engine, mut client, jobs) = filled(&disk, long_leases());
    let mut worker = worker(&engine);
    let first = worker.lease();
    worker.try_finish(first, Bytes::from_static(b"result")).unwrap();
    let second = worker.lease();
    let large = Bytes::from(random(100_000));
    assert_eq!(worker.try_finish(second, large.clone()), Err(RefusalCode::StoreFull));
    let sequence = client.next_sequence();
    let cancelled = client.ask(Cancel { sequence, job: *jobs.last().unwrap() });
    assert!(matches!(cancelled, Message::Changed(_)), "{cancelled:?}");

    let report = status(&mut client);
    assert_eq!((report.disk.state, report.disk.free_bytes), (DiskState::Full, 0));
    let used: u64 = report.disk.used.iter().map(|(_, bytes)| bytes).sum();
    assert!((used..used + 4096).contains(&disk.used_bytes()), "{:?}", report.disk);

    disk.set_capacity(None);
    until("jobs are taken again", || client.try_enqueue(&[&b"again"[..]]).is_ok());
    worker.try_finish(second, large).unwrap();
    assert_eq!(status(&mut client).disk.state, DiskState::Ok);
    wait_for_reserve(&disk);
    stop(&engine);
}

/// Ends are small each for itself; together they were more than the reserve. What they changed could not be written then,
/// and the engine answered nobody, though space had come back that was too little for a further segment.
#[test]
fn many_small_ends_at_once_wait_while_the_rest_is_answered() {
    let disk = SimulatedDisk::new();
    let engine = start(&disk, long_leases());
    wait_for_reserve(&disk);
    let mut client = Client::connect(&engine);
    client.enqueue(&vec![&b"small"[..]; 600]);
    fill_up_to(&disk, 0);
    while client.try_enqueue(&[&random(100_000)]).is_ok() {}
    let mut worker = worker(&engine);
    let leased = worker.lease_many(600);
    let result = random(10_000);
    assert_eq!(worker.try_finish_many(&leased, &result), Err(RefusalCode::StoreFull));
    assert_eq!(status(&mut client).disk.state, DiskState::Full);
    worker.try_finish_many(&leased[..100], &result).unwrap();
    disk.set_capacity(None);
    until("all have ended", || worker.try_finish_many(&leased[100..], &result).is_ok());
    stop(&engine);
}

/// Whoever came wrote a session, and each snapshot the time: on a disk that stayed full they used up what was left, and
/// then nobody was answered.
#[test]
fn who_comes_while_nothing_is_left_is_refused_and_the_rest_is_answered() {
    let disk = SimulatedDisk::new();
    let (engine, mut client, jobs) = filled(&disk, long_leases());
    let mut came = 0;
    let refused = loop {
        let (mailbox, request) = (Mailbox::new(), 1);
        let connection = engine.connect(mailbox.clone());
        engine.request(connection, request, hello(), Bytes::new());
        let answer = mailbox.answer(request);
        engine.disconnect(connection);
        match answer {
            Message::Welcome(_) => came += 1,
            Message::Refused(refused) => break refused,
            other => panic!("{other:?}"),
        }
        assert!(came < 100_000, "what is left is never used up");
    };
    assert_eq!(refused.code, RefusalCode::StoreFull);
    assert!(refused.message.contains("nothing changes until"), "{}", refused.message);
    assert_eq!(status(&mut client).disk.state, DiskState::Full);
    client.show(jobs[0]);

    disk.set_capacity(None);
    until("jobs are taken again", || client.try_enqueue(&[&b"again"[..]]).is_ok());
    Client::connect(&engine);
    stop(&engine);
}

#[test]
fn an_engine_killed_on_a_full_disk_starts_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    let (engine, _client, jobs) = filled(&disk, long_leases());
    let mut found = disk.power_loss(Loss::Everything);
    for _ in 0..3 {
        let engine = start(&found, long_leases());
        let mut client = Client::connect(&engine);
        for job in &jobs {
            client.show(*job);
        }
        let asked = Instant::now();
        assert_eq!(client.try_enqueue(&[&random(100_000)]), Err(RefusalCode::StoreFull));
        assert!(asked.elapsed() < Duration::from_secs(1), "at once");
        let mut worker = worker(&engine);
        let lease = worker.lease();
        worker.try_finish(lease, Bytes::new()).unwrap();
        let next = found.power_loss(Loss::Everything);
        stop(&engine);
        found = next;
    }
    found.set_capacity(None);
    let engine_again = start(&found, long_leases());
    Client::connect(&engine_again).enqueue(&[b"again"]);
    stop(&engine_again);
    disk.set_capacity(None);
    stop(&engine);
}

/// It filled its volume with dead segments, for which the first snapshot came too late.
#[test]
fn a_home_makes_room_from_its_own_dead_journal() {
    let disk = SimulatedDisk::new();
    let engine = start(&disk, long_leases());
    wait_for_reserve(&disk);
    disk.set_capacity(Some(48 * MIB));
    let mut client = Client::connect(&engine);
    // It waits, and pins every later segment until it is moved out of the first.
    let number = client.next_sequence().number;
    let (message, payload) = enqueue(number, "shop.never", &[b"waits"]);
    let request = client.send(message, payload);
    assert!(matches!(client.mailbox.answer(request), Message::Enqueued(_)));
    let mut worker = worker(&engine);
    let argument = vec![7; 4_000];
    let arguments: Vec<&[u8]> = vec![&argument; 1_000];
    let began = Instant::now();
    // 120 MB.
    for _ in 0..30 {
        let count = loop {
            match client.try_enqueue(&arguments) {
                Ok(jobs) => break jobs.len(),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            assert!(began.elapsed() < 4 * PATIENCE, "no room: {:?}", status(&mut client));
        };
        let leased = worker.lease_many(count);
        worker.finish_many(&leased);
    }
    until("there is room", || status(&mut client).disk.state == DiskState::Ok);
    stop(&engine);
}

/// A failing archive stopped every lease at once, at 200,000 finished jobs.
#[test]
fn jobs_start_at_the_speed_of_an_archive_that_is_behind() {
    let disk = SimulatedDisk::new();
    let engine = start(&disk, Options { unarchived_max: 2_000, ..long_leases() });
    wait_for_reserve(&disk);
    let mut client = Client::connect(&engine);
    let jobs = client.enqueue(&vec![&b"x"[..]; 10_000]).len();
    fill_up_to(&disk, 0);
    let mut worker = worker(&engine);
    let mut done = 0;
    while done < 2_000 {
        let leased = worker.lease_many(500);
        worker.finish_many(&leased);
        done += leased.len();
    }
    worker.send_credit(500);
    until("it says so", || status(&mut client).archive_behind);
    assert_eq!(status(&mut client).unarchived, 2_000, "no lease came");
    disk.set_capacity(None);
    while done < jobs {
        let leased = worker.next_leases();
        worker.finish_many(&leased);
        done += leased.len();
        worker.send_credit(leased.len() as u32);
        assert!(status(&mut client).unarchived <= 2_500, "{:?}", status(&mut client));
    }
    until("it has caught up", || !status(&mut client).archive_behind);
    stop(&engine);
}

/// A block for which there was no room held up all the others, and the journal with them.
#[test]
fn the_archive_takes_what_fits() {
    let disk = SimulatedDisk::new();
    let options = long_leases();
    let clock = options.clock.clone();
    let engine = start(&disk, options);
    wait_for_reserve(&disk);
    let mut client = Client::connect(&engine);
    let mut worker = worker(&engine);
    let arguments = random(500 * 20_000);
    let jobs = client.enqueue(&arguments.chunks(20_000).collect::<Vec<_>>()).len();
    let leased = worker.lease_many(jobs);
    worker.finish_many(&leased);
    assert_eq!(status(&mut client).archived, 0, "a block that is not full waits for a minute");
    fill_up_to(&disk, 2 * MIB);
    clock.advance(Duration::from_secs(61));
    until("some are archived", || (30..500).contains(&status(&mut client).archived));
    disk.set_capacity(None);
    until("all are archived", || {
        clock.advance(Duration::from_secs(61));
        status(&mut client).archived == 500
    });
    stop(&engine);
}

#[test]
fn on_a_full_disk_the_oldest_history_goes_first() {
    let disk = SimulatedDisk::new();
    let options = long_leases();
    let clock = options.clock.clone();
    let engine = start(&disk, options);
    wait_for_reserve(&disk);
    let mut worker = worker(&engine);
    let argument = random(1_000);
    for _ in 0..3 {
        // A session ends ten minutes after its last request.
        let mut client = Client::connect(&engine);
        let jobs = client.enqueue(&vec![&argument[..]; 1_000]).len();
        let leased = worker.lease_many(jobs);
        worker.finish_many(&leased);
        until("it is archived", || status(&mut client).unarchived == 0);
        clock.advance(Duration::from_secs(86_400));
    }
    let days = || -> Vec<String> {
        let names = disk.list("archive").unwrap().into_iter().map(|file| file.name);
        names.filter(|name| !name.starts_with("GAPS")).collect()
    };
    let before = days();
    assert_eq!(before.len(), 3);
    fill_up_to(&disk, 0);
    let mut client = Client::connect(&engine);
    let large = random(100_000);
    // More than once, since a segment that is free again makes room too.
    until("history goes", || {
        let refused = loop {
            if let Err(code) = client.try_enqueue(&[&large]) {
                break code;
            }
        };
        assert_eq!(refused, RefusalCode::StoreFull);
        days().len() == 1
    });
    assert_eq!(days(), before[2..], "the newest day stays");
    stop(&engine);
    disk.set_capacity(None);
    stop(&start(&disk, long_leases()));
}

/// It was refused for want of room, though it had been carried out before the disk was full: its client made the jobs
/// once more when there was room again.
#[test]
fn a_request_that_is_sent_again_is_answered_however_full_the_disk_is() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    world.core.connected(CLIENT, Mailbox::new());
    world.ask(CLIENT, hello(), Bytes::new()).unwrap();
    let (message, payload) = enqueue(1, "shop.send", &[b"one", b"two"]);
    let answer = world.ask(CLIENT, message.clone(), payload.clone()).unwrap();
    assert!(matches!(answer, Message::Enqueued(_)));
    for room in [Room::Reserve, Room::Ends, Room::Nothing] {
        world.core.set_room(room);
        assert_eq!(world.ask(CLIENT, message.clone(), payload.clone()).unwrap(), answer, "{room:?}");
        let (other, payload) = enqueue(2, "shop.send", &[b"three"]);
        let refused = world.ask(CLIENT, other, payload).unwrap();
        assert!(matches!(refused, Message::Refused(refused) if refused.code == RefusalCode::StoreFull));
    }
    assert_eq!(world.core.state().jobs(), 2);
}

/// The same for arguments that become a blob.
#[test]
fn a_large_request_that_is_sent_again_is_answered_on_a_full_disk() {
    let disk = SimulatedDisk::new();
    let engine = start(&disk, long_leases());
    let mut client = Client::connect(&engine);
    let large = random(MIB as usize + 1);
    let (message, payload) = enqueue(1, "shop.send", &[&large]);
    let first = client.send(message.clone(), payload.clone());
    let answer = client.mailbox.answer(first);
    assert!(matches!(answer, Message::Enqueued(_)));
    wait_for_reserve(&disk);
    fill_up_to(&disk, 0);
    let again = client.send(message, payload);
    assert_eq!(client.mailbox.answer(again), answer);
    disk.set_capacity(None);
    stop(&engine);
}
