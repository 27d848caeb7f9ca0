//! Pools of imagined workers, in imagined time: whatever dies, each item is done or lost once; and nobody is idle for long.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::{CallOptions, Done, Order, Plan, Theft};

/// What a worker claims at a time, and how often it says what it has done.
const CLAIM: Duration = Duration::from_millis(1);
const FLUSH: Duration = Duration::from_millis(2);
/// What a share costs before its first item, and stealing it.
const HAND_OVER: Duration = Duration::from_micros(60);

#[derive(Debug)]
struct Given {
    order: Order,
    next: u32,
    end: u32,
    /// Items before this one are reported.
    reported: u32,
    time: Duration,
}

#[derive(Debug)]
struct Worker {
    id: u32,
    shares: VecDeque<Given>,
    /// When it looks for something to do, or is done with what it does.
    at: Duration,
    item_time: Duration,
}

/// A call whose items take so long.
struct World<'a> {
    plan: Plan,
    workers: Vec<Worker>,
    times: &'a [Duration],
    now: Duration,
    done: Vec<u32>,
    lost: Vec<u32>,
    next_worker: u32,
}

impl<'a> World<'a> {
    fn new(times: &'a [Duration], workers: u32, options: CallOptions) -> Self {
        let count = times.len();
        let (done, lost) = (vec![0; count], vec![0; count]);
        let plan = Plan::new();
        let mut world =
            Self { plan, workers: Vec::new(), times, now: Duration::ZERO, done, lost, next_worker: 0 };
        (0..workers).for_each(|_| world.start_worker());
        world.plan.add_call(1, count as u64, options);
        world
    }

    fn start_worker(&mut self) {
        let (id, at) = (self.next_worker, self.now);
        self.next_worker += 1;
        self.plan.add_worker(id, None);
        self.workers.push(Worker { id, shares: VecDeque::new(), at, item_time: Duration::ZERO });
    }

    /// What the parent does whenever it hears something.
    fn feed(&mut self) {
        loop {
            if let Some(order) = self.plan.order(self.now) {
                let end = (order.items.end - order.items.start) as u32;
                let time = Duration::ZERO;
                let worker = self.workers.iter_mut().find(|worker| worker.id == order.worker).unwrap();
                if worker.shares.is_empty() {
                    worker.at = worker.at.max(self.now + HAND_OVER);
                }
                worker.shares.push_back(Given { order, next: 0, end, reported: 0, time });
            } else if let Some(theft) = self.plan.theft(self.now) {
                let range = self.take_back(theft);
                self.plan.taken_back(theft, range, false, self.now);
            } else {
                return;
            }
        }
    }

    fn take_back(&mut self, theft: Theft) -> Range<u32> {
        let worker = self.workers.iter_mut().find(|worker| worker.id == theft.worker).unwrap();
        let is_meant =
            |given: &&mut Given| given.order.slot == theft.slot && given.order.number == theft.number;
        let Some(given) = worker.shares.iter_mut().find(is_meant) else { return 0..0 };
        let before = given.end;
        given.end = given.next + theft.keep(given.next, given.end - given.next);
        given.end..before
    }

    /// The next worker that is due does something.
    fn step(&mut self) {
        let due = self.workers.iter().enumerate().filter(|(_, worker)| !worker.shares.is_empty());
        let (place, _) = due.min_by_key(|(_, worker)| worker.at).expect("somebody has something to do");
        self.now = self.now.max(self.workers[place].at);
        let worker = &mut self.workers[place];
        let given = worker.shares.front_mut().unwrap();
        let is_through = given.next == given.end;
        if is_through || given.time >= FLUSH {
            let (slot, count, time) = (given.order.slot, given.next - given.reported, given.time);
            given.reported = given.next;
            given.time = Duration::ZERO;
            if is_through {
                worker.shares.pop_front();
            }
            let id = worker.id;
            self.report(id, slot, count, time, is_through);
            return;
        }
        let per_claim = (CLAIM.as_nanos() / worker.item_time.as_nanos().max(1)).clamp(1, 1_000_000) as u32;
        let count = if worker.item_time.is_zero() { 1 } else { per_claim.min(given.end - given.next) };
        let first = given.order.items.start as usize + given.next as usize;
        let time: Duration = self.times[first..first + count as usize].iter().sum();
        given.next += count;
        given.time += time;
        worker.item_time = time / count;
        worker.at = self.now + time;
    }

    fn report(&mut self, worker: u32, slot: usize, count: u32, time: Duration, is_last: bool) {
        let done = self.plan.done(worker, slot, count, time, is_last, self.now).expect("it is known");
        assert_eq!((done.items.end - done.items.start) as u32, count);
        done.items.for_each(|item| self.done[item as usize] += 1);
        self.feed();
    }

