//! Leases: who holds them, and how they end.

use bytes::Bytes;
use lineshaft_jobs::Command;
use lineshaft_testkit::model::{Happened, Told};
use lineshaft_wire::message::{End, Finish, OtherEnd, RefusalCode, Rules, Succeeded};
use lineshaft_wire::{Fence, JobState, Measures, Outcome};

use super::shop::{Lease, Shop, crashed, group, with_rules};

fn one_running(rules: Rules) -> (Shop, Lease) {
    let mut shop = Shop::new();
    shop.enqueue(with_rules(rules));
    shop.child(1, 1);
    let lease = shop.lease();
    (shop, lease)
}

fn outcomes(shop: &Shop, lease: Lease) -> Vec<Option<Outcome>> {
    shop.machine.record_of(lease.1).attempts.iter().map(|attempt| attempt.outcome).collect()
}

#[test]
fn a_lease_that_is_not_renewed_is_lost_and_counts_nothing() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.pass(14_999);
    shop.machine.settle();
    assert_eq!(shop.state(lease.1), JobState::Running);
    shop.pass(1);
    shop.machine.settle();
    let record = shop.machine.record_of(lease.1);
    assert_eq!((record.state, record.attempt, record.crashes), (JobState::Available, 0, 0));
    assert_eq!(outcomes(&shop, lease), [Some(Outcome::Lost)]);
}

#[test]
fn a_renewed_lease_lives_on() {
    let (mut shop, lease) = one_running(Rules::default());
    for _ in 0..10 {
        shop.pass(10_000);
        shop.machine.state.renew(lease.0, shop.machine.now.logical_ms);
        shop.machine.settle();
    }
    assert_eq!(shop.state(lease.1), JobState::Running);
}

#[test]
fn a_stall_of_the_engine_is_credited_and_a_renewal_does_not_take_it_back() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.machine.state.extend_leases(60_000);
    shop.machine.state.renew(lease.0, shop.machine.now.logical_ms);
    shop.pass(74_999);
    shop.machine.settle();
    assert_eq!(shop.state(lease.1), JobState::Running);
    shop.pass(1);
    shop.machine.settle();
    assert_eq!(shop.state(lease.1), JobState::Available);
}

/// It was leased the next jobs, and those of its own that were lost, again and again, a lease for each.
#[test]
fn a_child_that_does_not_renew_gets_nothing_until_it_does() {
    let mut shop = Shop::new();
    let job = shop.enqueue(group());
    let child = shop.child(1, 3);
    let first = shop.lease();
    shop.pass(15_000);
    assert_eq!(shop.leased_jobs(), [], "neither the job that it lost");
    let next = shop.enqueue(group());
    for _ in 0..4 {
        shop.pass(15_000);
        assert_eq!(shop.leased_jobs(), [], "nor the next one");
    }
    shop.machine.state.grant(child, 1, false);
    assert_eq!(shop.leased_jobs(), [], "more credit shows no lease");
    shop.machine.state.renew(child, shop.machine.now.logical_ms);
    assert_eq!(shop.leased_jobs(), [job, next], "its credit was kept");
    assert_eq!(outcomes(&shop, first), [Some(Outcome::Lost), None]);
    shop.pass(14_999);
    shop.machine.settle();
    assert_eq!(shop.state(job), JobState::Running, "for a whole lease");
}

#[test]
fn a_silent_child_that_attaches_again_gets_what_it_asks_for() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.pass(15_000);
    assert_eq!(shop.leased_jobs(), []);
    assert_eq!(shop.child_holding(1, 1, vec![(lease.1, lease.2)]), lease.0);
    assert_eq!(shop.leased_jobs(), [lease.1]);
}

/// After a start every child had two timers, so that its leases ended twice, which no state machine survives.
#[test]
fn leases_of_a_worker_that_does_not_come_back_are_lost_once() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.restart();
    shop.pass(15_000);
    shop.machine.settle();
    assert_eq!(
        (shop.state(lease.1), outcomes(&shop, lease)),
        (JobState::Available, vec![Some(Outcome::Lost)])
    );
    assert_eq!(shop.machine.state.child_reports().count(), 0, "and the child is forgotten");
}

#[test]
fn a_job_that_may_run_once_is_over_when_its_lease_is_lost() {
    let (mut shop, lease) = one_running(Rules { at_most_once: true, ..Rules::default() });
    shop.run(Command::ChildVanished { child: lease.0 }).expect("a death is never refused");
    assert_eq!(shop.ended(lease.1), (JobState::Discarded, Some("maybe_ran".to_owned())));
}

