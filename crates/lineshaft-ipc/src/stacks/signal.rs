//! Asking a thread for its registers and its stack: a signal to it, and the handler's answer.
//!
//! There is one request at a time in a process. Its *word* says whom it is for and how far it is; who asks moves it from
//! nothing to `ASKED`, the handler to `ANSWERING` and `ANSWERED`, and who asks back to nothing. Who has waited long enough
//! moves it from `ASKED` to nothing, so that a signal that comes late finds nothing to do; from `ANSWERING` on the handler
//! runs, which ends by itself, and is waited for. So what a request points to is never touched after [`ask`] has returned.
//!
//! A forked child has none of the threads that asked or were asked, but their memory: it begins with a lock of its own.
//!
//! A thread that lets no signals in keeps one of them waiting. No further one is sent to it until it has taken that.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::futex;

use super::registers::{POINTER, Registers, WORDS, registers_of, words_of};
use super::{Note, Spot};

/// How long an answer is waited for: a thread without a processor, or in the kernel where nothing interrupts it.
const PATIENCE: Duration = Duration::from_millis(50);
/// Bytes of a stack that are copied, from the innermost call on: as many as fit into what a thread has by default.
pub(super) const STACK_BYTES: usize = 1 << 20;
const STACK_WORDS: usize = STACK_BYTES / size_of::<u64>();
/// Threads that are remembered for not having taken a signal.
const DEAF_MAX: usize = 64;

const PHASES: u64 = 0b11;
const NOTHING: u64 = 0;
const ASKED: u64 = 1;
const ANSWERING: u64 = 2;
const ANSWERED: u64 = 3;

/// The request, as handlers find it.
static REQUEST: Request = Request {
    word: AtomicU64::new(NOTHING),
    answered: AtomicU32::new(0),
    spot: AtomicPtr::new(ptr::null_mut()),
    copy: AtomicPtr::new(ptr::null_mut()),
    words_max: AtomicUsize::new(0),
    note: AtomicPtr::new(ptr::null_mut()),
};
/// The signal that has our handler; 0 before there is one.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// What who asks holds.
static ASKING: AtomicPtr<Asking> = AtomicPtr::new(ptr::null_mut());

/// Of one process.
struct Asking {
    process: u32,
    /// The threads that have not taken a signal yet.
    deaf: Mutex<Vec<u32>>,
}

struct Request {
    /// The number of the thread, and the phase in the two lowest bits.
    word: AtomicU64,
    /// Counts answers: what is waited on.
    answered: AtomicU32,
    spot: AtomicPtr<Spot>,
    copy: AtomicPtr<Copy>,
    words_max: AtomicUsize,
    /// A [`Note`], or nothing.
    note: AtomicPtr<()>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct What {
    /// Of the stack, at most so many bytes from the innermost call on.
    pub(super) stack_bytes: usize,
    pub(super) note: Option<Note>,
}

/// What a handler writes.
struct Copy {
    registers: [u64; WORDS],
    noted: [usize; 2],
    /// Where the copied part of the stack begins, and its words; none if it is no stack to be copied.
    start: usize,
    words: usize,
    stack: [u64; STACK_WORDS],
}

/// The registers and the stack of a thread as they were.
pub(super) struct Copied(Box<UnsafeCell<Copy>>);

// SAFETY: what is in it is numbers; it is written to through the request alone, while it is borrowed by who asks.
unsafe impl Send for Copied {}

/// What came of asking.
pub(super) enum Answer {
    /// Nobody is in the spot.
    Nothing,
    /// There was none.
    None,
    /// From the thread of this number.
    From(u32),
}

impl Default for Copied {
    fn default() -> Self {
        let layout = Layout::new::<UnsafeCell<Copy>>();
        // SAFETY: the layout has a size. Zeros are a value of numbers, and a box frees what it has by the same layout. Its
        // pages are given when they are first written.
        unsafe {
            #[expect(clippy::cast_ptr_alignment, reason = "the layout has the alignment")]
            let zeros = alloc_zeroed(layout).cast::<UnsafeCell<Copy>>();
            if zeros.is_null() {
                handle_alloc_error(layout);
            }
            Self(Box::from_raw(zeros))
        }
    }
}

impl Copied {
    fn inner(&self) -> &Copy {
        // SAFETY: only `ask` has it written to, for which it is borrowed mutably.
        unsafe { &*self.0.get() }
    }

    pub(super) fn registers(&self) -> Registers {
        registers_of(&self.inner().registers)
    }

    /// What the note said, if one was asked for.
    pub(super) fn noted(&self) -> [usize; 2] {
        self.inner().noted
    }