    /// One dies, and another one takes its place.
    fn kill(&mut self, place: usize) {
        let worker = self.workers.remove(place);
        let claimed = |slot: usize, number: u16| {
            let is_meant = |given: &&Given| given.order.slot == slot && given.order.number == number;
            worker.shares.iter().find(is_meant).map_or(0, |given| given.next)
        };
        for lost in self.plan.died(worker.id, claimed) {
            lost.items.for_each(|item| self.lost[item as usize] += 1);
        }
        self.start_worker();
        self.feed();
    }

    fn is_over(&self) -> bool {
        self.done.iter().zip(&self.lost).all(|(done, lost)| done + lost > 0)
    }

    /// How long it took.
    fn run(mut self) -> Duration {
        self.feed();
        while !self.is_over_quickly() {
            self.step();
        }
        assert!(self.done.iter().all(|times| *times == 1));
        self.now
    }

    fn is_over_quickly(&self) -> bool {
        self.workers.iter().all(|worker| worker.shares.is_empty()) && self.is_over()
    }
}

/// What it takes at least.
fn bound(times: &[Duration], workers: u32) -> Duration {
    let total: Duration = times.iter().sum();
    let longest = times.iter().max().copied().unwrap_or_default();
    (total / workers).max(longest)
}

/// How much longer than [`bound`] two workers take, of twenty lists of items. Whoever does not know what items take cannot
/// help it if a long one comes last, but must not add to it.
fn ratios(time_of: impl Fn(&mut fastrand::Rng) -> f64) -> Vec<f64> {
    let ratio = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let times: Vec<Duration> =
            (0..3_000).map(|_| Duration::from_secs_f64(time_of(&mut random) / 1e3)).collect();
        let took = World::new(&times, 2, CallOptions::default()).run();
        let total: Duration = times.iter().sum();
        let worst = (total + times.iter().max().copied().unwrap_or_default()) / 2;
        assert!(took <= worst.mul_f64(1.05), "seed {seed}: {took:?} of {worst:?}");
        took.as_secs_f64() / bound(&times, 2).as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..20).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

#[test]
fn nobody_is_idle_for_long_whatever_items_take() {
    let constant = ratios(|random| 0.95 + 0.1 * random.f64());
    assert!(constant[19] <= 1.10, "near-constant: {constant:.3?}");
    let log_normal = ratios(|random| {
        let (radius, angle) = (1.0 - random.f64(), random.f64() * std::f64::consts::TAU);
        ((-2.0 * radius.ln()).sqrt() * angle.cos()).exp()
    });
    assert!(log_normal[19] <= 1.10, "log-normal: {log_normal:.3?}");
    let pareto = ratios(|random| (1.0 - random.f64()).powf(-1.0 / 1.2));
    assert!(pareto[10] <= 1.10, "Pareto: {pareto:.3?}");
}

#[test]
fn a_share_that_turns_out_long_is_divided() {
    let mut times = vec![Duration::from_micros(1); 4_000];
    times[2_000..].fill(Duration::from_millis(2));
    let took = World::new(&times, 4, CallOptions::default()).run();
    assert!(took.as_secs_f64() <= 1.10 * bound(&times, 4).as_secs_f64(), "{took:?}");
}

#[test]
fn each_item_is_done_or_lost_once_whoever_dies() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let times: Vec<Duration> =
            (0..random.usize(1..800)).map(|_| Duration::from_micros(random.u64(1..3_000))).collect();
        let share_items = random.bool().then(|| random.u32(1..50));
        let options = CallOptions { share_items, retries: random.u32(0..2) };
        let mut world = World::new(&times, random.u32(1..5), options);
        world.feed();
        while !world.is_over_quickly() {
            match random.u32(0..100) {
                0 => world.kill(random.usize(0..world.workers.len())),
                _ => world.step(),
            }
        }
        for (item, (done, lost)) in world.done.iter().zip(&world.lost).enumerate() {
            assert_eq!(done + lost, 1, "seed {seed}, item {item}");
        }
        world.plan.forget(1);
        assert!(world.plan.is_idle() && world.plan.calls() == 0);
    }
}

fn plan(workers: u32) -> Plan {
    let mut plan = Plan::new();
    (0..workers).for_each(|worker| plan.add_worker(worker, None));
    plan
}

const NOW: Duration = Duration::ZERO;

#[test]
fn nothing_is_put_behind_items_of_which_nothing_is_known() {
    let mut plan = plan(2);
    plan.add_call(1, 10, CallOptions::default());
    let orders: Vec<Order> = std::iter::from_fn(|| plan.order(NOW)).collect();
    let given: Vec<_> = orders.into_iter().map(|order| (order.worker, order.items)).collect();
    assert_eq!(given, [(0, 0..1), (1, 1..2)]);
}

