//! Threads that do what is known, looked at. A handler that did what it must not would end this process, or hang it.

use std::hint::black_box;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;

/// Against hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A thread that does something again and again in a spot, until it is dropped.
struct Busy {
    spot: Arc<Spot>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn with(mut step: impl FnMut() + Send + 'static) -> Self {
        let (spot, is_over): (Arc<Spot>, Arc<AtomicBool>) = Default::default();
        let (its, over) = (Arc::clone(&spot), Arc::clone(&is_over));
        let body = move || outside_of_the_spot(&its, &over, &mut step);
        Self { spot, is_over, thread: Some(thread::spawn(body)) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

#[inline(never)]
fn outside_of_the_spot(spot: &Spot, is_over: &AtomicBool, step: &mut dyn FnMut()) {
    while !is_over.load(Ordering::Relaxed) {
        spot.around(&mut *step);
        black_box(());
    }
}

#[inline(never)]
fn computes_in_a_known_place() {
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until {
        black_box((0..100).sum::<u64>());
    }
    black_box(());
}

#[inline(never)]
fn waits_in_a_known_place() {
    thread::sleep(Duration::from_millis(200));
    black_box(());
}

#[inline(never)]
fn is_deep(calls: u32) -> u32 {
    if calls == 0 {
        computes_in_a_known_place();
        return 1;
    }
    black_box(is_deep(black_box(calls - 1))) + 1
}

/// What a thread is seen at, once it is.
fn seen_at(looker: &mut Looker, spot: &Spot) -> Vec<Function> {
    let until = Instant::now() + PATIENCE;
    while !matches!(looker.look(spot), Seen::Thread(_)) {
        assert!(Instant::now() < until, "nothing was seen");
        thread::sleep(Duration::from_millis(1));
    }
    looker.addresses().iter().flat_map(|address| functions_at(*address)).collect()
}

fn place_of(functions: &[Function], name: &str) -> Option<usize> {
    functions.iter().position(|function| function.name.ends_with(name))
}

#[test]
fn a_thread_is_seen_where_it_computes_and_where_it_waits() {
    let check = |step: fn(), name: &str| {
        let busy = Busy::with(step);
        let functions = seen_at(&mut Looker::new().unwrap(), &busy.spot);
        let place = place_of(&functions, name).unwrap_or_else(|| panic!("{name} is not in {functions:#?}"));
        let Function { file, line, .. } = &functions[place];
        assert!(file.ends_with("stacks/tests.rs") && *line > 40, "{file}:{line}");
        assert_eq!(place_of(&functions, "outside_of_the_spot"), None, "{functions:#?}");
    };
    check(computes_in_a_known_place, "computes_in_a_known_place");
    check(waits_in_a_known_place, "waits_in_a_known_place");
}

#[test]
fn of_a_deep_stack_the_innermost_calls_are_seen() {
    let busy = Busy::with(|| assert_eq!(is_deep(3_000), 3_001));
    let mut looker = Looker::new().unwrap();
    let until = Instant::now() + PATIENCE;
    while looker.addresses().len() < CALLS_MAX {
        looker.look(&busy.spot);
        assert!(Instant::now() < until);
    }
    assert!(place_of(&functions_at(looker.addresses()[CALLS_MAX - 1]), "is_deep").is_some());
}

#[test]
fn nothing_is_seen_where_nothing_runs_or_the_thread_has_ended() {
    let mut looker = Looker::new().unwrap();
    let spot = Spot::default();
    spot.around(|| ());
    assert_eq!(looker.look(&spot), Seen::Nothing);
    let number = || rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let ended = thread::spawn(number).join().unwrap();
    assert_eq!(looker.look(&Spot::forged(ended, usize::MAX)), Seen::NoAnswer);
    assert!(looker.addresses().is_empty());
}

#[test]
fn a_thread_that_is_elsewhere_on_another_stack_is_not_copied() {
    let number = Arc::new(AtomicU32::new(0));
    let its = Arc::clone(&number);
    let _busy = Busy::with(move || {
        its.store(rustix::thread::gettid().as_raw_nonzero().get() as u32, Ordering::Release);
        thread::sleep(Duration::from_millis(1));
    });
    let mut looker = Looker::new().unwrap();
    let until = Instant::now() + PATIENCE;
    while number.load(Ordering::Acquire) == 0 {
        assert!(Instant::now() < until);
    }
    // As if the spot had been entered on a stack that lies below the one that is used.
    let forged = Spot::forged(number.load(Ordering::Acquire), 64);
    assert_eq!(looker.look(&forged), Seen::NoAnswer);
}

/// It is sent one signal, and not one for each look, which would all be waiting for it.
#[test]
fn a_thread_that_lets_no_signals_in_gives_no_answer_until_it_does() {
    let (blocked, is_blocked) = (Arc::new(AtomicBool::new(true)), Arc::new(Barrier::new(2)));
    let (its, came) = (Arc::clone(&blocked), Arc::clone(&is_blocked));
    let mut has_begun = false;
    let busy = Busy::with(move || {
        block_signals(its.load(Ordering::Acquire));
        if !std::mem::replace(&mut has_begun, true) {
            came.wait();
        }
        thread::sleep(Duration::from_millis(1));
    });
    is_blocked.wait();
    let mut looker = Looker::new().unwrap();
    let looks = (0..300).map(|_| looker.look(&busy.spot));
    assert_eq!(looks.filter(|seen| matches!(seen, Seen::Thread(_))).count(), 0);
    blocked.store(false, Ordering::Release);
    seen_at(&mut looker, &busy.spot);
}

fn block_signals(are_blocked: bool) {
    // SAFETY: the set is filled before it is read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        let how = if are_blocked { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
        assert_eq!(libc::pthread_sigmask(how, &raw const all, std::ptr::null_mut()), 0);
    }
}

#[test]
fn looks_disturb_neither_allocations_nor_panics_nor_the_loader() {
    let steps: [fn(); 4] = [
        || drop(black_box((0..100).map(|size| vec![1_u8; size * 50]).collect::<Vec<_>>())),
        || assert!(catch_unwind(|| is_unwound(20)).is_err()),
        || thread::spawn(|| black_box(std::backtrace::Backtrace::force_capture())).join().map(drop).unwrap(),
        errno_stays,
    ];
    let busy = steps.map(Busy::with);
    thread::scope(|scope| {
        for one in &busy {
            scope.spawn(|| {
                let mut looker = Looker::new().unwrap();
                // Its thread may not have begun yet.
                seen_at(&mut looker, &one.spot);
                for _ in 0..2_000 {
                    looker.look(&one.spot);
                }
            });
        }
    });
}

#[inline(never)]
fn is_unwound(calls: u32) {
    let _has_a_destructor = black_box(vec![calls]);
    if calls == 0 {
        // As a panic, without a word on standard error.
        resume_unwind(Box::new(1));
    }
    is_unwound(calls - 1);
}

fn errno_stays() {
    // SAFETY: there is no such descriptor.
    unsafe { libc::close(-1) };
    for _ in 0..10_000 {
        let errno = std::io::Error::last_os_error().raw_os_error();
        assert_eq!(errno, Some(libc::EBADF));
    }
}
