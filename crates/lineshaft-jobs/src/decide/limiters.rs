//! Turns at limiters.

use std::sync::Arc;

use lineshaft_wire::message::{PASS_NS_MAX, Pass, Passed};

use super::check_room;
use super::enqueue::{bad, check_text};
use crate::change::Change;
use crate::command::{Decision, Now, Refusal, Reply};
use crate::state::State;

const NS_OF_MS: u64 = 1_000_000;

impl State {
    pub(super) fn decide_pass(&self, pass: &Pass, now: Now) -> Result<Decision, Refusal> {
        let Pass { key, interval_ns, burst, patience_ms } = pass;
        check_text("key of a limiter", key)?;
        let ahead_ns = interval_ns.saturating_mul(u64::from(*burst));
        if *interval_ns == 0 || *burst == 0 || ahead_ns > PASS_NS_MAX {
            return Err(bad(format!(
                "{burst} turns at once, {interval_ns} ns apart: both are at least 1, and {PASS_NS_MAX} ns together at most"
            )));
        }
        let now_ns = now.logical_ms.saturating_mul(NS_OF_MS);
        let next = self.limiters.next(key);
        let even = next.unwrap_or(0).max(now_ns);
        let wait_ns = even.saturating_sub(ahead_ns - interval_ns).saturating_sub(now_ns);
        let taken = wait_ns <= patience_ms.saturating_mul(NS_OF_MS);
        let passed = Reply::Passed(Passed { wait_ns, taken });
        if !taken {
            return Ok(Decision::of(Vec::new(), passed));
        }
        check_room("limiters", self.limiters.len(), usize::from(next.is_none()), self.limits.limiters)?;
        let change = Change::Passed { limiter: Arc::clone(key), next_ns: even.saturating_add(*interval_ns) };
        Ok(Decision::of(vec![change.into()], passed))
    }
}
