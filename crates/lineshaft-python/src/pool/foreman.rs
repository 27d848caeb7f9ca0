//! Who does what in a pool, as Python asks for it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use lineshaft::pool::{self, CallOptions};
use pyo3::prelude::*;

use super::share::Claims;
use crate::client::lock;

/// Worker, slot, number, call, first item, and the one behind the last.
type OrderTuple = (u32, usize, u16, u64, u64, u64);
/// Call, first item, and the one behind the last.
type ItemsTuple = (u64, u64, u64);

/// Says who does what; see `lineshaft::pool::Foreman`.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Foreman(Mutex<pool::Foreman>);

impl Foreman {
    fn inner(&self) -> MutexGuard<'_, pool::Foreman> {
        lock(&self.0)
    }
}

#[pymethods]
impl Foreman {
    /// One without workers and calls.
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// Adds a worker that is ready, by a number that no other one had, with the most shares that it may be given.
    #[pyo3(signature = (worker, claims, shares_max=None))]
    fn add_worker(&self, worker: u32, claims: &Claims, shares_max: Option<u32>) {
        self.inner().add_worker(worker, claims.inner(), shares_max);
    }

    /// Adds a call of so many items.
    #[pyo3(signature = (call, items, share_items=None, retries=0))]
    fn add_call(&self, call: u64, items: u64, share_items: Option<u32>, retries: u32) {
        self.inner().add_call(call, items, CallOptions { share_items, retries });
    }

    /// Adds items to a call.
    fn extend(&self, call: u64, items: u64) {
        self.inner().plan().extend(call, items);
    }

    /// Forgets a call.
    fn forget(&self, call: u64) {
        self.inner().plan().forget(call);
    }

    /// The next share to be sent; `None` if nobody can take one, or there is none.
    fn next(&self) -> Option<OrderTuple> {
        let order = self.inner().next_order()?;
        let (start, end) = (order.items.start, order.items.end);
        Some((order.worker, order.slot, order.number, order.call, start, end))
    }

    /// So many bytes a share has on its way to its worker.
    fn note_bytes(&self, worker: u32, slot: usize, size_bytes: usize) {
        self.inner().plan().note_bytes(worker, slot, size_bytes);
    }

    /// A share was not sent: its items are given one by one, if they `stay`, or nobody does them.
    fn refused(&self, worker: u32, slot: usize, stay: bool) {
        self.inner().plan().refused(worker, slot, stay);
    }

    /// The next `count` items of a share are done, in so many nanoseconds: of which call, from which item on. `None` of what
    /// is not known any more.
    fn done(
        &self,
        worker: u32,
        slot: usize,
        count: u32,
        elapsed_ns: u64,
        is_last: bool,
    ) -> Option<(u64, u64)> {
        let elapsed = Duration::from_nanos(elapsed_ns);
        let done = self.inner().done(worker, slot, count, elapsed, is_last)?;
        Some((done.call, done.items.start))
    }

    /// A worker is dead: the items that are lost with it.
    fn died(&self, worker: u32) -> Vec<ItemsTuple> {
        let lost = self.inner().died(worker);
        lost.into_iter().map(|lost| (lost.call, lost.items.start, lost.items.end)).collect()
    }

    /// Takes out of a call what nobody has begun: those items.
    fn cancel(&self, call: u64) -> Vec<(u64, u64)> {
        let cancelled = self.inner().cancel(call);
        cancelled.into_iter().map(|items| (items.start, items.end)).collect()
    }

    /// The workers that have begun items of a call.
    fn workers_of(&self, call: u64) -> Vec<u32> {
        self.inner().workers_of(call)
    }

    /// Workers that are through with all that they may be given.
    fn retired(&self) -> Vec<u32> {
        self.inner().plan().retired()
    }

    /// Whether somebody has nothing to do while others have.
    fn is_uneven(&self) -> bool {
        self.inner().plan().is_uneven()
    }

    /// Whether nobody has anything to do.
    fn is_idle(&self) -> bool {
        self.inner().plan().is_idle()
    }
}
