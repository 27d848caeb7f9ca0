//! What is made of a job that gives up.

use std::sync::Arc;

use lineshaft_jobs::{Command, Limits, Payloads};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{
    End, Finish, JobGroup, ON_FAILURE_DEPTH_MAX, OnFailure, OtherEnd, QueueVerb, RefusalCode, Rules, RunAfter,
};
use lineshaft_wire::value::{Call, Value, decode, decode_call};
use lineshaft_wire::{ErrorRecord, JobId, JobState, Measures};

use super::shop::{Lease, Shop, crashed, errored, group, ids, with_rules};

/// The handler that most jobs here have.
fn handler() -> OnFailure {
    OnFailure {
        task: "shop.bill".into(),
        queue: "mail".into(),
        priority: 2,
        expires_ms: None,
        deadline_ms: None,
        tags: vec!["red".into()],
        rules: Arc::new(Rules { max_attempts: 7, ..Rules::default() }),
        version: 1,
    }
}

fn handled(rules: Rules) -> JobGroup {
    with_rules(Rules { on_failure: Some(Arc::new(handler())), ..rules })
}

impl Shop {
    /// The handler of the failed job, which must be there.
    fn handler_of(&self, failed: JobId) -> JobId {
        let job = self.machine.record_of(failed).handled_by.expect("its failure is handled");
        assert_eq!(self.machine.record_of(job).failure_of, Some(failed));
        job
    }

    fn unhandled(&self, failed: JobId) -> bool {
        self.machine.record_of(failed).handled_by.is_none() && self.machine.state.jobs() == 1
    }
}

/// Ends the only attempt of a job in this way: its handler, if it got one.
fn check(rules: Rules, end: End, reason: &str) {
    let mut shop = Shop::new();
    let job = shop.enqueue(handled(rules));
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, end);
    assert_eq!(shop.ended(job), (JobState::Discarded, Some(reason.to_owned())));
    assert_eq!(shop.state(shop.handler_of(job)), JobState::Available);
    assert_eq!(shop.machine.state.jobs(), 2);
}

#[test]
fn whatever_makes_a_job_give_up_its_failure_is_handled() {
    let once = Rules { at_most_once: true, ..Rules::default() };
    let never = Rules { max_attempts: 9, retry_never: vec!["x.Gone".to_owned()], ..Rules::default() };
    check(Rules::default(), errored(&[]), "max_attempts");
    check(never, errored(&["x.Gone"]), "never_retried");
    check(Rules { max_crashes: 1, ..Rules::default() }, crashed(), "crashes");
    check(once.clone(), crashed(), "maybe_ran");
    check(once, errored(&[]), "at_most_once");
    check(Rules::default(), End::TimedOut { error: ErrorRecord::default() }, "max_attempts");
    let reason = "result_unencodable".into();
    let rejected = End::Rejected { reason, error: ErrorRecord::default() };
    check(Rules::default(), rejected, "result_unencodable");
}

#[test]
fn a_handler_has_the_context_of_the_job_that_failed() {
    let mut shop = Shop::new();
    let context: Option<Arc<str>> = Some("{\"request\":7}".into());
    let job = shop.enqueue(JobGroup { context: context.clone(), ..handled(Rules::default()) });
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    let record = shop.machine.record_of(shop.handler_of(job));
    assert_eq!((record.context, record.metadata), (context, None));
}

#[test]
fn the_handler_is_the_job_that_the_rules_say() {
    let mut shop = Shop::new();
    let job = shop.enqueue(handled(Rules::default()));
    shop.child(1, 9);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    let slot = shop.machine.state.slot_of(shop.handler_of(job)).expect("it is in memory");
    let view = shop.machine.state.view(slot);
    let call = decode_call(&shop.machine.read(view.arguments)).expect("a call");
    assert_eq!(call, Call { positional: vec![Value::Job(job)], keywords: Vec::new() });
    let record = view.record;
    assert_eq!((&*record.task, &*record.queue, record.priority), ("shop.bill", "mail", 2));
    assert_eq!((record.max_attempts, record.tags), (7, vec!["red".into()]));
    assert_eq!(shop.lease().1, record.id, "it is leased as any other job is");
}

#[test]
fn a_handler_that_gives_up_is_handled_too() {
    let last = OnFailure { task: "shop.send".into(), ..handler() };
    let rules = Rules { on_failure: Some(Arc::new(last)), ..Rules::default() };
    let first = OnFailure { rules: Arc::new(rules), ..handler() };
    let mut shop = Shop::new();
    let mut job = shop.enqueue(with_rules(Rules { on_failure: Some(Arc::new(first)), ..Rules::default() }));
    shop.child(1, 9);
    for task in ["shop.bill", "shop.send"] {
        let lease = shop.lease();
        assert_eq!(lease.1, job);
        shop.end(lease, End::Rejected { reason: "no".into(), error: ErrorRecord::default() });
        job = shop.handler_of(job);
        assert_eq!(&*shop.machine.record_of(job).task, task);
    }
}

