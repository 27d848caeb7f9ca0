//! Which attempts of a worker are profiled, and how that begins.

use std::sync::Arc;
use std::time::Instant;

use crate::task::Context;
use crate::worker::profiles::{Followed, Profiling, SlowWatch, Which, Whose, Why};
use crate::worker::{Job, Ticket};

/// Those of a worker that may come to run for long.
pub(super) type Slow = Arc<SlowWatch<Run>>;

/// The run of a body.
pub(super) struct Run {
    context: Context,
    /// The number of its task.
    task: u32,
    version: u32,
}

/// What becomes of an attempt, apart from its end.
pub(super) struct Plan {
    slow: Slow,
    which: Arc<Which>,
    why: Option<Why>,
}

/// An attempt that is looked after, until this is dropped.
pub(super) struct LookedAfter {
    slow: Slow,
    ticket: Ticket,
}

pub(super) fn slow() -> Slow {
    Arc::new(SlowWatch::new(|long: Vec<Followed<Run>>| {
        long.iter().filter(|one| one.take_turn()).for_each(|one| one.what.profile(Why::Slow));
        true
    }))
}

impl Plan {
    /// `None` if there is no reason to profile an attempt of this task, however long it will run.
    pub(super) fn of(slow: &Slow, which: &Arc<Which>, why: Option<Why>) -> Option<Self> {
        let is_needed = why.is_some() || which.long_after().is_some();
        is_needed.then(|| Self { slow: Arc::clone(slow), which: Arc::clone(which), why })
    }

    /// The body of a job begins, in the code of this version of its task.
    pub(super) fn begin(self, context: &Context, job: &Job, version: u32) -> Option<LookedAfter> {
        let Self { slow, which, why } = self;
        let run = Run { context: context.clone(), task: job.task, version };
        if let Some(why) = why {
            run.profile(why);
            return None;
        }
        let (ticket, long_at) = (job.ticket(), Instant::now() + which.long_after()?);
        slow.follow(Followed { ticket, which, long_at, what: run });
        Some(LookedAfter { slow, ticket })
    }
}

impl Run {
    /// From now on the body is profiled, if there is room for that and it is not over.
    fn profile(&self, why: Why) {
        let Some((place, ticket)) = self.context.place() else { return };
        self.context.profiled().begin(|| {
            let attempts = Arc::clone(&place.attempts);
            if !attempts.is_running(ticket) {
                return None;
            }
            let (task, worker) = attempts.names_at(self.task);
            let (job, attempt) = (self.context.job(), self.context.attempt());
            let whose = Whose { attempts, job, attempt, task, worker, version: self.version, why };
            // Given back when the attempt is over, which ends its profile.
            let context = self.context.clone();
            Profiling::begin(whose, move |looker| looker.look(context.profiled().spot()))
        });
    }
}

impl Drop for LookedAfter {
    fn drop(&mut self) {
        self.slow.forget(self.ticket);
    }
}