#[test]
fn leases_held_survive_a_restart_and_the_others_are_handed_back() {
    let mut shop = Shop::new();
    let jobs = [shop.enqueue(group()), shop.enqueue(group())];
    let child = shop.child(1, 2);
    let leases = shop.leases();
    shop.restart();
    let same = shop.child_holding(1, 0, vec![(jobs[0], leases[0].2)]);
    assert_eq!(
        (same, shop.state(jobs[0]), shop.state(jobs[1])),
        (child, JobState::Running, JobState::Available)
    );
    assert_eq!(outcomes(&shop, leases[1]), [], "it never began");
    shop.succeed(leases[0]);
}

#[test]
fn stale_fences_are_named_and_what_they_report_is_refused() {
    let (mut shop, lease) = one_running(Rules::default());
    let (child, job, fence) = lease;
    let stale = Fence { epoch: 1, counter: 99 };
    for wrong in [(child, job, stale), (child + 1, job, fence)] {
        assert_eq!(shop.try_succeed(wrong), Ok(Told::Finished { refused: vec![(job, wrong.2)] }));
    }
    shop.release(lease);
    assert_eq!(shop.try_succeed(lease), Ok(Told::Finished { refused: vec![(job, fence)] }), "handed back");
}

/// It was confirmed, although its result is not kept: the job runs again.
#[test]
fn an_end_that_comes_after_the_loss_of_its_attempt_is_refused() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.pass(15_000);
    shop.machine.settle();
    assert_eq!(outcomes(&shop, lease), [Some(Outcome::Lost)]);
    assert_eq!(shop.try_succeed(lease), Ok(Told::Finished { refused: vec![(lease.1, lease.2)] }));
    assert_eq!(shop.state(lease.1), JobState::Available);
}

#[test]
fn an_end_reported_again_is_no_refusal() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.succeed(lease);
    shop.succeed(lease);
    assert_eq!(outcomes(&shop, lease).len(), 1);
}

#[test]
fn an_end_reported_twice_in_one_message_counts_once() {
    let (mut shop, (child, job, fence)) = one_running(Rules::default());
    let end = Succeeded { job, fence, started_at: 5, finished_at: 3, result_length: 0, output_length: 0 };
    let other = OtherEnd {
        job,
        fence,
        started_at: 0,
        finished_at: 0,
        end: crashed(),
        output_length: 0,
        measures: Measures::default(),
    };
    let finish = Finish { succeeded: vec![end, end], others: vec![other], ..Finish::default() };
    let told = shop.run(Command::Finish { child, finish, payloads: Bytes::new().into() });
    assert_eq!((told, shop.state(job)), (Ok(Told::Finished { refused: vec![] }), JobState::Completed));
}

/// Payloads were cut by lengths that nobody had compared with what came.
#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let (mut shop, (child, job, fence)) = one_running(Rules::default());
    for (result_length, output_length) in [(1, 0), (0, u32::MAX), (u64::MAX, 1), (u64::MAX, u32::MAX)] {
        let end =
            Succeeded { job, fence, started_at: u64::MAX, finished_at: 0, result_length, output_length };
        let finish = Finish { succeeded: vec![end], ..Finish::default() };
        let told = shop.run(Command::Finish { child, finish, payloads: Bytes::new().into() });
        assert_eq!(told, Err(RefusalCode::BadRequest), "{result_length} {output_length}");
    }
    assert_eq!(shop.state(job), JobState::Running);
}

#[test]
fn when_a_child_dies_only_what_had_begun_is_crashed() {
    let mut shop = Shop::new();
    let jobs = [shop.enqueue(group()), shop.enqueue(group())];
    shop.child(1, 2);
    let (_, job, fence) = shop.leases()[0];
    let begun = OtherEnd {
        job,
        fence,
        started_at: 0,
        finished_at: 0,
        end: crashed(),
        output_length: 0,
        measures: Measures::default(),
    };
    shop.child_ended(vec![begun], None, Vec::new());
    let crashes = jobs.map(|job| (shop.state(job), shop.machine.record_of(job).crashes));
    assert_eq!(crashes, [(JobState::Available, 1), (JobState::Available, 0)]);
    shop.child(2, 2);
    assert_eq!(shop.leased_jobs(), jobs, "in their old order");
}