#[test]
fn jobs_that_are_cancelled_or_complete_have_no_handler() {
    let mut shop = Shop::new();
    let job = shop.enqueue(handled(Rules::default()));
    shop.cancel(job).expect("it is queued");
    assert!(shop.unhandled(job));

    let mut shop = Shop::new();
    let job = shop.enqueue(handled(Rules::default()));
    shop.queue("default", QueueVerb::Purge);
    shop.leases();
    assert_eq!(shop.state(job), JobState::Cancelled);
    assert!(shop.unhandled(job));

    for end in [End::CancelledItself { reason: "enough".into() }, End::Cancelled] {
        let mut shop = Shop::new();
        let job = shop.enqueue(handled(Rules::default()));
        shop.child(1, 1);
        let lease = shop.lease();
        shop.end(lease, end);
        assert!(shop.unhandled(job));
    }

    let mut shop = Shop::new();
    let job = shop.enqueue(handled(Rules::default()));
    shop.child(1, 1);
    let lease = shop.lease();
    shop.succeed(lease);
    assert!(shop.unhandled(job));
}

#[test]
fn a_retry_that_is_left_is_no_failure() {
    let mut shop = Shop::new();
    let job = shop.enqueue(handled(Rules { max_attempts: 2, backoff_first_ms: 0, ..Rules::default() }));
    let child = shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    assert!(shop.unhandled(job));
    shop.machine.state.grant(child, 1, false);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    shop.handler_of(job);
}

/// A worker that heard no answer sends its ends again.
#[test]
fn an_end_that_comes_twice_is_handled_once() {
    let mut shop = Shop::new();
    shop.enqueue(handled(Rules::default()));
    shop.child(1, 1);
    let lease = shop.lease();
    let end = |(_, job, fence): Lease| OtherEnd {
        job,
        fence,
        started_at: 0,
        finished_at: 0,
        end: errored(&[]),
        output_length: 0,
        measures: Measures::default(),
    };
    // Twice in one message, and once more in another.
    for others in [vec![end(lease), end(lease)], vec![end(lease)]] {
        let finish = Finish { others, ..Finish::default() };
        let told = shop.run(Command::Finish { child: lease.0, finish, payloads: Payloads::default() });
        assert_eq!(told, Ok(Told::Finished { refused: Vec::new() }));
        assert_eq!(shop.machine.state.jobs(), 2);
    }
}

#[test]
fn jobs_that_expire_together_are_handled_together_in_their_order() {
    let mut shop = Shop::with(Limits { step: 4, ..Limits::default() });
    let expiring =
        JobGroup { expires: Some(RunAfter::In(100)), lengths: vec![0; 10], ..handled(Rules::default()) };
    let jobs = ids(&shop.try_enqueue(vec![expiring]).expect("it makes sense"));
    shop.pass(100);
    shop.leases();
    let handlers: Vec<JobId> = jobs.iter().map(|job| shop.handler_of(*job)).collect();
    shop.child(1, 99);
    assert_eq!(shop.leased_jobs(), handlers);
}

/// Every commit by itself: a crash after any of them leaves each failed job with its handler.
#[test]
fn no_commit_holds_an_end_without_its_handler() {
    let mut shop = Shop::with(Limits { step: 2, ..Limits::default() });
    let expiring =
        JobGroup { expires: Some(RunAfter::In(9)), lengths: vec![0; 7], ..handled(Rules::default()) };
    shop.try_enqueue(vec![expiring]).expect("it makes sense");
    shop.pass(9);
    let mut steps = 0;
    while shop.machine.state.is_due(shop.machine.now) {
        shop.machine.begin();
        for entry in shop.machine.state.tick(shop.machine.now) {
            shop.machine.record(entry);
        }
        steps += 1;
        let counts: Vec<_> = shop.machine.state.queue_reports();
        let of = |name: &str| counts.iter().find(|queue| &*queue.name == name).expect("it has jobs");
        assert_eq!(of("default").finished, of("mail").available);
    }
    assert!(steps >= 4, "the step is the bound: {steps}");
}

#[test]
fn a_handler_runs_out_of_time_from_its_failure_on() {
    let hurried = OnFailure { expires_ms: Some(50), deadline_ms: Some(80), ..handler() };
    let mut shop = Shop::new();
    let rules = Rules { on_failure: Some(Arc::new(hurried)), ..Rules::default() };
    let job = shop.enqueue(JobGroup { expires: Some(RunAfter::In(1_000)), ..with_rules(rules) });
    shop.pass(1_000);
    shop.leases();
    let handler = shop.machine.record_of(shop.handler_of(job));
    let failed_at = shop.machine.now.wall_ms;
    assert_eq!((handler.expires_at, handler.deadline_at), (Some(failed_at + 50), Some(failed_at + 80)));
}

