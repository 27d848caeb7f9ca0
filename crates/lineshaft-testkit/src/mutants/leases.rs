//! Leases: their fences, the clock by which they end, and what ends them before.

use super::Mutant;

const OPEN: &str = "crates/lineshaft-engine/src/open.rs";
const EPOCH: &str = "recovery.epoch.max(state.epoch()).saturating_add(1).max(now.wall_ms / 1000)";
const CHILDREN: &str = "crates/lineshaft-jobs/src/decide/children.rs";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "epoch-stays",
        rule: "every start has an epoch of its own, so no fence comes twice",
        file: OPEN,
        within: "",
        original: EPOCH,
        mutated: "recovery.epoch.max(state.epoch()).max(1)",
        seed: Some(1),
    },
    Mutant {
        name: "epoch-of-the-clock-alone",
        rule: "an epoch is above the last one although the clock was set back",
        file: OPEN,
        within: "",
        original: EPOCH,
        mutated: "now.wall_ms / 1000",
        seed: Some(6),
    },
    Mutant {
        name: "fence-comes-twice",
        rule: "every lease has a fence of its own",
        file: "crates/lineshaft-jobs/src/apply/leases.rs",
        within: "",
        original: "self.fence_counter += 1;",
        mutated: "self.fence_counter = 1;",
        seed: Some(1),
    },
    Mutant {
        name: "leases-on-the-wall-clock",
        rule: "leases run on a clock that nobody sets",
        file: "crates/lineshaft-engine/src/clock.rs",
        within: "",
        original: "self.base_ms + self.clock.since(self.started).as_millis() as u64",
        mutated: "self.base_ms.max(self.clock.wall_ms())",
        seed: Some(36),
    },
    Mutant {
        name: "leases-end-early",
        rule: "a lease that is renewed in time stands",
        file: "crates/lineshaft-jobs/src/dispatch.rs",
        within: "entry.lease_ends = entry.lease_ends.max(logical_ms + self.limits.lease_ms);",
        original: "logical_ms + self.limits.lease_ms",
        mutated: "logical_ms + self.limits.lease_ms / 3",
        seed: Some(1),
    },
    Mutant {
        name: "stall-not-credited",
        rule: "a lease does not end while the engine stands still and hears of no renewal",
        file: "crates/lineshaft-engine/src/driver.rs",
        within: "",
        original: "self.core.credit_gap((still + self.pulse.bonus()).as_millis() as u64);",
        mutated: "",
        seed: None,
    },
    Mutant {
        name: "restart-ends-leases",
        rule: "workers have a whole lease to come back after a restart",
        file: "crates/lineshaft-jobs/src/apply.rs",
        within: "",
        original: "child.lease_ends = lease_ends;",
        mutated: "child.lease_ends = 0;",
        seed: Some(3),
    },
    Mutant {
        name: "connection-taken-for-death",
        rule: "a connection that ends proves no death",
        file: "crates/lineshaft-engine/src/core.rs",
        within: "current.remove();
            self.state.detach(child);",
        original: "self.state.detach(child);",
        mutated: "self.state.detach(child);
            let death = Death { child, worker: 0, supervisor: None, supervised_ms: 0, alone_ms: 0 };
            self.deaths.push(death);",
        seed: Some(77),
    },
    Mutant {
        name: "undelivered-leases-stay",
        rule: "a lease that never reached its child goes back when the child attaches again",
        file: CHILDREN,
        within: "",
        original: "self.hand_back(undelivered)",
        mutated: "drop(undelivered); Vec::new()",
        seed: Some(11),
    },
    Mutant {
        name: "held-leases-refused",
        rule: "a worker that attaches again keeps the leases that it holds",
        file: CHILDREN,
        within: "attach.held.iter().filter(|held| !own(held))",
        original: "!own(held)",
        mutated: "!own(held) || held.1.counter % 7 == 0",
        seed: Some(13),
    },
    Mutant {
        name: "at-most-once-runs-again",
        rule: "a job that shall run at most once is not given away again when its lease is lost",
        file: CHILDREN,
        within: "",
        original: "self.rules.at(entry.rules).at_most_once",
        mutated: "false && self.rules.at(entry.rules).at_most_once",
        seed: Some(4),
    },
];
