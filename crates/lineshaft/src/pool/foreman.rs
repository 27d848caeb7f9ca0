//! The plan of a pool in real time: with a clock, and the claims of its workers.

use std::ops::Range;
use std::time::{Duration, Instant};

use lineshaft_ipc::claims::Claims;

use super::{CallOptions, Done, Order, Plan, Theft};

/// Says who does what. It carries out what its [`Plan`] decides of items that were given already: they are taken back in
/// the [`Claims`] of the worker that has them, by which it is also known what a dead one had begun.
#[derive(Debug)]
pub struct Foreman {
    plan: Plan,
    claims: Vec<(u32, Claims)>,
    began: Instant,
}

impl Default for Foreman {
    fn default() -> Self {
        Self { plan: Plan::new(), claims: Vec::new(), began: Instant::now() }
    }
}

impl Foreman {
    /// One without workers and calls.
    pub fn new() -> Self {
        Self::default()
    }

    /// The plan, for what needs neither clock nor claims.
    pub fn plan(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Adds a worker that is ready, by a number that no other one had, with the most shares that it may be given.
    pub fn add_worker(&mut self, worker: u32, claims: Claims, shares_max: Option<u32>) {
        self.plan.add_worker(worker, shares_max);
        self.claims.push((worker, claims));
    }

    /// Adds a call of so many items.
    pub fn add_call(&mut self, call: u64, items: u64, options: CallOptions) {
        self.plan.add_call(call, items, options);
    }

    /// The next share to be sent; `None` if nobody can take one, or there is none.
    pub fn next_order(&mut self) -> Option<Order> {
        let now = self.now();
        loop {
            if let Some(order) = self.plan.order(now) {
                let count = (order.items.end - order.items.start) as u32;
                self.claims_of(order.worker)?.give(order.slot, order.number, count);
                return Some(order);
            }
            let theft = self.plan.theft(now)?;
            self.take_back(theft, false, now);
        }
    }

    /// The next `count` items of a share are done, which took so long. Which those are; `None` of what is not known any more.
    pub fn done(
        &mut self,
        worker: u32,
        slot: usize,
        count: u32,
        elapsed: Duration,
        is_last: bool,
    ) -> Option<Done> {
        let now = self.now();
        self.plan.done(worker, slot, count, elapsed, is_last, now)
    }

    /// A worker is dead: the items that are lost with it.
    pub fn died(&mut self, worker: u32) -> Vec<Done> {
        let place = self.claims.iter().position(|(id, _)| *id == worker);
        let claims = place.map(|place| self.claims.swap_remove(place).1);
        self.plan
            .died(worker, |slot, number| claims.as_ref().map_or(0, |claims| claims.claimed(slot, number)))
    }

    /// Takes out of a call what nobody has begun: those items.
    pub fn cancel(&mut self, call: u64) -> Vec<Range<u64>> {
        let now = self.now();
        let mut cancelled = self.plan.cancel_pending(call);
        for theft in self.plan.shares_of(call) {
            cancelled.extend(self.take_back(theft, true, now).map(|taken| taken.items));
        }
        cancelled
    }

    /// The workers that have begun items of a call.
    pub fn workers_of(&self, call: u64) -> Vec<u32> {
        let has_begun = |theft: &Theft| {
            let claims = self.claims_of(theft.worker);
            claims.is_some_and(|claims| claims.claimed(theft.slot, theft.number) > 0)
        };
        self.plan.shares_of(call).into_iter().filter(has_begun).map(|theft| theft.worker).collect()
    }

    /// Takes back what may be: which items of the call that is.
    fn take_back(&mut self, theft: Theft, is_cancelled: bool, now: Duration) -> Option<Done> {
        let claims = self.claims_of(theft.worker)?;
        let range = claims.take_back(theft.slot, theft.number, |claimed, rest| theft.keep(claimed, rest));
        self.plan.taken_back(theft, range, is_cancelled, now)
    }

    fn claims_of(&self, worker: u32) -> Option<&Claims> {
        self.claims.iter().find(|(id, _)| *id == worker).map(|(_, claims)| claims)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
