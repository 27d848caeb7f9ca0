//! Locks from outside: who is told what and when, over connections that end and engines that are killed.

use lineshaft_engine::ConnectionId;
use lineshaft_jobs::Payloads;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{
    Acquire, Acquired, BreakLocks, Hello, ListLocks, LockKind, LocksBroken, LocksLost, Message, Pass, Passed,
    RefusalCode, ReleaseLocks, RenewLocks,
};

use crate::crashes::World;
use crate::world::{Mailbox, hello};

const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);
const ONE_AGAIN: ConnectionId = ConnectionId(3);

fn lock(token: u64) -> Acquire {
    Acquire {
        kind: LockKind::Mutex,
        key: "till".into(),
        permits: 1,
        token,
        ttl_ms: 30_000,
        wait: true,
        waited_ms: 0,
        program: "shop.py".into(),
        pid: 4_242,
        party: 0,
    }
}

/// Connects, and goes on with the session or opens one.
fn greet(world: &mut World, connection: ConnectionId, session: Option<u64>) -> u64 {
    world.core.connected(connection, Mailbox::new());
    let Message::Hello(any) = hello() else { panic!("no greeting") };
    let told = tell(world, connection, 1, Hello { session, ..any });
    let Some((_, _, Message::Welcome(welcome))) = told.into_iter().next() else { panic!("not welcome") };
    welcome.session.expect("a session was asked for")
}

/// Sends a message; what leaves with its commit.
fn tell(
    world: &mut World,
    connection: ConnectionId,
    request_id: u64,
    message: impl Into<Message>,
) -> Vec<(ConnectionId, u64, Message)> {
    world.core.request(connection, request_id, message.into(), Payloads::default(), world.now);
    world.commit().expect("the disk works")
}

fn fence_of(told: &[(ConnectionId, u64, Message)], connection: ConnectionId, request_id: u64) -> u64 {
    let [(to, id, Message::Acquired(Acquired { fence: Some(fence), .. }))] = told else { panic!("{told:?}") };
    assert_eq!((*to, *id), (connection, request_id));
    *fence
}

fn lost(tokens: &[u64]) -> Message {
    LocksLost { tokens: tokens.to_vec() }.into()
}

#[test]
fn who_waits_is_told_when_it_has_it_and_not_before() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    greet(&mut world, ONE, None);
    greet(&mut world, TWO, None);
    let first = fence_of(&tell(&mut world, ONE, 2, lock(1)), ONE, 2);
    assert_eq!(tell(&mut world, TWO, 2, lock(1)), []);
    let try_once = Acquire { wait: false, ..lock(2) };
    assert_eq!(tell(&mut world, TWO, 3, try_once), [(TWO, 3, Acquired::default().into())]);
    world.core.request(ONE, 3, ReleaseLocks { tokens: vec![1] }.into(), Payloads::default(), world.now);
    let told = world.commit().unwrap();
    let [(ONE, 3, released), given] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*released, lost(&[]));
    assert!(fence_of(std::slice::from_ref(given), TWO, 2) > first);
}

#[test]
fn who_gives_up_waits_no_more_and_its_request_is_answered() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    greet(&mut world, ONE, None);
    tell(&mut world, ONE, 2, lock(1));
    assert_eq!(tell(&mut world, ONE, 3, lock(2)), []);
    let told = tell(&mut world, ONE, 4, ReleaseLocks { tokens: vec![2, 9] });
    assert_eq!(told, [(ONE, 3, Acquired::default().into()), (ONE, 4, lost(&[9]))]);
    assert_eq!(tell(&mut world, ONE, 5, ReleaseLocks { tokens: vec![1] }), [(ONE, 5, lost(&[]))]);
}

#[test]
fn a_wait_ends_with_its_connection_and_a_lock_does_not() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    let session = greet(&mut world, ONE, None);
    greet(&mut world, TWO, None);
    let fence = fence_of(&tell(&mut world, ONE, 2, lock(1)), ONE, 2);
    tell(&mut world, TWO, 2, lock(1));
    world.core.disconnected(TWO);
    world.core.disconnected(ONE);
    assert_eq!(greet(&mut world, ONE_AGAIN, Some(session)), session);
    assert_eq!(fence_of(&tell(&mut world, ONE_AGAIN, 2, lock(1)), ONE_AGAIN, 2), fence, "it has it still");
    let told = tell(&mut world, ONE_AGAIN, 3, ReleaseLocks { tokens: vec![1] });
    assert_eq!(told, [(ONE_AGAIN, 3, lost(&[]))], "nobody else wants it");
    assert_eq!(world.core.state().lock_holders(), 0);
}

/// Its client has given up over the newer connection, so nobody would ever give the lock back.
#[test]
fn what_comes_late_over_an_older_connection_takes_no_lock() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    let session = greet(&mut world, ONE, None);
    greet(&mut world, ONE_AGAIN, Some(session));
    tell(&mut world, ONE_AGAIN, 2, ReleaseLocks { tokens: vec![1] });
    let told = tell(&mut world, ONE, 2, lock(1));
    let [(ONE, 2, Message::Refused(refused))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(refused.code, RefusalCode::OutcomeUnknown);
    assert_eq!(world.core.state().lock_holders(), 0);
}

