//! The processes that attempts of one child started, as the language on top notes them: by them, what a stopped attempt
//! left running is told from what belongs to its neighbours.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lineshaft_ipc::process::ProcessId;
use lineshaft_ipc::tree::end_trees;
use lineshaft_wire::Fence;

use super::ending::LEFTOVER_GRACE;

/// Processes of one attempt above which those that have ended are forgotten.
const PROCESSES: usize = 64;

/// Processes by attempt.
#[derive(Debug)]
pub(super) struct Started {
    state: Mutex<State>,
    /// Something was ended.
    ended: Condvar,
    /// In a copy of it, made by a body's fork, the lock may be held for ever.
    process: u32,
}

#[derive(Debug, Default)]
struct State {
    attempts: HashMap<Fence, Vec<ProcessId>>,
    /// Attempts whose processes are being ended.
    ending: HashSet<Fence>,
}

impl Started {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), ended: Condvar::new(), process: std::process::id() }
    }

    /// Notes that the attempt started `pid`; nothing if that has ended already.
    pub(super) fn note(&self, attempt: Fence, pid: u32) {
        if std::process::id() != self.process {
            return;
        }
        let Ok(process) = ProcessId::of(pid) else { return };
        let mut state = self.state();
        let processes = state.attempts.entry(attempt).or_default();
        if processes.len() >= PROCESSES && processes.len().is_power_of_two() {
            processes.retain(|process| process.is_alive());
        }
        processes.push(process);
    }

    /// Whether something lives that the attempt started.
    pub(super) fn has_living(&self, attempt: Fence) -> bool {
        let state = self.state();
        let noted = state.attempts.get(&attempt);
        state.ending.contains(&attempt)
            || noted.is_some_and(|all| all.iter().any(|process| process.is_alive()))
    }

    /// Ends what the attempt started until now, with all that this started; false if something does not end. If that is
    /// under way already, waits for it.
    pub(super) fn end(&self, attempt: Fence) -> bool {
        let state = self.state();
        let free = self.ended.wait_while(state, |state| state.ending.contains(&attempt));
        let mut state = free.unwrap_or_else(PoisonError::into_inner);
        let processes = state.attempts.remove(&attempt).unwrap_or_default();
        if processes.is_empty() {
            return true;
        }
        state.ending.insert(attempt);
        drop(state);
        let ended = end_trees(&processes, LEFTOVER_GRACE);
        self.state().ending.remove(&attempt);
        self.ended.notify_all();
        let is_over = ended.as_ref().is_ok_and(lineshaft_ipc::group::Ended::is_empty);
        if !is_over {
            tracing::error!(?ended, "what a stopped attempt left running does not end");
        }
        is_over
    }

    /// The attempt is over; what it started is its own.
    pub(super) fn forget(&self, attempt: Fence) -> Vec<ProcessId> {
        let mut state = self.state();
        if state.attempts.is_empty() {
            Vec::new()
        } else {
            state.attempts.remove(&attempt).unwrap_or_default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn fence(counter: u64) -> Fence {
        Fence { epoch: 1, counter }
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn what_an_attempt_started_ends_and_that_of_others_does_not() {
        let (started, mut sleepers) = (Started::new(), [(); 3].map(|()| sleeper()));
        for (sleeper, attempt) in sleepers.iter().zip([1, 1, 2]) {
            started.note(fence(attempt), sleeper.id());
        }
        assert!(started.end(fence(1)));
        assert_eq!([1, 2].map(|attempt| started.has_living(fence(attempt))), [false, true]);
        assert_eq!(sleepers.each_mut().map(|one| one.try_wait().unwrap().is_some()), [true, true, false]);
        assert_eq!(started.forget(fence(2)).len(), 1);
        assert!(started.end(fence(2)));
        assert!(sleepers[2].try_wait().unwrap().is_none(), "its attempt was over");
        sleepers[2].kill().unwrap();
        sleepers[2].wait().unwrap();
    }

    #[test]
    fn an_attempt_that_starts_many_keeps_those_that_live() {
        let (started, mut sleeper) = (Started::new(), sleeper());
        started.note(fence(1), sleeper.id());
        for _ in 0..200 {
            let mut short = Command::new("true").spawn().unwrap();
            started.note(fence(1), short.id());
            short.wait().unwrap();
        }
        let kept = started.forget(fence(1));
        assert!(kept.len() <= PROCESSES + 1, "{}", kept.len());
        assert_eq!(kept[0].pid, sleeper.id());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
