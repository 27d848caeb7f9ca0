//! Jobs: which one an id means, when one may begin, and what stays of it.

use super::Mutant;

const SLOTS: &str = "crates/lineshaft-jobs/src/slots.rs";
const TICK: &str = "crates/lineshaft-jobs/src/decide/tick.rs";

/// Whether a place has the job of an id.
const SAME: &str = "!slot.is_free()
            && slot.generation == generation
            && JobId::direct(slot.created_ms, shard, index, generation) == job";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "job-found-by-its-place-alone",
        rule: "looking a job up compares all of its id: its place may be another one's by now",
        file: SLOTS,
        within: "",
        original: SAME,
        mutated: "let _ = (generation, shard); !slot.is_free()",
        seed: Some(1),
    },
    Mutant {
        name: "generation-not-compared",
        rule: "looking a job up compares how often its place was used: the wall clock may show the same time again",
        file: SLOTS,
        within: "",
        original: SAME,
        mutated: "!slot.is_free() && JobId::direct(slot.created_ms, shard, index, generation) == job",
        seed: Some(308),
    },
    Mutant {
        name: "time-not-compared",
        rule: "looking a job up compares when it was made: a history that is gone gave the same places",
        file: SLOTS,
        within: "",
        original: SAME,
        mutated: "let _ = (shard, job); !slot.is_free() && slot.generation == generation",
        seed: Some(10),
    },
    Mutant {
        name: "finished-jobs-begin-again",
        rule: "a finished job never changes: to try it again makes another one",
        file: "crates/lineshaft-jobs/src/decide/verbs.rs",
        within: "state if state.is_finished() => Ok(not_in_memory(request.job)),",
        original: "Ok(not_in_memory(request.job))",
        mutated: "Ok(self.retry_now(place, slot))",
        seed: Some(8),
    },
    Mutant {
        name: "equal-jobs-let-in",
        rule: "a unique key keeps equal jobs out",
        file: "crates/lineshaft-jobs/src/decide/enqueue.rs",
        within: "",
        original: "by_key().or_else(by_unique).or_else(by_period)",
        mutated: "let _ = by_unique; by_key().or_else(by_period)",
        seed: Some(8),
    },
    Mutant {
        name: "paused-queues-go-on",
        rule: "nothing of a paused queue begins",
        file: "crates/lineshaft-jobs/src/apply/queues.rs",
        within: "self.lanes.pause(lane, paused, &self.slots);",
        original: "paused",
        mutated: "paused && self.next_order % 2 == 0",
        seed: Some(2),
    },
    Mutant {
        name: "purge-leaves-the-rest",
        rule: "a purge goes on until nothing is left of what was there",
        file: TICK,
        within: "if slots.is_empty() {
            return Some(Change::PurgeEnded",
        original: "slots.is_empty()",
        mutated: "slots.len() < self.limits.step",
        seed: Some(39),
    },
    Mutant {
        name: "purge-takes-later-jobs",
        rule: "a purge takes what was there when it was asked for, however many commits it takes",
        file: "crates/lineshaft-jobs/src/apply.rs",
        within: "",
        original: "entry.purge_before.replace(before)",
        mutated: "let _ = before; entry.purge_before.replace(u64::MAX)",
        seed: Some(69),
    },
    Mutant {
        name: "purge-forgotten-at-the-start",
        rule: "how far a purge has come is state: it goes on after a start",
        file: "crates/lineshaft-jobs/src/snapshot/tables.rs",
        within: "",
        original: "self.purging.insert(name);",
        mutated: "",
        seed: Some(5),
    },
    Mutant {
        name: "scheduled-jobs-come-early",
        rule: "a job that waits for a time of the wall clock does not begin before it, though the clock is set back",
        file: TICK,
        within: "",
        original: "self.run_at(*slot) <= Some(RunAt::Wall(now.wall_ms))",
        mutated: "let _ = slot; true",
        seed: Some(593),
    },
    Mutant {
        name: "failures-not-handled",
        rule: "a job that gives up and has a handler is handled in the same commit",
        file: "crates/lineshaft-jobs/src/decide/mod.rs",
        within: "",
        original: "self.with_handlers(entries, now)",
        mutated: "entries",
        seed: Some(2),
    },
    Mutant {
        name: "checkpoints-not-kept",
        rule: "a checkpoint that was confirmed is what the next attempt goes on from",
        file: "crates/lineshaft-jobs/src/decide/checkpoints.rs",
        within: "",
        original: "vec![checkpointed(slot, value)]",
        mutated: "drop(checkpointed(slot, value)); Vec::new()",
        seed: Some(3),
    },
    Mutant {
        name: "repeats-begin-anew",
        rule: "a job that repeats another one goes on from where that one was",
        file: "crates/lineshaft-jobs/src/decide/verbs.rs",
        within: "",
        original: "!archived.checkpoint.is_empty()",
        mutated: "false",
        seed: Some(579),
    },
];
