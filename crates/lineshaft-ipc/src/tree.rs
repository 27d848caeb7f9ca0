//! Trees of processes: what somebody started, and all that those started.
//!
//! For where a process group tells too little, because many who start things share one process. A process whose parent
//! has ended belongs to no tree any more, unless it is in a group that a known one leads. So a tree is looked through
//! before anything in it is signalled, and again until nothing of it is left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::group::{Ended, KILL_WAIT};
use crate::proc_files::{self, Stat, stat};
use crate::process::{Pidfd, ProcessId};
use crate::{Error, Result};

/// Most time between two looks for what was started meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Ends `roots` and all that they started: SIGTERM, up to `grace` for it to work, SIGKILL, then [`KILL_WAIT`] for
/// nothing to be left. Zombies do not count; nothing is reaped.
///
/// Looks at every process of the host, some microseconds each, every 50 ms. Blocks at most `grace` + [`KILL_WAIT`] and
/// the time of a few looks. Not found are processes whose parent had ended before, unless a living one leads their group.
pub fn end_trees(roots: &[ProcessId], grace: Duration) -> Result<Ended> {
    let mut forest = Forest::new(roots);
    forest.look()?;
    if forest.living.is_empty() {
        return Ok(Ended::AlreadyEmpty);
    }
    if forest.end_by(Signal::TERM, grace)? {
        return Ok(Ended::Terminated);
    }
    let is_over = forest.end_by(Signal::KILL, KILL_WAIT)?;
    let survivors = || forest.living.keys().map(|process| process.pid).collect();
    Ok(if is_over { Ended::Killed } else { Ended::Survived(survivors()) })
}

/// What `root` started and all that those started, in any process group, by one look at every process of the host.
pub fn descendants(root: ProcessId) -> Result<Vec<ProcessId>> {
    let mut forest = Forest::new(&[root]);
    forest.look()?;
    Ok(forest.living.into_keys().filter(|process| *process != root).collect())
}

/// What is known of some trees, each with the signal that it was sent last.
struct Forest {
    living: BTreeMap<ProcessId, Option<Signal>>,
}

impl Forest {
    fn new(roots: &[ProcessId]) -> Self {
        Self { living: roots.iter().map(|root| (*root, None)).collect() }
    }

    /// Forgets what has ended, and finds what was started.
    fn look(&mut self) -> Result<()> {
        let host: BTreeMap<u32, Stat> = proc_files::pids()?.filter_map(seen).collect();
        let lives = |process: &ProcessId| {
            host.get(&process.pid).is_some_and(|stat| stat.start_time == process.start_time)
        };
        self.living.retain(|process, _| lives(process));
        loop {
            let known: BTreeMap<u32, Stat> =
                self.living.keys().map(|one| (one.pid, host[&one.pid])).collect();
            let leads = |pgid: u32| known.get(&pgid).is_some_and(|leader| leader.pgid == pgid);
            let belongs = |stat: &Stat| known.contains_key(&stat.ppid) || leads(stat.pgid);
            let found = host.iter().filter(|(pid, stat)| !known.contains_key(pid) && belongs(stat));
            let found: Vec<ProcessId> = found.map(|(&pid, stat)| stat.id(pid)).collect();
            if found.is_empty() {
                return Ok(());
            }
            self.living.extend(found.into_iter().map(|process| (process, None)));
        }
    }

    /// Sends `signal` to all, once each, and waits up to `timeout`; whether nothing is left.
    fn end_by(&mut self, signal: Signal, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            self.send(signal)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(process) = self.living.keys().next() {
                wait(*process, left.min(LOOK));
            }
            self.look()?;
            if self.living.is_empty() || left.is_zero() {
                return Ok(self.living.is_empty());
            }
        }
    }

    fn send(&mut self, signal: Signal) -> Result<()> {
        for (process, last) in &mut self.living {
            if last.replace(signal) != Some(signal) {
                ignore_gone(Pidfd::of(*process).and_then(|pidfd| {
                    pidfd.send_signal(signal)?;
                    // A stopped process acts on SIGTERM only when it goes on.
                    pidfd.send_signal(Signal::CONT)
                }))?;
            }
        }
        Ok(())
    }
}

fn seen(pid: u32) -> Option<(u32, Stat)> {
    stat(pid).ok().flatten().filter(|stat| !stat.is_dead()).map(|stat| (pid, stat))
}

fn wait(process: ProcessId, timeout: Duration) {
    // One that is gone needs no waiting.
    let _ = Pidfd::of(process).map(|pidfd| pidfd.wait_exit(timeout));
}

fn ignore_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NoProcess { .. } | Error::ProcessReplaced { .. }) => Ok(()),
        other => other,
    }
}
