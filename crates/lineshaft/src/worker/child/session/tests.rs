//! What a child does when its server answers late, not at all, or with a refusal: the other side of its socket.

mod checkpoints;
mod logs;
mod peer;

use std::thread;
use std::time::{Duration, Instant};

use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::{Done, End, FRAME_BYTES_MAX, Finished, Message, RefusalCode, Succeeded};

use self::peer::{PATIENCE, World, counters, returned};
use super::{LEASE_USED_MAX, RENEWALS};
use crate::worker::child::helm::Driver;
use crate::worker::child::job::{Ending, Next};

/// They were dropped without a word while renewals went on: their jobs stayed `running` for ever.
#[test]
fn leases_dropped_after_a_standstill_are_given_up_by_a_new_connection() {
    let world = World::new();
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert!(held.is_empty());
    peer.lease(1..=2);
    while world.shared.state().waiting.len() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    world.shared.state().leased_until = Some(Instant::now());
    assert_eq!(world.shared.try_next(), None);
    peer.serve();
    let (_, held) = world.attach(Duration::from_secs(60));
    assert!(held.is_empty(), "{held:?}");
}

/// A connection whose other end is gone without a word was kept for ever.
#[test]
fn a_server_that_answers_no_renewal_is_left_for_a_new_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_millis(500));
    let start = Instant::now();
    while peer.next().is_some() {
        assert!(start.elapsed() < PATIENCE, "the child stays");
    }
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    world.attach(Duration::from_secs(60));
}

#[test]
fn renewals_that_are_answered_keep_the_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(2));
    // Two leases long.
    for _ in 0..2 * RENEWALS {
        let (request, ()) = peer.until(|message| matches!(message, Message::Renew(_)).then_some(()));
        peer.send(request, &Done {}.into(), b"");
    }
}

/// A renewal was a third of the lease ago when the connection was cut, and the next one was up to 1.25 s away.
#[test]
fn a_connection_may_be_cut_for_half_a_lease_at_the_worst_moment() {
    let lease = Duration::from_secs(15);
    let back = lease / RENEWALS + lease / 2 + crate::worker::link::PAUSE_MAX.mul_f64(1.25);
    assert!(back + Duration::from_millis(500) < lease.mul_f64(LEASE_USED_MAX), "{back:?}");
}

#[test]
fn an_end_that_comes_too_late_is_dropped_and_said() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=2);
    for is_refused in [true, false] {
        world.run_one(returned);
        let (request, finish) = peer.finish();
        let Succeeded { job, fence, .. } = finish.succeeded[0];
        if is_refused {
            peer.send(request, &Finished { refused: vec![(job, fence)] }.into(), b"");
        } else {
            drop(peer);
            let (again, held) = world.attach_without(Duration::from_secs(60), vec![fence]);
            assert_eq!(held, [(job, fence)]);
            peer = again;
        }
        let expected = format!(
            "the end of an attempt of job {job} came too late and does not count: it had lost its lease\n"
        );
        assert_eq!(world.said(), expected);
        assert!(world.shared.settle(PATIENCE));
    }
}

/// One thread read each job and woke the slot's, which woke that one for the end.
#[test]
fn an_idle_slot_reads_its_jobs_itself_and_its_end_leaves_when_it_comes_back() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    let slot = thread::scope(|scope| {
        let slot = scope.spawn(|| {
            world.run_one(returned);
            let next = world.shared.next(Duration::from_millis(200));
            assert_eq!(next, Next::TimedOut);
        });
        while world.driver() != Driver::Slot {
            thread::sleep(Duration::from_millis(1));
        }
        peer.lease(1..=1);
        peer.finish();
        slot.join()
    });
    slot.unwrap();
}

#[test]
fn the_lease_of_a_body_that_computes_is_renewed() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(3));
    peer.lease(1..=1);
    assert!(matches!(world.shared.next(PATIENCE), Next::Job(_)));
    assert_eq!(world.shared.next(Duration::from_millis(20)), Next::TimedOut);
    assert_ne!(world.driver(), Driver::Slot);
    // The slot does not come back.
    peer.until(|message| matches!(message, Message::Renew(_)).then_some(()));
    assert_eq!(world.driver(), Driver::Thread);
}