#[test]
fn a_holder_is_told_that_its_lock_was_broken_and_the_next_has_a_greater_fence() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    greet(&mut world, ONE, None);
    greet(&mut world, TWO, None);
    let fence = fence_of(&tell(&mut world, ONE, 2, lock(1)), ONE, 2);
    let told = tell(&mut world, TWO, 2, ListLocks { limit: 10, ..ListLocks::default() });
    let [(TWO, 2, Message::Locks(page))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((page.locks[0].holders[0].fence, page.locks[0].holders[0].pid), (fence, 4_242));
    let told = tell(&mut world, TWO, 3, BreakLocks { fences: vec![fence] });
    assert_eq!(told, [(ONE, 0, lost(&[1])), (TWO, 3, LocksBroken { fences: vec![fence] }.into())]);
    assert_eq!(tell(&mut world, ONE, 3, RenewLocks { tokens: vec![1] }), [(ONE, 3, lost(&[1]))]);
    assert!(fence_of(&tell(&mut world, TWO, 4, lock(1)), TWO, 4) > fence);
}

#[test]
fn a_lock_that_was_given_outlives_a_power_cut() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(disk.clone()).unwrap();
    let session = greet(&mut world, ONE, None);
    let fence = fence_of(&tell(&mut world, ONE, 2, lock(1)), ONE, 2);
    drop(world);
    let mut world = World::open(disk.power_loss(Loss::Everything)).unwrap();
    greet(&mut world, TWO, None);
    assert_eq!(tell(&mut world, TWO, 2, lock(1)), [], "it is held");
    assert_eq!(greet(&mut world, ONE_AGAIN, Some(session)), session);
    assert_eq!(tell(&mut world, ONE_AGAIN, 2, RenewLocks { tokens: vec![1] }), [(ONE_AGAIN, 2, lost(&[]))]);
    let told = tell(&mut world, ONE_AGAIN, 3, ReleaseLocks { tokens: vec![1] });
    let [(ONE_AGAIN, 3, _), given] = &told[..] else { panic!("{told:?}") };
    assert!(fence_of(std::slice::from_ref(given), TWO, 2) > fence);
}

#[test]
fn of_two_who_wait_for_each_other_the_youngest_is_refused_and_the_other_one_goes_on() {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    greet(&mut world, ONE, None);
    greet(&mut world, TWO, None);
    let of = |party, key: &str, token| Acquire { party, key: key.into(), ..lock(token) };
    tell(&mut world, ONE, 2, of(5, "a", 1));
    tell(&mut world, TWO, 2, of(5, "b", 1));
    assert_eq!(tell(&mut world, ONE, 3, of(5, "b", 2)), []);
    let told = tell(&mut world, TWO, 3, of(5, "a", 2));
    let [(TWO, 3, Message::Refused(refused))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(refused.code, RefusalCode::Deadlock);
    assert!(refused.message.starts_with("deadlock: shop.py (pid 4242) waits for lock 'a' of"), "{refused:?}");
    let told = tell(&mut world, TWO, 4, ReleaseLocks { tokens: vec![1, 2] });
    assert_eq!(told[0], (TWO, 4, lost(&[2])), "it waits no more");
    fence_of(&told[1..], ONE, 3);
}

#[test]
fn all_at_a_barrier_are_told_in_one_commit_and_again_after_a_kill() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(disk.clone()).unwrap();
    let session = greet(&mut world, ONE, None);
    let at = |token| Acquire { kind: LockKind::Barrier, permits: 3, ..lock(token) };
    assert_eq!(tell(&mut world, ONE, 2, at(1)), []);
    assert_eq!(tell(&mut world, ONE, 3, at(2)), []);
    let told = tell(&mut world, ONE, 4, at(3));
    let place = |told: &[(ConnectionId, u64, Message)], at: usize| match told[at].2 {
        Message::Acquired(Acquired { fence: Some(_), place }) => place,
        ref other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2].map(|at| place(&told, at)), [Some(0), Some(1), Some(2)]);
    drop(world);
    let mut world = World::open(disk.power_loss(Loss::Everything)).unwrap();
    greet(&mut world, ONE, Some(session));
    assert_eq!(
        tell(&mut world, ONE, 2, at(2))[0],
        (ONE, 2, told[1].2.clone()),
        "it has come, and hears so again"
    );
}

#[test]
fn a_turn_that_was_told_is_taken_after_a_kill() {
    let disk = SimulatedDisk::new();
    let mut world = World::open(disk.clone()).unwrap();
    greet(&mut world, ONE, None);
    let pass = Pass { key: "api".into(), interval_ns: 1_000_000_000, burst: 1, patience_ms: 0 };
    let taken = |told: Vec<(ConnectionId, u64, Message)>| match told[0].2 {
        Message::Passed(Passed { taken, .. }) => taken,
        ref other => panic!("{other:?}"),
    };
    assert!(taken(tell(&mut world, ONE, 2, pass.clone())));
    drop(world);
    let mut world = World::open(disk.power_loss(Loss::Everything)).unwrap();
    greet(&mut world, ONE, None);
    assert!(!taken(tell(&mut world, ONE, 2, pass)));
}
