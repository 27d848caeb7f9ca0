//! What is wanted of a worker, passed on to its children.

use std::time::{Duration, Instant};

use super::Crew;
use crate::worker::Error;
use crate::worker::farewell::{Farewell, words_of_kill};
use crate::worker::supervisor::Phase;
use crate::worker::supervisor::messages::Command;

/// The part of the grace after which attempts that run on are asked to stop.
const ASK_AT: f64 = 0.75;
/// What attempts get that nobody waits for any more.
const LEAVE_GRACE: Duration = Duration::from_secs(1);

impl Crew {
    pub(super) fn obey(&mut self) {
        let wish = *self.wishes.borrow_and_update();
        self.wish.processes = self.wish.processes.max(wish.processes);
        if wish.aloud && (self.farewell.is_none() || wish.phase > self.wish.phase) {
            self.farewell = Some(Farewell::new(Instant::now(), self.grace(wish.phase), Some("kills")));
        }
        if wish.phase == Phase::Killing && self.farewell.take().is_some() {
            words_of_kill(self.running()).into_iter().for_each(|words| self.tell(&words));
        }
        self.enter(wish.phase);
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        if phase <= self.wish.phase {
            return;
        }
        self.wish.phase = phase;
        let kill_after = self.grace(phase);
        self.tell_all(match phase {
            Phase::Killing => Command::Kill,
            Phase::Leaving => Command::Drain { ask_after: Duration::ZERO, kill_after },
            _ => Command::Drain { ask_after: kill_after.mul_f64(ASK_AT), kill_after },
        });
    }

    /// What attempts get when the worker stops in this way.
    fn grace(&self, phase: Phase) -> Duration {
        let grace = self.worker.options.grace;
        if phase == Phase::Leaving { grace.min(LEAVE_GRACE) } else { grace }
    }

    /// Attempts that run in the children.
    fn running(&self) -> usize {
        self.members.values().map(|member| member.page.begun().count()).sum()
    }

    pub(super) fn say_farewell(&mut self) {
        let running = self.running();
        let words = self.farewell.as_mut().and_then(|farewell| farewell.words(Instant::now(), running));
        words.into_iter().for_each(|words| self.tell(&words));
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
        self.enter(Phase::Killing);
    }

    pub(super) fn tell_all(&self, command: Command) {
        // A child whose task is over needs no more telling.
        self.members.values().for_each(|member| _ = member.commands.send(command));
    }
}
