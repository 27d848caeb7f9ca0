//! Processes killed inside what they do with shared memory: at every instruction, and at random under load.
//!
//! `LINESHAFT_KILL_ROUNDS` says how many there are of each; unless it is set 200, or as many as a few seconds have.
#![allow(unsafe_code)] // fork, and ptrace to stop a child at an instruction.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use libc::{c_int, c_void, pid_t};

mod at_random;
mod channels;
mod locks;
mod rings;
mod tables;

const ROUNDS: &str = "LINESHAFT_KILL_ROUNDS";
const FEW_SECONDS: Duration = Duration::from_secs(2);

/// The exit code of a child that cannot be traced.
const UNTRACED: c_int = 77;

/// An argument of `ptrace` that is not used.
const NONE: *mut c_void = std::ptr::null_mut();

thread_local! {
    /// Instructions that the last child came to.
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Nothing takes so long unless somebody hangs.
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn rounds() -> u64 {
    std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

/// A forked child; it is killed and reaped with this.
pub(crate) struct Forked {
    pid: pid_t,
    is_reaped: Cell<bool>,
}

impl Forked {
    /// Runs `act` in a child, which leaves afterwards.
    pub(crate) fn run(act: impl FnOnce()) -> Self {
        // SAFETY: the child runs on its copy of this thread alone. What it uses of the library takes no lock that another
        // thread could have had (glibc mends that of malloc), and it leaves without cleaning up.
        match unsafe { libc::fork() } {
            0 => {
                let code = if catch_unwind(AssertUnwindSafe(act)).is_ok() { 0 } else { 101 };
                // SAFETY: ends the child.
                unsafe { libc::_exit(code) }
            }
            pid => {
                assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
                Self { pid, is_reaped: Cell::new(false) }
            }
        }
    }

    /// Waits until it stops or ends.
    pub(crate) fn wait(&self) -> c_int {
        let mut status = 0;
        // SAFETY: `status` is a local of the right type.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } != self.pid {
            assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
        }
        self.is_reaped.set(!libc::WIFSTOPPED(status));
        status
    }

    /// Kills it, and says whether that is what it died of.
    fn kill(self) -> bool {
        // SAFETY: it has not been reaped, as only this and `wait` do, so the pid is its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        let status = self.wait();
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.is_reaped.get() {
            // SAFETY: as above.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.wait();
        }
    }
}

/// Runs `act` in a child after `prepare`, and kills that after so many instructions of it; true if it came to its end.
/// `None` where children cannot be traced.
fn killed_after(steps: u64, prepare: impl FnOnce(), act: impl FnOnce()) -> Option<bool> {
    let child = Forked::run(|| {
        prepare();
        // SAFETY: plain system calls.
        unsafe {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, NONE, NONE) != 0 {
                libc::_exit(UNTRACED);
            }
            libc::raise(libc::SIGSTOP);
        }
        act();
    });
    let mut status = child.wait();
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == UNTRACED {
        return None;
    }
    for step in 0..steps {
        STEPS.set(step);
        // SAFETY: the child is stopped and traced by this thread.
        unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child.pid, NONE, NONE) };
        status = child.wait();
        if !libc::WIFSTOPPED(status) {
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "it ended with {status:#x}");
            return Some(true);
        }
    }
    assert!(child.kill());
    Some(false)
}

/// Calls `round` with numbers of instructions after which to kill, spread over all that `act` has.
///
/// A busy machine takes long for an instruction, so without `LINESHAFT_KILL_ROUNDS` there are as many as a few seconds have.
fn over_all_instructions(mut round: impl FnMut(u64) -> Option<bool>) {
    if round(u64::MAX).is_none() {
        eprintln!("children cannot be traced here: nothing is tested");
        return;
    }
    let instructions = STEPS.get();
    let began = Instant::now();
    let (mut killed, mut steps) = (0, 0);
    for _ in 0..rounds() {
        // The golden section: however many there are, they are spread.
        steps = (steps + instructions * 618_034 / 1_000_000 + 1) % instructions;
        killed += u64::from(round(steps) == Some(false));
        if began.elapsed() > FEW_SECONDS && std::env::var(ROUNDS).is_err() {
            break;
        }
    }
    eprintln!("{killed} were killed amid {instructions} instructions");
    assert!(killed > 0);
}
