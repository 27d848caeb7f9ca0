//! What is done in the last moment before a crash ends the process.
//!
//! A handler of SIGSEGV and the like may do next to nothing: no memory may be asked for, no lock taken, since whoever
//! crashed may have been in the middle of that. But the other threads of the process go on. So the handler writes a byte
//! to a pipe and waits for a thread that reads there, for a second at most. Then it puts back the action that was there
//! before, and has the signal come again: so the exit status, a core and what others say of a crash stay as they are.
//!
//! What is not done in time is left. That is so if the thread that crashed has a lock which is needed, if it is the one
//! that would have had to act, or if its stack is full and it has no other one for signals.
#![allow(unsafe_code)] // Actions of signals, and a stack for them.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io::{self, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::fstat;
use rustix::thread::{Timespec, nanosleep};

/// What is done. It runs on a thread of its own, beside the one that crashed, which may have any lock.
pub type Act = Arc<dyn Fn() + Send + Sync>;

/// The signals of a crash: a fault of the processor's, or `abort`.
pub const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// So many naps of a millisecond are waited for.
const NAPS: u32 = 1_000;
/// A stack for handlers of signals.
const STACK_BYTES: usize = 64 << 10;

/// The process whose thread acts; a fork of it has none.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// Where that thread is asked.
static PIPE: AtomicI32 = AtomicI32::new(-1);
/// What the kernel knows that pipe by: a program may have closed it, and another file may have its number.
static PIPE_INODE: AtomicU64 = AtomicU64::new(0);
static IS_ON: AtomicBool = AtomicBool::new(false);
/// Crashes so far, and how often the thread has acted.
static CRASHES: AtomicU32 = AtomicU32::new(0);
static ACTS: AtomicU32 = AtomicU32::new(0);
static ACT: Mutex<Option<Act>> = Mutex::new(None);
static BEFORE: [Before; SIGNALS.len()] = [const { Before::new() }; SIGNALS.len()];

/// What a signal did before.
struct Before {
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
    is_set: AtomicBool,
    /// Whether that was put back, and comes now.
    is_over: AtomicBool,
}

// SAFETY: the action is written once, by whoever has the lock of `ACT`, before `is_set` says that it may be read.
unsafe impl Sync for Before {}