    /// The word that was at an address of the stack.
    pub(super) fn word(&self, address: u64) -> Result<u64, ()> {
        let Copy { start, words, stack, .. } = self.inner();
        let offset =
            usize::try_from(address).ok().and_then(|address| address.checked_sub(*start)).ok_or(())?;
        stack[..*words].get(offset / size_of::<u64>()).filter(|_| offset.is_multiple_of(8)).copied().ok_or(())
    }

    /// The address behind what was copied.
    pub(super) fn end(&self) -> u64 {
        (self.inner().start + self.inner().words * size_of::<u64>()) as u64
    }
}

/// Whether there is a signal with our handler now.
pub(super) fn install() -> bool {
    let _asking = lock();
    if is_installed() {
        return true;
    }
    let signal = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|signal| take_over(*signal));
    SIGNAL.store(signal.unwrap_or(0), Ordering::Release);
    signal.is_some()
}

/// It stays as long as the process lives: a signal that comes late would end that otherwise.
fn take_over(signal: c_int) -> bool {
    // SAFETY: the action is a valid one, of zeros (flags, mask, the default handler) and what is set; the handler keeps to
    // what may be done in one. Whoever had a handler gets it back.
    unsafe {
        let mut ours: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = handle as *const () as usize;
        // On the stack for signals where the thread has one, since its own may be nearly full.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut ours.sa_mask);
        if libc::sigaction(signal, &raw const ours, &raw mut before) != 0 {
            return false;
        }
        let was_free = before.sa_sigaction == libc::SIG_DFL;
        if !was_free {
            libc::sigaction(signal, &raw const before, ptr::null_mut());
        }
        was_free
    }
}

/// Whether our handler is there, and nobody has put another one in its place.
fn is_installed() -> bool {
    let signal = SIGNAL.load(Ordering::Acquire);
    // SAFETY: the call only writes what is in force to a local.
    signal != 0
        && unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut now) == 0
                && now.sa_sigaction == handle as *const () as usize
        }
}

/// Asks the thread that is in a spot, if one is, for its registers and its stack.
pub(super) fn ask(spot: &Spot, what: What, copied: &mut Copied) -> Answer {
    let thread = spot.thread() as u32;
    if thread == 0 {
        return Answer::Nothing;
    }
    let mut deaf = lock();
    if !is_installed() {
        return Answer::None;
    }
    if let Some(at) = deaf.iter().position(|one| *one == thread) {
        if has_waiting_signal(thread) {
            return Answer::None;
        }
        deaf.swap_remove(at);
    }
    REQUEST.spot.store(ptr::from_ref(spot).cast_mut(), Ordering::Relaxed);
    REQUEST.copy.store(copied.0.get(), Ordering::Relaxed);
    REQUEST.words_max.store(what.stack_bytes.min(STACK_BYTES) / size_of::<u64>(), Ordering::Relaxed);
    REQUEST.note.store(what.note.map_or(ptr::null_mut(), Note::as_pointer), Ordering::Relaxed);
    let answered = REQUEST.answered.load(Ordering::Relaxed);
    let asked = u64::from(thread) << 2 | ASKED;
    REQUEST.word.store(asked, Ordering::Release);
    // If it cannot be sent, mostly since the thread has ended, nobody answers: an earlier signal that finds this request now
    // is waited for, since whoever gets it writes.
    let is_given_up = !send(thread) && give_up(asked);
    if !is_given_up && !wait(answered, asked) {
        // Some of them may have ended.
        if deaf.len() >= DEAF_MAX {
            deaf.remove(0);
        }
        deaf.push(thread);
    }
    let is_answered = REQUEST.word.swap(NOTHING, Ordering::Acquire) & PHASES == ANSWERED;
    drop(deaf);
    if is_answered && copied.inner().words > 0 { Answer::From(thread) } else { Answer::None }
}

/// Sends the signal; false if there is no such thread any more.
fn send(thread: u32) -> bool {
    let (process, signal) = (std::process::id() as c_int, SIGNAL.load(Ordering::Relaxed));
    // SAFETY: the call takes numbers; a signal of ours to a thread of this process runs our handler.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread as c_int, signal) == 0 }
}

/// Waits for the answer, or gives up; whether there is one.
fn wait(answered: u32, asked: u64) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        if REQUEST.word.load(Ordering::Acquire) & PHASES == ANSWERED {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && give_up(asked) {
            return false;
        }
        // A handler that has begun is waited for without an end, which comes.
        let left = left.max(Duration::from_millis(1));
        let longest = rustix::time::Timespec::try_from(left).ok();
        let _ = futex::wait(&REQUEST.answered, futex::Flags::PRIVATE, answered, longest.as_ref());
    }
}

