//! What the system allows this user and this container.

use lineshaft::home::Home;
use lineshaft_ipc::memory::group_bytes;
use rustix::process::{Resource, getrlimit};

use super::finding::Finding;
use crate::context::Context;
use crate::show::bytes;

/// Open files that a server with a few hundred connections needs.
const FILES: u64 = 1_024;
/// Processes that workers and their children need.
const PROCESSES: u64 = 512;
const MEMORY: u64 = 256 << 20;

pub(super) fn check(_: &Home, _: &mut Context) -> Vec<Finding> {
    let limit = |resource| getrlimit(resource).current;
    let mut findings = vec![
        judge(
            "files",
            "open files",
            limit(Resource::Nofile),
            FILES,
            "raise it with `ulimit -n` or LimitNOFILE=",
        ),
        judge(
            "processes",
            "processes",
            limit(Resource::Nproc),
            PROCESSES,
            "raise it with `ulimit -u` or TasksMax=",
        ),
    ];
    if let Some(largest) = limit(Resource::Fsize) {
        let message = format!("a file may have {} at most", bytes(largest));
        findings.push(Finding::problem("files", message, "lift it with `ulimit -f unlimited`"));
    }
    findings.extend(group_bytes().map(judge_memory));
    findings
}

fn judge(check: &'static str, what: &str, limit: Option<u64>, least: u64, fix: &str) -> Finding {
    match limit {
        Some(limit) if limit < least => {
            Finding::warning(check, format!("{limit} {what} are allowed: {least} are better"), fix)
        }
        Some(limit) => Finding::fine(check, format!("{limit} {what} are allowed")),
        None => Finding::fine(check, format!("any number of {what} is allowed")),
    }
}

fn judge_memory(limit: u64) -> Finding {
    let message = format!("the control group may use {}", bytes(limit));
    if limit < MEMORY {
        return Finding::warning(
            "memory",
            message,
            "give it 256 MiB or more: each waiting job takes about 100 bytes",
        );
    }
    Finding::fine("memory", message)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Warning};
    use super::*;

    #[test]
    fn a_limit_below_what_is_needed_is_warned_of() {
        let check = |limit| judge("files", "open files", limit, FILES, "raise it");
        assert_eq!(check(Some(64)).message, "64 open files are allowed: 1024 are better");
        assert_eq!(
            [check(Some(64)), check(Some(1_024)), check(None)].map(|found| found.severity),
            [Warning, Fine, Fine]
        );
        assert_eq!(
            [judge_memory(1 << 20), judge_memory(1 << 33)].map(|found| found.severity),
            [Warning, Fine]
        );
    }
}
