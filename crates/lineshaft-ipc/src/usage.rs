//! What this process and its threads have used so far. Cheap enough to be asked at the beginning and at the end of every
//! attempt: 0.13 to 0.4 us each, where a file of `/proc` takes twenty.
#![allow(unsafe_code)] // `getrusage`, and the clocks of other threads, are in no safe library.

use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// CPU time of this process, all of its threads together, those that have ended too.
pub fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time of a thread of this process, by its number; `None` if it has ended.
pub fn cpu_of_thread(number: u32) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // The clock that counts the time of one thread: the number turned over, and beside it `CPUCLOCK_PERTHREAD` and
    // `CPUCLOCK_SCHED` of the kernel.
    let clock = (!(number as libc::clockid_t) << 3) | 0b110;
    // SAFETY: the call writes to a local, and says by 0 that it has.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (read == 0).then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

/// CPU time of the processes that this one has started and waited for, with all that those waited for. The kernel counts
/// it to some milliseconds.
pub fn children_cpu() -> Duration {
    let usage = usage_of(libc::RUSAGE_CHILDREN);
    of_timeval(usage.ru_utime) + of_timeval(usage.ru_stime)
}

/// The peak of this process's resident memory, bytes, or that of the program from which it came by `exec`, if that is
/// greater.
pub fn peak_bytes() -> u64 {
    // Of the thread, since the kernel then need not add up the times of all.
    u64::try_from(usage_of(libc::RUSAGE_THREAD).ru_maxrss).unwrap_or(0) * 1_024
}

fn usage_of(who: libc::c_int) -> libc::rusage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes to the structure, which is there, and to nothing else; zeroes are a valid one if it fails.
    unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn of_timeval(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec as u32 * 1_000)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    const WHILE: Duration = Duration::from_millis(30);

    fn burn(cpu: fn() -> Duration) {
        let until = cpu() + WHILE;
        while cpu() < until {
            black_box((0..1_000).sum::<u64>());
        }
    }

    #[test]
    fn a_thread_has_its_own_time_and_the_process_that_of_all() {
        let (own, all) = (thread_cpu(), process_cpu());
        std::thread::spawn(|| burn(thread_cpu)).join().unwrap();
        assert!(process_cpu() >= all + WHILE);
        let began = Instant::now();
        burn(thread_cpu);
        assert!(thread_cpu() >= own + WHILE && began.elapsed() >= WHILE);
        assert!(process_cpu() >= all + 2 * WHILE, "both are its own");
    }

    #[test]
    fn the_time_of_another_thread_is_read_while_it_lives() {
        let number = || rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let own = number();
        let seen = std::thread::spawn(move || {
            let before = cpu_of_thread(own);
            (number(), before)
        });
        let (ended, before) = seen.join().unwrap();
        burn(thread_cpu);
        let after = cpu_of_thread(own).unwrap();
        assert!(after >= before.unwrap() + WHILE && after <= thread_cpu());
        assert_eq!(cpu_of_thread(ended), None);
    }

    #[test]
    fn processes_count_once_they_were_waited_for() {
        let before = children_cpu();
        let loops = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", loops]).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let after = children_cpu();
        assert!(after >= before + Duration::from_millis(20), "{before:?} {after:?}");
    }

    #[test]
    fn a_peak_stays_when_its_memory_is_gone() {
        const BLOCK: usize = 64 << 20;
        let before = crate::rss::Rss::of(std::process::id()).unwrap().bytes().unwrap();
        drop(black_box(vec![1u8; BLOCK]));
        assert!(peak_bytes() >= before + BLOCK as u64 / 2);
    }
}
