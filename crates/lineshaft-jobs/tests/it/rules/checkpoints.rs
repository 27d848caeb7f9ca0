//! Checkpoints: from where the next attempt of a job goes on.

use bytes::Bytes;
use lineshaft_jobs::{ArchivedCall, Command, State};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{CHECKPOINT_BYTES_MAX, Checkpoint, End, RefusalCode, Rules};
use lineshaft_wire::{ErrorRecord, JobId, JobState};

use super::shop::{Lease, Shop, crashed, errored, group, with_rules};

impl Shop {
    fn checkpoint(&mut self, lease: Lease, value: &[u8]) -> Result<Told, RefusalCode> {
        let (child, job, fence) = lease;
        let checkpoint = Checkpoint { job, fence, length: value.len() as u32 };
        self.run(Command::Checkpoint { child, checkpoint, value: Bytes::copy_from_slice(value) })
    }

    fn leave(&mut self, lease: Lease, value: &[u8]) {
        assert_eq!(self.checkpoint(lease, value), Ok(Told::Finished { refused: Vec::new() }));
    }

    /// What the newest lease of the job brings along.
    fn resumes_from(&self, job: JobId) -> Bytes {
        let slot = self.machine.state.slot_of(job).expect("the job is in memory");
        self.machine.read(self.machine.state.lease_view(slot).checkpoint)
    }

    fn call(&self, job: JobId) -> ArchivedCall {
        let view = self.machine.state.view(self.machine.state.slot_of(job).expect("it is in memory"));
        let record = view.record;
        ArchivedCall {
            job,
            task: record.task,
            queue: record.queue,
            priority: record.priority,
            rules: view.rules,
            tags: record.tags,
            metadata: record.metadata,
            context: record.context,
            arguments: self.machine.read(view.arguments).into(),
            checkpoint: self.machine.read(view.checkpoint),
        }
    }
}

fn retried() -> Rules {
    Rules { max_attempts: 9, max_crashes: 9, backoff_first_ms: 0, ..Rules::default() }
}

fn one_running(rules: Rules) -> (Shop, Lease) {
    let mut shop = Shop::new();
    shop.enqueue(with_rules(rules));
    shop.child(1, 99);
    let lease = shop.lease();
    (shop, lease)
}

#[test]
fn the_newest_checkpoint_wins_and_its_size_and_time_are_known() {
    let (mut shop, lease) = one_running(retried());
    assert_eq!(shop.resumes_from(lease.1), Bytes::new());
    shop.leave(lease, b"page 1");
    shop.pass(10);
    shop.leave(lease, b"page 20");
    let record = shop.machine.record_of(lease.1);
    assert_eq!((record.checkpoint_bytes, record.checkpoint_at), (7, Some(shop.machine.now.wall_ms)));
    assert_eq!(shop.resumes_from(lease.1), "page 20");
}

#[test]
fn it_survives_every_end_that_is_not_the_last() {
    let ends = [
        errored(&[]),
        crashed(),
        End::TimedOut { error: ErrorRecord::default() },
        End::Snoozed { delay_ms: 1 },
        End::Released,
        End::Parked { missing: "type shop.Order".into() },
    ];
    for end in ends {
        let (mut shop, lease) = one_running(retried());
        shop.leave(lease, b"page 7");
        let shown = format!("{end:?}");
        shop.end(lease, end);
        if shop.state(lease.1) == JobState::Available {
            shop.retry(lease.1).ok();
        }
        shop.pass(2);
        assert_eq!(shop.lease().1, lease.1, "{shown}");
        assert_eq!(shop.resumes_from(lease.1), "page 7", "after {shown}");
    }
}

#[test]
fn it_survives_a_lost_worker_a_snapshot_and_a_replay() {
    let (mut shop, lease) = one_running(retried());
    shop.leave(lease, b"page 7");
    shop.restart();
    assert_eq!(shop.resumes_from(lease.1), "page 7");
    let replayed = crate::machine::replay(State::new(0, shop.machine.limits), &shop.machine.commits, 0);
    shop.machine.restart_on(replayed);
    assert_eq!(shop.resumes_from(lease.1), "page 7");
    shop.pass(15_000);
    shop.machine.settle();
    shop.child(2, 9);
    let again = shop.lease();
    assert_eq!((again.1, shop.resumes_from(lease.1)), (lease.1, "page 7".into()));
}

#[test]
fn one_that_belongs_to_another_lease_is_refused() {
    let (mut shop, lease) = one_running(retried());
    shop.leave(lease, b"mine");
    shop.end(lease, errored(&[]));
    shop.pass(1);
    let refused = Ok(Told::Finished { refused: vec![(lease.1, lease.2)] });
    assert_eq!(shop.checkpoint(lease, b"late"), refused);
    let again = shop.lease();
    let other_child = shop.child(2, 0);
    let others = (other_child, again.1, again.2);
    assert_eq!(shop.checkpoint(others, b"foreign"), Ok(Told::Finished { refused: vec![(again.1, again.2)] }));
    assert_eq!(shop.resumes_from(lease.1), "mine");
}

#[test]
fn sizes_beyond_the_limits_are_refused() {
    let (mut shop, lease) = one_running(retried());
    shop.leave(lease, &vec![7; CHECKPOINT_BYTES_MAX]);
    assert_eq!(shop.checkpoint(lease, &vec![7; CHECKPOINT_BYTES_MAX + 1]), Err(RefusalCode::TooLarge));
    assert_eq!(shop.checkpoint(lease, b""), Err(RefusalCode::BadRequest));
    assert_eq!(shop.machine.record_of(lease.1).checkpoint_bytes, CHECKPOINT_BYTES_MAX as u64);
}

/// A job's commits stay while they are needed and no longer: each checkpoint replaces the one before, and what is
/// left of a completed job is its result.
#[test]
fn commits_of_old_checkpoints_are_needed_no_more() {
    let mut shop = Shop::new();
    shop.child(1, 1);
    shop.enqueue(group());
    let lease = shop.lease();
    let mut needed = Vec::new();
    for page in 0..20 {
        shop.leave(lease, &[page; 100]);
        needed.push(shop.machine.state.oldest_kept_lsn());
    }
    assert!(needed.is_sorted() && needed[0] < needed[19], "{needed:?}");
    shop.succeed(lease);
    assert_eq!(shop.machine.state.oldest_kept_lsn(), None, "a completed job needs no checkpoint");
    assert_eq!(shop.machine.record_of(lease.1).checkpoint_bytes, 0);
}

#[test]
fn a_job_made_by_retry_goes_on_where_the_one_that_gave_up_was() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.leave(lease, b"page 900");
    shop.end(lease, errored(&[]));
    assert_eq!(shop.state(lease.1), JobState::Discarded);
    let archived = shop.call(lease.1);
    let sequence = shop.next();
    shop.archive(1);
    shop.run(Command::RetryArchived { session: 1, sequence, archived }).expect("it is made");
    let again = shop.lease();
    assert_ne!(again.1, lease.1);
    assert_eq!(shop.resumes_from(again.1), "page 900");
    assert_eq!(shop.machine.record_of(again.1).retry_of, Some(lease.1));
}
