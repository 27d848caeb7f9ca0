//! History that need not be kept any longer, and what was remembered of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{Aside, Clock, ConnectionId, Options, SimulatedClock, Stepped};
use lineshaft_store::Options as JournalOptions;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{
    Cancel, Credit, Delete, Enqueue, Enqueued, Finish, JobGroup, Message, RefusalCode, Rules, Sequence, Show,
    Succeeded, Unique, UniqueWhile,
};
use lineshaft_wire::{Fence, JobId};

use crate::world::{Mailbox, attach_child, attach_worker, enqueue, group, hello, sequence};

const DAY: Duration = Duration::from_secs(86_400);

/// An engine without threads and a client of it.
struct Shop {
    engine: Stepped<SimulatedDisk>,
    clock: SimulatedClock,
    connection: ConnectionId,
    mailbox: Arc<Mailbox>,
    requests: u64,
    sequences: u64,
}

impl Shop {
    fn open() -> Self {
        let clock = SimulatedClock::new(1_700_000_000_000);
        let options = Options { clock: Clock::from(clock.clone()), ..Options::default() };
        let journal_options = JournalOptions { background: false, ..JournalOptions::default() };
        let (engine, _) = Stepped::open(SimulatedDisk::new(), journal_options, options).unwrap();
        let mailbox = Mailbox::new();
        let connection = engine.handle().connect(mailbox.clone());
        let mut shop = Self { engine, clock, connection, mailbox, requests: 0, sequences: 0 };
        assert!(matches!(shop.ask(hello(), Bytes::new()), Message::Welcome(_)));
        shop
    }

    /// Takes a turn and does what works beside it; gives how long the engine may rest.
    fn step(&mut self) -> Duration {
        let rest = self.engine.turn().unwrap().expect("nobody stopped it");
        let waiting: Vec<Aside> = self.engine.waiting().collect();
        let is_busy = !waiting.is_empty();
        waiting.into_iter().for_each(|aside| self.engine.work(aside));
        if is_busy { Duration::ZERO } else { rest }
    }

    fn ask(&mut self, message: impl Into<Message>, payload: Bytes) -> Message {
        self.requests += 1;
        let request = self.requests;
        self.engine.handle().request(self.connection, request, message.into(), payload);
        for _ in 0..1_000 {
            self.step();
            if self.mailbox.has(|it| it.request_id == request) {
                return self.mailbox.answer(request);
            }
        }
        panic!("it is not answered");
    }

    fn next_sequence(&mut self) -> Sequence {
        self.sequences += 1;
        sequence(self.sequences)
    }

    /// A job that has ended: it was cancelled.
    fn ended_job(&mut self) -> JobId {
        let number = self.next_sequence().number;
        let (message, payload) = enqueue(number, "shop.send", &[b"arguments"]);
        let Message::Enqueued(enqueued) = self.ask(message, payload) else { panic!("not enqueued") };
        let job = JobId::from_bytes(enqueued.ids.as_chunks::<16>().0[0]).unwrap();
        let sequence = self.next_sequence();
        assert!(matches!(self.ask(Cancel { sequence, job }, Bytes::new()), Message::Changed(_)));
        job
    }

    /// Asks for a job whose result is cached for 20 days, and kept for 30.
    fn cached_job(&mut self) -> (JobId, Enqueued) {
        // The session of before may have ended.
        assert!(matches!(self.ask(hello(), Bytes::new()), Message::Welcome(_)));
        let rules = Rules { result_ttl_ms: 30 * DAY.as_millis() as u64, ..Rules::default() };
        let period_ms = Some(20 * DAY.as_millis() as u64);
        let unique = Unique { key: "k".into(), while_: UniqueWhile::Cached, period_ms };
        let group = JobGroup { rules: Arc::new(rules), unique: Some(unique), ..group("shop.price", &[0]) };
        let request = Enqueue { sequence: self.next_sequence(), groups: vec![group] };
        let Message::Enqueued(enqueued) = self.ask(request, Bytes::new()) else { panic!("not enqueued") };
        (JobId::from_bytes(enqueued.ids.as_chunks::<16>().0[0]).unwrap(), enqueued)
    }

    /// Runs the job that waits.
    fn run_a_job(&mut self) {
        self.ask(attach_worker(), Bytes::new());
        self.ask(attach_child(1, &["shop.price"]), Bytes::new());
        self.engine.handle().request(
            self.connection,
            0,
            Credit { leases: 1, reset: false }.into(),
            Bytes::new(),
        );
        let is_leases = |message: &Message| matches!(message, Message::Leases(_));
        while !self.mailbox.has(|it| is_leases(&it.message)) {
            self.step();
        }
        let leases = self.mailbox.take(|it| match &it.message {
            Message::Leases(leases) => Some(leases.clone()),
            _ => None,
        });
        let (job, fence) =
            (leases.jobs[0].job, Fence { epoch: leases.epoch, counter: leases.jobs[0].counter });
        let end = Succeeded { job, fence, started_at: 1, finished_at: 2, result_length: 2, output_length: 0 };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        assert!(matches!(self.ask(finish, Bytes::from_static(b"ok")), Message::Finished(_)));
    }

    fn is_there(&mut self, job: JobId) -> bool {
        match self.ask(Show { job }, Bytes::new()) {
            Message::Shown(_) => true,
            Message::Refused(refused) if refused.code == RefusalCode::JobNotFound => false,
            other => panic!("{other:?}"),
        }
    }

    fn until_all_are_archived(&mut self) {
        for _ in 0..10_000 {
            let rest = self.step();
            if self.engine.state().unarchived() == 0 {
                return;
            }
            self.clock.pass(rest.max(Duration::from_micros(10)));
        }
        panic!("{} are not archived", self.engine.state().unarchived());
    }
}

#[test]
fn what_is_older_than_history_is_kept_goes_and_so_do_the_marks_of_deleted_jobs() {
    let mut shop = Shop::open();
    let (kept, deleted) = (shop.ended_job(), shop.ended_job());
    shop.until_all_are_archived();
    let sequence = shop.next_sequence();
    let answer = shop.ask(Delete { sequence, job: deleted }, Bytes::new());
    assert!(matches!(answer, Message::Changed(_)), "{answer:?}");
    shop.engine.retain();
    shop.step();
    assert!(shop.is_there(kept) && !shop.is_there(deleted));
    assert!(shop.engine.state().is_deleted(deleted), "its block is still there");

    // Seven days are kept, whole ones are dropped, and a block may hold jobs of the day before.
    shop.clock.pass(10 * DAY);
    shop.engine.retain();
    shop.step();
    assert!(!shop.is_there(kept) && !shop.is_there(deleted));
    assert_eq!(shop.engine.state().deleted().count(), 0);
}

#[test]
fn a_cached_result_is_answered_with_from_the_archive_and_computed_anew_when_its_block_was_dropped() {
    let mut shop = Shop::open();
    let (job, _) = shop.cached_job();
    shop.run_a_job();
    shop.until_all_are_archived();
    for passed in [Duration::ZERO, 6 * DAY] {
        shop.clock.pass(passed);
        shop.engine.retain();
        shop.step();
        let (again, enqueued) = shop.cached_job();
        assert_eq!((again, enqueued.existing, enqueued.completed), (job, vec![0], vec![0]), "{passed:?}");
    }
    shop.clock.pass(4 * DAY);
    shop.engine.retain();
    shop.step();
    assert!(!shop.is_there(job));
    let (other, enqueued) = shop.cached_job();
    assert_eq!((other == job, enqueued.existing), (false, vec![]));
}
