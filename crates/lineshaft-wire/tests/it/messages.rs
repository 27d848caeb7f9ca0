//! The golden vectors of `docs/protocol.md`: every message as it goes over the wire, byte for byte.
//!
//! `messages.json` is what authors of other clients test against. After a deliberate change of the protocol, write it
//! anew with `LINESHAFT_BLESS=1 cargo test -p lineshaft-wire --test it messages`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use lineshaft_wire::frame::{FrameDecoder, FrameError, Header, encode_frame_with};
use lineshaft_wire::message::{
    Acquire, Acquired, AddLogs, AttachChild, AttachWorker, BreakLocks, CacheFound, CacheGet, CacheInvalidate,
    CacheSet, Cancel, ChangeQueue, Changed, Checkpoint, ChildAttached, ChildEnded, Credit, Declared, Delete,
    Describe, Described, DiskReport, DiskState, Done, End, Ended, EndedJob, Enqueue, Enqueued, Fetch,
    Fetched, FilesHeld, Filter, Finish, Finished, FoundEntry, Hello, HoldFiles, Invalidate, JobGroup,
    KeepFiles, Lease, Leases, List, ListLocks, ListLogs, ListTasks, LockHolder, LockKind, LockReport, Locks,
    LocksBroken, LocksLost, Logs, Message, MessageError, NewEntry, OnFailure, OtherEnd, Page, Pass, Passed,
    PayloadKind, Ping, ProcessKey, ProfileNext, Progress, QueueReport, QueueVerb, RESULT_EXPIRED,
    RefusalCode, Refused, Release, ReleaseLocks, Renew, RenewLocks, Retry, Rules, RunAfter, Sequence, Show,
    Shown, Shutdown, Spread, Status, StatusReport, Stop, StopReason, Succeeded, TaskReport, TaskStatistics,
    Tasks, Unique, UniqueWhile, Unwait, Wait, Welcome, WorkerAttached, WorkerReport, WorkerSchema,
};
use lineshaft_wire::record::{AttemptRecord, ErrorRecord, JobRecord, JobState, Outcome};
use lineshaft_wire::{Fence, JobId, LogFilter, LogPlace, LogRecord, Looks, Measures};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A vector as it stands in the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    name: String,
    r#type: u8,
    request_id: u64,
    message: serde_json::Value,
    payload: String,
    frame: String,
}

struct Vector {
    name: &'static str,
    request_id: u64,
    json: serde_json::Value,
    message: Message,
    payload: &'static [u8],
}

fn vector<M: Serialize + Clone + Into<Message>>(
    name: &'static str,
    request_id: u64,
    message: M,
    payload: &'static [u8],
) -> Vector {
    Vector {
        name,
        request_id,
        json: serde_json::to_value(&message).unwrap(),
        message: message.into(),
        payload,
    }
}

impl Vector {
    fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let header =
            Header { kind: self.message.frame_type(), request_id: self.request_id, ..Header::default() };
        let write = |buffer: &mut Vec<u8>| {
            self.message.encode(buffer);
            Ok::<(), FrameError>(())
        };
        encode_frame_with(&mut frame, header, write, &[self.payload]).unwrap();
        frame
    }

    fn golden(&self) -> Golden {
        Golden {
            name: self.name.to_owned(),
            r#type: self.message.frame_type(),
            request_id: self.request_id,
            message: self.json.clone(),
            payload: hex(self.payload),
            frame: hex(&self.frame()),
        }
    }
}

const EPOCH: u64 = 1_790_000_000;
const CREATED: u64 = 1_790_000_000_123;

fn job(slot: u32) -> JobId {
    JobId::direct(CREATED, 0, slot, 1)
}

fn ids(slots: &[u32]) -> ByteBuf {
    ByteBuf::from(slots.iter().flat_map(|&slot| job(slot).to_bytes()).collect::<Vec<u8>>())
}

fn fence(counter: u64) -> Fence {
    Fence { epoch: EPOCH, counter }
}

fn sequence() -> Sequence {
    Sequence { number: 7, lowest: 5 }
}

fn process() -> ProcessKey {
    ProcessKey { pid: 4242, start_time: 118_029 }
}

fn error() -> ErrorRecord {
    ErrorRecord {
        types: vec!["shop.mail.Bounced".into(), "builtins.ValueError".into()],
        message: "no such mailbox".into(),
        traceback: Some("Traceback".into()),
        arguments: Some(vec![1, 0x91, 0xa1, b'x']),
        ..ErrorRecord::default()
    }
}

fn crash() -> ErrorRecord {
    ErrorRecord {
        message: "killed by SIGKILL".into(),
        signal: Some(9),
        rss_peak_bytes: Some(50 << 20),
        ..ErrorRecord::default()
    }
}

