//! Random steps of a history. They name sessions, jobs, children and leases by small numbers, which whoever runs them
//! takes modulo what there is, so that any list of steps makes sense and shrinks well.

use lineshaft_wire::message::QueueVerb;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) const TASKS: [&str; 3] = ["shop.send", "shop.bill", "shop.send v2"];
pub(crate) const QUEUES: [&str; 3] = ["default", "mail", "slow"];
pub(crate) const LOCKS: [&str; 3] = ["stock", "till", "printer 1"];
pub(crate) const TAGS: [&str; 3] = ["red", "green", "blue"];

/// A request's place in a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) session: u8,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// The next number; with `ack` all before it are acknowledged.
    Next { ack: bool },
    /// A number used before.
    Old(u8),
    /// A few numbers are left out.
    Skip(u8),
    /// A number that no window holds.
    Outside,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) task: u8,
    pub(crate) queue: u8,
    pub(crate) priority: u8,
    pub(crate) rules: u8,
    pub(crate) run_after: Option<After>,
    pub(crate) expires: Option<After>,
    pub(crate) deadline: Option<After>,
    pub(crate) unique: Option<(u8, While, Option<u16>)>,
    pub(crate) idempotency_key: Option<u8>,
    pub(crate) tags: Vec<u8>,
    pub(crate) metadata: bool,
    pub(crate) context: bool,
    pub(crate) lengths: Vec<u8>,
}

/// An entry of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) key: u8,
    pub(crate) tags: Vec<u8>,
    /// Keys that it was computed from.
    pub(crate) sources: Vec<u8>,
    pub(crate) ttl_ms: Option<u16>,
    pub(crate) stale_ms: u16,
    pub(crate) length: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum While {
    Unfinished,
    Queued,
    Cached { anew: bool },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    In(u16),
    At(i32),
    Never,
}

