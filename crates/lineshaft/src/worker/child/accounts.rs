//! What attempts take, measured where they begin and end.
//!
//! A reading of a clock of CPU time takes 0.4 us. Attempts that follow each other share one, and those that are over at once
//! do without for a while. What takes further calls is asked for only of attempts that were long enough to have done
//! something of the kind.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use lineshaft_ipc::process::rss_peak_bytes;
use lineshaft_ipc::usage::{children_cpu, peak_bytes, process_cpu, thread_cpu};
use lineshaft_wire::Measures;

use super::held::Held;
use crate::tally::{Tally, counts_collections, tally};
use crate::worker::Kind;

/// In a shorter time hardly any memory is touched for the first time: some hundred KiB.
const PEAK_AFTER: Duration = Duration::from_micros(100);
/// In a shorter time no process is started and waited for.
const CHILDREN_AFTER: Duration = Duration::from_millis(1);
/// From here on the peak is worth reading a file of `/proc`, where the quick way does not show it.
const FILE_AFTER: Duration = Duration::from_millis(10);

/// What goes by so soon counts as CPU time without a look at its clock, between attempts of a thread and in them: nobody
/// sleeps in so short a time.
const SOON: Duration = Duration::from_micros(20);
/// For so long at most: a clock is read again then, so that no attempt is wrong by more.
const UNREAD_MAX: Duration = Duration::from_micros(200);

thread_local! {
    /// What had been used in this thread when its last attempt ended.
    static LAST: Cell<Option<Used>> = const { Cell::new(None) };
}

/// What had been used at a time.
#[derive(Clone, Copy, Debug)]
struct Used {
    at: Instant,
    cpu: Duration,
    /// When the clock was read.
    read_at: Instant,
}

impl Used {
    fn read(at: Instant, cpu: Duration) -> Self {
        Self { at, cpu, read_at: at }
    }

    /// What has been used by now, if that is known without the clock.
    fn soon_after(self, now: Instant) -> Option<Self> {
        let gap = now.saturating_duration_since(self.at);
        let is_sure = gap <= SOON && now.saturating_duration_since(self.read_at) <= UNREAD_MAX;
        is_sure.then(|| Self { at: now, cpu: self.cpu + gap, ..self })
    }
}

/// What had been used when a body began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    used: Used,
    tally: Tally,
    /// The thread whose time and tally these are.
    thread: ThreadId,
    /// What is seen meanwhile of the interpreter's lock.
    pub(super) held: Option<Held>,
}

/// Measures the attempts of this process.
#[derive(Debug)]
pub(super) struct Accounts {
    kind: Kind,
    /// The quick way gives this peak at least: that of the program from which this one came by `exec`.
    peak_shown_above: OnceLock<u64>,
    /// The peak, and the CPU time of processes that were waited for, when they were looked at last.
    peak: AtomicU64,
    children_us: AtomicU64,
}

impl Accounts {
    pub(super) fn new(kind: Kind) -> Self {
        let (peak, children_us) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { kind, peak_shown_above: OnceLock::new(), peak, children_us }
    }

    /// A body begins, for which the peak of memory `is_new` or was that of others before. Nothing is measured where
    /// coroutines take turns in a thread.
    pub(super) fn open(&self, began: Instant, is_new: bool) -> Option<Opening> {
        if self.kind == Kind::Async {
            return None;
        }
        if is_new && self.kind == Kind::Process {
            self.peak.store(self.peak_now(FILE_AFTER).unwrap_or(0), Ordering::Relaxed);
        }
        let since_last = LAST.get().and_then(|last| last.soon_after(began));
        let used = since_last.unwrap_or_else(|| Used::read(began, self.cpu()));
        let thread = std::thread::current().id();
        Some(Opening { used, tally: tally(), thread, held: Held::begin(began) })
    }

    /// CPU time of the slot so far, in this thread.
    fn cpu(&self) -> Duration {
        if self.kind == Kind::Process { process_cpu() } else { thread_cpu() }
    }

    /// A body that began then and took so long has ended, in this thread.
    pub(super) fn close(&self, opening: Option<Opening>, began: Instant, took: Duration) -> Measures {
        let ran_us = Some(micros(took));
        let Some(Opening { used: before_it, tally: before, thread, held }) = opening else {
            return Measures { ran_us, ..Measures::default() };
        };
        let is_here = thread == std::thread::current().id();
        let tally = tally().since(before);
        let ended = began + took;
        let now = before_it.soon_after(ended).filter(|_| is_here);
        let now = now.unwrap_or_else(|| Used::read(ended, self.cpu()));
        LAST.set(Some(now));
        let used = micros(now.cpu.saturating_sub(before_it.cpu));
        let measures = Measures {
            ran_us,
            collected_us: (is_here && counts_collections()).then(|| micros(tally.collected)),
            cache_hits: is_here.then_some(tally.cache_hits),
            gil_us: held.filter(|_| is_here).and_then(|held| held.of_time(took)).map(micros),
            ..Measures::default()
        };
        match self.kind {
            Kind::Process => Measures {
                cpu_us: Some(used),
                children_cpu_us: Some(self.children_us(took)),
                peak_growth_bytes: self.peak_growth(took),
                ..measures
            },
            _ => Measures { cpu_us: is_here.then_some(used), ..measures },
        }
    }

