//! The last records, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Failure, Handler};
use crate::record::Record;

/// The last records that a handler was given.
#[derive(Debug)]
pub struct Kept {
    records_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Kept {
    /// Keeps so many records of so many bytes; the oldest go.
    pub fn new(records_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { records_max, bytes_max, state: Mutex::default() })
    }

    /// The same bounds, and what is kept if nobody is at it: after a fork, nobody may ever be done with it.
    #[must_use]
    pub fn after_fork(&self) -> Arc<Self> {
        let kept = match self.state.try_lock() {
            Ok(state) => State { records: state.records.clone(), bytes: state.bytes },
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => State::default(),
        };
        Arc::new(Self { records_max: self.records_max, bytes_max: self.bytes_max, state: Mutex::new(kept) })
    }

    /// What is kept, the oldest first.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.lock().records.iter().cloned().collect()
    }

    /// Lets go of all.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    fn add(&self, record: &Record) {
        let mut state = self.lock();
        state.bytes += record.size_bytes();
        state.records.push_back(Arc::new(record.clone()));
        while state.records.len() > self.records_max
            || (state.bytes > self.bytes_max && state.records.len() > 1)
        {
            let gone = state.records.pop_front().map_or(0, |record| record.size_bytes());
            state.bytes -= gone;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts records where they are kept.
#[derive(Debug)]
pub struct Memory(pub Arc<Kept>);

impl Handler for Memory {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        records.iter().for_each(|record| self.0.add(record));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::record::sample;

    #[test]
    fn the_last_stay() {
        let record = |level| sample(Level(level), "app", "x", &[]);
        let kept = Kept::new(3, 1 << 20);
        let records: Vec<Record> = (1..=5).map(record).collect();
        Memory(kept.clone()).handle(&records.iter().collect::<Vec<_>>()).expect("it never fails");
        let levels = |kept: &Kept| kept.records().iter().map(|record| record.level.0).collect::<Vec<_>>();
        assert_eq!(levels(&kept), [3, 4, 5]);
        assert_eq!(levels(&kept.after_fork()), [3, 4, 5]);
        kept.clear();
        assert_eq!(levels(&kept), [0; 0]);
        let small = Kept::new(3, 1);
        Memory(small.clone()).handle(&records.iter().collect::<Vec<_>>()).expect("it never fails");
        assert_eq!(levels(&small), [5]);
    }
}