/// The end was forgotten and its lease renewed: the job stayed `running` for ever.
#[test]
fn an_end_that_the_server_fails_to_take_is_sent_again_over_a_new_connection() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(returned);
    let (request, first) = peer.finish();
    peer.refuse(request, RefusalCode::Internal);
    peer.serve();
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert_eq!(counters(&held), [1]);
    let (request, second) = peer.finish();
    assert_eq!(first, second);
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
}

#[test]
fn an_end_that_is_refused_again_and_again_becomes_one_that_the_server_takes() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(returned);
    for _ in 0..2 {
        let (request, finish) = peer.finish();
        assert_eq!(finish.succeeded.len(), 1);
        peer.refuse(request, RefusalCode::BadRequest);
        peer.serve();
        peer = world.attach(Duration::from_secs(60)).0;
    }
    let (request, _) = peer.finish();
    peer.refuse(request, RefusalCode::BadRequest);
    let (request, finish) = peer.finish();
    let [other] = &finish.others[..] else { panic!("{finish:?}") };
    let End::Rejected { reason, error } = &other.end else { panic!("{other:?}") };
    assert_eq!(&**reason, "result_unencodable");
    assert_eq!(error.message, "the server refuses the end of this attempt: not like this");
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
    assert_eq!(world.shared.state().unsettled_bytes, 0);
}

/// It was noted as sent though no frame takes it, and its lease was renewed for ever.
#[test]
fn an_end_too_large_for_a_frame_is_reported_without_what_is_too_much() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    world.run_one(|_| {
        let types = vec!["shop.Large".to_owned()];
        let error = ErrorRecord {
            types,
            arguments: Some(vec![0; FRAME_BYTES_MAX as usize]),
            ..ErrorRecord::default()
        };
        Ending::Other(End::Errored { error, retry_after_ms: Some(7) })
    });
    let (request, finish) = peer.finish();
    let End::Errored { error, retry_after_ms: Some(7) } = &finish.others[0].end else { panic!("{finish:?}") };
    assert_eq!((&error.types[..], &error.arguments), (&["shop.Large".to_owned()][..], &None));
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
    assert_eq!(world.shared.state().unsettled_bytes, 0);
}

/// What waits when a whole worker dies is `maybe_ran`, though it never began. One task that may run once made all
/// others run one by one, with a sync each.
#[test]
fn what_may_run_once_waits_in_no_child_and_what_may_run_again_does() {
    let world = World::new();
    let mut state = world.shared.state();
    state.once = vec![false, true];
    (0..100).for_each(|_| state.pace.record_run(Duration::from_micros(8), 100));
    drop(state);
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    let credit = |message: &Message| match message {
        Message::Credit(credit) => Some((credit.leases, credit.reset)),
        _ => None,
    };
    assert_eq!(peer.until(credit).1, (375, true));
    peer.lease_of(&[(1, 0), (2, 0), (3, 1), (4, 0), (5, 1)]);
    assert_eq!(peer.until(credit).1, (0, true));
    let (request, back) = peer.until(|message| match message {
        Message::Release(release) => Some(release.leases.clone()),
        _ => None,
    });
    assert_eq!(counters(&back), [3, 5]);
    peer.send(request, &Finished::default().into(), b"");
    for _ in 0..3 {
        world.run_one(returned);
    }
    assert_eq!(peer.until(credit).1, (1, false));
    peer.lease_of(&[(6, 1)]);
    world.run_one(returned);
    // After some that may run again others are asked for ahead.
    for counter in 7..=7 + u64::from(super::super::queue::CAREFUL_JOBS) {
        assert_eq!(peer.until(credit).1, (1, false));
        peer.lease(counter..=counter);
        world.run_one(returned);
        if world.shared.state().missing(0) > 1 {
            return assert_eq!(counter, 6 + u64::from(super::super::queue::CAREFUL_JOBS));
        }
    }
    panic!("it asks for one job at a time for ever");
}
