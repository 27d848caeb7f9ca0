//! Locks that are given and given back.

use crate::change::NewHolder;
use crate::command::Event;
use crate::locks::Holder;
use crate::state::{State, Timer};

impl State {
    pub(super) fn lock(&mut self, new: &NewHolder) {
        let fence = self.locks.next_fence(self.epoch);
        self.hold(fence, new.clone(), self.wall_ms);
        self.events.push(Event::Locked { session: new.session, token: new.token, fence });
    }

    /// One holds a lock from now on, or did when the snapshot was made.
    pub(crate) fn hold(&mut self, fence: u64, new: NewHolder, since_ms: u64) {
        let ends_ms = self.logical_ms.saturating_add(new.ttl_ms);
        let timer = self.logical_timers.insert(ends_ms, Timer::Lock(fence));
        self.locks.insert(fence, Holder { new, since_ms, ends_ms, timer });
    }

    pub(super) fn unlock(&mut self, fence: u64, taken: bool) {
        let Some(Holder { new, timer, .. }) = self.locks.remove(fence) else { return };
        self.logical_timers.cancel(timer);
        if taken {
            self.events.push(Event::LockLost { session: new.session, token: new.token });
        }
    }

    pub(crate) fn start_lock_timer(&mut self, fence: u64) {
        if let Some(holder) = self.locks.holders.get_mut(&fence) {
            holder.timer = self.logical_timers.insert(holder.ends_ms, Timer::Lock(fence));
        }
    }

    /// An engine has started: every lock that is held is held for its whole time again.
    pub(super) fn restart_locks(&mut self) {
        for holder in self.locks.holders.values_mut() {
            holder.ends_ms = self.logical_ms.saturating_add(holder.new.ttl_ms);
        }
    }
}
