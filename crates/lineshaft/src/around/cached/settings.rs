//! The options of a cached function.

use std::time::Duration;

use lineshaft_cache::{Capacity, Life, Options, PolicyKind};

/// Checked. Durations are milliseconds, `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From when it was computed.
    pub ttl_ms: Option<u64>,
    /// From when it was last used.
    pub idle_ms: Option<u64>,
    /// How long an error is kept; `None` for not at all.
    pub negative_ms: Option<u64>,
    /// Number of entries; `None` for as many as come.
    pub max: Option<u32>,
    /// Who goes when room is needed.
    pub policy: PolicyKind,
}

impl Settings {
    /// 10,000 entries under S3-FIFO, which live until they have to go.
    pub const DEFAULT: Self = Self {
        ttl_ms: None,
        idle_ms: None,
        negative_ms: None,
        max: Some(10_000),
        policy: PolicyKind::S3Fifo,
    };

    pub(super) fn options(&self) -> Options {
        Options {
            capacity: self.max.map_or(Capacity::Unbounded, Capacity::Entries),
            policy: self.policy,
            life: Life { ttl_ms: self.ttl_ms, idle_ms: self.idle_ms },
            ..Options::default()
        }
    }

    /// How long an error lives; `None` if it is not kept.
    pub(super) fn negative(&self) -> Option<Life> {
        self.negative_ms.map(|ms| Life { ttl_ms: Some(ms), idle_ms: None })
    }
}

/// A life in milliseconds; a panic, which is an error of the compiler where it is a constant, if there are none.
pub const fn life(duration: Duration) -> u64 {
    let ms = duration.as_millis() as u64;
    assert!(ms > 0, "an entry lives for at least a millisecond; leave the option out for one that is kept");
    ms
}
