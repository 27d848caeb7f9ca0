//! The rules by which a job is run, and the handler of its failure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The rules by which a job is run; equal ones are kept once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rules {
    /// Errored and timed-out attempts after which it gives up: retries + 1. 1 to 10,000.
    pub max_attempts: u32,
    /// Crashes after which it gives up. 1 to 100.
    pub max_crashes: u32,
    /// Milliseconds an attempt may take from its beginning; `None` is no limit.
    pub timeout_ms: Option<u64>,
    /// Backoff before the first retry; doubles with each, full jitter.
    pub backoff_first_ms: u64,
    /// Longest backoff.
    pub backoff_max_ms: u64,
    /// Canonical class names that are retried; empty is every `Exception`.
    pub retry_on: Vec<String>,
    /// Canonical class names that are never retried.
    pub retry_never: Vec<String>,
    /// Never run twice, rather lost: no retry on error, crash or loss.
    pub at_most_once: bool,
    /// Whether the result is kept.
    pub keep_result: bool,
    /// How long the result is kept after the end.
    pub result_ttl_ms: u64,
    /// The job that is made when this one is discarded, in the same commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Arc<OnFailure>>,
}

/// The handler of a job that gave up: a job whose one argument is the failed one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OnFailure {
    /// Name of the task.
    pub task: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// 1 (first) to 9.
    pub priority: u8,
    /// Milliseconds from the failure until it must have begun, if it must.
    pub expires_ms: Option<u64>,
    /// Milliseconds from the failure until it must have ended, if it must.
    pub deadline_ms: Option<u64>,
    /// Free labels.
    pub tags: Vec<Arc<str>>,
    /// How it is run, and what is made of it if it gives up too: at most
    /// [`ON_FAILURE_DEPTH_MAX`](super::ON_FAILURE_DEPTH_MAX) in a row.
    pub rules: Arc<Rules>,
    /// The version of the task that it is made for, from 1.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u32,
}

const fn first_version() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_first_version(version: &u32) -> bool {
    *version == 1
}

impl Rules {
    /// The handler of a failure, the handler of that one's failure, and so on.
    pub fn handlers(&self) -> impl Iterator<Item = &OnFailure> {
        std::iter::successors(self.on_failure.as_deref(), |handler| handler.rules.on_failure.as_deref())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            max_crashes: 3,
            timeout_ms: Some(3_600_000),
            backoff_first_ms: 1_000,
            backoff_max_ms: 600_000,
            retry_on: Vec::new(),
            retry_never: Vec::new(),
            at_most_once: false,
            keep_result: true,
            result_ttl_ms: 86_400_000,
            on_failure: None,
        }
    }
}