    fn children_us(&self, took: Duration) -> u64 {
        if took < CHILDREN_AFTER {
            return 0;
        }
        let now = micros(children_cpu());
        now.saturating_sub(self.children_us.swap(now, Ordering::Relaxed))
    }

    fn peak_growth(&self, took: Duration) -> Option<u64> {
        if took < PEAK_AFTER {
            return Some(0);
        }
        let now = self.peak_now(took)?;
        Some(now.saturating_sub(self.peak.swap(now, Ordering::Relaxed)))
    }

    /// The peak of this process's memory; `None` if that is not worth its cost after so long.
    fn peak_now(&self, took: Duration) -> Option<u64> {
        let of_file = || rss_peak_bytes(std::process::id()).ok().flatten();
        let quick = peak_bytes();
        let shown_above = self.peak_shown_above.get_or_init(|| {
            // The quick way counts a little less closely.
            const CLOSE: u64 = 4 << 20;
            if of_file().is_some_and(|peak| quick <= peak + CLOSE) { 0 } else { quick }
        });
        if quick > *shown_above {
            return Some(quick);
        }
        (took >= FILE_AFTER).then(of_file).flatten()
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_millis(20);

    fn burn() {
        let until = thread_cpu() + LONG;
        while thread_cpu() < until {
            black_box((0..1_000).sum::<u64>());
        }
    }

    fn measured(accounts: &Accounts, body: impl FnOnce()) -> Measures {
        let began = Instant::now();
        let opening = accounts.open(began, true);
        body();
        accounts.close(opening, began, began.elapsed())
    }

    #[test]
    fn a_body_that_computes_takes_cpu_time_and_one_that_sleeps_does_not() {
        let accounts = Accounts::new(Kind::Thread);
        let (computes, sleeps) =
            (measured(&accounts, burn), measured(&accounts, || std::thread::sleep(LONG)));
        assert!(computes.cpu_us >= Some(20_000), "{computes:?}");
        assert!(sleeps.cpu_us < Some(10_000) && sleeps.ran_us >= Some(20_000), "{sleeps:?}");
        assert_eq!(
            (sleeps.peak_growth_bytes, sleeps.children_cpu_us),
            (None, None),
            "they are of all threads"
        );
    }

    #[test]
    fn a_process_s_attempt_has_its_threads_its_children_and_its_memory() {
        let accounts = Accounts::new(Kind::Process);
        let _ = accounts.open(Instant::now(), true);
        let all = measured(&accounts, || {
            std::thread::spawn(burn).join().unwrap();
            drop(black_box(vec![1u8; 256 << 20]));
            let loops = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
            assert!(std::process::Command::new("sh").args(["-c", loops]).status().unwrap().success());
        });
        assert!(all.cpu_us >= Some(20_000) && all.children_cpu_us >= Some(10_000), "{all:?}");
        // Other tests of this process may have a peak of their own.
        assert!(all.peak_growth_bytes.is_some(), "{all:?}");
    }

    #[test]
    fn what_follows_at_once_has_its_own_time_alone() {
        let accounts = Accounts::new(Kind::Thread);
        measured(&accounts, burn);
        let next = measured(&accounts, || ());
        assert!(next.cpu_us < Some(15_000), "{next:?}");
        measured(&accounts, || ());
        let burns = measured(&accounts, burn);
        assert!(burns.cpu_us >= Some(19_700), "{burns:?}");
    }

    #[test]
    fn short_ones_in_a_row_read_no_clock_and_are_counted_by_it_again() {
        let accounts = Accounts::new(Kind::Thread);
        let start = thread_cpu();
        let began = Instant::now();
        let (mut counted, mut unread) = (0, 0);
        while began.elapsed() < LONG {
            counted += measured(&accounts, || ()).cpu_us.unwrap();
            let last = LAST.get().unwrap();
            unread += u32::from(last.read_at < last.at);
        }
        assert!(unread > 0, "none of them followed the one before at once");
        let used = micros(thread_cpu().saturating_sub(start));
        assert!(counted <= used + micros(UNREAD_MAX), "{counted} of {used}");
    }

    #[test]
    fn of_coroutines_only_the_time_is_known() {
        let accounts = Accounts::new(Kind::Async);
        let measures = measured(&accounts, || ());
        assert_eq!(measures, Measures { ran_us: measures.ran_us, ..Measures::default() });
        assert!(measures.ran_us.is_some());
    }

    #[test]
    fn what_ends_in_another_thread_has_no_cpu_time_of_its_own() {
        let accounts = Accounts::new(Kind::Thread);
        let began = Instant::now();
        let opening = accounts.open(began, true);
        let closed =
            std::thread::scope(|scope| scope.spawn(|| accounts.close(opening, began, LONG)).join().unwrap());
        assert_eq!((closed.cpu_us, closed.collected_us, closed.ran_us), (None, None, Some(20_000)));
    }
}
