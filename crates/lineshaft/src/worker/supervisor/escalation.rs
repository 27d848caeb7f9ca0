//! How an attempt that must stop is stopped: asked, terminated, killed.

use std::time::{Duration, Instant};

/// Time between SIGTERM and SIGKILL.
pub(super) const TERM_GRACE: Duration = Duration::from_secs(2);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Signal the child, whose handler raises in the body.
    Ask,
    /// SIGTERM to the process group.
    Terminate,
    /// SIGKILL to the process group.
    Kill,
}

/// The way down for one attempt. It is over when the attempt is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escalation {
    next: Option<(Step, Instant)>,
    grace: Duration,
}

impl Escalation {
    /// Begins by asking.
    pub(super) fn new(grace: Duration, now: Instant) -> Self {
        Self { next: Some((Step::Ask, now)), grace }
    }

    /// The step that is due, once each.
    pub(super) fn due(&mut self, now: Instant) -> Option<Step> {
        let (step, _) = self.next.filter(|(_, at)| now >= *at)?;
        self.next = match step {
            Step::Ask => Some((Step::Terminate, now + self.grace)),
            Step::Terminate => {
                Some((Step::Kill, now + TERM_GRACE.min(self.grace.max(Duration::from_millis(100)))))
            }
            Step::Kill => None,
        };
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_due_once_and_in_order() {
        let start = Instant::now();
        let mut escalation = Escalation::new(Duration::from_secs(30), start);
        let mut steps = Vec::new();
        for second in 0..100 {
            if let Some(step) = escalation.due(start + Duration::from_secs(second)) {
                steps.push((second, step));
            }
        }
        assert_eq!(steps, [(0, Step::Ask), (30, Step::Terminate), (32, Step::Kill)]);
    }

    #[test]
    fn without_grace_the_kill_follows_at_once() {
        let start = Instant::now();
        let mut escalation = Escalation::new(Duration::ZERO, start);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(
            [0, 0, 50, 100].map(|millis| escalation.due(at(millis))),
            [Some(Step::Ask), Some(Step::Terminate), None, Some(Step::Kill)]
        );
    }
}
