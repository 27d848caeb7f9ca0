//! Shared memory under every order of loads and stores that the memory model allows, with processes that die between any
//! two of them: `make test-models`. A process is a thread here.
#![allow(unsafe_code)] // Cells that loom looks after.

use loom::model::Builder;

/// Runs `body` once for each order with so many preemptions at most.
#[cfg(test)]
pub(crate) fn check(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// As [`check`], for a process that dies after no step, after one and so on, up to where it comes to its end alive.
#[cfg(test)]
pub(crate) fn check_deaths(preemptions: usize, body: impl Fn(u32) + Sync + Send + Clone + 'static) {
    for steps in 0.. {
        let body = body.clone();
        let survived = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let all_survived = std::sync::Arc::clone(&survived);
        check(preemptions, move || {
            body(steps);
            let died = mortal::has_anybody_died();
            all_survived.fetch_and(!died, std::sync::atomic::Ordering::Relaxed);
        });
        if survived.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(steps > 3, "nobody died");
            return;
        }
    }
}

/// Atomics each of whose operations is the last of a thread that has no more steps to live.
pub(crate) mod mortal {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::Ordering;

    use loom::sync::atomic as checked;
    use loom::sync::{Arc, Condvar, Mutex};

    use crate::sync::Owner;

    /// Processes of a model have the pids 1 to 4.
    const PROCESSES: usize = 5;

    #[derive(Clone, Copy)]
    enum Life {
        Immortal,
        Left(u32),
        Dead,
    }

    loom::thread_local! {
        static LIFE: Cell<Life> = Cell::new(Life::Immortal);
    }

    loom::lazy_static! {
        static ref IS_DEAD: [checked::AtomicBool; PROCESSES] = std::array::from_fn(|_| checked::AtomicBool::new(false));
        static ref BEDS: Mutex<Beds> = Mutex::new(Beds::default());
    }

    /// Where threads sleep, by the address of the word.
    #[derive(Default)]
    struct Beds {
        has_anybody_died: bool,
        beds: Vec<(usize, usize, Arc<Condvar>)>,
    }

    impl Beds {
        fn of(&mut self, word: &AtomicU32) -> &mut (usize, usize, Arc<Condvar>) {
            let address = std::ptr::from_ref(word).addr();
            let index = self.beds.iter().position(|bed| bed.0 == address).unwrap_or_else(|| {
                self.beds.push((address, 0, Arc::new(Condvar::new())));
                self.beds.len() - 1
            });
            &mut self.beds[index]
        }
    }

    /// What a thread unwinds with that has died.
    struct Died;

    pub(crate) fn owner(pid: usize) -> Owner {
        Owner::from_word((pid as u64) << 42 | 1).unwrap()
    }

    /// Runs `body` as the process `pid`, which dies after so many steps; what it gives, if it came so far.
    pub(crate) fn live<T>(pid: usize, steps: u32, body: impl FnOnce(Owner) -> T) -> Option<T> {
        LIFE.with(|life| life.set(Life::Left(steps)));
        let result = catch_unwind(AssertUnwindSafe(|| body(owner(pid))));
        LIFE.with(|life| life.set(Life::Immortal));
        match result {
            Ok(value) => Some(value),
            Err(panic) if panic.is::<Died>() => {
                bury(pid);
                None
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// From here on others can tell, and none of them sleeps for good.
    fn bury(pid: usize) {
        IS_DEAD[pid].store(true, Ordering::Release);
        let mut beds = BEDS.lock().unwrap();
        beds.has_anybody_died = true;
        for (_, sleepers, bed) in &mut beds.beds {
            *sleepers = 0;
            bed.notify_all();
        }
    }

    pub(crate) fn is_alive(owner: Owner) -> bool {
        !IS_DEAD[owner.process().pid as usize].load(Ordering::Acquire)
    }

    pub(crate) fn has_anybody_died() -> bool {
        BEDS.lock().unwrap().has_anybody_died
    }

    /// Whether the thread may do what it is about to; the dead do nothing, such as in what runs as they unwind.
    fn step() -> bool {
        LIFE.with(|life| match life.get() {
            Life::Immortal => true,
            Life::Dead => false,
            Life::Left(0) => {
                life.set(Life::Dead);
                resume_unwind(Box::new(Died));
            }
            Life::Left(steps) => {
                life.set(Life::Left(steps - 1));
                true
            }
        })
    }

    pub(crate) fn fence(order: Ordering) {
        if step() {
            checked::fence(order);
        }
    }

    macro_rules! atomic {
        ($name:ident, $number:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(checked::$name);

            impl $name {
                pub(crate) fn new(value: $number) -> Self {
                    Self(checked::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $number {
                    if step() { self.0.load(order) } else { 0 }
                }

                pub(crate) fn store(&self, value: $number, order: Ordering) {
                    if step() {
                        self.0.store(value, order);
                    }
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $number,
                    new: $number,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$number, $number> {
                    if step() { self.0.compare_exchange(current, new, success, failure) } else { Err(0) }
                }

                #[allow(dead_code)] // Not needed of each width.
                pub(crate) fn fetch_update(
                    &self,
                    success: Ordering,
                    failure: Ordering,
                    change: impl Fn($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    let mut value = self.load(failure);
                    while let Some(next) = change(value) {
                        match self.compare_exchange(value, next, success, failure) {
                            Ok(value) => return Ok(value),
                            Err(found) => value = found,
                        }
                    }
                    Err(value)
                }

                #[allow(dead_code)]
                pub(crate) fn swap(&self, value: $number, order: Ordering) -> $number {
                    if step() { self.0.swap(value, order) } else { 0 }
                }

                #[allow(dead_code)]
                pub(crate) fn fetch_or(&self, bits: $number, order: Ordering) -> $number {
                    if step() { self.0.fetch_or(bits, order) } else { 0 }
                }

                #[allow(dead_code)]
                pub(crate) fn fetch_max(&self, other: $number, order: Ordering) -> $number {
                    if step() { self.0.fetch_max(other, order) } else { 0 }
                }

                #[allow(dead_code)]
                pub(crate) fn fetch_add(&self, count: $number, order: Ordering) -> $number {
                    if step() { self.0.fetch_add(count, order) } else { 0 }
                }
            }
        };
    }

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    /// Sleep that only being woken ends, or a death: where nobody dies, a wake-up that is missed is a deadlock.
    pub(crate) mod futex {
        use std::time::Duration;

        use super::{AtomicU32, BEDS, Ordering, step};

        pub(crate) fn wait(word: &AtomicU32, expected: u32, _timeout: Duration) {
            if !step() {
                return;
            }
            let mut beds = BEDS.lock().unwrap();
            if beds.has_anybody_died {
                drop(beds);
                loom::thread::yield_now();
            } else if word.0.load(Ordering::SeqCst) == expected {
                let (_, sleepers, bed) = beds.of(word);
                *sleepers += 1;
                let bed = loom::sync::Arc::clone(bed);
                drop(bed.wait(beds).unwrap());
            }
        }

        pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
            if !step() {
                return 0;
            }
            let mut beds = BEDS.lock().unwrap();
            let (_, sleepers, bed) = beds.of(word);
            let woken = (*sleepers).min(count as usize);
            *sleepers -= woken;
            (0..woken).for_each(|_| bed.notify_one());
            woken
        }
    }
}

#[cfg(test)]
mod tests;
