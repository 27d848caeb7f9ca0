//! Jobs that become available, or wait for a time.

use lineshaft_wire::JobState;

use crate::change::RunAt;
use crate::state::{State, Timer};

impl State {
    pub(super) fn make_available(&mut self, index: u32) {
        self.set_state(index, JobState::Available);
        self.set_limit(index);
        if self.slots.at(index).parked().is_some() {
            return self.enter_parked(index);
        }
        let (lane, priority) = (self.lane_of(index), self.slots.at(index).priority);
        self.lanes.at_mut(lane).available[usize::from(priority) - 1].insert(&mut self.slots, index);
        self.lanes.refresh(lane, &self.slots);
    }

    pub(super) fn wait(&mut self, index: u32, state: JobState, until: RunAt) {
        self.set_state(index, state);
        let order = self.take_order();
        self.slots.at_mut(index).order = order;
        self.set_timer(index, until);
        self.set_limit(index);
        let lane = self.lane_of(index);
        self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index);
    }

    pub(super) fn promote(&mut self, index: u32) {
        self.unlink(index);
        self.unpark(index);
        self.clear_timer(index);
        let order = self.take_order();
        self.slots.at_mut(index).order = order;
        self.make_available(index);
    }

    pub(crate) fn set_timer(&mut self, index: u32, at: RunAt) {
        let timer = match at {
            RunAt::Wall(at) => self.wall_timers.insert(at.saturating_add(self.wall_set_back_ms), index),
            RunAt::Logical(at) => self.logical_timers.insert(at, Timer::Slot(index)),
        };
        let extra = self.slots.at_mut(index).extra_mut();
        (extra.run_at, extra.timer) = (Some(at), Some(timer));
    }

    /// A job that does not run is discarded when its time is over, unless it runs again by then.
    pub(crate) fn set_limit(&mut self, index: u32) {
        let Some((at, _)) = self.slots.at(index).limit() else { return };
        self.clear_limit(index);
        let timer = self.limit_timers.insert(at.saturating_add(self.wall_set_back_ms), index);
        self.slots.at_mut(index).extra_mut().limit_timer = Some(timer);
    }

    pub(super) fn clear_limit(&mut self, index: u32) {
        let timer = self.slots.at_mut(index).extra.as_mut().and_then(|extra| extra.limit_timer.take());
        timer.map(|timer| self.limit_timers.cancel(timer));
    }

    pub(super) fn clear_timer(&mut self, index: u32) {
        let Some(extra) = self.slots.at_mut(index).extra.as_mut() else { return };
        let (at, timer) = (extra.run_at.take(), extra.timer.take());
        match (at, timer) {
            (Some(RunAt::Wall(_)), Some(timer)) => self.wall_timers.cancel(timer),
            (Some(RunAt::Logical(_)), Some(timer)) => self.logical_timers.cancel(timer),
            _ => false,
        };
    }
}
