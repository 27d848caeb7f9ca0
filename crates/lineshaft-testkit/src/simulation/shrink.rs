//! Makes a run smaller that breaks a promise, as long as it still breaks one.

use super::{Plan, Violation, run};

/// Runs tried at most.
const TRIES_MAX: u32 = 400;

/// A plan as small as could be found whose run breaks a promise too, and how. `plan` breaks one.
pub fn shrink(plan: &Plan, violation: Violation) -> (Plan, Violation) {
    let mut best = (plan.clone(), violation);
    let mut tries = 0;
    while let Some(smaller) = smaller_ones(&best.0).into_iter().find_map(|plan| {
        tries += 1;
        let broken = if tries <= TRIES_MAX { run(&plan).err() } else { None };
        broken.map(|violation| (plan, violation))
    }) {
        best = smaller;
    }
    best
}

/// Plans with something less, those with much less first.
fn smaller_ones(plan: &Plan) -> Vec<Plan> {
    let mut smaller = Vec::new();
    let half = plan.faults.len() / 2;
    if half > 1 {
        smaller.push(Plan { faults: plan.faults[..half].to_vec(), ..plan.clone() });
        smaller.push(Plan { faults: plan.faults[half..].to_vec(), ..plan.clone() });
    }
    for at in (0..plan.faults.len()).rev() {
        let mut faults = plan.faults.clone();
        faults.remove(at);
        smaller.push(Plan { faults, ..plan.clone() });
    }
    let mut fewer = |count: u32, least: u32, with: &dyn Fn(u32) -> Plan| {
        let counts = [count / 2, count - 1].into_iter().filter(|less| (least..count).contains(less));
        smaller.extend(counts.map(with));
    };
    fewer(plan.producers, 1, &|producers| Plan { producers, ..plan.clone() });
    fewer(plan.workers, 1, &|workers| Plan { workers, ..plan.clone() });
    fewer(plan.requests, 1, &|requests| Plan { requests, ..plan.clone() });
    smaller
}