/// Something wrong with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Defect {
    Priority(u8),
    NoJobs,
    NoGroups,
    ExtraByte,
    TooManyTags,
    LongMetadata,
    BadTask,
    LongQueue,
    EmptyTag,
    NoAttempts,
    KeyForTwo,
    CachedForNoTime,
    CachedTooLong,
    CachedAndNotKept,
    AnewOfNothing,
    TooLate,
    TooLong,
    TooManyClasses,
    TooManyHandlers,
    BadHandler,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Which lease: below 200 one of the child's own, else any that there ever was.
    pub(crate) lease: u8,
    pub(crate) how: How,
    pub(crate) result: u8,
    pub(crate) output: u8,
    pub(crate) blob: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Succeeded,
    Errored { types: u8, retry_after_ms: Option<u64> },
    Rejected,
    Snoozed(u64),
    CancelledItself,
    TimedOut,
    Cancelled,
    Crashed,
    Released,
    Lost,
    Parked,
    PutOff(u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    All,
    Nothing,
    Some(u8),
    Garbage(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    OpenSession,
    Enqueue {
        turn: Turn,
        groups: Vec<Group>,
        defect: Option<Defect>,
        blob: Option<u8>,
    },
    Cancel(Turn, u16),
    Retry(Turn, u16),
    Delete(Turn, u16),
    Queue(Turn, u8, QueueVerb),
    /// Cached results of this key, and of all keys that begin like it if so said.
    Invalidate(Turn, u8, bool),
    Attach {
        worker: u8,
        number: u8,
        tasks: u8,
        queues: u8,
        held: Held,
        grant: u8,
    },
    Detach(u8),
    Grant {
        child: u8,
        leases: u32,
        reset: bool,
    },
    Renew(u8),
    Finish {
        child: u8,
        endings: Vec<Ending>,
        lie: bool,
    },
    Checkpoint {
        child: u8,
        lease: u8,
        length: u32,
        lie: bool,
    },
    Release {
        child: u8,
        leases: Vec<u8>,
    },
    ChildEnded {
        child: u8,
        begun: Vec<Ending>,
        newest: Option<u8>,
        unbegun: Vec<u8>,
    },
    ChildVanished(u8),
    Archive(u8),
    DropArchive(u8),
    /// Payloads of commits at least this old are copied, and those of all cold files if so said.
    Copy {
        age: u8,
        files: bool,
    },
    /// So many copies, and the rest of their last job's, take the place of their originals.
    Move(u8),
    /// Pages leave memory; if late, those that were written are not taken before the next time.
    Cool {
        late: bool,
    },
    Pass {
        wall_ms: i64,
        logical_ms: u64,
    },
    Stall(u16),
    Touch(u8),
    Restart {
        replayed: bool,
    },
    Restore {
        gap: u8,
    },
    Acquire {
        session: u8,
        key: u8,
        /// Which kind of lock, for how many.
        form: u8,
        /// Which thread of the session, 0 if it does not say.
        party: u8,
        /// How many locks ago the token was used before, if it was.
        old: Option<u8>,
        wait: bool,
        waited_ms: u16,
        defect: Option<u8>,
    },
    /// Tokens, by how many locks ago they were used.
    Unlock {
        session: u8,
        tokens: Vec<u8>,
    },
    RenewLocks {
        session: u8,
        tokens: Vec<u8>,
    },
    /// Holders, by how many locks ago they got theirs.
    Break(Vec<u8>),
    /// Those who wait lose their connections.
    LeaveLines(u8),
    Store {
        turn: Turn,
        entries: Vec<Kept>,
        /// Of the moment so many steps ago, if it has one.
        ticket: Option<u8>,
        blob: Option<u8>,
        lie: bool,
    },
    InvalidateEntries {
        turn: Turn,
        keys: Vec<u8>,
        tags: Vec<u8>,
        all: bool,
    },
    Evict(Vec<u8>),
    TakeTurn {
        key: u8,
        /// Milliseconds between two turns; 0 makes no sense.
        interval_ms: u16,
        burst: u8,
        patience_ms: u16,
    },
}

pub(crate) fn histories() -> impl Strategy<Value = (bool, Vec<Step>)> {
    (prop::bool::weighted(0.3), vec(step(), 1..200))
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::OpenSession),
        14 => enqueue(),
        4 => (turn(), any::<u16>()).prop_map(|(turn, job)| Step::Cancel(turn, job)),
        3 => (turn(), any::<u16>()).prop_map(|(turn, job)| Step::Retry(turn, job)),
        2 => (turn(), any::<u16>()).prop_map(|(turn, job)| Step::Delete(turn, job)),
        3 => (turn(), 0..4u8, verb()).prop_map(|(turn, queue, verb)| Step::Queue(turn, queue, verb)),
        2 => (turn(), 0..4u8, prop::bool::weighted(0.2)).prop_map(|(turn, key, all)| Step::Invalidate(turn, key, all)),
        5 => attach(),
        1 => any::<u8>().prop_map(Step::Detach),
        6 => (any::<u8>(), prop_oneof![20 => 0..8u32, 1 => Just(u32::MAX)], any::<bool>())
            .prop_map(|(child, leases, reset)| Step::Grant { child, leases, reset }),
        4 => any::<u8>().prop_map(Step::Renew),
        20 => (any::<u8>(), vec(ending(), 0..5), prop::bool::weighted(0.02))
            .prop_map(|(child, endings, lie)| Step::Finish { child, endings, lie }),
        8 => checkpoint(),
        3 => (any::<u8>(), vec(any::<u8>(), 0..4)).prop_map(|(child, leases)| Step::Release { child, leases }),
        2 => (any::<u8>(), vec(ending(), 0..4), option::of(any::<u8>()), vec(any::<u8>(), 0..3)).prop_map(
            |(child, begun, newest, unbegun)| Step::ChildEnded { child, begun, newest, unbegun }
        ),
        1 => any::<u8>().prop_map(Step::ChildVanished),
        4 => any::<u8>().prop_map(Step::Archive),
        1 => any::<u8>().prop_map(Step::DropArchive),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(age, files)| Step::Copy { age, files }),
        5 => (1..12u8).prop_map(Step::Move),
        3 => any::<bool>().prop_map(|late| Step::Cool { late }),
        10 => pass(),
        1 => any::<u16>().prop_map(Step::Stall),
        1 => any::<u8>().prop_map(Step::Touch),
        2 => any::<bool>().prop_map(|replayed| Step::Restart { replayed }),
        1 => any::<u8>().prop_map(|gap| Step::Restore { gap }),
        23 => lock_step(),
        12 => cache_step(),
    ]
}

