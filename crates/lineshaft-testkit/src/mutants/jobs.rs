//! Jobs: which one an id means, when one may begin, and what stays of it.

use super::Mutant;

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "job-found-by-its-place-alone",
        rule: "looking a job up compares all of its id: its place may be another one's by now",
        file: "crates/lineshaft-jobs/src/slots.rs",
        within: "let same = !slot.is_free()
            && slot.generation == generation
            && JobId::direct(slot.created_ms, shard, index, generation) == job;",
        original: "!slot.is_free()
            && slot.generation == generation
            && JobId::direct(slot.created_ms, shard, index, generation) == job",
        mutated: "let _ = (generation, shard); !slot.is_free()",
        seed: Some(4),
    },
    Mutant {
        name: "finished-jobs-begin-again",
        rule: "a finished job never changes: to try it again makes another one",
        file: "crates/lineshaft-jobs/src/decide/verbs.rs",
        within: "state if state.is_finished() => Ok(not_in_memory(request.job)),",
        original: "Ok(not_in_memory(request.job))",
        mutated: "Ok(self.retry_now(place, slot))",
        seed: Some(1),
    },
    Mutant {
        name: "equal-jobs-let-in",
        rule: "a unique key keeps equal jobs out",
        file: "crates/lineshaft-jobs/src/decide/enqueue.rs",
        within: "",
        original: "by_key().or_else(by_unique).or_else(by_period)",
        mutated: "let _ = by_unique; by_key().or_else(by_period)",
        seed: Some(10),
    },
    Mutant {
        name: "paused-queues-go-on",
        rule: "nothing of a paused queue begins",
        file: "crates/lineshaft-jobs/src/apply/queues.rs",
        within: "self.lanes.pause(lane, paused, &self.slots);",
        original: "paused",
        mutated: "paused && self.next_order % 2 == 0",
        seed: Some(6),
    },
    Mutant {
        name: "scheduled-jobs-come-early",
        rule: "a job that waits for a time of the wall clock does not begin before it, though the clock is set back",
        file: "crates/lineshaft-jobs/src/decide/tick.rs",
        within: "",
        original: "self.run_at(*slot) <= Some(RunAt::Wall(now.wall_ms))",
        mutated: "let _ = slot; true",
        seed: Some(150),
    },
    Mutant {
        name: "failures-not-handled",
        rule: "a job that gives up and has a handler is handled in the same commit",
        file: "crates/lineshaft-jobs/src/decide/mod.rs",
        within: "",
        original: "self.with_handlers(entries, now)",
        mutated: "entries",
        seed: Some(1),
    },
    Mutant {
        name: "checkpoints-not-kept",
        rule: "a checkpoint that was confirmed is what the next attempt goes on from",
        file: "crates/lineshaft-jobs/src/decide/checkpoints.rs",
        within: "",
        original: "vec![checkpointed(slot, value)]",
        mutated: "drop(checkpointed(slot, value)); Vec::new()",
        seed: Some(2),
    },
    Mutant {
        name: "repeats-begin-anew",
        rule: "a job that repeats another one goes on from where that one was",
        file: "crates/lineshaft-jobs/src/decide/verbs.rs",
        within: "",
        original: "!archived.checkpoint.is_empty()",
        mutated: "false",
        seed: Some(161),
    },
];
