//! A small home on a simulated disk, with jobs in every place where jobs can be, and everything that can be asked of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{
    Clock, ConnectionId, Error, Opened, Options, Outbox, Outgoing, Payload, SimulatedClock, Stepped, Upkeep,
};
use lineshaft_store::Options as JournalOptions;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{
    AttachChild, Checkpoint, Credit, End, Enqueue, Fetch, Filter, Finish, Hello, JobGroup, List, Message,
    OtherEnd, PayloadKind, ProcessKey, Rules, RunAfter, Sequence, Show, Succeeded, Wait,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobRecord, Measures};

/// Turns of one request, with a wide margin.
const TURNS_MAX: u32 = 100;
const WALL_MS: u64 = 1_790_000_000_000;

#[derive(Default)]
struct Mailbox(Mutex<Vec<Outgoing>>);

impl Outbox for Mailbox {
    fn deliver(&self, messages: Vec<Outgoing>) {
        self.0.lock().unwrap().extend(messages);
    }

    fn close(&self) {}
}

/// An engine that is taken step by step, and one connection to it.
pub(crate) struct House {
    engine: Stepped<SimulatedDisk>,
    clock: SimulatedClock,
    mailbox: Arc<Mailbox>,
    connection: ConnectionId,
    requests: u64,
    sequences: u64,
}

/// Everything that is told of a job; what was refused, with the refusal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) record: Result<JobRecord, String>,
    pub(crate) arguments: Result<Bytes, String>,
    pub(crate) result: Result<Bytes, String>,
    /// What a wait says of its end.
    pub(crate) end: Result<String, String>,
    /// What a list says of it.
    pub(crate) listed: Option<JobRecord>,
    /// Arguments and checkpoint as a worker gets them, if one does.
    pub(crate) leased: Option<Vec<Result<Bytes, String>>>,
}

impl House {
    pub(crate) fn open(disk: SimulatedDisk) -> Result<(Self, Opened), Error> {
        fastrand::seed(1);
        let clock = SimulatedClock::new(WALL_MS);
        let upkeep = Upkeep {
            snapshot_every_bytes: 8_000,
            journal_slack_bytes: 4_096,
            cold_slack_bytes: 4_096,
            cold_file_bytes: 4_096,
            copy_bytes_per_second: u64::MAX,
            look_every: Duration::from_secs(1),
            ..Upkeep::default()
        };
        let options = Options { upkeep, clock: Clock::from(clock.clone()), ..Options::default() };
        let segments = JournalOptions {
            segment_bytes_first: 64 << 10,
            segment_bytes_max: 64 << 10,
            background: false,
            seed: 1,
            ..JournalOptions::default()
        };
        let (engine, opened) = Stepped::open(disk, segments, options)?;
        let mailbox = Arc::<Mailbox>::default();
        let connection = engine.handle().connect(mailbox.clone());
        let mut house = Self { engine, clock, mailbox, connection, requests: 0, sequences: 0 };
        house.ask(hello(), Bytes::new())?;
        Ok((house, opened))
    }

    /// Lets time pass, a second at a time.
    fn pass(&mut self, seconds: u32) -> Result<(), Error> {
        for _ in 0..seconds {
            self.clock.pass(Duration::from_secs(1));
            self.settle()?;
        }
        Ok(())
    }

    /// Turns, and what works beside them, until nothing is left to do.
    fn settle(&mut self) -> Result<(), Error> {
        for _ in 0..TURNS_MAX {
            let rest = self.engine.turn()?;
            let waiting: Vec<_> = self.engine.waiting().collect();
            if waiting.is_empty() && rest.is_none_or(|rest| !rest.is_zero()) {
                return Ok(());
            }
            waiting.into_iter().for_each(|aside| self.engine.work(aside));
        }
        panic!("the engine does not come to rest");
    }

    fn send(&mut self, message: impl Into<Message>, payload: Bytes) -> Result<u64, Error> {
        self.requests += 1;
        self.engine.handle().request(self.connection, self.requests, message.into(), payload);
        self.settle()?;
        Ok(self.requests)
    }

    /// What came with this request's number.
    fn answers(&self, request: u64) -> Vec<Outgoing> {
        let mut messages = self.mailbox.0.lock().unwrap();
        messages.extract_if(.., |outgoing| outgoing.request_id == request).collect()
    }

    fn ask(&mut self, message: impl Into<Message>, payload: Bytes) -> Result<Outgoing, Error> {
        let request = self.send(message, payload)?;
        Ok(self.answers(request).pop().expect("every request is answered"))
    }

