//! How long a call may wait.

use std::time::{Duration, Instant};

/// A moment until which somebody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now; `None` for ever, as is what lies beyond the clock.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left of it, at most `longest`; `None` when it has passed.
    pub(crate) fn left(self, longest: Duration) -> Option<Duration> {
        let Some(deadline) = self.0 else { return Some(longest) };
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_bounded_and_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Deadline::after(None).left(second), Some(second));
        assert_eq!(Deadline::after(Some(Duration::MAX)).left(second), Some(second));
        assert_eq!(Deadline::after(Some(second * 1_000)).left(second), Some(second));
        assert_eq!(Deadline::after(Some(Duration::ZERO)).left(second), None);
    }
}
