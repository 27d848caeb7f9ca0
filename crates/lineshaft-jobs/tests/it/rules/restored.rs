//! A state that comes from a backup: the history that went on after it is gone, but its clients and workers may still
//! be there.

use lineshaft_jobs::{Command, Payloads};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{Enqueue, RefusalCode, Rules};
use lineshaft_wire::{JobState, Outcome};

use super::shop::{Shop, group, with_rules};

fn restore(shop: &mut Shop, sessions_from: u64) {
    let children: Vec<u32> = shop.machine.state.child_reports().map(|child| child.child).collect();
    for child in children {
        shop.run(Command::ChildForgotten { child }).expect("forgetting is never refused");
    }
    shop.run(Command::Restored { sessions_from }).expect("restoring is never refused");
}

#[test]
fn a_client_of_the_past_cannot_send_again_what_it_sent_there() {
    let mut shop = Shop::new();
    shop.enqueue(group());
    restore(&mut shop, 1_000);
    assert_eq!(shop.try_enqueue(vec![group()]), Err(RefusalCode::OutcomeUnknown));
}

/// Sessions of the past that were opened after the backup would otherwise get the outcomes of others.
#[test]
fn numbers_of_sessions_that_the_past_may_have_given_are_not_given_again() {
    let mut shop = Shop::new();
    restore(&mut shop, 1_000);
    assert_eq!(shop.run(Command::OpenSession), Ok(Told::Session(1_000)));
    let sequence = shop.next();
    let request = Enqueue { sequence, groups: vec![group()] };
    let arguments = Payloads::default();
    let told = shop.run(Command::Enqueue { session: 2, request, arguments });
    assert_eq!(told, Err(RefusalCode::OutcomeUnknown), "the past may have given that number");
    restore(&mut shop, 10);
    assert_eq!(shop.run(Command::OpenSession), Ok(Told::Session(1_001)), "numbers never go back");
}

#[test]
fn a_lease_of_the_past_is_lost_and_its_fence_is_stale() {
    let mut shop = Shop::new();
    let job = shop.enqueue(group());
    shop.child(1, 1);
    let lease = shop.leases()[0];
    restore(&mut shop, 1_000);
    assert_eq!(shop.state(job), JobState::Available);
    let attempts = shop.machine.record_of(job).attempts;
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Some(Outcome::Lost)]);
    let back = shop.child_holding(1, 0, vec![(job, lease.2)]);
    assert_ne!(back, lease.0, "the child is a new one");
    assert!(shop.machine.state.leased_slot(back, job, lease.2).is_none());
}

#[test]
fn a_job_that_may_run_once_and_ran_is_over() {
    let mut shop = Shop::new();
    let once = || with_rules(Rules { at_most_once: true, ..Rules::default() });
    let (ran, waits) = (shop.enqueue(once()), shop.enqueue(once()));
    shop.child(1, 1);
    assert_eq!(shop.leases().len(), 1);
    restore(&mut shop, 1_000);
    assert_eq!(shop.ended(ran), (JobState::Discarded, Some("maybe_ran".to_owned())));
    assert_eq!(shop.state(waits), JobState::Available, "and the others still may");
}
