//! Ends what was started and removes what was written, also when a signal ends the run in the middle. After a `kill -9`
//! the kernel ends the processes; the directory stays.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft_ipc::process::end_with_this_process;
use rustix::process::{Pid, Signal, kill_process};

/// Pause between two looks at a process that ends.
const LOOK: Duration = Duration::from_millis(2);

/// What a run has to put away; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cleanup(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Processes that were started and not reaped: until then nobody else gets their numbers.
    pids: Vec<u32>,
    room: Option<PathBuf>,
    /// Whether the run looks for a signal and ends by itself.
    ends_by_itself: bool,
    signal: Option<i32>,
}

impl Cleanup {
    /// A signal came that asks the run to end. Says whether it does so by itself, with what it has so far; else, and if it
    /// was asked before, [`Cleanup::end`] is due.
    pub fn interrupt(&self, signal: i32) -> bool {
        let mut held = self.lock();
        held.ends_by_itself && held.signal.replace(signal).is_none()
    }

    /// The signal that the run ends for.
    pub fn interrupted(&self) -> Option<i32> {
        self.lock().signal
    }

    /// From now on the run looks whether it was interrupted.
    pub(crate) fn ends_by_itself(&self) {
        self.lock().ends_by_itself = true;
    }

    /// Kills every process of the run and removes its directory. For whoever ends this process now: whatever the run
    /// would still start, it waits for ever.
    pub fn end(&self) {
        let held = self.lock();
        for pid in &held.pids {
            signal(*pid, Signal::KILL);
        }
        if let Some(room) = &held.room {
            remove(room);
        }
        std::mem::forget(held);
    }

    /// The directory to be removed, or that it is no more.
    pub(crate) fn keep_room(&self, room: Option<PathBuf>) {
        self.lock().room = room;
    }

    /// Starts a process, from the thread that the run is on.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Running> {
        end_with_this_process(command);
        let mut held = self.lock();
        let child = command.spawn()?;
        held.pids.push(child.id());
        Ok(Running { child, cleanup: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a directory. Processes that are just ending may still write into it, so it tries for a while.
pub(crate) fn remove(room: &std::path::Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(room) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// `kill -9` to a process that was started, or to one that was started by it.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Asks one of those to end.
pub(crate) fn ask(pid: u32) {
    signal(pid, Signal::TERM);
}

/// A process that was started; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    cleanup: Cleanup,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let mut held = self.cleanup.lock();
        let status = self.child.try_wait().ok().flatten()?;
        held.pids.retain(|pid| *pid != self.child.id());
        Some(status)
    }

    /// Waits for its end, at most so long.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(LOOK);
        }
    }

    /// Asks it to end, and kills it if it has not within `patience`.
    pub(crate) fn stop(&mut self, patience: Duration) {
        if self.ended().is_none() {
            signal(self.pid(), Signal::TERM);
            if self.wait(patience).is_none() {
                self.kill();
            }
        }
    }

    /// `kill -9`, and waits for its end.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            signal(self.pid(), Signal::KILL);
            self.wait(Duration::from_secs(60));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process;

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    fn is_there(pid: u32) -> bool {
        test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_ok()
    }

    #[test]
    fn dropping_a_process_ends_it() {
        let cleanup = Cleanup::default();
        let running = cleanup.spawn(&mut sleeper()).unwrap();
        let pid = running.pid();
        assert!(is_there(pid));
        drop(running);
        assert!(!is_there(pid) && cleanup.lock().pids.is_empty());
    }

    #[test]
    fn a_process_that_does_not_stop_is_killed() {
        let cleanup = Cleanup::default();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"]);
        let mut running = cleanup.spawn(command.stdout(std::process::Stdio::piped())).unwrap();
        let mut line = String::new();
        let out = running.child.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(out), &mut line).unwrap();
        running.stop(Duration::from_millis(50));
        assert!(running.ended().is_some() || !is_there(running.pid()));
    }

    #[test]
    fn a_signal_asks_once_where_the_run_listens() {
        let cleanup = Cleanup::default();
        assert!(!cleanup.interrupt(2) && cleanup.interrupted().is_none());
        cleanup.ends_by_itself();
        assert!(cleanup.interrupt(15) && !cleanup.interrupt(2));
        assert!(cleanup.interrupted().is_some());
    }

    #[test]
    fn the_end_kills_everything_and_removes_the_directory() {
        let cleanup = Cleanup::default();
        let directory = tempfile::tempdir().unwrap();
        let room = directory.path().join("room");
        fs::create_dir_all(room.join("home")).unwrap();
        cleanup.keep_room(Some(room.clone()));
        let mut child = cleanup.spawn(&mut sleeper()).unwrap();
        cleanup.end();
        assert!(!room.exists());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.child.wait().unwrap()), Some(9));
        // Nothing is started any more: it holds its lock for good.
        assert!(cleanup.0.try_lock().is_err());
        std::mem::forget(child);
    }
}
