//! The workers of a pool and what they have to do.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustc_hash::FxHashMap;

use super::agenda::Call;
use super::message::{ITEMS, READY, RESULTS, Report, Share, is_passing, send};
use super::registry::Registry;
use super::sink::Outcome;
use super::staff::Staff;
use super::{Error, Foreman, Order};

/// A share that turns out to have more bytes is given item by item.
const SHARE_BYTES_MAX: usize = 32 << 20;

/// Used with the lock of its crew.
#[derive(Debug)]
pub(super) struct State {
    pub(super) foreman: Foreman,
    pub(super) calls: FxHashMap<u64, Call>,
    pub(super) staff: Staff,
    pub(super) calls_made: u64,
    pub(super) phase: Phase,
    /// Why nothing can be done any more.
    pub(super) broken: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Working,
    /// It ends when all is done.
    Closing,
    /// It ends now.
    Ending,
}

/// What became of a share that was to be sent.
enum Given {
    Sent,
    /// Some of its items may be, one by one.
    TooLarge,
    /// It may be later.
    NoRoom,
    Failed(Error),
}

impl State {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            foreman: Foreman::new(),
            calls: FxHashMap::default(),
            staff: Staff::new(workers),
            calls_made: 0,
            phase: Phase::Working,
            broken: None,
        }
    }

    /// Takes what a worker says.
    pub(super) fn take(&mut self, tag: u32, mut bytes: Bytes) {
        match tag {
            READY => match (bytes.try_get_u32_le(), bytes.try_get_u32_le()) {
                (Ok(worker), Ok(tasks)) => self.welcome(worker, tasks),
                _ => tracing::error!("a worker of a pool says what cannot be read"),
            },
            RESULTS => match Report::read(bytes) {
                Ok(report) => self.take_report(report),
                Err(error) => tracing::error!(%error, "a worker of a pool reports what cannot be read"),
            },
            _ => {}
        }
    }

    fn welcome(&mut self, worker: u32, tasks: u32) {
        if tasks != Registry::get().len() {
            return self.break_off(&Error::Broken("the last one has other tasks than this process".into()));
        }
        if let Some(hand) = self.staff.welcome(worker) {
            let claims = hand.claims.clone();
            self.foreman.add_worker(worker, claims, None);
        }
    }

    fn take_report(&mut self, report: Report) {
        let Report { worker, slot, is_last, count, took, table, payloads } = report;
        let Some(done) = self.foreman.done(worker, slot.into(), count, took, is_last) else { return };
        if let Some(call) = self.calls.get_mut(&done.call)
            && !done.items.is_empty()
        {
            call.done(done.items.clone());
            call.sink.push(Outcome::results(done.items, table, payloads));
        }
        self.forget_if_over(done.call);
    }

    /// A worker has ended. What it had not begun is done by others.
    pub(super) fn bury(&mut self, number: u32) {
        let Some((error, broken)) = self.staff.bury(number) else { return };
        for lost in self.foreman.died(number) {
            self.lose(lost.call, lost.items, &error);
        }
        if let Some(why) = broken {
            self.break_off(&why);
        }
    }

    /// Items of a call will not be done; how many.
    pub(super) fn lose(&mut self, call: u64, items: Range<u64>, error: &Error) -> u64 {
        let count = items.end - items.start;
        if let Some(known) = self.calls.get_mut(&call) {
            known.done(items.clone());
            known.sink.push(Outcome::lost(items, error.clone()));
        }
        self.forget_if_over(call);
        count
    }

    pub(super) fn forget_if_over(&mut self, call: u64) {
        if self.calls.get(&call).is_some_and(Call::is_over) {
            self.calls.remove(&call);
            self.foreman.plan().forget(call);
        }
    }

    /// Gives workers what they can take.
    pub(super) fn feed(&mut self) {
        while let Some(order) = self.foreman.next_order() {
            let (worker, slot) = (order.worker, order.slot);
            match self.give(&order) {
                Given::Sent => {}
                Given::TooLarge => self.foreman.plan().refused(worker, slot, true),
                Given::NoRoom => return self.foreman.plan().refused(worker, slot, true),
                Given::Failed(error) => {
                    self.foreman.plan().refused(worker, slot, false);
                    self.lose(order.call, order.items, &error);
                }
            }
        }
    }

    fn give(&mut self, order: &Order) -> Given {
        let (Some(call), Some(hand)) = (self.calls.get(&order.call), self.staff.hands.get(&order.worker))
        else {
            return Given::Failed(Error::Cancelled);
        };
        let count = (order.items.end - order.items.start) as u32;
        let (table, payloads) = call.share(order.items.clone());
        let size: usize = payloads.iter().map(|piece| piece.len()).sum();
        if size > SHARE_BYTES_MAX && count > 1 {
            return Given::TooLarge;
        }
        let head = Share::head(order.slot, order.number, count);
        let mut pieces: Vec<&[u8]> = vec![&head, &table];
        pieces.extend(payloads);
        match send(&hand.tasks, ITEMS, &pieces, Some(Duration::ZERO)) {
            Ok(bytes) => {
                self.foreman.plan().note_bytes(order.worker, order.slot, bytes);
                Given::Sent
            }
            Err(error) if is_passing(&error) => Given::NoRoom,
            Err(_) if count > 1 => Given::TooLarge,
            Err(error) => Given::Failed(error.into()),
        }
    }

    /// Nothing can be done any more.
    pub(super) fn break_off(&mut self, why: &Error) {
        self.give_up(why);
        self.staff.leave();
    }

    pub(super) fn give_up(&mut self, why: &Error) {
        self.broken.get_or_insert_with(|| why.clone());
        for (number, call) in std::mem::take(&mut self.calls) {
            self.foreman.plan().forget(number);
            call.sink.push(Outcome::end(why.clone()));
        }
    }

    /// Whether it ends.
    pub(super) fn is_through(&self) -> bool {
        match self.phase {
            Phase::Working => false,
            Phase::Closing => self.calls.is_empty(),
            Phase::Ending => true,
        }
    }
}
