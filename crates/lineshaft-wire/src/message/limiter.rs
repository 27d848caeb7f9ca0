//! Turns at limiters: how often something may happen, counted for all programs of a home.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Takes the next turn at a limiter, now or later. Answered by [`Passed`] at once; who has to wait does so by itself.
///
/// It may be sent again: then another turn is taken, and there are fewer than the rate allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Its name: 1 to 255 bytes without control characters.
    pub key: Arc<str>,
    /// How far turns are apart when all of them are taken, nanoseconds: 1 to [`PASS_NS_MAX`](super::PASS_NS_MAX).
    pub interval_ns: u64,
    /// How many may follow each other at once after a quiet time, at least 1; no more than fill
    /// [`PASS_NS_MAX`](super::PASS_NS_MAX).
    pub burst: u32,
    /// The longest wait for which a turn is taken, milliseconds.
    pub patience_ms: u64,
}

/// The answer to [`Pass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// How long it is until the turn, nanoseconds.
    pub wait_ns: u64,
    /// Whether it was taken: the wait is not longer than the asker's patience.
    pub taken: bool,
}
