//! Locks: one holder, fences that grow, a line in which nobody is passed over.

use lineshaft_jobs::{Command, Limits, State};
use lineshaft_testkit::model::{Happened, Told};
use lineshaft_wire::message::{Acquire, Acquired, LOCK_PERMITS_MAX, LockKind, RefusalCode};

use super::shop::Shop;

fn lock(token: u64) -> Acquire {
    Acquire {
        kind: LockKind::Mutex,
        key: "till".into(),
        permits: 1,
        token,
        ttl_ms: 30_000,
        party: 0,
        wait: true,
        waited_ms: 0,
        program: "a.py".into(),
        pid: 1,
    }
}

fn semaphore(token: u64, permits: u32) -> Acquire {
    Acquire { kind: LockKind::Semaphore, permits, ..lock(token) }
}

fn writer(token: u64) -> Acquire {
    Acquire { kind: LockKind::ReadWrite, ..lock(token) }
}

fn reader(token: u64) -> Acquire {
    Acquire { permits: LOCK_PERMITS_MAX, ..writer(token) }
}

fn barrier(token: u64, permits: u32) -> Acquire {
    Acquire { kind: LockKind::Barrier, permits, ..lock(token) }
}

/// A lock with another key, which this party asks for.
fn of_party(party: u64, key: &str, asked: Acquire) -> Acquire {
    Acquire { party, key: key.into(), ..asked }
}

impl Shop {
    fn ask(&mut self, request: Acquire) -> Result<Told, RefusalCode> {
        self.run(Command::Acquire { session: 1, request })
    }

    /// Asks, and stands in line.
    fn queue_up(&mut self, request: &Acquire) {
        assert_eq!(self.ask(request.clone()), Ok(Told::LockTaken));
        self.machine.state.await_lock(1, request, self.machine.now);
    }

    fn held(&mut self, request: Acquire) -> u64 {
        match self.ask(request) {
            Ok(Told::Locked(fence)) => fence,
            other => panic!("the lock is free: {other:?}"),
        }
    }

    /// The token of the youngest who waits in vain since this one waits, too; it gives up.
    fn gives_up(&mut self, request: &Acquire) -> Option<u64> {
        self.queue_up(request);
        let deadlock = self.machine.state.deadlock(1, request.token)?;
        assert!(self.machine.state.leave_line(1, deadlock.youngest.1), "it waits");
        assert_eq!(self.machine.state.deadlock(1, request.token), None, "one of them gave up");
        Some(deadlock.youngest.1)
    }

    fn unlock(&mut self, token: u64) {
        let command = Command::ReleaseLocks { session: 1, tokens: vec![token] };
        assert_eq!(self.run(command), Ok(Told::LocksLost(Vec::new())));
    }

    /// The tokens that get a lock now, with their fences.
    fn given(&mut self) -> Vec<(u64, u64)> {
        let given = self.machine.settle().into_iter().filter_map(|it| match it {
            Happened::Locked(_, token, fence) => Some((token, fence)),
            _ => None,
        });
        given.collect()
    }

    /// The tokens that lose a lock now.
    fn lost(&mut self) -> Vec<u64> {
        let lost = self.machine.settle().into_iter().filter_map(|it| match it {
            Happened::LockLost(_, token) => Some(token),
            _ => None,
        });
        lost.collect()
    }
}

#[test]
fn one_holds_a_lock_and_who_asks_again_has_it_still() {
    let mut shop = Shop::new();
    let fence = shop.held(lock(1));
    assert_eq!(shop.held(lock(1)), fence, "the same holder");
    assert_eq!(shop.ask(lock(2)), Ok(Told::LockTaken));
    assert_eq!(shop.ask(semaphore(1, 1)), Err(RefusalCode::BadRequest), "its token holds another lock");
    shop.held(semaphore(3, 1));
    shop.unlock(1);
    assert!(shop.held(lock(2)) > fence);
    let again = Command::ReleaseLocks { session: 1, tokens: vec![1] };
    assert_eq!(shop.run(again), Ok(Told::LocksLost(vec![1])), "giving back twice takes nothing from others");
    assert_eq!(shop.ask(lock(4)), Ok(Told::LockTaken));
}

#[test]
fn a_lock_goes_to_who_waits_the_longest_and_nobody_is_passed_over() {
    let mut shop = Shop::new();
    shop.held(lock(1));
    (2..=4).for_each(|token| shop.queue_up(&lock(token)));
    shop.pass(5_000);
    shop.queue_up(&Acquire { waited_ms: 9_000, ..lock(5) });
    assert!(shop.machine.state.leave_line(1, 3), "that one gave up");
    shop.unlock(1);
    assert_eq!(shop.ask(lock(6)), Ok(Told::LockTaken), "others come first although it is free");
    let mut order = Vec::new();
    while let [(token, _)] = shop.given()[..] {
        order.push(token);
        shop.unlock(token);
    }
    assert_eq!(order, [5, 2, 4], "one came back, and had waited before the others");
}

