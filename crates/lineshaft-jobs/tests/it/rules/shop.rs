//! A small workshop: one session, tasks of the shop, children on request.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_jobs::{Answer, Attach, Command, Limits, Payloads};
use lineshaft_testkit::model::{Happened, Told};
use lineshaft_wire::message::{
    AttachChild, Cancel, Changed, Delete, End, Enqueue, Enqueued, Finish, Invalidate, JobGroup, OtherEnd,
    ProcessKey, QueueVerb, RefusalCode, Retry, Rules, Sequence, Succeeded,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobState, Measures};

use crate::machine::{Machine, code};

pub(super) type Lease = (u32, JobId, Fence);

pub(super) struct Shop {
    pub(super) machine: Machine,
    requests: u64,
}

/// One job without arguments.
pub(super) fn group() -> JobGroup {
    JobGroup::new("shop.send", vec![0])
}

pub(super) fn with_rules(rules: Rules) -> JobGroup {
    JobGroup { rules: Arc::new(rules), ..group() }
}

pub(super) fn errored(types: &[&str]) -> End {
    let types = types.iter().map(ToString::to_string).collect();
    End::Errored { error: ErrorRecord { types, ..ErrorRecord::default() }, retry_after_ms: None }
}

pub(super) fn crashed() -> End {
    End::Crashed { error: ErrorRecord::default() }
}

