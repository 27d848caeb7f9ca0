//! Turns at limiters.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_structures::Rate;
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
        let next = self.limiters.next(key);
        let rate = Rate::resumed(*interval_ns, *burst, next.unwrap_or(0));
        let Some(mut rate) = rate.filter(|_| ahead_ns <= PASS_NS_MAX) else {
            return Err(bad(format!(
                "{burst} turns at once, {interval_ns} ns apart: both are at least 1, and {PASS_NS_MAX} ns together at most"
            )));
        };
        let now_ns = now.logical_ms.saturating_mul(NS_OF_MS);
        let patience = Duration::from_millis(*patience_ms);
        let passed = |wait: Duration, taken| Reply::Passed(Passed { wait_ns: wait.as_nanos() as u64, taken });
        match rate.reserve(patience, now_ns) {
            Err(wait) => Ok(Decision::of(Vec::new(), passed(wait, false))),
            Ok(wait) => {
                check_room(
                    "limiters",
                    self.limiters.len(),
                    usize::from(next.is_none()),
                    self.limits.limiters,
                )?;
                let change = Change::Passed { limiter: Arc::clone(key), next_ns: rate.next_ns() };
                Ok(Decision::of(vec![change.into()], passed(wait, true)))
            }
        }
    }
}