fn group() -> JobGroup {
    JobGroup { queue: "mail".into(), ..JobGroup::new("shop.mail.send", vec![3, 0]) }
}

fn handler() -> OnFailure {
    OnFailure {
        task: "shop.mail.tell_owner".into(),
        queue: "mail".into(),
        priority: 1,
        expires_ms: Some(600_000),
        deadline_ms: None,
        tags: vec!["eu".into()],
        rules: Arc::new(Rules::default()),
        version: 1,
    }
}

fn special_group() -> JobGroup {
    JobGroup {
        priority: 2,
        rules: Arc::new(Rules {
            max_attempts: 4,
            timeout_ms: None,
            retry_on: vec!["builtins.OSError".into()],
            retry_never: vec!["shop.mail.Bounced".into()],
            on_failure: Some(Arc::new(handler())),
            ..Rules::default()
        }),
        run_after: Some(RunAfter::In(300_000)),
        expires: Some(RunAfter::In(900_000)),
        deadline: Some(RunAfter::At(CREATED + 3_600_000)),
        unique: Some(Unique {
            key: "mail:a@b".into(),
            while_: UniqueWhile::Unfinished,
            period_ms: Some(3_600_000),
        }),
        idempotency_key: Some("order-7".into()),
        tags: vec!["eu".into()],
        metadata: Some("{}".into()),
        lengths: vec![3],
        ..group()
    }
}

fn record() -> JobRecord {
    let attempt = AttemptRecord {
        number: 1,
        fence: fence(41),
        outcome: Some(Outcome::Errored),
        worker: "host:4242/1".into(),
        started_at: CREATED + 10,
        finished_at: Some(CREATED + 20),
        error: Some(error()),
        output: b"sending\n".to_vec(),
        waited_ms: None,
        measures: Measures::default(),
    };
    JobRecord {
        id: job(1),
        task: "shop.mail.send".into(),
        queue: "mail".into(),
        state: JobState::Retryable,
        cancelling: false,
        priority: 5,
        attempt: 1,
        max_attempts: 4,
        crashes: 0,
        created_at: CREATED,
        scheduled_at: Some(CREATED + 1_000),
        expires_at: None,
        deadline_at: Some(CREATED + 60_000),
        attempted_at: Some(CREATED + 10),
        attempted_by: Some("host:4242/1".into()),
        finalized_at: None,
        reason: None,
        waits_for: None,
        tags: vec!["eu".into()],
        metadata: None,
        context: None,
        retry_of: None,
        failure_of: None,
        handled_by: None,
        attempts: vec![attempt],
        arguments_bytes: 3,
        result_bytes: 0,
        checkpoint_bytes: 2,
        checkpoint_at: Some(CREATED + 15),
    }
}

fn measures() -> Measures {
    Measures {
        ran_us: Some(9_620),
        cpu_us: Some(8_400),
        children_cpu_us: Some(0),
        collected_us: Some(310),
        peak_growth_bytes: Some(1_245_184),
        cache_hits: None,
        gil_us: None,
    }
}

fn measured_record() -> JobRecord {
    let mut record = record();
    for attempt in &mut record.attempts {
        (attempt.waited_ms, attempt.measures) = (Some(10), measures());
    }
    record
}

fn finished_record() -> JobRecord {
    JobRecord {
        state: JobState::Completed,
        attempt: 0,
        scheduled_at: None,
        expires_at: Some(CREATED + 2_000),
        deadline_at: None,
        finalized_at: Some(CREATED + 20),
        tags: Vec::new(),
        retry_of: Some(job(9)),
        failure_of: Some(job(8)),
        handled_by: Some(job(7)),
        attempts: Vec::new(),
        result_bytes: 2,
        checkpoint_bytes: 0,
        checkpoint_at: None,
        ..record()
    }
}

fn connection_vectors() -> Vec<Vector> {
    let hello = Hello {
        protocol: (1, 1),
        version: "0.1.0".into(),
        executable: "/usr/bin/python3".into(),
        pid: 4242,
        session: None,
        open_session: true,
        token: None,
        hand_over: false,
    };
    let welcome = Welcome {
        protocol: 1,
        version: "0.1.0".into(),
        executable: "/usr/bin/lineshaft".into(),
        pid: 77,
        home: "/srv/app/.lineshaft".into(),
        on_demand: false,
        epoch: EPOCH,
        session: Some(3),
        frame_bytes_max: 75_497_472,
        payload_bytes_max: 67_108_864,
        window: 1024,
    };
    let refused = Refused {
        code: RefusalCode::JobNotFound,
        message: "no such job".into(),
        hint: Some("it may have been deleted".into()),
    };
    vec![
        vector("hello opens a session", 1, hello.clone(), b""),
        vector(
            "hello resumes a session over TCP",
            1,
            Hello { session: Some(3), token: Some("00ff".into()), ..hello.clone() },
            b"",
        ),
        vector("hello asks an older server to hand over", 1, Hello { hand_over: true, ..hello }, b""),
        vector("welcome", 1, welcome, b""),
        vector("refused", 9, refused, b""),
        vector(
            "refused, and the connection closes",
            0,
            Refused { code: RefusalCode::TooSlow, message: "too slow".into(), hint: None },
            b"",
        ),
        vector("ping", 2, Ping {}, b""),
        vector("done", 2, Done {}, b""),
    ]
}

