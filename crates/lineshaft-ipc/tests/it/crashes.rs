//! Processes that crash, and what they do before.
#![allow(unsafe_code)] // Faults of the processor's, and actions of signals.

use std::ffi::c_int;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft_ipc::crash::{Act, act_before};

use crate::kills::Forked;

/// Writes a file that says that it was done; as slow as something that has to be waited for.
fn act_into(path: PathBuf) -> Act {
    Arc::new(move || {
        thread::sleep(Duration::from_millis(50));
        fs::write(&path, "done").expect("a file");
    })
}

/// What a child that does so ends of, and whether it acted before.
fn ended(run: impl FnOnce(Option<Act>)) -> (c_int, bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("acted");
    let status = Forked::run(|| run(Some(act_into(path.clone())))).wait();
    let ended = if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { -libc::WEXITSTATUS(status) };
    (ended, path.exists())
}

fn fault() {
    // SAFETY: none: that is what this is about. The optimizer does not know the address.
    unsafe { std::ptr::without_provenance_mut::<u8>(std::hint::black_box(8)).write_volatile(1) };
}

#[test]
fn what_was_to_be_done_is_done_and_the_signal_stays() {
    assert_eq!(ended(|act| act_before(act).map(|()| fault()).unwrap()), (libc::SIGSEGV, true));
    assert_eq!(ended(|act| act_before(act).map(|()| std::process::abort()).unwrap()), (libc::SIGABRT, true));
    // The standard library has an action for SIGBUS, which waits for that of the processor.
    for signal in [libc::SIGFPE, libc::SIGILL] {
        let sent = |act| {
            act_before(act).unwrap();
            // SAFETY: a plain system call.
            unsafe { libc::raise(signal) };
        };
        assert_eq!(ended(sent), (signal, true));
    }
}

#[test]
fn nothing_is_done_any_more_when_nobody_wants_it() {
    let ended = ended(|act| {
        act_before(act).unwrap();
        act_before(None).unwrap();
        fault();
    });
    assert_eq!(ended, (libc::SIGSEGV, false));
}

#[test]
fn a_full_stack_is_a_crash_like_others() {
    fn deeper(depth: u64) -> u64 {
        std::hint::black_box([depth; 64])[1] + if depth == u64::MAX { 0 } else { deeper(depth + 1) }
    }
    // On a thread that the standard library has given no stack for signals, as those of other languages are.
    let ended = ended(|act| {
        let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: this thread is in no handler.
        assert_eq!(unsafe { libc::sigaltstack(&raw const none, std::ptr::null_mut()) }, 0);
        act_before(act).unwrap();
        std::hint::black_box(deeper(0));
    });
    // With its own stack for signals, the standard library tells a full stack from others, and aborts.
    assert!(ended.1 && [libc::SIGSEGV, libc::SIGABRT].contains(&ended.0), "{ended:?}");
}

#[test]
fn a_lock_that_is_needed_delays_the_end_and_does_not_hang_it() {
    let began = Instant::now();
    let lock = Arc::new(Mutex::new(()));
    let needed = lock.clone();
    let ended = ended(|_| {
        act_before(Some(Arc::new(move || drop(needed.lock())))).unwrap();
        let _held = lock.lock();
        fault();
    });
    assert_eq!(ended, (libc::SIGSEGV, false));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn threads_that_crash_together_wait_for_the_same() {
    let ended = ended(|act| {
        act_before(act).unwrap();
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(fault)).collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    assert_eq!(ended, (libc::SIGSEGV, true));
}

#[test]
fn a_crash_of_what_is_done_ends_the_process() {
    let ended = ended(|_| {
        act_before(Some(Arc::new(fault))).unwrap();
        std::process::abort();
    });
    assert_eq!(ended, (libc::SIGSEGV, false));
}

#[test]
fn a_fork_has_nobody_who_acts_and_ends_at_once() {
    let ended = ended(|act| {
        act_before(act).unwrap();
        assert_eq!(libc::WTERMSIG(Forked::run(fault).wait()), libc::SIGSEGV);
    });
    assert_eq!(ended, (0, false));
}

#[test]
fn what_was_there_before_comes_afterwards() {
    extern "C" fn leave(_: c_int) {
        // SAFETY: allowed in a handler.
        unsafe { libc::_exit(7) }
    }
    let ended = ended(|act| {
        // SAFETY: a handler that keeps to what is allowed.
        unsafe { libc::signal(libc::SIGSEGV, leave as extern "C" fn(c_int) as usize) };
        act_before(act).unwrap();
        fault();
    });
    assert_eq!(ended, (-7, true));
}

/// They ended the process once: the second of them took what the first had put back for its own return.
#[cfg(target_arch = "x86_64")]
#[test]
fn faults_of_several_threads_that_were_recovered_from_still_are() {
    extern "C" fn go_on_behind(_: c_int, _: *mut libc::siginfo_t, context: *mut std::ffi::c_void) {
        // SAFETY: the kernel gives a valid context; `ud2` has two bytes.
        unsafe {
            let context = &mut *context.cast::<libc::ucontext_t>();
            context.uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
        }
    }
    let ended = ended(|act| {
        // SAFETY: a valid action, whose handler keeps to what is allowed.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = go_on_behind as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
        }
        act_before(act).unwrap();
        let together = Arc::new(std::sync::Barrier::new(4));
        let fault = |together: Arc<std::sync::Barrier>| {
            move || {
                together.wait();
                for _ in 0..100 {
                    // SAFETY: the handler goes on behind it.
                    unsafe { std::arch::asm!("ud2") };
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(fault(together.clone()))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(ended, (0, true));
}