/// A child used to die between the end of a body and the answer to its report, and the job ran again under the same
/// number, as if it had not run before.
#[test]
fn when_a_child_dies_what_had_ended_unheard_is_lost() {
    let mut shop = Shop::new();
    let jobs = [shop.enqueue(group()), shop.enqueue(group()), shop.enqueue(group())];
    shop.child(1, 3);
    let newest = Some(shop.leases()[1].2);
    shop.child_ended(Vec::new(), newest, Vec::new());
    let outcomes = jobs.map(|job| {
        let record = shop.machine.record_of(job);
        record.attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>()
    });
    assert_eq!(outcomes, [vec![Some(Outcome::Lost)], vec![Some(Outcome::Lost)], vec![]]);
    shop.child(2, 3);
    assert_eq!(shop.leased_jobs(), jobs, "in their old order");
}

/// Several slots: what was asked to stop, its neighbours, what was over and what had not begun have ends of their own.
#[test]
fn when_a_child_with_many_slots_dies_each_attempt_ends_as_it_was() {
    let mut shop = Shop::new();
    let jobs: Vec<_> = (0..6).map(|_| shop.enqueue(group())).collect();
    let once = shop.enqueue(with_rules(Rules { at_most_once: true, ..Rules::default() }));
    shop.child(1, 7);
    let leases = shop.leases();
    let end_of = |at: usize, end: End| {
        let (_, job, fence) = leases[at];
        OtherEnd {
            job,
            fence,
            started_at: 0,
            finished_at: 0,
            end,
            output_length: 0,
            measures: Measures::default(),
        }
    };
    let begun = vec![
        end_of(4, crashed()),
        end_of(1, End::Released),
        end_of(6, End::Released),
        end_of(4, End::Released),
    ];
    let newest = Some(leases[6].2);
    shop.child_ended(begun, newest, vec![leases[2].2, leases[5].2]);
    let outcomes = |job| {
        let record = shop.machine.record_of(job);
        record.attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>()
    };
    let lost = vec![Some(Outcome::Lost)];
    let released = vec![Some(Outcome::Released)];
    let expected = [lost.clone(), released.clone(), vec![], lost, vec![Some(Outcome::Crashed)], vec![]];
    assert_eq!(jobs.iter().map(|job| outcomes(*job)).collect::<Vec<_>>(), expected);
    assert_eq!(outcomes(once), released);
    assert_eq!(shop.ended(once), (JobState::Discarded, Some("maybe_ran".to_owned())));
    assert_eq!(jobs.iter().map(|job| shop.machine.record_of(*job).crashes).sum::<u32>(), 1);
    shop.child(2, 7);
    assert_eq!(shop.leased_jobs(), jobs, "in their old order");
}

/// A child that its supervisor declared dead while it was connected stayed in the list of those who get jobs.
#[test]
fn a_child_that_is_gone_gets_no_more_jobs() {
    let mut shop = Shop::new();
    shop.child(1, 10);
    shop.child_ended(Vec::new(), None, Vec::new());
    shop.enqueue(group());
    assert_eq!(shop.leased_jobs(), []);
    shop.machine.attach(1, &["shop.send"], &[]);
    shop.machine.state.grant(1, 1, false);
    assert_eq!(shop.leased_jobs(), [], "not even if it attaches late");
}

/// The mark used to stay on the job, which then was leased again as if nobody had cancelled it.
#[test]
fn a_cancelled_lease_that_never_reached_its_child_is_not_given_again() {
    let (mut shop, lease) = one_running(Rules::default());
    shop.cancel(lease.1).expect("it runs");
    shop.restart();
    shop.child(1, 1);
    assert_eq!(shop.ended(lease.1), (JobState::Cancelled, Some("cancelled".to_owned())));
    assert_eq!(shop.leased_jobs(), []);
}

#[test]
fn a_child_is_told_to_stop_what_is_cancelled() {
    let (mut shop, (child, job, fence)) = one_running(Rules::default());
    shop.machine.begin();
    let sequence = shop.next();
    let request = lineshaft_wire::message::Cancel { sequence, job };
    let (_, happened) = shop.machine.run(Command::Cancel { session: 1, request }).expect("it runs");
    assert_eq!(happened, [Happened::Stop(child, fence)]);
    assert_eq!(shop.machine.state.cancelling_of(child), [fence]);
}
