//! Children that come, are missed, come back and go.

use std::sync::Arc;

use lineshaft_wire::message::ProcessKey;

use crate::list::List;
use crate::state::{Child, State, Timer};

impl State {
    pub(super) fn know_child(
        &mut self,
        child: u32,
        worker: u64,
        (name, number): (Arc<str>, u32),
        process: ProcessKey,
    ) {
        let lease_ends = self.logical_ms + self.limits.lease_ms;
        let entry = Child { worker, name, number, process, leases: List::default(), lease_ends };
        self.children.insert(child, entry);
        self.next_child = self.next_child.max(child + 1);
        self.logical_timers.insert(lease_ends, Timer::Child(child));
    }

    pub(super) fn forget_child(&mut self, child: u32) {
        self.detach(child);
        self.children.remove(&child);
        self.absent.remove(&child);
    }

    /// The start before this change gave every child a whole lease; one that was absent already has only the rest of
    /// its own.
    pub(super) fn children_absent(&mut self) {
        for (number, child) in &mut self.children {
            let since = *self.absent.entry(*number).or_insert(self.logical_ms);
            child.lease_ends = child.lease_ends.min(since.saturating_add(self.limits.lease_ms));
        }
    }

    pub(super) fn credit_absences(&mut self, still_ms: u64) {
        for since_ms in self.absent.values_mut() {
            *since_ms = since_ms.saturating_add(still_ms).min(self.logical_ms);
        }
    }

    pub(super) fn child_returned(&mut self, child: u32) {
        self.absent.remove(&child);
        self.renew(child, self.logical_ms);
    }
}