    fn bytes(&self, payload: &Payload) -> Result<Bytes, String> {
        match payload {
            Payload::Bytes(bytes) => Ok(bytes.clone()),
            Payload::Stored(place) => {
                self.engine.handle().payloads().read(place).map_err(|error| error.to_string())
            }
        }
    }

    fn fetch(&mut self, job: JobId, payload: PayloadKind) -> Result<Bytes, String> {
        let answer = self.ask(Fetch { job, payload }, Bytes::new()).map_err(|error| error.to_string())?;
        match answer.message {
            Message::Fetched(_) => self.bytes(&answer.payloads[0]),
            Message::Refused(refused) => Err(refused.message),
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, job: JobId) -> Result<String, String> {
        let wait = Wait { ids: job.to_bytes().to_vec().into(), results: true };
        let request = self.send(wait, Bytes::new()).map_err(|error| error.to_string())?;
        let mut said = Vec::new();
        for answer in self.answers(request) {
            let payloads: Result<Vec<_>, _> =
                answer.payloads.iter().map(|payload| self.bytes(payload)).collect();
            said.push(format!("{:?} {:?}", answer.message, payloads?));
        }
        Ok(said.concat())
    }

    /// All jobs, or none where it refuses to say.
    fn list(&mut self) -> Result<Vec<JobRecord>, Error> {
        let (mut jobs, mut cursor) = (Vec::new(), None);
        loop {
            let list = List { filter: Filter::default(), cursor, limit: 1_000 };
            match self.ask(list, Bytes::new())?.message {
                Message::Page(page) => {
                    jobs.extend(page.jobs);
                    cursor = page.cursor;
                }
                Message::Refused(_) => return Ok(Vec::new()),
                other => panic!("{other:?}"),
            }
            if cursor.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// Everything that it says of these jobs.
    pub(crate) fn tell(&mut self, jobs: &[JobId]) -> Result<BTreeMap<JobId, Told>, Error> {
        let listed = self.list()?;
        let mut told = BTreeMap::new();
        for &job in jobs {
            let record = match self.ask(Show { job }, Bytes::new())?.message {
                Message::Shown(shown) => Ok(shown.record),
                Message::Refused(refused) => Err(refused.message),
                other => panic!("{other:?}"),
            };
            let arguments = self.fetch(job, PayloadKind::Arguments);
            let result = self.fetch(job, PayloadKind::Result);
            let end = self.end(job);
            let listed = listed.iter().find(|record| record.id == job).cloned();
            told.insert(job, Told { record, arguments, result, end, listed, leased: None });
        }
        self.attach()?;
        for (job, _, payloads) in self.lease(100)? {
            if let Some(told) = told.get_mut(&job) {
                told.leased = Some(payloads.iter().map(|payload| self.bytes(payload)).collect());
            }
        }
        Ok(told)
    }

    fn attach(&mut self) -> Result<(), Error> {
        self.requests += 1;
        let attach = AttachChild {
            worker: self.requests,
            worker_name: "host:1".into(),
            number: 1,
            process: ProcessKey::default(),
            tasks: vec!["shop.send".into()],
            queues: Vec::new(),
            held: Vec::new(),
            declared: Vec::new(),
            attach: 0,
        };
        self.connection = self.engine.handle().connect(self.mailbox.clone());
        self.ask(hello(), Bytes::new())?;
        let answer = self.ask(attach, Bytes::new())?.message;
        assert!(matches!(answer, Message::ChildAttached(_)), "{answer:?}");
        Ok(())
    }

    /// Leases up to so many jobs: which, with their payloads, arguments first.
    fn lease(&mut self, most: u32) -> Result<Vec<(JobId, Fence, Vec<Payload>)>, Error> {
        let credit = Credit { leases: most, reset: true };
        self.engine.handle().request(self.connection, 0, credit.into(), Bytes::new());
        self.settle()?;
        let mut leased = Vec::new();
        for outgoing in self.answers(0) {
            let Message::Leases(leases) = outgoing.message else { continue };
            let mut checkpoints = outgoing.payloads[leases.jobs.len()..].iter();
            for (place, lease) in leases.jobs.iter().enumerate() {
                let mut payloads = vec![outgoing.payloads[place].clone()];
                if leases.checkpoints.iter().any(|(at, _)| *at as usize == place) {
                    payloads.extend(checkpoints.next().cloned());
                }
                let fence = Fence { epoch: leases.epoch, counter: lease.counter };
                leased.push((lease.job, fence, payloads));
            }
        }
        Ok(leased)
    }

    // ---- What happens in it.

    fn enqueue(&mut self, lengths: &[u32], run_after: Option<RunAfter>) -> Result<Vec<JobId>, Error> {
        self.sequences += 1;
        let number = self.sequences;
        let rules = Rules { max_attempts: 1, max_crashes: 9, ..Rules::default() };
        let group = JobGroup {
            task: "shop.send".into(),
            queue: "default".into(),
            priority: 5,
            rules: Arc::new(rules),
            run_after,
            expires: None,
            deadline: None,
            anew: false,
            unique: None,
            idempotency_key: None,
            tags: vec!["mail".into()],
            metadata: Some("{}".into()),
            context: number.is_multiple_of(3).then(|| "{\"request\":7}".into()),
            lengths: lengths.to_vec(),
        };
        let mut rng = fastrand::Rng::with_seed(number);
        let payload: Vec<u8> = (0..lengths.iter().sum::<u32>()).map(|_| rng.u8(..)).collect();
        let request = Enqueue { sequence: Sequence { number, lowest: number }, groups: vec![group] };
        let answer = self.ask(request, payload.into())?.message;
        let Message::Enqueued(enqueued) = answer else { panic!("{answer:?}") };
        Ok(enqueued.ids.as_chunks::<16>().0.iter().filter_map(|id| JobId::from_bytes(*id)).collect())
    }

    fn succeed(&mut self, job: JobId, fence: Fence, result: Vec<u8>) -> Result<(), Error> {
        let end = Succeeded {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            result_length: result.len() as u64,
            output_length: 0,
        };
        self.ask(Finish { succeeded: vec![end], ..Finish::default() }, result.into()).map(drop)
    }

    fn fail(&mut self, job: JobId, fence: Fence) -> Result<(), Error> {
        let error = ErrorRecord {
            types: vec!["shop.Bounced".to_owned()],
            message: "no such mailbox".to_owned(),
            ..ErrorRecord::default()
        };
        let end = End::Errored { error, retry_after_ms: None };
        let end = OtherEnd {
            job,
            fence,
            started_at: 1,
            finished_at: 2,
            end,
            output_length: 7,
            measures: Measures::default(),
        };
        self.ask(Finish { others: vec![end], ..Finish::default() }, Bytes::from_static(b"printed")).map(drop)
    }

    /// One of each: completed and failed ones in the history, the same in memory, one that waits for a time since before
    /// its segment was given up, one that runs and left a checkpoint, and some that are available.
    fn fill(&mut self) -> Result<Vec<JobId>, Error> {
        let mut jobs = self.enqueue(&[2_000, 40], Some(RunAfter::In(3_600_000)))?;
        self.attach()?;
        for _ in 0..2 {
            jobs.extend(self.enqueue(&[3_000; 12], None)?);
            for (place, (job, fence, _)) in self.lease(12)?.into_iter().enumerate() {
                match place % 4 {
                    0 => self.fail(job, fence)?,
                    _ => self.succeed(job, fence, vec![place as u8; 700])?,
                }
            }
            self.pass(70)?;
            self.attach()?;
        }
        jobs.extend(self.enqueue(&[500, 60, 1_500, 90, 800], None)?);
        let leased = self.lease(3)?;
        self.succeed(leased[0].0, leased[0].1, vec![9; 300])?;
        self.fail(leased[1].0, leased[1].1)?;
        let (job, fence, _) = leased[2];
        self.ask(Checkpoint { job, fence, length: 6 }, Bytes::from_static(b"so far")).map(drop)?;
        Ok(jobs)
    }
}

/// The disk with such a home, which was stopped in order, and its jobs.
pub(crate) fn build() -> (SimulatedDisk, Vec<JobId>) {
    let disk = SimulatedDisk::new();
    let (mut house, _) = House::open(disk.clone()).expect("the disk is well");
    let jobs = house.fill().expect("the disk is well");
    house.engine.handle().stop();
    while house.engine.turn().expect("the disk is well").is_some() {}
    drop(house);
    (disk.restart(), jobs)
}

fn hello() -> Hello {
    Hello {
        protocol: (1, 1),
        version: "test".to_owned(),
        executable: String::new(),
        pid: 0,
        session: None,
        open_session: true,
        token: None,
        hand_over: false,
    }
}
