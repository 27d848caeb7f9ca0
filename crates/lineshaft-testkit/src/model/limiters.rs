//! Turns at limiters.

use std::sync::Arc;

use lineshaft_wire::message::{Pass, Passed, RefusalCode};

use super::{Model, Told};

impl Model {
    pub(super) fn pass(&mut self, pass: &Pass) -> Result<Told, RefusalCode> {
        let Pass { key, interval_ns, burst, patience_ms } = pass;
        let makes_sense = (1..=255).contains(&key.len())
            && !key.chars().any(char::is_control)
            && *interval_ns > 0
            && *burst > 0
            && u128::from(*interval_ns) * u128::from(*burst) <= 366 * 86_400 * 1_000_000_000;
        if !makes_sense {
            return Err(RefusalCode::BadRequest);
        }
        let now_ns = self.logical_ms * 1_000_000;
        let even_ns = self.limiters.get(key).copied().unwrap_or(0).max(now_ns);
        // So many turns before it there was one that must be in the past.
        let wait_ns = even_ns.saturating_sub(now_ns + interval_ns * u64::from(burst - 1));
        let taken = u128::from(wait_ns) <= u128::from(*patience_ms) * 1_000_000;
        if taken {
            self.limiters.insert(Arc::clone(key), even_ns + interval_ns);
        }
        Ok(Told::Passed(Passed { wait_ns, taken }))
    }
}