impl Before {
    const fn new() -> Self {
        Self {
            action: UnsafeCell::new(MaybeUninit::uninit()),
            is_set: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

/// From now on this process does so before one of [`SIGNALS`] ends it, in place of what was said before; nothing, if that
/// is `None`. A signal that is ignored stays so, and whoever sets its action afterwards has taken ours away. The thread
/// that calls this first gets a stack for handlers of signals if it has none, so that its own may be full.
pub fn act_before(act: Option<Act>) -> io::Result<()> {
    act_before_those(&SIGNALS, act)
}

/// As [`act_before`], for some of [`SIGNALS`]: those that a program does something about itself are its business.
pub fn act_before_those(signals: &[i32], act: Option<Act>) -> io::Result<()> {
    let mut current = ACT.lock().unwrap_or_else(PoisonError::into_inner);
    let is_wanted = act.is_some();
    if is_wanted {
        start()?;
        give_a_stack()?;
        for (before, signal) in BEFORE.iter().zip(SIGNALS) {
            if signals.contains(&signal) && !before.is_set.load(Ordering::Acquire) {
                register(before, signal)?;
            }
        }
    }
    *current = act;
    IS_ON.store(is_wanted, Ordering::Release);
    Ok(())
}

/// Starts the thread, if this process has none.
fn start() -> io::Result<()> {
    let process = process();
    if PROCESS.load(Ordering::Acquire) == process {
        return Ok(());
    }
    let (reader, writer) = io::pipe()?;
    thread::Builder::new().name("lineshaft-crash".to_owned()).spawn(move || serve(reader))?;
    PIPE_INODE.store(fstat(&writer)?.st_ino, Ordering::Release);
    CRASHES.store(0, Ordering::Release);
    ACTS.store(0, Ordering::Release);
    // Open as long as the process is.
    PIPE.store(writer.into_raw_fd(), Ordering::Release);
    PROCESS.store(process, Ordering::Release);
    Ok(())
}

/// The thread that acts. No signal comes to it: one of its own faults ends the process as it did before.
fn serve(mut reader: PipeReader) {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used, and where the old one would go there is none.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
    while reader.read_exact(&mut [0]).is_ok() {
        let act = ACT.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(act) = act {
            let _ = catch_unwind(AssertUnwindSafe(|| act()));
        }
        ACTS.fetch_add(1, Ordering::AcqRel);
    }
}

fn register(before: &Before, signal: i32) -> io::Result<()> {
    // SAFETY: `action` is read and written by this one alone as long as `is_set` is false. The handler is one that keeps
    // to what is allowed in it, of the form that SA_SIGINFO asks for; all fields of the action are set.
    unsafe {
        let old = (*before.action.get()).as_mut_ptr();
        checked(libc::sigaction(signal, ptr::null(), old))?;
        if (*old).sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        before.is_set.store(true, Ordering::Release);
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = arrived as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigfillset(&raw mut new.sa_mask);
        checked(libc::sigaction(signal, &raw const new, ptr::null_mut()))
    }
}

/// The handler: atomic loads and stores, and system calls that are allowed in one.
extern "C" fn arrived(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel gives a valid `info`, and `errno` is that of this thread.
    let (is_sent, errno) = unsafe { ((*info).si_code <= 0, *libc::__errno_location()) };
    if IS_ON.load(Ordering::Acquire) && PROCESS.load(Ordering::Acquire) == process() {
        ask();
    }
    if let Some((before, _)) = BEFORE.iter().zip(SIGNALS).find(|(_, each)| *each == signal) {
        put_back(before, signal);
    }
    // SAFETY: a plain system call; blocked as it is here, the signal comes when this returns. One of the processor's comes
    // by itself then, with where it was.
    unsafe {
        if is_sent {
            libc::raise(signal);
        }
        *libc::__errno_location() = errno;
    }
}

/// Has the thread act, and waits for it. Whoever crashes meanwhile waits as well, and does not end the process before.
fn ask() {
    // SAFETY: we never close it. If somebody else has, it is another file by now, or none, which is looked at.
    let pipe = unsafe { BorrowedFd::borrow_raw(PIPE.load(Ordering::Acquire)) };
    let is_ours = fstat(pipe).is_ok_and(|found| found.st_ino == PIPE_INODE.load(Ordering::Acquire));
    let number = CRASHES.fetch_add(1, Ordering::AcqRel) + 1;
    if !is_ours || rustix::io::write(pipe, &[1]).is_err() {
        return;
    }
    let nap = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    for _ in 0..NAPS {
        if ACTS.load(Ordering::Acquire) >= number {
            return;
        }
        let _ = nanosleep(&nap);
    }
}

/// What the signal did before we came; also if another thread has put that back at the same time, since it may recover
/// from faults. If it comes back to us, as that of somebody who came later and puts back what they found, it is the usual
/// end.
fn put_back(before: &Before, signal: c_int) {
    // In this order: who finds that it is over finds what was put back, too.
    let is_over = before.is_over.load(Ordering::Acquire);
    // SAFETY: what is put back is what `sigaction` gave, as `is_set` says, or the usual action, all of whose fields may be
    // zero; and what it gives goes to a local.
    unsafe {
        let usual: libc::sigaction = std::mem::zeroed();
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut now);
        let found = before.is_set.load(Ordering::Acquire).then(|| (*before.action.get()).as_ptr());
        let found = found.filter(|found| !is_over || now.sa_sigaction == (**found).sa_sigaction);
        libc::sigaction(signal, found.unwrap_or(&raw const usual), ptr::null_mut());
    }
    before.is_over.store(true, Ordering::Release);
}

/// A stack for handlers of signals for the thread that calls this first, if it has none, with a page below it that
/// nobody may touch. It stays as long as the process.
fn give_a_stack() -> io::Result<()> {
    static IS_GIVEN: AtomicBool = AtomicBool::new(false);

    if IS_GIVEN.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    // SAFETY: the first call only asks. The memory is new, and of the size that is said; nobody else uses or frees it.
    unsafe {
        let mut now: libc::stack_t = std::mem::zeroed();
        checked(libc::sigaltstack(ptr::null(), &raw mut now))?;
        if now.ss_flags & libc::SS_DISABLE == 0 {
            return Ok(());
        }
        let page = rustix::param::page_size();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let memory = libc::mmap(ptr::null_mut(), page + STACK_BYTES, access, kind, -1, 0);
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        checked(libc::mprotect(memory, page, libc::PROT_NONE))?;
        let stack = libc::stack_t { ss_sp: memory.byte_add(page), ss_flags: 0, ss_size: STACK_BYTES };
        checked(libc::sigaltstack(&raw const stack, ptr::null_mut()))
    }
}

fn checked(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn process() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
