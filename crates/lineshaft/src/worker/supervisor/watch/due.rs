//! What is due in a child at this moment: its attempts looked at, stopped and killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::{Begun, StopReason};
use rustix::process::Signal;

use super::{LAST_ENDS, LOOK_IDLE, Watch};
use crate::worker::child::LEASE_USED_MAX;
use crate::worker::clock::monotonic_ms;
use crate::worker::supervisor::escalation::{Escalation, Step};
use crate::worker::supervisor::memory::Verdict;
use crate::worker::supervisor::messages::Event;
use crate::worker::supervisor::wear::{Signs, Why, Worn};

/// How often the page is looked at while something runs.
const LOOK_BUSY: Duration = Duration::from_millis(50);

impl Watch {
    pub(super) fn look(&mut self, now: Instant) {
        let begun: Vec<Begun> = self.process.page.begun().collect();
        let begins = self.process.page.begins();
        let more = std::mem::replace(&mut self.begins, begins) != begins;
        let busy = more || !begun.is_empty() || self.drain.is_some();
        self.note_beat(now);
        begun.iter().for_each(|begun| self.watch_clock(begun));
        self.watch_memory(&begun, now);
        self.pace = self.memory.pace(now).unwrap_or(if busy { LOOK_BUSY } else { LOOK_IDLE });
        if !begun.is_empty() {
            self.watch_lease(now);
        }
        self.watch_drain(&begun, now);
        self.watch_retired(begun.is_empty(), now);
        self.escalate(&begun, now);
    }

    fn note_beat(&mut self, now: Instant) {
        let beats = self.process.page.beats();
        if beats != self.beat.0 {
            self.beat = (beats, now);
        }
    }

    fn watch_clock(&self, begun: &Begun) {
        let ran = monotonic_ms().saturating_sub(begun.started_ms);
        if begun.timeout_ms > 0 && ran >= begun.timeout_ms {
            self.request(begun, StopReason::TimedOut);
        }
    }

    /// Memory grows too fast for anybody to be asked.
    fn watch_memory(&mut self, begun: &[Begun], now: Instant) {
        match self.memory.look(begun, now) {
            Verdict::Kill(excess) if self.excess.is_none() => {
                self.excess = Some(excess);
                self.end_group(Signal::KILL);
            }
            Verdict::Warn(words) => self.process.say(&words),
            Verdict::Kill(_) | Verdict::Fine => {}
        }
    }

    /// A child that stands still, or whose connection does, cannot end its attempt before its lease ends.
    fn watch_lease(&self, now: Instant) {
        let (beats, at) = self.beat;
        if beats > 0 && self.lease.is_some_and(|lease| now >= at + lease.mul_f64(LEASE_USED_MAX)) {
            self.kill(StopReason::LeaseLost);
        }
    }

    /// The way down of one attempt is that of its whole child: its neighbours run again elsewhere.
    fn escalate(&mut self, begun: &[Begun], now: Instant) {
        let asked = begun.iter().filter(|begun| self.stop_of(begun).is_some()).map(|begun| begun.fence);
        let asked: BTreeSet<_> = asked.collect();
        self.escalations.retain(|fence, _| asked.contains(fence));
        for fence in asked {
            self.escalations.entry(fence).or_insert_with(|| Escalation::new(self.options.grace, now));
        }
        let mut steps: Vec<Step> = self.escalations.values_mut().filter_map(|one| one.due(now)).collect();
        steps.sort_unstable();
        steps.dedup();
        for step in steps {
            match step {
                Step::Ask => self.process.signal(Signal::USR1),
                Step::Terminate => {
                    self.end_group(Signal::TERM);
                    // A stopped process acts on SIGTERM only when it goes on.
                    self.process.signal_group(Signal::CONT);
                }
                Step::Kill => self.end_group(Signal::KILL),
            }
        }
    }

    fn watch_drain(&mut self, begun: &[Begun], now: Instant) {
        let Some(drain) = self.drain else { return };
        let only_tells = begun.is_empty() && self.process.page.unsettled() > 0;
        let extra = if only_tells { LAST_ENDS } else { Duration::ZERO };
        if now >= drain.kill_at + extra {
            self.kill(StopReason::Shutdown);
        } else if now >= drain.ask_at {
            begun.iter().for_each(|begun| self.request(begun, StopReason::Shutdown));
        }
    }

    fn watch_retired(&mut self, is_idle: bool, now: Instant) {
        let Some(retired) = &mut self.retired else { return };
        retired.idle_since = if is_idle { retired.idle_since.or(Some(now)) } else { None };
        if retired.idle_since.is_some_and(|since| now >= since + retired.patience) {
            self.kill(StopReason::Shutdown);
        }
    }

    /// What the crew does not know yet of a child that works.
    pub(super) fn news(&mut self, now: Instant) -> [Option<Event>; 2] {
        let works = self.process.page.beats() > 0 && !self.told.works;
        self.told.works |= works;
        let worn =
            self.worn(now).filter(|worn| self.told.worn.is_none() || (worn.leaves && !self.told.leaves));
        if let Some(worn) = worn {
            self.told.worn = Some(worn.why);
            self.told.leaves |= worn.leaves;
        }
        [works.then_some(Event::Working), worn.map(Event::Worn)]
    }

    /// What the crew does not know of a child that is gone: that it left because it had grown too much.
    pub(super) fn last_news(&mut self) -> Option<Event> {
        let why = Why::Growth(self.process.page.worn().filter(|_| self.may_wear())?);
        self.told.worn = Some(why);
        Some(Event::Worn(Worn { why, leaves: true }))
    }

    const fn may_wear(&self) -> bool {
        self.drain.is_none() && self.retired.is_none() && !self.told.leaves
    }

    fn worn(&mut self, now: Instant) -> Option<Worn> {
        if !self.may_wear() {
            return None;
        }
        let lease = self.lease.unwrap_or_default();
        let signs = Signs { heard: self.beat.1, server: self.server, lease };
        self.wear.look(&self.options, &self.process.page, signs, now)
    }
}
