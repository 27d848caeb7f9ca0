//! Rings, locks, permits and who sleeps over them: what processes share without asking anybody. The models of `lineshaft-ipc`
//! try every order of loads and stores, with processes that die in between.

use super::{Modelled, Mutant};

const RING: &str = "crates/lineshaft-ipc/src/ring/words.rs";
const LOCK: &str = "crates/lineshaft-ipc/src/sync/lock.rs";
const PERMITS: &str = "crates/lineshaft-ipc/src/sync/permits.rs";
const VERSION: &str = "crates/lineshaft-ipc/src/table/version.rs";
const EVENT_COUNT: &str = "crates/lineshaft-ipc/src/sync/event_count.rs";

const IN_ORDER: &str = "ring::model::tests::messages_come_in_their_order_through_a_room_for_two";
const ONE_LOCK: &str = "sync::model::tests::one_at_a_time_has_a_lock_and_all_get_it";
const ONE_PERMIT: &str = "sync::model::tests::one_at_a_time_has_the_only_permit_and_all_get_it";
const SEMAPHORE: &str = "sync::model::tests::what_is_released_wakes_whoever_waits_for_it";
const ONE_CHANGE: &str = "table::version::model::what_is_read_is_of_one_change";

pub(super) const TABLE: &[Modelled] = &[
    Modelled {
        mutant: Mutant {
            name: "put-commits-relaxed",
            rule: "a message is written before it is put",
            file: RING,
            within: "self.words.put.cursor.store(tail.word(), Release);",
            original: "Release",
            mutated: "Relaxed",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "get-commits-relaxed",
            rule: "a message is read before its room is another's",
            file: RING,
            within: "side.cursor.store(head.word(), Release);",
            original: "Release",
            mutated: "Relaxed",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "other-side-seen-relaxed",
            rule: "who sees how far the other side is sees what it did until there",
            file: RING,
            within: "let cursor = other.cursor.load(Acquire);",
            original: "Acquire",
            mutated: "Relaxed",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "put-before-written",
            rule: "a message is put when it is whole",
            file: RING,
            within: "            self.write(tail, header, message.bytes);",
            original: "self.write(tail, header, message.bytes);",
            mutated: "self.words.put.cursor.store(next.word(), Release); self.write(tail, header, message.bytes);",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "put-wakes-nobody",
            rule: "who waits for messages is woken by them",
            file: RING,
            within: "held.release(&self.words.items.0, count);",
            original: "count",
            mutated: "0",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "get-wakes-nobody",
            rule: "who waits for room is woken by it",
            file: RING,
            within: "held.release(&self.words.room.0, got);",
            original: "got",
            mutated: "0",
            seed: None,
        },
        model: IN_ORDER,
    },
    Modelled {
        mutant: Mutant {
            name: "lock-claimed-without-compare",
            rule: "a lock is acquired by one",
            file: LOCK,
            within: "",
            original: "self.owner.compare_exchange(word, me.word(), Acquire, Relaxed).is_ok()",
            mutated: "let was_free = self.owner.load(Acquire) == word;
            if was_free { self.owner.store(me.word(), Release); }
            was_free",
            seed: None,
        },
        model: ONE_LOCK,
    },
    Modelled {
        mutant: Mutant {
            name: "lock-acquired-relaxed",
            rule: "who acquires a lock sees what was done under it",
            file: LOCK,
            within: "",
            original: "self.owner.compare_exchange(word, me.word(), Acquire, Relaxed).is_ok()",
            mutated: "self.owner.compare_exchange(word, me.word(), Relaxed, Relaxed).is_ok()",
            seed: None,
        },
        model: ONE_LOCK,
    },
    Modelled {
        mutant: Mutant {
            name: "unlock-relaxed",
            rule: "what is done under a lock is done before it is free",
            file: LOCK,
            within: "self.owner.store(0, Release);",
            original: "Release",
            mutated: "Relaxed",
            seed: None,
        },
        model: ONE_LOCK,
    },
    Modelled {
        mutant: Mutant {
            name: "unlock-wakes-nobody",
            rule: "who waits for a lock is woken when it is free",
            file: LOCK,
            within: "        self.unlock_silently();
        self.waiters.notify(1);",
            original: "self.waiters.notify(1);",
            mutated: "",
            seed: None,
        },
        model: ONE_LOCK,
    },
    Modelled {
        mutant: Mutant {
            name: "lock-taken-from-the-living",
            rule: "only the dead lose a lock",
            file: LOCK,
            within: "(!owner.is_alive() && self.acquire_from(word, me))",
            original: "!owner.is_alive()",
            mutated: "true",
            seed: None,
        },
        model: ONE_LOCK,
    },
    Modelled {
        mutant: Mutant {
            name: "permit-claimed-without-compare",
            rule: "a permit is acquired by one",
            file: PERMITS,
            within: "",
            original: "holder.compare_exchange(from, to, AcqRel, Relaxed).is_ok()",
            mutated: "holder.store(to, std::sync::atomic::Ordering::Release); true",
            seed: None,
        },
        model: ONE_PERMIT,
    },
    Modelled {
        mutant: Mutant {
            name: "permit-handed-over-relaxed",
            rule: "who acquires a permit sees what was done with it",
            file: PERMITS,
            within: "",
            original: "holder.compare_exchange(from, to, AcqRel, Relaxed).is_ok()",
            mutated: "holder.compare_exchange(from, to, Relaxed, Relaxed).is_ok()",
            seed: None,
        },
        model: ONE_PERMIT,
    },
    Modelled {
        mutant: Mutant {
            name: "permit-wakes-nobody",
            rule: "who waits for a permit is woken when there is one",
            file: PERMITS,
            within: "        self.head.waiters.notify(1);
        is_released",
            original: "self.head.waiters.notify(1);",
            mutated: "",
            seed: None,
        },
        model: ONE_PERMIT,
    },
    Modelled {
        mutant: Mutant {
            name: "permit-taken-from-the-living",
            rule: "only the dead lose a permit",
            file: PERMITS,
            within: "Some(owner) if owner.is_alive() => alive.push(word),",
            original: "owner.is_alive()",
            mutated: "false",
            seed: None,
        },
        model: ONE_PERMIT,
    },
    Modelled {
        mutant: Mutant {
            name: "sleeps-without-looking",
            rule: "who is about to sleep looks once more",
            file: EVENT_COUNT,
            within: "        if !is_ready() {
            futex::wait",
            original: "!is_ready()",
            mutated: "true",
            seed: None,
        },
        model: SEMAPHORE,
    },
    Modelled {
        mutant: Mutant {
            name: "change-without-fence",
            rule: "either the sleeper sees the change, or who makes it the sleeper",
            file: EVENT_COUNT,
            within: "        fence(SeqCst);
        self.notify_fenced(count);",
            original: "fence(SeqCst);",
            mutated: "",
            seed: None,
        },
        model: SEMAPHORE,
    },
    Modelled {
        mutant: Mutant {
            name: "change-begins-without-fence",
            rule: "who sees something of a change sees that it has begun",
            file: VERSION,
            within: "        self.0.store(self.0.load(Relaxed) | 1, Relaxed);\n        fence(Release);",
            original: "fence(Release);",
            mutated: "",
            seed: None,
        },
        model: ONE_CHANGE,
    },
    Modelled {
        mutant: Mutant {
            name: "looks-again-without-fence",
            rule: "it is looked whether something was changed after it was read",
            file: VERSION,
            within: "",
            original: "fence(Acquire);",
            mutated: "",
            seed: None,
        },
        model: ONE_CHANGE,
    },
];