#[test]
fn short_items_are_given_ahead_but_not_behind_one_who_is_not_heard_of() {
    let mut plan = plan(1);
    plan.add_call(1, 100, CallOptions { share_items: Some(1), retries: 0 });
    let first = plan.order(NOW).unwrap();
    let later = NOW + Duration::from_micros(100);
    plan.done(0, first.slot, 1, Duration::from_micros(100), true, later);
    let ahead = std::iter::from_fn(|| plan.order(later)).count();
    assert_eq!(ahead, super::SLOTS);
    plan.done(0, 0, 1, Duration::from_micros(100), true, later);
    assert_eq!(plan.order(later + Duration::from_secs(1)), None);
    assert!(plan.order(later).is_some());
}

#[test]
fn what_is_cancelled_is_given_to_nobody() {
    let mut plan = plan(1);
    plan.add_call(1, 10, CallOptions { share_items: Some(4), retries: 0 });
    plan.order(NOW).unwrap();
    assert_eq!(plan.cancel_pending(1).first(), Some(&(4..10)));
    let theft = plan.shares_of(1)[0];
    let taken = plan.taken_back(theft, 1..4, true, NOW).unwrap();
    assert_eq!(taken.items, 1..4);
    assert_eq!(plan.order(NOW), None);
    assert_eq!(plan.done(0, theft.slot, 1, NOW, true, NOW).unwrap().items, 0..1);
    assert!(plan.is_idle());
}

#[test]
fn a_worker_retires_after_its_last_share() {
    let mut plan = Plan::new();
    plan.add_worker(5, Some(2));
    plan.add_call(1, 10, CallOptions { share_items: Some(1), retries: 0 });
    for _ in 0..2 {
        let order = plan.order(NOW).unwrap();
        assert!(plan.retired().is_empty());
        plan.done(5, order.slot, 1, Duration::from_secs(1), true, NOW);
    }
    assert_eq!(plan.order(NOW), None);
    assert_eq!(plan.retired(), [5]);
}

#[test]
fn items_may_come_one_by_one() {
    let mut plan = plan(1);
    plan.add_call(1, 0, CallOptions { share_items: Some(8), retries: 0 });
    assert_eq!(plan.order(NOW), None);
    plan.extend(1, 1);
    plan.extend(1, 2);
    assert_eq!(plan.order(NOW).unwrap().items, 0..3);
}

#[test]
fn an_item_whose_worker_dies_is_tried_again_as_often_as_allowed() {
    let mut plan = plan(1);
    plan.add_call(1, 1, CallOptions { share_items: None, retries: 2 });
    for worker in 0..3 {
        assert_eq!(plan.order(NOW).unwrap().items, 0..1);
        let lost = plan.died(worker, |_, _| 1);
        assert_eq!(lost.len(), usize::from(worker == 2));
        plan.add_worker(worker + 1, None);
    }
    assert_eq!(plan.order(NOW), None);
}

/// It used to be given to one worker after the other, for ever: each died when it read it, before it had begun it.
#[test]
fn an_item_that_kills_who_reads_it_is_lost_and_no_other() {
    let mut plan = plan(1);
    plan.add_call(1, 4, CallOptions { share_items: Some(3), retries: 0 });
    let (mut worker, mut lost, mut done) = (0, Vec::new(), Vec::new());
    while let Some(order) = plan.order(NOW) {
        if order.items.contains(&1) {
            lost.extend(plan.died(worker, |_, _| 0));
            worker += 1;
            plan.add_worker(worker, None);
        } else {
            let count = (order.items.end - order.items.start) as u32;
            done.extend(plan.done(worker, order.slot, count, Duration::from_secs(1), true, NOW));
        }
    }
    assert_eq!(lost, [Done { call: 1, items: 1..2 }]);
    assert_eq!(done.iter().map(|done| done.items.start).collect::<Vec<_>>(), [0, 2, 3]);
    assert!(worker < 8, "{worker} workers died of it");
}

#[test]
fn items_that_cannot_be_sent_together_are_sent_one_by_one() {
    let mut plan = plan(1);
    plan.add_call(1, 3, CallOptions { share_items: Some(3), retries: 0 });
    let order = plan.order(NOW).unwrap();
    plan.refused(0, order.slot, true);
    let order = plan.order(NOW).unwrap();
    assert_eq!(order.items, 0..1);
    plan.refused(0, order.slot, false);
    assert_eq!(plan.order(NOW).unwrap().items, 1..2);
}

#[test]
fn a_worker_has_some_megabytes_before_it_at_most() {
    let mut plan = plan(1);
    plan.add_call(1, 100, CallOptions { share_items: Some(1), retries: 0 });
    let order = plan.order(NOW).unwrap();
    plan.note_bytes(0, order.slot, 5_000_000);
    plan.done(0, order.slot, 1, Duration::from_micros(10), true, NOW);
    for _ in 0..4 {
        let order = plan.order(NOW).unwrap();
        plan.note_bytes(0, order.slot, 5_000_000);
    }
    assert_eq!(plan.order(NOW), None);
}