/// From here on nobody answers; false if somebody does already.
fn give_up(asked: u64) -> bool {
    REQUEST.word.compare_exchange(asked, NOTHING, Ordering::Acquire, Ordering::Acquire).is_ok()
}

/// Whether a thread has a signal of ours to take, which it does not let in.
fn has_waiting_signal(thread: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    set >> (SIGNAL.load(Ordering::Relaxed) - 1) & 1 == 1
}

fn lock() -> MutexGuard<'static, Vec<u32>> {
    asking().deaf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That of this process: a forked child makes its own, since whoever held that of its parent is not there to let go of it.
fn asking() -> &'static Asking {
    let process = std::process::id();
    loop {
        let known = ASKING.load(Ordering::Acquire);
        // SAFETY: what is there was made below, and is never freed.
        if let Some(known) = unsafe { known.as_ref() }.filter(|known| known.process == process) {
            return known;
        }
        let made = Box::into_raw(Box::new(Asking { process, deaf: Mutex::new(Vec::new()) }));
        if ASKING.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// Runs in the thread that is asked, between any two of its instructions: it reads and writes memory that is there, and
/// makes a few system calls. `errno` is as it was afterwards.
extern "C" fn handle(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let this = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let asked = u64::from(this) << 2 | ASKED;
    let answering = u64::from(this) << 2 | ANSWERING;
    if REQUEST.word.compare_exchange(asked, answering, Ordering::Acquire, Ordering::Relaxed).is_err() {
        // It comes late, or somebody else has sent it.
        return;
    }
    // SAFETY: `errno` of this thread is there.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the same.
    let before = unsafe { *errno };
    let (spot, copy) = (REQUEST.spot.load(Ordering::Relaxed), REQUEST.copy.load(Ordering::Relaxed));
    // SAFETY: the kernel gives a valid context. While the word says `ANSWERING`, who asks is in `ask`, where both are
    // borrowed, the copy mutably, and does not look at the copy.
    unsafe {
        answer(&*context.cast::<libc::ucontext_t>(), &*spot, &mut *copy, this);
    }
    REQUEST.word.store(u64::from(this) << 2 | ANSWERED, Ordering::Release);
    REQUEST.answered.fetch_add(1, Ordering::Release);
    let _ = futex::wake(&REQUEST.answered, futex::Flags::PRIVATE, 1);
    // SAFETY: the same.
    unsafe { *errno = before };
}

fn answer(context: &libc::ucontext_t, spot: &Spot, copy: &mut Copy, this: u32) {
    copy.registers = words_of(context);
    let pointer = copy.registers[POINTER] as usize;
    let Range { start, end } = spot.stack_of(this as usize, pointer).unwrap_or_default();
    let words_max = REQUEST.words_max.load(Ordering::Relaxed).min(STACK_WORDS);
    (copy.start, copy.words) = (start, ((end - start) / size_of::<u64>()).min(words_max));
    // SAFETY: this is the stack of the calling thread between where it is and where it was when it entered the spot, so it
    // is all there; the copy has room for so many words. Nothing else writes to that part of the stack meanwhile: the frame of
    // the handler lies below it, or on a stack of its own.
    unsafe {
        ptr::copy_nonoverlapping(
            ptr::with_exposed_provenance::<u64>(start),
            copy.stack.as_mut_ptr(),
            copy.words,
        );
    }
    // SAFETY: who asks has put nothing or a note there.
    let note = unsafe { Note::of_pointer(REQUEST.note.load(Ordering::Relaxed)) };
    copy.noted = note.map_or([0; 2], Note::read);
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    extern "C" fn somebody_elses(_: c_int) {}

    #[test]
    fn a_signal_that_somebody_uses_is_left_to_them() {
        let signal = libc::SIGRTMIN() + 5;
        // SAFETY: a valid action, whose handler does nothing.
        let now = unsafe {
            let mut theirs: libc::sigaction = std::mem::zeroed();
            theirs.sa_sigaction = somebody_elses as *const () as usize;
            assert_eq!(libc::sigaction(signal, &raw const theirs, ptr::null_mut()), 0);
            assert!(!take_over(signal));
            libc::sigaction(signal, ptr::null(), &raw mut theirs);
            theirs.sa_sigaction
        };
        assert_eq!(now, somebody_elses as *const () as usize);
        assert!(install());
        assert_ne!(SIGNAL.load(Ordering::Relaxed), signal);
    }

    #[test]
    fn a_signal_that_nobody_has_asked_for_does_nothing() {
        assert!(install());
        let this = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        (0..100).for_each(|_| assert!(send(this)));
        assert!(!send(1), "not a thread of this process");
    }
}
