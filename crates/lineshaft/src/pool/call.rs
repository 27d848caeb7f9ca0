//! A call of a plan: its items that nobody has, and how long they take.

use std::collections::VecDeque;
use std::ops::Range;

use lineshaft_ipc::claims::ITEMS_MAX;
use rustc_hash::FxHashMap;

use super::pace::Pace;

/// How a call is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions {
    /// Items of a share; `None` for as many as take some ten milliseconds.
    pub share_items: Option<u32>,
    /// How often an item is begun again whose worker died over it.
    pub retries: u32,
}

#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) options: CallOptions,
    /// How many items it has, so far.
    pub(super) items: u64,
    /// Those that nobody has.
    pub(super) pending: VecDeque<Range<u64>>,
    pub(super) pace: Pace,
    /// How often items were begun whose worker died over them.
    pub(super) tries: FxHashMap<u64, u32>,
    /// How often items were the next to be begun by a worker that died.
    pub(super) deaths: FxHashMap<u64, u32>,
}

impl Call {
    /// Takes the items of the next share: as many as are wanted, but in the end no more than a part of what is left.
    pub(super) fn next_items(&mut self, workers: usize) -> Option<Range<u64>> {
        let wanted = self.options.share_items.map_or_else(|| self.fair_items(workers), u64::from);
        let first = self.pending.front_mut()?;
        let end = first.end.min(first.start + wanted.clamp(1, ITEMS_MAX.into()));
        let items = first.start..end;
        first.start = end;
        if first.is_empty() {
            self.pending.pop_front();
        }
        Some(items)
    }

    fn fair_items(&self, workers: usize) -> u64 {
        let left: u64 = self.pending.iter().map(|range| range.end - range.start).sum();
        u64::from(self.pace.share_items()).min(left.div_ceil(2 * workers.max(1) as u64))
    }
}
