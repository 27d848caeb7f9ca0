//! Requests: sent twice, they are carried out once.

use super::Mutant;

const DECIDE: &str = "crates/lineshaft-jobs/src/decide/mod.rs";

pub(super) const TABLE: &[Mutant] = &[
    Mutant {
        name: "answers-forgotten",
        rule: "a request that is sent again is answered as before and not carried out again",
        file: DECIDE,
        within: "",
        original: "entry.answers.contains_key(&number)",
        mutated: "entry.answers.contains_key(&number) && number == 0",
        seed: Some(1),
    },
    Mutant {
        name: "answers-not-in-snapshots",
        rule: "outcomes are state: a start from a snapshot knows them",
        file: "crates/lineshaft-jobs/src/snapshot/tables.rs",
        within: "(number, session.lowest, answers.collect())",
        original: "answers.collect()",
        mutated: "drop(answers); Vec::new()",
        seed: Some(39),
    },
    Mutant {
        name: "forgotten-requests-carried-out",
        rule: "a request below the lowest one without an answer is refused, never carried out",
        file: DECIDE,
        within: "",
        original: "number < entry.lowest",
        mutated: "false",
        seed: Some(1),
    },
    Mutant {
        name: "older-connections-go-on",
        rule: "a session belongs to its newest connection: what comes in late over an older one is refused",
        file: "crates/lineshaft-engine/src/requests.rs",
        within: "",
        original: "self.session_holders.get(&session).is_none_or(|holder| *holder <= caller.connection)",
        mutated: "true",
        seed: Some(558),
    },
    Mutant {
        name: "unknown-sessions-carried-out",
        rule: "a request of a session that is not known is refused, never carried out",
        file: DECIDE,
        within: "let Some(entry) = self.sessions.get(&session) else {
            return Err(unknown(format!(
                \"session {session} is not open: it ended 10 minutes after its last request\"
            )));
        };",
        original: "return Err(unknown(format!(
                \"session {session} is not open: it ended 10 minutes after its last request\"
            )));",
        mutated: "let Sequence { number, lowest } = sequence;
            return Ok(Turn::Fresh(Request { session, number, lowest }));",
        seed: Some(1),
    },
    Mutant {
        name: "duplicate-answered-early",
        rule: "the answer to a request that was sent again waits for the commit of the first one",
        file: "crates/lineshaft-engine/src/requests.rs",
        within: "Reply::Answer { session, number } => self.answer(caller, session, number),",
        original: "self.answer(caller, session, number)",
        mutated: "thread_local! {
                static LAST: std::cell::Cell<(u64, usize)> = const { std::cell::Cell::new((0, 0)) };
            }
            // Nothing was decided since the last answer, so this is that one once more.
            let decided = (self.lsn(), self.open_bytes());
            if LAST.replace(decided) == decided
                && let Some(Answer::Enqueued(enqueued)) = self.state.answer(session, number)
                && let Some(entry) = self.connections.get(&caller.connection)
            {
                let answer = Message::Enqueued(enqueued.clone());
                entry.outbox.deliver(vec![crate::handle::Outgoing::new(caller.request_id, answer)]);
            } else {
                self.answer(caller, session, number);
            }",
        seed: Some(3),
    },
    Mutant {
        name: "duplicate-refused-on-a-full-disk",
        rule: "a request that was carried out is never refused when it is sent again",
        file: "crates/lineshaft-engine/src/requests.rs",
        within: "",
        original: "self.answered(caller, message.sequence())",
        mutated: "self.answered(caller, message.sequence()).filter(|_| false)",
        seed: Some(129),
    },
    Mutant {
        name: "another-lease-ended",
        rule: "an attempt ends by its own fence alone",
        file: "crates/lineshaft-jobs/src/decide/finish.rs",
        within: "",
        original: "self.lease_of(job, fence).filter(|(_, lease)| lease.child == child)",
        mutated: "let _ = (child, fence);
            self.slot_of(job).and_then(|slot| Some((slot, *self.leases.get(&slot)?)))",
        seed: Some(14),
    },
];