/// Histories about locks alone.
pub(crate) fn lock_histories() -> impl Strategy<Value = (bool, Vec<Step>)> {
    let step = prop_oneof![
        40 => lock_step(),
        1 => Just(Step::OpenSession),
        1 => pass(),
        1 => any::<bool>().prop_map(|replayed| Step::Restart { replayed }),
    ];
    (prop::bool::weighted(0.3), vec(step, 1..150))
}

fn lock_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => acquire(),
        6 => (any::<u8>(), vec(any::<u8>(), 0..4)).prop_map(|(session, tokens)| Step::Unlock { session, tokens }),
        3 => (any::<u8>(), vec(any::<u8>(), 0..4))
            .prop_map(|(session, tokens)| Step::RenewLocks { session, tokens }),
        1 => vec(any::<u8>(), 0..3).prop_map(Step::Break),
        1 => any::<u8>().prop_map(Step::LeaveLines),
        3 => (0..3u8, 0..2_000u16, 0..6u8, any::<u16>()).prop_map(
            |(key, interval_ms, burst, patience_ms)| Step::TakeTurn { key, interval_ms, burst, patience_ms }
        ),
    ]
}

fn cache_step() -> impl Strategy<Value = Step> {
    let name = || prop_oneof![60 => 0..3u8, 1 => Just(3u8)];
    let kept = (
        name(),
        vec(name(), 0..3),
        vec(name(), 0..2),
        option::of(any::<u16>()),
        prop_oneof![Just(0), any::<u16>()],
        any::<u8>(),
    );
    let kept = kept.prop_map(|(key, tags, sources, ttl_ms, stale_ms, length)| Kept {
        key,
        tags,
        sources,
        ttl_ms,
        stale_ms,
        length,
    });
    prop_oneof![
        8 => (turn(), vec(kept, 0..4), option::of(0..12u8), option::of(any::<u8>()), prop::bool::weighted(0.02)).prop_map(
            |(turn, entries, ticket, blob, lie)| Step::Store { turn, entries, ticket, blob, lie }
        ),
        4 => (turn(), vec(name(), 0..3), vec(name(), 0..3), prop::bool::weighted(0.1))
            .prop_map(|(turn, keys, tags, all)| Step::InvalidateEntries { turn, keys, tags, all }),
        1 => vec(0..3u8, 0..3).prop_map(Step::Evict),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let place = prop_oneof![
        20 => any::<bool>().prop_map(|ack| Place::Next { ack }),
        3 => any::<u8>().prop_map(Place::Old),
        1 => (1..4u8).prop_map(Place::Skip),
        1 => Just(Place::Outside),
    ];
    (any::<u8>(), place).prop_map(|(session, place)| Turn { session, place })
}

fn enqueue() -> impl Strategy<Value = Step> {
    let defect = prop_oneof![
        any::<bool>().prop_map(|high| Defect::Priority(if high { 10 } else { 0 })),
        Just(Defect::NoJobs),
        Just(Defect::NoGroups),
        Just(Defect::ExtraByte),
        Just(Defect::TooManyTags),
        Just(Defect::LongMetadata),
        Just(Defect::BadTask),
        Just(Defect::LongQueue),
        Just(Defect::EmptyTag),
        Just(Defect::NoAttempts),
        Just(Defect::KeyForTwo),
        Just(Defect::CachedForNoTime),
        Just(Defect::CachedTooLong),
        Just(Defect::CachedAndNotKept),
        Just(Defect::AnewOfNothing),
        Just(Defect::TooLate),
        Just(Defect::TooLong),
        Just(Defect::TooManyClasses),
        Just(Defect::TooManyHandlers),
        Just(Defect::BadHandler),
    ];
    (turn(), vec(group(), 1..4), option::weighted(0.05, defect), option::weighted(0.2, any::<u8>()))
        .prop_map(|(turn, groups, defect, blob)| Step::Enqueue { turn, groups, defect, blob })
}

fn group() -> impl Strategy<Value = Group> {
    let after = || {
        prop_oneof![
            4 => any::<u16>().prop_map(After::In),
            4 => (-5_000..60_000i32).prop_map(After::At),
            1 => Just(After::Never),
        ]
    };
    let times =
        (option::weighted(0.25, after()), option::weighted(0.15, after()), option::weighted(0.15, after()));
    let place = (0..3u8, 0..3u8, prop_oneof![3 => Just(5u8), 2 => 1..=9u8], 0..7u8);
    let keys = (
        option::weighted(0.35, (0..3u8, while_(), option::weighted(0.4, 1..40_000u16))),
        option::weighted(0.15, 0..4u8),
    );
    let notes = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let rest = (vec(0..3u8, 0..3), notes, vec(0..4u8, 1..4));
    (place, times, keys, rest).prop_map(|(place, times, keys, rest)| {
        let (run_after, expires, deadline) = times;
        let (task, queue, priority, rules) = place;
        let (unique, idempotency_key) = keys;
        let (tags, (metadata, context), mut lengths) = rest;
        if unique.is_some() || idempotency_key.is_some() {
            lengths.truncate(1);
        }
        Group {
            task,
            queue,
            priority,
            rules,
            run_after,
            expires,
            deadline,
            unique,
            idempotency_key,
            tags,
            metadata,
            context,
            lengths,
        }
    })
}

fn while_() -> impl Strategy<Value = While> {
    prop_oneof![
        1 => Just(While::Unfinished),
        1 => Just(While::Queued),
        3 => prop::bool::weighted(0.1).prop_map(|anew| While::Cached { anew }),
    ]
}

fn acquire() -> impl Strategy<Value = Step> {
    let token = (option::weighted(0.2, any::<u8>()), any::<bool>(), any::<u16>());
    let lock = (0..3u8, any::<u8>(), 0..5u8);
    (any::<u8>(), lock, token, option::weighted(0.05, any::<u8>())).prop_map(
        |(session, (key, form, party), (old, wait, waited_ms), defect)| Step::Acquire {
            session,
            key,
            form,
            party,
            old,
            wait,
            waited_ms,
            defect,
        },
    )
}

fn verb() -> impl Strategy<Value = QueueVerb> {
    prop_oneof![1 => Just(QueueVerb::Pause), 2 => Just(QueueVerb::Resume), 1 => Just(QueueVerb::Purge)]
}

fn attach() -> impl Strategy<Value = Step> {
    let held = prop_oneof![
        3 => Just(Held::All),
        1 => Just(Held::Nothing),
        1 => any::<u8>().prop_map(Held::Some),
        1 => any::<u8>().prop_map(Held::Garbage),
    ];
    (0..2u8, 1..4u8, 1..8u8, 0..8u8, held, 0..6u8).prop_map(|(worker, number, tasks, queues, held, grant)| {
        Step::Attach { worker, number, tasks, queues, held, grant }
    })
}

fn checkpoint() -> impl Strategy<Value = Step> {
    let length = prop_oneof![20 => 0..9u32, 1 => 65_536..65_538u32];
    (any::<u8>(), any::<u8>(), length, prop::bool::weighted(0.02))
        .prop_map(|(child, lease, length, lie)| Step::Checkpoint { child, lease, length, lie })
}

fn ending() -> impl Strategy<Value = Ending> {
    let delay = prop_oneof![8 => 0..40_000u64, 1 => Just(u64::MAX)];
    let how = prop_oneof![
        8 => Just(How::Succeeded),
        6 => (0..4u8, option::weighted(0.2, delay.clone()))
            .prop_map(|(types, retry_after_ms)| How::Errored { types, retry_after_ms }),
        1 => Just(How::Rejected),
        2 => delay.clone().prop_map(How::Snoozed),
        2 => delay.prop_map(How::PutOff),
        1 => Just(How::CancelledItself),
        2 => Just(How::TimedOut),
        2 => Just(How::Cancelled),
        3 => Just(How::Crashed),
        1 => Just(How::Released),
        1 => Just(How::Lost),
        4 => Just(How::Parked),
    ];
    (any::<u8>(), how, 0..4u8, 0..4u8, prop::bool::weighted(0.1))
        .prop_map(|(lease, how, result, output, blob)| Ending { lease, how, result, output, blob })
}

fn pass() -> impl Strategy<Value = Step> {
    let logical = prop_oneof![4 => 0..500u64, 4 => 0..20_000u64, 1 => 0..150_000u64];
    let slip = prop_oneof![8 => Just(0i64), 1 => -40_000..0i64, 1 => 0..40_000i64];
    (logical, slip)
        .prop_map(|(logical_ms, slip)| Step::Pass { wall_ms: logical_ms as i64 + slip, logical_ms })
}