fn job_vectors() -> Vec<Vector> {
    let failed = EndedJob {
        id: job(2),
        task: "shop.mail.send".into(),
        state: JobState::Discarded,
        reason: Some("max_attempts".into()),
        attempt: 4,
        outcome: Some(Outcome::Errored),
        error: Some(error()),
        output: Vec::new(),
    };
    let ended = Ended {
        completed: vec![(job(1), 2), (job(3), RESULT_EXPIRED)],
        failed: vec![failed],
        missing: vec![job(4)],
        last: true,
    };
    let filter = Filter {
        states: vec![JobState::Available, JobState::Running],
        queue: Some("mail".into()),
        task: Some("shop.mail.send".into()),
        tags: vec!["eu".into()],
        created_from: Some(CREATED),
        created_before: Some(CREATED + 1),
    };
    vec![
        vector("enqueue two plain jobs", 3, Enqueue { sequence: sequence(), groups: vec![group()] }, b"abc"),
        vector(
            "enqueue a job with every option",
            4,
            Enqueue { sequence: sequence(), groups: vec![special_group()] },
            b"abc",
        ),
        vector(
            "enqueue at a time",
            5,
            Enqueue {
                sequence: sequence(),
                groups: vec![JobGroup { run_after: Some(RunAfter::At(CREATED)), ..group() }],
            },
            b"abc",
        ),
        vector("enqueue for a later version", 3, enqueue_of_version(), b"ab"),
        vector("enqueue a job whose result is cached", 3, enqueue_of_cached(), b"ab"),
        vector("enqueue a job with a context", 3, enqueue_with_context(), b"ab"),
        vector("enqueued", 3, Enqueued { ids: ids(&[1, 2]), existing: vec![1], ..Enqueued::default() }, b""),
        vector(
            "enqueued, of which one was cached",
            3,
            Enqueued { ids: ids(&[1, 2]), existing: vec![1], completed: vec![1] },
            b"",
        ),
        vector("wait", 6, Wait { ids: ids(&[1, 2, 3, 4]), results: true }, b""),
        vector("ended", 6, ended, b"ok"),
        vector("unwait", 0, Unwait { request: 6 }, b""),
        vector("show", 7, Show { job: job(1) }, b""),
        vector("shown", 7, Shown { record: record(), progress: Some(ByteBuf::from([1, 0x32])) }, b""),
        vector("fetch", 8, Fetch { job: job(1), payload: PayloadKind::Result }, b""),
        vector("fetched", 8, Fetched { length: 2 }, b"ok"),
        vector("list everything", 9, List { filter: Filter::default(), cursor: None, limit: 100 }, b""),
        vector("list with every filter", 9, List { filter, cursor: Some("c1".into()), limit: 1000 }, b""),
        vector("shown, measured", 7, Shown { record: measured_record(), progress: None }, b""),
        vector("page", 9, Page { jobs: vec![finished_record()], cursor: Some("c2".into()) }, b""),
        vector("cancel", 10, Cancel { sequence: sequence(), job: job(1) }, b""),
        vector("retry", 11, Retry { sequence: sequence(), job: job(1) }, b""),
        vector("delete", 12, Delete { sequence: sequence(), job: job(1) }, b""),
        vector(
            "invalidate cached results",
            13,
            Invalidate {
                sequence: sequence(),
                keys: vec!["cache shop.price v1 7".into()],
                prefix: Some("cache shop.price v1 ".into()),
            },
            b"",
        ),
        vector("changed", 10, Changed { state: Some(JobState::Running), cancelling: true, jobs: 0 }, b""),
    ]
}

fn enqueue_of_cached() -> Enqueue {
    let unique =
        Unique { key: "cache shop.price v1 7".into(), while_: UniqueWhile::Cached, period_ms: Some(600_000) };
    let group = JobGroup { unique: Some(unique), anew: true, lengths: vec![2], ..group() };
    Enqueue { sequence: sequence(), groups: vec![group] }
}

