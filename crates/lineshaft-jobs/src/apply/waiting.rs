//! Jobs that become available, or wait for a time.

use lineshaft_wire::JobState;

use crate::change::RunAt;
use crate::state::{State, Timer};

impl State {
    pub(super) fn make_available(&mut self, index: u32) {
        self.set_state(index, JobState::Available);
        self.set_limit(index);
        if self.slots.job(index).parked().is_some() {
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

    /// The time has come that the job waited for.
    pub(super) fn note_ready(&mut self, index: u32) {
        let mut times = *self.slots.job(index).times;
        times.set_ready(self.wall_ms);
        self.slots.set_times(index, times);
    }

    pub(crate) fn set_timer(&mut self, index: u32, at: RunAt) {
        let mut times = *self.slots.job(index).times;
        times.set_run_at(Some(at));
        self.slots.set_times(index, times);
        self.start_timer(index, at);
    }

    /// Sets the timer of a job that has its time already.
    pub(crate) fn start_timer(&mut self, index: u32, at: RunAt) {
        let timer = match at {
            RunAt::Wall(at) => self.wall_timers.insert(at.saturating_add(self.wall_set_back_ms), index),
            RunAt::Logical(at) => self.logical_timers.insert(at, Timer::Slot(index)),
        };
        self.slots.timers.set(index, timer);
    }

    /// A job that does not run is discarded when its time is over, unless it runs again by then.
    pub(crate) fn set_limit(&mut self, index: u32) {
        let Some((at, _)) = self.slots.job(index).limit() else { return };
        self.clear_limit(index);
        let timer = self.limit_timers.insert(at.saturating_add(self.wall_set_back_ms), index);
        self.slots.limit_timers.set(index, timer);
    }

    pub(super) fn clear_limit(&mut self, index: u32) {
        let timer = self.slots.limit_timers.take(index);
        timer.map(|timer| self.limit_timers.cancel(timer));
    }

    pub(super) fn clear_timer(&mut self, index: u32) {
        let mut times = *self.slots.job(index).times;
        let Some(at) = times.run_at() else { return };
        times.set_run_at(None);
        self.slots.set_times(index, times);
        let Some(timer) = self.slots.timers.take(index) else { return };
        match at {
            RunAt::Wall(_) => self.wall_timers.cancel(timer),
            RunAt::Logical(_) => self.logical_timers.cancel(timer),
        };
    }
}
