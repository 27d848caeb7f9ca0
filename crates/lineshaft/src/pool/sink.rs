//! Where the outcomes of a call go, until whoever asked for them takes them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::value::typed;
use serde::de::DeserializeOwned;

use super::Error;
use super::message::FAILED;

/// What became of some items of a call that stand side by side.
#[derive(Debug)]
pub(super) struct Outcome {
    items: Range<u64>,
    came_to: CameTo,
}

#[derive(Debug)]
enum CameTo {
    /// A table of lengths, and the payloads.
    Results(Bytes, Bytes),
    Lost(Error),
}

impl Outcome {
    pub(super) fn results(items: Range<u64>, table: Bytes, payloads: Bytes) -> Self {
        Self { items, came_to: CameTo::Results(table, payloads) }
    }

    pub(super) fn lost(items: Range<u64>, error: Error) -> Self {
        Self { items, came_to: CameTo::Lost(error) }
    }

    /// Whatever is left of the call is lost.
    pub(super) fn end(error: Error) -> Self {
        Self::lost(0..u64::MAX, error)
    }

    /// Why whatever is left of the call is lost, if it is.
    pub(super) fn as_end(&self) -> Option<&Error> {
        match &self.came_to {
            CameTo::Lost(error) if self.items.end == u64::MAX => Some(error),
            _ => None,
        }
    }

    /// By which it stands among others: its first item, and an end behind all of them.
    pub(super) fn order(&self) -> u64 {
        if self.as_end().is_some() { u64::MAX } else { self.items.start }
    }

    /// The next item, and what it gave.
    pub(super) fn next<R: DeserializeOwned>(&mut self) -> Option<(u64, Result<R, Error>)> {
        let item = self.items.next()?;
        let result = match &mut self.came_to {
            CameTo::Lost(error) => Err(error.clone()),
            CameTo::Results(table, payloads) => next_result(table, payloads),
        };
        Some((item, result))
    }
}

fn next_result<R: DeserializeOwned>(table: &mut Bytes, payloads: &mut Bytes) -> Result<R, Error> {
    let entry = table.try_get_u32_le().unwrap_or_default();
    let length = (entry & !FAILED) as usize;
    // Of a worker that wrote where it should not.
    let payload = payloads.get(..length).unwrap_or_default();
    let result = match entry & FAILED {
        0 => typed::from_payload(payload).map_err(Error::Undecodable),
        _ => match typed::from_payload::<ErrorRecord>(payload) {
            Ok(record) => Err(Error::Failed(Arc::new(record))),
            Err(error) => Err(Error::Undecodable(error)),
        },
    };
    payloads.advance(length.min(payloads.len()));
    result
}

/// The outcomes of one call that nobody has taken.
#[derive(Debug, Default)]
pub(super) struct Sink {
    outcomes: Mutex<VecDeque<Outcome>>,
    arrived: Condvar,
}

impl Sink {
    pub(super) fn push(&self, outcome: Outcome) {
        self.outcomes().push_back(outcome);
        self.arrived.notify_one();
    }

    /// All that are there.
    pub(super) fn take(&self) -> VecDeque<Outcome> {
        std::mem::take(&mut *self.outcomes())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outcomes().is_empty()
    }

    /// Waits until there is one, for `timeout` at most; whether there is.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> bool {
        let outcomes = self.outcomes();
        let is_empty = |outcomes: &mut VecDeque<Outcome>| outcomes.is_empty();
        match timeout {
            None => drop(self.arrived.wait_while(outcomes, is_empty)),
            Some(timeout) => {
                let waited = self.arrived.wait_timeout_while(outcomes, timeout, is_empty);
                return waited.is_ok_and(|(outcomes, _)| !outcomes.is_empty());
            }
        }
        true
    }

    fn outcomes(&self) -> MutexGuard<'_, VecDeque<Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
