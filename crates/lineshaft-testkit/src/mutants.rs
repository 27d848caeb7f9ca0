//! The rules of the engine, each broken on purpose: the simulation must notice every one.
//!
//! A mutant is a change of the source text, made in a copy of the workspace by `mutants`, the binary beside this one: so
//! what is tested is the engine as it is but for one rule, and nothing of it is in what is shipped. `docs/adr/0006`
//! says why.

/// A rule that is broken.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, for the command line.
    pub name: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The file, from the root of the workspace.
    pub file: &'static str,
    /// What stands in it, once.
    pub original: &'static str,
    /// What takes its place.
    pub mutated: &'static str,
}

/// Every mutant.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "outputs-before-durable",
        rule: "nothing leaves before its commit is durable",
        file: "crates/lineshaft-engine/src/driver.rs",
        original: "        if wrote {
            self.append(&committed.body)?;
        }
        self.release(committed.outputs);
",
        mutated: "        self.release(committed.outputs);
        if wrote {
            self.append(&committed.body)?;
        }
",
    },
    Mutant {
        name: "leases-before-durable",
        rule: "nothing leaves before its commit is durable, dispatch included",
        file: "crates/lineshaft-engine/src/driver.rs",
        original: "        if wrote {
            self.append(&committed.body)?;
        }
        self.release(committed.outputs);
",
        mutated: "        let is_lease = |output: &Output| {
            matches!(output, Output::Message(_, out)
                if matches!(out.message, lineshaft_wire::message::Message::Leases(_)))
        };
        let (leases, others) = committed.outputs.into_iter().partition(is_lease);
        self.release(leases);
        if wrote {
            self.append(&committed.body)?;
        }
        self.release(others);
",
    },
    Mutant {
        name: "commits-not-synced",
        rule: "a commit that is answered is on the disk",
        file: "crates/lineshaft-store/src/journal/writer.rs",
        original: "        let synced = segment.file.sync_data();
",
        mutated: "        let synced = std::io::Result::Ok(());
",
    },
    Mutant {
        name: "failed-sync-ignored",
        rule: "a failed sync is never taken for one that succeeded",
        file: "crates/lineshaft-store/src/journal/writer.rs",
        original: "        synced.map_err(|source| self.shared.poison(sync_error(&segment.path(), source)))?;
",
        mutated: "        if let Err(source) = synced {
            tracing::warn!(error = %sync_error(&segment.path(), source), \"ignored\");
        }
",
    },
    Mutant {
        name: "failed-sync-tried-again",
        rule: "a failed sync is never tried again: the pages that it should have written count as clean",
        file: "crates/lineshaft-store/src/journal/writer.rs",
        original: "        let synced = segment.file.sync_data();
",
        mutated: "        let synced = segment.file.sync_data().or_else(|_| segment.file.sync_data());
",
    },
    Mutant {
        name: "sessions-forget-answers",
        rule: "a request that is sent again is answered as before and not carried out again",
        file: "crates/lineshaft-jobs/src/decide/mod.rs",
        original: "        if entry.answers.contains_key(&number) {
",
        mutated: "        if entry.answers.contains_key(&number) && number == 0 {
",
    },
    Mutant {
        name: "epoch-stays",
        rule: "every start has an epoch of its own, so no fence comes twice",
        file: "crates/lineshaft-engine/src/open.rs",
        original: "recovery.epoch.max(state.epoch()).saturating_add(1).max(now.wall_ms / 1000)",
        mutated: "recovery.epoch.max(state.epoch()).max(1)",
    },
    Mutant {
        name: "epoch-of-the-clock-alone",
        rule: "an epoch is above the last one although the clock was set back",
        file: "crates/lineshaft-engine/src/open.rs",
        original: "recovery.epoch.max(state.epoch()).saturating_add(1).max(now.wall_ms / 1000)",
        mutated: "now.wall_ms / 1000",
    },
    Mutant {
        name: "snapshot-published-unsynced",
        rule: "a file has its name when it is on the disk",
        file: "crates/lineshaft-store/src/disk.rs",
        original: "        offset += part.len() as u64;
    }
    file.sync_data()
",
        mutated: "        offset += part.len() as u64;
    }
    Ok(())
",
    },
    Mutant {
        name: "tail-not-written-again",
        rule: "what a start reads and nobody knows to be durable is written again before it is answered for",
        file: "crates/lineshaft-store/src/journal/fresh.rs",
        original: "        let above = self.synced_lsn;
",
        mutated: "        let above = self.chain.head.lsn;
",
    },
    Mutant {
        name: "leases-on-the-wall-clock",
        rule: "leases run on a clock that nobody sets",
        file: "crates/lineshaft-engine/src/clock.rs",
        original: "let logical_ms = self.base_ms + self.clock.since(self.started).as_millis() as u64;",
        mutated: "let logical_ms = self.base_ms.max(self.clock.wall_ms());",
    },
    Mutant {
        name: "leases-end-early",
        rule: "a lease that is renewed in time stands",
        file: "crates/lineshaft-jobs/src/dispatch.rs",
        original: "entry.lease_ends = entry.lease_ends.max(logical_ms + self.limits.lease_ms);",
        mutated: "entry.lease_ends = entry.lease_ends.max(logical_ms + self.limits.lease_ms / 3);",
    },
];
