//! The end of a lane for those who have a thread of their own, as functions of Python do.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Batch, Lane};
use crate::record::Record;

/// Takes the records of one handler.
#[derive(Clone)]
pub struct Tap {
    lane: Arc<Lane>,
}

/// Records that were taken.
#[derive(Debug)]
pub struct Taken {
    records: Arc<[Record]>,
    /// Which of them are for this handler.
    wanted: Vec<usize>,
}

impl Tap {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane }
    }

    /// The next records, after waiting for them; `None` if none came in that time, or when [`Self::is_over`]. Those
    /// that were taken are done with [`Self::finish`].
    pub fn take(&self, timeout: Option<Duration>) -> Option<Taken> {
        let Batch { records, .. } = self.lane.next(timeout)?;
        let wants = |number: &usize| self.lane.spec.wants(&records[*number]);
        let wanted = (0..records.len()).filter(wants).collect();
        Some(Taken { records, wanted })
    }

    /// Says what became of the records that were taken: so many are where they belong, so many were given up.
    pub fn finish(&self, handled: u64, failed: u64) {
        self.lane.finish(1, handled, failed);
    }

    /// Takes no more records: those that come are lost, and nobody waits for those that are there.
    pub fn close(&self) {
        self.lane.close();
    }

    /// Whether no more records will come.
    pub fn is_over(&self) -> bool {
        self.lane.is_over()
    }

    /// The name of the handler.
    pub fn name(&self) -> &str {
        &self.lane.spec.name
    }
}

impl Taken {
    /// All records of the batch; those of other handlers too.
    pub fn records(&self) -> &Arc<[Record]> {
        &self.records
    }

    /// The places in it of those that are for this handler.
    pub fn wanted(&self) -> &[usize] {
        &self.wanted
    }
}
