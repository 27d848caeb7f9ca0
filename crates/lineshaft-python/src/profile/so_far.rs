//! What a profile has while it is made, for whoever may have to do without the rest.

use std::time::{Duration, Instant};

use lineshaft_insight::profile::Profile;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);
/// It is told more seldom where that takes long: a pause has so many times as long.
const PAUSE: u32 = 20;

/// Is given what was seen, and in which time.
type Tell = dyn FnMut(&Profile, Duration) + Send;

/// Somebody who is told.
pub(crate) struct SoFar {
    began: Instant,
    not_before: Instant,
    tell: Box<Tell>,
}

impl SoFar {
    /// `tell` is given what was seen, and in which time; without the GIL.
    pub(crate) fn new(tell: impl FnMut(&Profile, Duration) + Send + 'static) -> Self {
        let began = Instant::now();
        Self { began, not_before: began + EVERY, tell: Box::new(tell) }
    }

    /// Whether it is time to tell.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.not_before
    }

    pub(super) fn tell(&mut self, profile: &Profile) {
        let now = Instant::now();
        if now >= self.not_before {
            (self.tell)(profile, now - self.began);
            self.not_before = now + EVERY.max(now.elapsed() * PAUSE);
        }
    }
}