/// A full table stops new jobs, never the end of one.
#[test]
fn a_full_table_does_not_lose_a_handler() {
    let mut shop = Shop::with(Limits { jobs: 2, names: 5, rules: 2, ..Limits::default() });
    let jobs = [shop.enqueue(handled(Rules::default())), shop.enqueue(handled(Rules::default()))];
    assert_eq!(shop.try_enqueue(vec![group()]), Err(RefusalCode::QueueFull));
    shop.child(1, 2);
    for lease in shop.leases() {
        shop.end(lease, errored(&[]));
    }
    for job in jobs {
        shop.handler_of(job);
    }
    assert_eq!(shop.machine.state.unfinished(), 2, "a handler takes the place of a job that ended");
    assert_eq!(shop.try_enqueue(vec![group()]), Err(RefusalCode::QueueFull));
}

/// The names of a handler had taken the table beyond its limit, and jobs that needed no new name were refused.
#[test]
fn names_of_handlers_beyond_the_limit_stop_only_new_names() {
    let mut shop = Shop::with(Limits { names: 5, ..Limits::default() });
    shop.enqueue(handled(Rules::default()));
    let named = |task: &str| JobGroup { task: task.into(), ..group() };
    for task in ["shop.one", "shop.two", "shop.three"] {
        shop.enqueue(named(task));
    }
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    assert_eq!(shop.try_enqueue(vec![named("shop.four")]), Err(RefusalCode::QueueFull));
    assert!(shop.try_enqueue(vec![named("shop.one")]).is_ok());
}

#[test]
fn names_and_rules_of_handlers_need_room_when_their_job_comes() {
    let names = Limits { names: 4, ..Limits::default() };
    assert_eq!(Shop::with(names).try_enqueue(vec![handled(Rules::default())]), Err(RefusalCode::QueueFull));
    let rules = Limits { rules: 1, ..Limits::default() };
    assert_eq!(Shop::with(rules).try_enqueue(vec![handled(Rules::default())]), Err(RefusalCode::QueueFull));
}

#[test]
fn handlers_that_make_no_sense_are_refused() {
    let in_a_row = |count| {
        let wrap = |rules, _| Rules {
            on_failure: Some(Arc::new(OnFailure { rules: Arc::new(rules), ..handler() })),
            ..Rules::default()
        };
        (0..count).fold(Rules::default(), wrap)
    };
    let with = |handler| Rules { on_failure: Some(Arc::new(handler)), ..Rules::default() };
    let senseless = Rules { max_attempts: 0, ..Rules::default() };
    for (rules, expected) in [
        (in_a_row(ON_FAILURE_DEPTH_MAX + 1), RefusalCode::TooLarge),
        (with(OnFailure { priority: 0, ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { version: 0, ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { version: 1 << 31, ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { task: "shop bill".into(), ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { queue: "".into(), ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { expires_ms: Some(u64::MAX), ..handler() }), RefusalCode::BadRequest),
        (with(OnFailure { tags: vec!["t".into(); 17], ..handler() }), RefusalCode::TooLarge),
        (with(OnFailure { rules: Arc::new(senseless), ..handler() }), RefusalCode::BadRequest),
    ] {
        assert_eq!(Shop::new().try_enqueue(vec![with_rules(rules.clone())]), Err(expected), "{rules:?}");
    }
    assert!(Shop::new().try_enqueue(vec![with_rules(in_a_row(ON_FAILURE_DEPTH_MAX))]).is_ok());
}

#[test]
fn what_is_handled_by_what_survives_a_snapshot() {
    let mut shop = Shop::new();
    let ended = shop.enqueue(handled(Rules::default()));
    shop.child(1, 1);
    let lease = shop.lease();
    shop.end(lease, errored(&[]));
    let handler = shop.handler_of(ended);
    let waiting = shop.enqueue(handled(Rules::default()));
    shop.restart();
    assert_eq!(shop.handler_of(ended), handler);
    let slot = shop.machine.state.slot_of(waiting).expect("it waits");
    assert_eq!(shop.machine.state.view(slot).rules.on_failure.as_deref(), Some(&self::handler()));
}

/// It was always made for the first version, so that a worker of an earlier one ran it.
#[test]
fn a_handler_is_made_for_the_version_that_its_task_had() {
    let mut shop = Shop::new();
    let versioned = |version| {
        let next = OnFailure { version: 1, ..handler() };
        let rules = Rules { on_failure: Some(Arc::new(next)), ..Rules::default() };
        let handler = OnFailure { version, rules: Arc::new(rules), ..handler() };
        with_rules(Rules { on_failure: Some(Arc::new(handler)), ..Rules::default() })
    };
    let jobs = [shop.enqueue(versioned(1)), shop.enqueue(versioned(300)), shop.enqueue(versioned(300))];
    shop.restart();
    shop.child(1, 9);
    shop.leases().into_iter().for_each(|lease| shop.end(lease, errored(&[])));
    for (job, version) in jobs.into_iter().zip([None, Some(300), Some(300)]) {
        let slot = shop.machine.state.slot_of(shop.handler_of(job)).expect("it is in memory");
        let payload = shop.machine.read(shop.machine.state.view(slot).arguments);
        let parts = [Value::List(vec![Value::Job(job)]), Value::Dict(Vec::new())];
        let expected = parts.into_iter().chain(version.map(Value::Int)).collect();
        assert_eq!(decode(&payload), Ok(Value::List(expected)));
    }
}
