//! Locks: one holder, fences that grow, and the time for which a lock is held.

use super::Mutant;

const LOCKS: &str = "crates/lineshaft-jobs/src/locks.rs";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "lock-given-to-two",
        rule: "a lock has one holder",
        file: LOCKS,
        within: "",
        original: "count < permits as usize",
        mutated: "count < permits as usize || kind == LockKind::Mutex",
        seed: Some(6),
    },
    Mutant {
        name: "lock-fence-comes-twice",
        rule: "the fence of a lock is greater than all before it",
        file: LOCKS,
        within: "",
        original: "(self.fence + 1).max(epoch << EPOCH_SHIFT)",
        mutated: "(epoch << EPOCH_SHIFT) + self.holders.len() as u64",
        seed: Some(6),
    },
    Mutant {
        name: "lock-ends-early",
        rule: "a lock that is renewed in time is held",
        file: LOCKS,
        within: "Some(holder) => holder.ends_ms = holder.ends_ms.max(logical_ms + holder.new.ttl_ms),",
        original: "logical_ms + holder.new.ttl_ms",
        mutated: "logical_ms",
        seed: Some(22),
    },
    Mutant {
        name: "restart-ends-locks",
        rule: "holders of locks have their whole time to come back after a restart",
        file: "crates/lineshaft-jobs/src/apply/locks.rs",
        within: "holder.ends_ms = self.logical_ms.saturating_add(holder.new.ttl_ms);",
        original: "self.logical_ms.saturating_add(holder.new.ttl_ms)",
        mutated: "self.logical_ms.saturating_add(1)",
        seed: Some(38),
    },
];