#[test]
fn as_many_hold_a_semaphore_as_each_of_them_says() {
    let mut shop = Shop::new();
    shop.held(semaphore(1, 2));
    shop.held(semaphore(2, 2));
    shop.queue_up(&semaphore(3, 1));
    shop.queue_up(&semaphore(4, 5));
    assert_eq!(shop.given(), [], "the first in line wants to be alone, and the others stand behind it");
    shop.unlock(1);
    assert_eq!(shop.given(), []);
    shop.unlock(2);
    assert_eq!(shop.given().iter().map(|it| it.0).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_lock_that_is_not_renewed_is_lost_and_goes_to_the_next_with_a_greater_fence() {
    let mut shop = Shop::new();
    let fence = shop.held(lock(1));
    shop.pass(29_999);
    assert!(shop.lost().is_empty());
    let now = shop.machine.now.logical_ms;
    assert_eq!(shop.machine.state.renew_locks(1, &[1, 2], now), [2]);
    shop.pass(29_999);
    assert!(shop.lost().is_empty(), "it was renewed");
    shop.queue_up(&lock(2));
    shop.machine.state.extend_leases(5_000);
    shop.pass(5_000);
    assert!(shop.lost().is_empty(), "the engine stood still meanwhile");
    shop.pass(1);
    let happened = shop.machine.settle();
    assert_eq!(happened[0], Happened::LockLost(1, 1));
    let Happened::Locked(1, 2, next) = happened[1] else { panic!("{happened:?}") };
    assert!(next > fence);
    assert_eq!(shop.machine.state.renew_locks(1, &[1], shop.machine.now.logical_ms), [1]);
}

#[test]
fn an_operator_breaks_the_lock_of_one_holder_and_not_of_the_next() {
    let mut shop = Shop::new();
    let fence = shop.held(lock(1));
    let command = Command::BreakLocks { fences: vec![fence, 7, fence] };
    assert_eq!(shop.run(command.clone()), Ok(Told::LocksBroken(vec![fence])));
    shop.held(lock(2));
    assert_eq!(shop.run(command), Ok(Told::LocksBroken(Vec::new())), "asked once more");
    assert_eq!(shop.machine.state.lock_holders(), 1);
}

#[test]
fn what_is_held_outlives_a_restart_and_its_time_begins_anew() {
    let mut shop = Shop::new();
    let fence = shop.held(lock(1));
    let free = shop.held(semaphore(2, 1));
    shop.unlock(2);
    shop.pass(29_000);
    shop.restart();
    assert_eq!(shop.machine.state.acquired(1, 1).fence, Some(fence));
    assert!(shop.held(semaphore(3, 1)) > free, "the fence of one that is gone does not come again");
    shop.pass(29_999);
    assert!(shop.lost().is_empty());
    shop.pass(1);
    assert_eq!(shop.lost(), [1, 3]);
}

/// Fences of the history that is gone may be anywhere, and what they wrote is there still.
#[test]
fn fences_grow_where_a_home_goes_on_from_a_backup() {
    let mut shop = Shop::new();
    let backup = shop.machine.state.snapshot();
    let fence = shop.held(lock(1));
    let state = State::from_snapshot(&backup, shop.machine.limits).expect("a snapshot reads");
    shop.machine.restart_on(state);
    assert!(shop.held(lock(1)) > fence);
}

#[test]
fn full_tables_refuse_with_their_names() {
    let mut shop = Shop::with(Limits { locks: 1, lock_waiters: 1, ..Limits::default() });
    shop.held(lock(1));
    assert_eq!(shop.ask(semaphore(2, 9)), Err(RefusalCode::QueueFull));
    shop.queue_up(&lock(3));
    assert_eq!(shop.ask(lock(4)), Err(RefusalCode::QueueFull));
    assert_eq!(shop.ask(lock(3)), Ok(Told::LockTaken), "it stands in line already");
    assert_eq!(shop.ask(Acquire { wait: false, ..lock(4) }), Ok(Told::LockTaken));
}

#[test]
fn a_session_that_nobody_knows_takes_no_lock() {
    let mut shop = Shop::new();
    let told = shop.run(Command::Acquire { session: 9, request: lock(1) });
    assert_eq!(told, Err(RefusalCode::OutcomeUnknown));
}

#[test]
fn many_read_and_one_writes_in_the_order_of_asking() {
    let mut shop = Shop::new();
    shop.held(reader(1));
    shop.held(reader(2));
    shop.queue_up(&writer(3));
    shop.queue_up(&reader(4));
    assert_eq!(shop.given(), [], "who came after a writer does not pass it");
    shop.unlock(1);
    assert_eq!(shop.given(), []);
    shop.unlock(2);
    assert_eq!(shop.given().iter().map(|it| it.0).collect::<Vec<_>>(), [3], "it writes alone");
    shop.queue_up(&reader(5));
    shop.unlock(3);
    assert_eq!(shop.given().iter().map(|it| it.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(shop.ask(Acquire { permits: 2, ..reader(6) }), Err(RefusalCode::BadRequest));
}

#[test]
fn a_barrier_opens_for_all_at_once_and_again_for_the_next_ones() {
    let mut shop = Shop::new();
    shop.held(barrier(1, 1));
    for token in [2, 3] {
        shop.queue_up(&barrier(token, 3));
        assert_eq!(shop.given(), [], "others are to come");
    }
    shop.queue_up(&barrier(4, 3));
    let given = shop.given();
    assert_eq!(given.iter().map(|it| it.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(given.is_sorted_by_key(|it| it.1), "their fences grow");
    let places = [2, 3, 4].map(|token| shop.machine.state.acquired(1, token));
    let known = |fence, place| Acquired { fence: Some(fence), place: Some(place) };
    assert_eq!(places, [known(given[0].1, 0), known(given[1].1, 1), known(given[2].1, 2)]);
    shop.restart();
    assert_eq!(shop.machine.state.acquired(1, 4), places[2], "who comes back is told the same");
    shop.queue_up(&barrier(5, 2));
    assert_eq!(shop.given(), [], "they have it still, and it begins anew for others");
    shop.queue_up(&barrier(6, 2));
    assert_eq!(shop.given().len(), 2);
}

#[test]
fn a_barrier_waits_for_room_for_all_of_its_parties() {
    let mut shop = Shop::with(Limits { locks: 3, ..Limits::default() });
    shop.held(lock(1));
    shop.held(semaphore(2, 1));
    shop.queue_up(&barrier(3, 2));
    shop.queue_up(&barrier(4, 2));
    assert_eq!(shop.given(), []);
    shop.unlock(1);
    assert_eq!(shop.given().len(), 2);
}

#[test]
fn of_those_who_wait_for_each_other_the_youngest_gives_up() {
    let mut shop = Shop::new();
    for (token, party, key) in [(1, 10, "a"), (2, 20, "b"), (3, 30, "c")] {
        shop.held(of_party(party, key, lock(token)));
    }
    assert_eq!(shop.gives_up(&of_party(10, "b", lock(4))), None);
    shop.queue_up(&of_party(40, "a", lock(5)));
    let second = Acquire { program: "b.py".into(), pid: 2, ..lock(6) };
    assert_eq!(shop.gives_up(&of_party(20, "c", second)), None, "it waits in a row, in no circle");
    let last = of_party(30, "a", Acquire { program: "c.py".into(), pid: 3, ..lock(7) });
    shop.queue_up(&last);
    let found = shop.machine.state.deadlock(1, 7).expect("all three wait for each other");
    assert_eq!(
        found.circle,
        "c.py (pid 3) waits for lock 'a' of a.py (pid 1), which waits for lock 'b' of b.py (pid 2), which waits for lock \
         'c' of c.py (pid 3)"
    );
    assert_eq!(found.youngest, (1, 7));
    shop.machine.state.leave_line(1, 7);
    let old = Acquire { waited_ms: 60_000, ..last };
    assert_eq!(shop.gives_up(&old), Some(6), "one that comes back has waited for longer than the others");
}

#[test]
fn a_line_is_part_of_a_circle_and_a_second_permit_breaks_it() {
    let mut shop = Shop::new();
    shop.held(of_party(10, "a", reader(1)));
    shop.held(of_party(20, "b", semaphore(2, 2)));
    shop.held(of_party(30, "b", semaphore(3, 2)));
    shop.queue_up(&of_party(40, "a", writer(4)));
    assert_eq!(shop.gives_up(&of_party(20, "a", reader(5))), None, "it stands behind the writer");
    assert_eq!(shop.gives_up(&of_party(10, "b", semaphore(6, 2))), None, "30 gives its permit back some day");
    assert_eq!(shop.gives_up(&of_party(30, "a", reader(7))), Some(7), "now none of those who hold b does");
    assert_eq!(shop.gives_up(&of_party(10, "c", barrier(8, 2))), None, "who comes to a barrier is not known");
}