impl Shop {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let mut machine = Machine::started(limits);
        machine.begin();
        Self { machine, requests: 0 }
    }

    pub(super) fn next(&mut self) -> Sequence {
        self.requests += 1;
        Sequence { number: self.requests, lowest: self.requests }
    }

    pub(super) fn run(&mut self, command: Command) -> Result<Told, RefusalCode> {
        self.machine.begin();
        code(self.machine.run(command)).map(|(told, _)| told)
    }

    pub(super) fn try_enqueue(&mut self, groups: Vec<JobGroup>) -> Result<Enqueued, RefusalCode> {
        let bytes: u32 = groups.iter().flat_map(|group| &group.lengths).sum();
        let arguments = Payloads::from(bytes::Bytes::from(vec![1; bytes as usize]));
        let request = Enqueue { sequence: self.next(), groups };
        match self.run(Command::Enqueue { session: 1, request, arguments })? {
            Told::Answer(Answer::Enqueued(enqueued)) => Ok(enqueued),
            other => panic!("an enqueue is answered with {other:?}"),
        }
    }

    pub(super) fn enqueue(&mut self, group: JobGroup) -> JobId {
        ids(&self.try_enqueue(vec![group]).expect("it makes sense"))[0]
    }

    /// A child of a worker of its own, which can run the tasks of the shop.
    pub(super) fn child(&mut self, number: u32, credit: u32) -> u32 {
        self.child_holding(number, credit, Vec::new())
    }

    pub(super) fn child_holding(&mut self, number: u32, credit: u32, held: Vec<(JobId, Fence)>) -> u32 {
        let tasks: Vec<Arc<str>> = ["shop.send", "shop.bill"].map(Arc::from).to_vec();
        let attach = AttachChild {
            worker: 7,
            worker_name: "host:7".into(),
            number,
            process: ProcessKey::default(),
            tasks: tasks.clone(),
            queues: Vec::new(),
            held,
            declared: Vec::new(),
            attach: 0,
        };
        let Ok(Told::Attached { child, .. }) = self.run(Command::AttachChild(attach)) else {
            panic!("the child is not known")
        };
        self.machine.state.attach(Attach { child, tasks: &tasks, queues: &[] });
        self.machine.state.grant(child, credit, false);
        child
    }

    /// Time's work is done and what can be leased is: the leases, in order.
    pub(super) fn leases(&mut self) -> Vec<Lease> {
        let leased = self.machine.settle().into_iter().filter_map(|it| match it {
            Happened::Leased(child, jobs) => {
                Some(jobs.into_iter().map(move |(job, fence)| (child, job, fence)))
            }
            _ => None,
        });
        leased.flatten().collect()
    }

    pub(super) fn leased_jobs(&mut self) -> Vec<JobId> {
        self.leases().into_iter().map(|lease| lease.1).collect()
    }

    /// The only lease that can be given.
    pub(super) fn lease(&mut self) -> Lease {
        let leases = self.leases();
        assert_eq!(leases.len(), 1, "one job can be leased: {leases:?}");
        leases[0]
    }

    pub(super) fn end(&mut self, lease: Lease, end: End) {
        let (child, job, fence) = lease;
        let (started_at, finished_at) = (self.machine.now.wall_ms, self.machine.now.wall_ms);
        let others = vec![OtherEnd {
            job,
            fence,
            started_at,
            finished_at,
            end,
            output_length: 0,
            measures: Measures::default(),
        }];
        let finish = Finish { others, ..Finish::default() };
        let told = self.run(Command::Finish { child, finish, payloads: Payloads::default() });
        assert_eq!(told, Ok(Told::Finished { refused: Vec::new() }));
    }

    pub(super) fn try_succeed(&mut self, lease: Lease) -> Result<Told, RefusalCode> {
        let (child, job, fence) = lease;
        let now = self.machine.now.wall_ms;
        let (started_at, finished_at) = (now, now);
        let end = Succeeded { job, fence, started_at, finished_at, result_length: 0, output_length: 0 };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        self.run(Command::Finish { child, finish, payloads: Payloads::default() })
    }

    pub(super) fn succeed(&mut self, lease: Lease) {
        assert_eq!(self.try_succeed(lease), Ok(Told::Finished { refused: Vec::new() }));
    }

    pub(super) fn release(&mut self, lease: Lease) {
        let (child, job, fence) = lease;
        self.run(Command::Release { child, leases: vec![(job, fence)] })
            .expect("handing back is never refused");
    }

    /// The supervisor of child 1 says that it died.
    pub(super) fn child_ended(&mut self, begun: Vec<OtherEnd>, newest: Option<Fence>, unbegun: Vec<Fence>) {
        let outputs = Bytes::new();
        let command = Command::ChildEnded { worker: 7, number: 1, begun, newest, unbegun, outputs };
        self.run(command).expect("a death is never refused");
    }

    pub(super) fn cancel(&mut self, job: JobId) -> Result<Told, RefusalCode> {
        let request = Cancel { sequence: self.next(), job };
        self.run(Command::Cancel { session: 1, request })
    }

    pub(super) fn retry(&mut self, job: JobId) -> Result<Told, RefusalCode> {
        let request = Retry { sequence: self.next(), job };
        self.run(Command::Retry { session: 1, request })
    }

    pub(super) fn delete(&mut self, job: JobId) -> Result<Told, RefusalCode> {
        let request = Delete { sequence: self.next(), job };
        self.run(Command::Delete { session: 1, request, archived: None })
    }

    /// Lets go of cached results; gives the number of keys.
    pub(super) fn invalidate(&mut self, keys: &[&str], prefix: Option<&str>) -> u64 {
        let keys = keys.iter().map(|key| Arc::from(*key)).collect();
        let request = Invalidate { sequence: self.next(), keys, prefix: prefix.map(Arc::from) };
        match self.run(Command::Invalidate { session: 1, request }) {
            Ok(Told::Answer(Answer::Changed(Changed { jobs, .. }))) => jobs,
            other => panic!("it is answered with {other:?}"),
        }
    }

    pub(super) fn queue(&mut self, queue: &str, verb: QueueVerb) -> u64 {
        let (sequence, queue) = (self.next(), queue.into());
        match self.run(Command::ChangeQueue { session: 1, sequence, queue, verb }) {
            Ok(Told::Answer(Answer::Changed(Changed { jobs, .. }))) => jobs,
            other => panic!("a queue verb is answered with {other:?}"),
        }
    }

    pub(super) fn archive(&mut self, count: u32) {
        self.run(Command::Archived { count }).expect("archiving is never refused");
    }

    /// The engine comes back with its snapshot.
    pub(super) fn restart(&mut self) {
        let snapshot = self.machine.state.snapshot();
        let state =
            lineshaft_jobs::State::from_snapshot(&snapshot, self.machine.limits).expect("a snapshot reads");
        self.machine.restart_on(state);
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.machine.pass(milliseconds);
    }

    /// State of a job, and the reason for it.
    pub(super) fn ended(&self, job: JobId) -> (JobState, Option<String>) {
        let record = self.machine.record_of(job);
        (record.state, record.reason.map(|reason| reason.to_string()))
    }

    pub(super) fn state(&self, job: JobId) -> JobState {
        self.machine.record_of(job).state
    }
}

pub(super) fn ids(enqueued: &Enqueued) -> Vec<JobId> {
    let ids = enqueued.ids.as_chunks::<16>().0.iter();
    ids.map(|id| JobId::from_bytes(*id).expect("ids are UUIDs of version 7")).collect()
}