fn enqueue_with_context() -> Enqueue {
    let group = JobGroup { context: Some(r#"{"request":7}"#.into()), lengths: vec![2], ..group() };
    Enqueue { sequence: sequence(), groups: vec![group] }
}

fn enqueue_of_version() -> Enqueue {
    let group = JobGroup { task: "shop.mail.send v2".into(), lengths: vec![2], ..group() };
    Enqueue { sequence: sequence(), groups: vec![group] }
}

fn engine_vectors() -> Vec<Vector> {
    let queue = QueueReport {
        name: "mail".into(),
        paused: true,
        available: 70_000,
        parked: 3,
        ..QueueReport::default()
    };
    let worker = WorkerReport {
        name: "host:4242".into(),
        pid: 4242,
        children: 2,
        running: 2,
        tasks: vec!["shop.mail.send".into()],
        queues: Vec::new(),
        replaced: Vec::new(),
    };
    let report = StatusReport {
        version: "0.1.0".into(),
        pid: 77,
        home: "/srv/app/.lineshaft".into(),
        started_at: CREATED,
        epoch: EPOCH,
        durable_lsn: 12,
        connections: 3,
        archived: 5_000_000_000,
        rss_bytes: 30 << 20,
        queues: vec![queue],
        workers: vec![worker],
        unknown_tasks: vec!["shop.old".into()],
        disk: DiskReport {
            state: DiskState::Full,
            free_bytes: 4096,
            reserve_bytes: 4 << 20,
            used: vec![("seg".into(), 64 << 20), ("archive".into(), 10 << 30)],
        },
        unarchived: 700,
        archive_behind: true,
        ended: 9_000_000,
        ..StatusReport::default()
    };
    let change = |verb| ChangeQueue { sequence: sequence(), queue: "mail".into(), verb };
    vec![
        vector("pause a queue", 13, change(QueueVerb::Pause), b""),
        vector("resume a queue", 13, change(QueueVerb::Resume), b""),
        vector("purge a queue", 13, change(QueueVerb::Purge), b""),
        vector("status", 14, Status {}, b""),
        vector("status report", 14, report.clone(), b""),
        vector("status report, tasks with jobs", 14, with_tasks(report), b""),
        vector("shutdown", 15, Shutdown { on_demand_only: true }, b""),
        vector(
            "what is declared of a task",
            16,
            Describe { task: "shop.mail.send".into(), schemas: false },
            b"",
        ),
        vector("a declaration", 16, described(), b""),
        vector("what all workers take", 16, Describe { task: "".into(), schemas: true }, b""),
        vector("schemas of workers", 16, schemas(), b""),
        vector("hold the files", 17, HoldFiles {}, b""),
        vector(
            "files held",
            17,
            FilesHeld {
                lsn: 4_711,
                crc: 0x5eed_cafe,
                first_segment: 12,
                last_segment: 14,
                last_segment_bytes: 70_656,
            },
            b"",
        ),
        vector("tasks of one name", 19, ListTasks { task: Some("shop.mail.send".into()) }, b""),
        vector("all tasks", 19, ListTasks::default(), b""),
        vector("what tasks came to", 19, Tasks { tasks: vec![statistics()] }, b""),
        vector("keep the files", 18, KeepFiles { lsn: 4_711, done: false }, b""),
    ]
}

fn statistics() -> TaskStatistics {
    let spread = |p50_us| Spread {
        count: 412,
        total_us: 412 * p50_us,
        p50_us,
        p90_us: 2 * p50_us,
        p99_us: 5 * p50_us,
        max_us: 9 * p50_us,
    };
    TaskStatistics {
        task: "shop.mail.send v2".into(),
        since: CREATED,
        until: CREATED + 60_000,
        outcomes: [400, 9, 2, 1, 0, 0, 0, 0],
        ran: spread(9_600),
        waited: spread(1_000),
        cpu: spread(8_400),
        children_cpu_us: 0,
        collected_us: 127_720,
        peak_growth_bytes_max: Some(1_245_184),
        cache_hits: 77,
        gil_us: 31_000,
        gil_ran_us: 62_500,
        bytes_in: 41_200,
        bytes_out: 8_240,
        calls: 400,
        repeated: 284,
    }
}

fn of_versions(child: AttachChild) -> AttachChild {
    let tasks = vec!["shop.mail.send v2-3".into(), "shop.mail.check v1".into()];
    AttachChild { tasks, held: Vec::new(), declared: Vec::new(), ..child }
}

fn with_tasks(report: StatusReport) -> StatusReport {
    let of = |task: &str, unfinished| TaskReport { task: task.into(), unfinished };
    StatusReport { tasks: vec![of("shop.mail.send v2", 412), of("shop.mail.check", 7)], ..report }
}

fn described() -> Described {
    Described { declared: Some(declared()), schemas: Vec::new() }
}

fn schemas() -> Described {
    let schema = WorkerSchema { worker: "host:4242".into(), schema: r#"{"format":1,"tasks":{}}"#.into() };
    Described { declared: None, schemas: vec![schema] }
}

fn declared() -> Declared {
    let job = OnFailure {
        task: "shop.mail.send".into(),
        queue: "mail".into(),
        priority: 2,
        expires_ms: None,
        deadline_ms: Some(60_000),
        tags: vec!["mail".into()],
        rules: Arc::new(Rules { at_most_once: true, ..Rules::default() }),
        version: 1,
    };
    Declared { job: Arc::new(job), is_unique: true }
}

fn worker_vectors() -> Vec<Vector> {
    let attach = AttachWorker {
        name: "host:4242".into(),
        process: process(),
        nonce: 0x0102_0304_0506_0708,
        processes: 2,
        attach: 0,
        schema: None,
    };
    let child = AttachChild {
        worker: attach.nonce,
        worker_name: "host:4242".into(),
        number: 1,
        process: ProcessKey { pid: 4243, start_time: 118_040 },
        tasks: vec!["shop.mail.send".into(), "shop.mail.check".into()],
        queues: vec!["mail".into()],
        held: vec![(job(1), fence(41))],
        declared: vec![declared()],
        attach: 0,
    };
    let again = AttachChild { attach: 3, ..child.clone() };
    let lease = Lease {
        job: job(1),
        counter: 42,
        task: 0,
        attempt: 2,
        timeout_ms: 3_600_000,
        keep_result: true,
        length: 3,
    };
    let second =
        Lease { job: job(2), counter: 43, attempt: 1, timeout_ms: 0, keep_result: false, length: 0, ..lease };
    vec![
        vector("a supervisor attaches", 1, attach, b""),
        vector("worker attached", 1, WorkerAttached { lease_ms: 15_000 }, b""),
        vector("a child attaches", 1, child.clone(), b""),
        vector("a child attaches and counts", 1, again, b""),
        vector("a child attaches, some versions of its tasks", 1, of_versions(child), b""),
        vector("child attached", 1, ChildAttached { lease_ms: 15_000, stale: vec![fence(41)] }, b""),
        vector("credit", 0, Credit { leases: 64, reset: false }, b""),
        vector("leases", 0, Leases { epoch: EPOCH, jobs: vec![lease, second], ..Leases::default() }, b"abc"),
        vector(
            "leases of jobs with checkpoints",
            0,
            Leases {
                epoch: EPOCH,
                jobs: vec![second, lease],
                checkpoints: vec![(0, 2), (1, 3)],
                ..Leases::default()
            },
            b"abc\x01\x32\x01\xcc\xfa",
        ),
        vector(
            "leases, the first of them with a retry left",
            0,
            Leases { epoch: EPOCH, jobs: vec![lease, second], retried: Some(vec![0]), ..Leases::default() },
            b"abc",
        ),
        vector(
            "leases, the second of them to be profiled",
            0,
            Leases { epoch: EPOCH, jobs: vec![lease, second], profiled: vec![1], ..Leases::default() },
            b"abc",
        ),
        vector(
            "leases, both of them to be profiled, the second with its memory",
            0,
            Leases {
                epoch: EPOCH,
                jobs: vec![lease, second],
                profiled: vec![0, 1],
                looks: vec![(1, Looks::MEMORY)],
                ..Leases::default()
            },
            b"abc",
        ),
        vector(
            "leases, the first of them with a context",
            0,
            Leases {
                epoch: EPOCH,
                jobs: vec![lease, second],
                contexts: vec![(0, r#"{"request":7}"#.into())],
                ..Leases::default()
            },
            b"abc",
        ),
        vector("renew", 0, Renew {}, b""),
        vector("release", 3, Release { leases: vec![(job(2), fence(43))] }, b""),
        vector("stop", 0, Stop { child: 1, fence: fence(42), reason: StopReason::Cancelled }, b""),
        vector(
            "stop of a stale lease",
            0,
            Stop { child: 1, fence: fence(42), reason: StopReason::Stale },
            b"",
        ),
        vector(
            "progress",
            0,
            Progress { job: job(1), fence: fence(42), value: ByteBuf::from([1, 0x32]) },
            b"",
        ),
        vector("a checkpoint", 5, Checkpoint { job: job(1), fence: fence(42), length: 2 }, b"\x01\x32"),
        vector(
            "a child ended",
            4,
            ChildEnded {
                child: 1,
                begun: vec![other(End::Crashed { error: crash() }, 5), other(End::Released, 0)],
                newest: Some(fence(44)),
                unbegun: vec![fence(43)],
                why: None,
            },
            b"bye!\n",
        ),
        vector(
            "a child was replaced",
            4,
            ChildEnded { child: 1, why: Some("it has run 100 jobs".into()), ..ChildEnded::default() },
            b"",
        ),
        vector("an idle child ended", 4, ChildEnded { child: 1, ..ChildEnded::default() }, b""),
    ]
}

fn other(end: End, output_length: u32) -> OtherEnd {
    OtherEnd {
        job: job(1),
        fence: fence(42),
        started_at: CREATED + 10,
        finished_at: CREATED + 20,
        end,
        output_length,
        measures: Measures::default(),
    }
}

fn finish_vectors() -> Vec<Vector> {
    let returned = Succeeded {
        job: job(1),
        fence: fence(42),
        started_at: CREATED + 10,
        finished_at: CREATED + 20,
        result_length: 2,
        output_length: 3,
    };
    let ended = |end| Finish { others: vec![other(end, 0)], ..Finish::default() };
    vec![
        vector("finish", 2, Finish { succeeded: vec![returned], ..Finish::default() }, b"okhi\n"),
        vector(
            "finish, measured",
            2,
            Finish { succeeded: vec![returned], measures: vec![measures()], ..Finish::default() },
            b"okhi\n",
        ),
        vector(
            "finish, errored and measured",
            2,
            Finish {
                others: vec![OtherEnd { measures: measures(), ..other(End::Cancelled, 0) }],
                ..Finish::default()
            },
            b"",
        ),
        vector(
            "finish, errored",
            2,
            ended(End::Errored { error: error(), retry_after_ms: Some(5_000) }),
            b"",
        ),
        vector(
            "finish, rejected",
            2,
            ended(End::Rejected { reason: "result_unencodable".into(), error: error() }),
            b"",
        ),
        vector("finish, snoozed", 2, ended(End::Snoozed { delay_ms: 300_000 }), b""),
        vector(
            "finish, cancelled itself",
            2,
            ended(End::CancelledItself { reason: "not needed".into() }),
            b"",
        ),
        vector("finish, timed out", 2, ended(End::TimedOut { error: error() }), b""),
        vector("finish, cancelled", 2, ended(End::Cancelled), b""),
        vector("finish, parked", 2, ended(End::Parked { missing: "shop.Order".into() }), b""),
        vector("finish, released", 2, ended(End::Released), b""),
        vector("finish, lost", 2, ended(End::Lost { error: error() }), b""),
        vector(
            "finish, put off",
            2,
            ended(End::PutOff { delay_ms: 2_000, reason: "resource db did not open".into() }),
            b"",
        ),
        vector("finished", 2, Finished { refused: vec![(job(2), fence(43))] }, b""),
    ]
}

fn lock_vectors() -> Vec<Vector> {
    let acquire = Acquire {
        kind: LockKind::Mutex,
        key: "till".into(),
        permits: 1,
        token: 7,
        party: 0,
        ttl_ms: 30_000,
        wait: true,
        waited_ms: 0,
        program: "shop.py".into(),
        pid: 4_242,
    };
    let again = Acquire { kind: LockKind::Semaphore, permits: 3, waited_ms: 1_500, ..acquire.clone() };
    let known = Acquire { kind: LockKind::ReadWrite, party: 3, ..acquire.clone() };
    let holder = LockHolder {
        fence: 1_876_951_040_000_001,
        program: "shop.py".into(),
        pid: 4_242,
        permits: 1,
        since: CREATED,
        ttl_ms: 30_000,
    };
    let report =
        LockReport { kind: LockKind::Mutex, key: "till".into(), held: 1, holders: vec![holder], waiters: 2 };
    let pass = Pass { key: "api".into(), interval_ns: 600_000_000, burst: 100, patience_ms: 60_000 };
    let list = ListLocks { key: None, after: Some((LockKind::Mutex, "stock".into())), limit: 100 };
    vec![
        vector("acquire", 9, acquire, b""),
        vector("acquire, asked again over a new connection", 9, again, b""),
        vector("acquire, for a thread that may hold others", 9, known, b""),
        vector("acquired", 9, Acquired { fence: Some(1_876_951_040_000_001), place: None }, b""),
        vector(
            "acquired, at a barrier",
            9,
            Acquired { fence: Some(1_876_951_040_000_001), place: Some(2) },
            b"",
        ),
        vector("acquired, held by others", 9, Acquired::default(), b""),
        vector("renew locks", 10, RenewLocks { tokens: vec![7, 8] }, b""),
        vector("release locks", 11, ReleaseLocks { tokens: vec![7] }, b""),
        vector("locks lost", 10, LocksLost { tokens: vec![8] }, b""),
        vector("list locks", 12, list, b""),
        vector("locks", 12, Locks { locks: vec![report], more: false }, b""),
        vector("break locks", 13, BreakLocks { fences: vec![1_876_951_040_000_001] }, b""),
        vector("locks broken", 13, LocksBroken { fences: vec![1_876_951_040_000_001] }, b""),
        vector("pass", 14, pass, b""),
        vector("passed", 14, Passed { wait_ns: 250_000_000, taken: true }, b""),
    ]
}

fn cache_vectors() -> Vec<Vector> {
    let sequence = Sequence { number: 7, lowest: 5 };
    let get = CacheGet { keys: vec!["rates".into(), "@shop.price/0a1b".into()], peek: false };
    let hit = FoundEntry { length: 3, is_stale: false };
    let computed = NewEntry {
        key: "@shop.price/0a1b".into(),
        length: 3,
        ttl_ms: Some(600_000),
        idle_ms: Some(60_000),
        stale_ms: 5_000,
        tags: vec!["@shop.price".into(), "eur".into()],
        ticket: Some(41),
        sources: Vec::new(),
    };
    let sources = vec!["@shop.price/0a1b".into(), "@shop.rate/77".into()];
    let made_of_others = NewEntry {
        key: "@shop.offer/3c".into(),
        length: 4,
        tags: vec!["@shop.offer".into(), "@shop.price".into(), "@shop.rate".into()],
        ticket: Some(41),
        sources,
        ..NewEntry::default()
    };
    let plain = NewEntry { key: "rates".into(), length: 2, ..NewEntry::default() };
    let invalidate =
        CacheInvalidate { sequence, keys: vec!["rates".into()], tags: vec!["eur".into()], all: false };
    let clear = CacheInvalidate { sequence, keys: Vec::new(), tags: Vec::new(), all: true };
    vec![
        vector("cache get", 15, get, b""),
        vector(
            "cache get, which counts as no use",
            15,
            CacheGet { keys: vec!["rates".into()], peek: true },
            b"",
        ),
        vector("cache found", 15, CacheFound { entries: vec![None, Some(hit)], ticket: 41 }, b"abc"),
        vector("cache set", 16, CacheSet { sequence, entries: vec![computed, plain] }, b"abcok"),
        vector(
            "cache set of what is made of others",
            16,
            CacheSet { sequence, entries: vec![made_of_others] },
            b"good",
        ),
        vector("cache invalidate", 17, invalidate, b""),
        vector("cache invalidate, all of it", 17, clear, b""),
    ]
}

fn log_vectors() -> Vec<Vector> {
    let record = LogRecord {
        time_us: 1_795_842_000_123_456,
        level: 30,
        job: job(1),
        attempt: 2,
        task: "shop.send".into(),
        worker: "host:42".into(),
        logger: "shop.mail".into(),
        message: "no stamp".into(),
        fields: vec![("to".into(), "\"ada\"".into()), ("ms".into(), "3".into())],
        place: Some(LogPlace { file: "shop.py".into(), line: 7, function: "send".into() }),
        exception: None,
        attachment: None,
    };
    let filter = LogFilter {
        task: Some("shop.send".into()),
        level: Some(30),
        fields: vec![("to".into(), "ada".into())],
        texts: vec!["stamp".into()],
        ..LogFilter::default()
    };
    let add = AddLogs { worker: 7, child: 1, first: 3, records: vec![record.clone()] };
    let profiled = LogRecord { attachment: Some(b"\x00\xff".as_slice().into()), ..record.clone() };
    let add_attached = AddLogs { worker: 7, child: 1, first: 4, records: vec![profiled] };
    let attached = LogFilter { job: Some(job(1)), attached: true, ..LogFilter::default() };
    let list_attached = ListLogs { filter: attached, count: 1, ..ListLogs::default() };
    let list = ListLogs { filter, after: Some(41), count: 100, newest_first: true };
    vec![
        vector("add logs", 18, add, b""),
        vector("add logs, one with an attachment", 18, add_attached, b""),
        vector("list logs, those with attachments", 19, list_attached, b""),
        vector(
            "profile next",
            20,
            ProfileNext { task: "shop.send".into(), count: 20, ..ProfileNext::default() },
            b"",
        ),
        vector(
            "profile next, with memory and machine code",
            21,
            ProfileNext { task: "shop.send".into(), count: 20, looks: Looks::MEMORY | Looks::NATIVE },
            b"",
        ),
        vector("list logs", 19, list, b""),
        vector("logs", 19, Logs { records: vec![record], next: Some(40), is_end: false }, b""),
    ]
}

fn vectors() -> Vec<Vector> {
    [
        connection_vectors(),
        job_vectors(),
        engine_vectors(),
        worker_vectors(),
        finish_vectors(),
        lock_vectors(),
        cache_vectors(),
        log_vectors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/messages.json")
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(&std::fs::read_to_string(golden_path()).unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn every_message_is_encoded_as_the_golden_file_says() {
    let current: Vec<Golden> = vectors().iter().map(Vector::golden).collect();
    if std::env::var_os("LINESHAFT_BLESS").is_some() {
        std::fs::write(golden_path(), serde_json::to_string_pretty(&current).unwrap() + "\n").unwrap();
    }
    for (current, golden) in current.iter().zip(golden()) {
        assert_eq!(*current, golden, "{}", current.name);
    }
    assert_eq!(current.len(), golden().len());
}

#[test]
fn every_golden_frame_is_read_back_as_its_message() {
    for (vector, golden) in vectors().into_iter().zip(golden()) {
        let mut decoder = FrameDecoder::default();
        decoder.push(&unhex(&golden.frame));
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!((frame.header.request_id, frame.payload.as_ref()), (vector.request_id, vector.payload));
        let message = Message::decode(frame.header.kind, &frame.map).unwrap();
        assert_eq!(message, vector.message, "{}", vector.name);
        assert!(format!("{message:?}").starts_with(message.name()), "{}", message.name());
    }
}

#[test]
fn every_message_has_a_golden_vector() {
    let is_known = |kind: &u8| !matches!(Message::decode(*kind, &[0x80]), Err(MessageError::UnknownType(_)));
    let known: BTreeSet<u8> = (0..=u8::MAX).filter(is_known).collect();
    let covered: BTreeSet<u8> = golden().iter().map(|golden| golden.r#type).collect();
    assert_eq!(covered, known);
}

/// The document shows some of the vectors; it must not show other bytes than the file.
#[test]
fn the_frames_shown_in_the_document_are_golden() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let document = std::fs::read_to_string(path).unwrap();
    let frames: BTreeSet<String> = golden().into_iter().map(|golden| golden.frame).collect();
    let shown = hex_blocks(&document);
    assert!(shown.len() >= 5, "{shown:?}");
    for block in shown {
        assert!(frames.contains(&block), "{block} is not a golden frame");
    }
}

/// The contents of the blocks marked `hex`, without comments and white space.
fn hex_blocks(document: &str) -> Vec<String> {
    let blocks = document.split("```hex\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks
        .map(|block| {
            let lines = block.lines().map(|line| line.split('#').next().unwrap_or_default());
            lines.flat_map(str::chars).filter(char::is_ascii_hexdigit).collect()
        })
        .collect()
}

/// Readers take what a newer peer adds, and optional fields that it leaves out.
#[test]
fn unknown_fields_are_skipped_and_optional_ones_may_be_missing() {
    let map = rmp_serde::to_vec_named(&serde_json::json!({
        "protocol": [1, 3], "version": "9", "executable": "x", "pid": 1, "open_session": false, "colour": "red",
    }))
    .unwrap();
    let Message::Hello(hello) = Message::decode(1, &map).unwrap() else { panic!("not a Hello") };
    assert_eq!((hello.protocol, hello.session, hello.token), ((1, 3), None, None));
    let error = serde_json::json!({ "types": ["KeyError"], "message": "milk" });
    let error: ErrorRecord = rmp_serde::from_slice(&rmp_serde::to_vec_named(&error).unwrap()).unwrap();
    assert_eq!((error.message.as_str(), error.traceback, error.arguments), ("milk", None, None));
}

/// Peers of before know one version only, and send none.
#[test]
fn the_first_version_of_a_handler_is_left_out() {
    let newer = OnFailure { version: 2, ..handler() };
    for (handler, has_version) in [(handler(), false), (newer, true)] {
        let map = rmp_serde::to_vec_named(&handler).unwrap();
        assert_eq!(map.windows(7).any(|bytes| bytes == b"version"), has_version);
        assert_eq!(rmp_serde::from_slice::<OnFailure>(&map).unwrap(), handler);
    }
}

#[test]
fn handlers_of_failures_are_given_from_the_first_to_the_last() {
    let followed_by = |task: &str, then: Option<OnFailure>| {
        let rules = Rules { on_failure: then.map(Arc::new), ..Rules::default() };
        OnFailure { task: task.into(), rules: Arc::new(rules), ..handler() }
    };
    let rules = Rules {
        on_failure: Some(Arc::new(followed_by("mend", Some(followed_by("tell", None))))),
        ..Rules::default()
    };
    assert_eq!(rules.handlers().map(|handler| &*handler.task).collect::<Vec<_>>(), ["mend", "tell"]);
    assert_eq!(Rules::default().handlers().count(), 0);
}

#[test]
fn a_message_that_lacks_a_field_is_refused_by_name() {
    let error = Message::decode(1, &[0x80]).unwrap_err().to_string();
    assert!(error.starts_with("Hello does not read: missing field"), "{error}");
    assert_eq!(Message::decode(99, &[0x80]).unwrap_err().to_string(), "frame type 99 is unknown");
}
