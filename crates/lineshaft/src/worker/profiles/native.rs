//! The thread that looks what the body of an attempt does, where that is compiled: it is found in a
//! [`Spot`](lineshaft_ipc::stacks::Spot) while a thread runs it, and else waits for something.
//!
//! A stack that is seen stands for the time since the last look. Pauses are of random length, between half and one and a half
//! periods: what happens as regularly as it is looked would else be seen always or never. Names are asked for when the attempt
//! is over, since the first ones of a program take long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft_insight::profile::{Call, Kind, Profile, Weight};
use lineshaft_ipc::stacks::{Looker, Seen};
use lineshaft_ipc::usage::cpu_of_thread;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::Whose;
use super::places::calls;
use crate::worker::Draft;

/// Between two looks, in the mean: 100 a second.
const PERIOD: Duration = Duration::from_millis(10);
/// How long who keeps a profile waits for room.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many stacks are kept without names, and so many addresses in them, 8 MiB; then names are asked for.
const STACKS_MAX: usize = 16_384;
const ADDRESSES_MAX: usize = 1 << 20;

const LOOKS: u8 = 0;
const IS_OVER: u8 = 1;
const IS_ABANDONED: u8 = 2;

/// An attempt is being profiled. Dropped, it is over.
#[derive(Debug)]
pub struct Profiling {
    state: Arc<AtomicU8>,
    thread: thread::Thread,
    kept: Option<oneshot::Receiver<()>>,
}

impl Profiling {
    /// From now on `look` is asked 100 times a second. `None` if too many are profiled at the same time, or no thread can be
    /// started.
    pub fn begin(whose: Whose, look: impl FnMut(&mut Looker) -> Seen + Send + 'static) -> Option<Self> {
        let draft = whose.attempts.draft()?;
        let state = Arc::new(AtomicU8::new(LOOKS));
        let (keep, kept) = oneshot::channel();
        let its = Arc::clone(&state);
        let thread = thread::Builder::new().name("lineshaft-profile".to_owned());
        let began = Instant::now();
        let spawned = thread.spawn(move || {
            run(&whose, began, &its, look);
            finish(draft, keep);
        });
        let thread = spawned.ok()?.thread().clone();
        Some(Self { state, thread, kept: Some(kept) })
    }

    /// The attempt is over. Ready when its profile is kept.
    pub async fn end(mut self) {
        let kept = self.kept.take();
        drop(self);
        if let Some(kept) = kept {
            // Its thread has panicked if it says nothing.
            let _ = kept.await;
        }
    }

    /// The attempt was over when this began: nothing is kept.
    pub fn abandon(self) {
        self.state.store(IS_ABANDONED, Ordering::Relaxed);
    }
}

impl Drop for Profiling {
    fn drop(&mut self) {
        let _ = self.state.compare_exchange(LOOKS, IS_OVER, Ordering::Relaxed, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn finish(draft: Draft, keep: oneshot::Sender<()>) {
    // Others may be profiled from here on; whoever waits knows that already.
    drop(draft);
    let _ = keep.send(());
}

fn run(whose: &Whose, began: Instant, state: &AtomicU8, mut look: impl FnMut(&mut Looker) -> Seen) {
    let Some(looker) = Looker::new() else {
        tracing::debug!(
            "an attempt is not profiled: no real-time signal is free, or this processor is not known"
        );
        return;
    };
    let mut looking = Looking::new(looker, Arc::clone(&whose.task), began);
    let mut due = began + pause();
    while sleep_until(due, state) {
        looking.look(&mut look);
        due = (due + pause()).max(Instant::now());
    }
    let took = began.elapsed();
    if state.load(Ordering::Relaxed) == IS_OVER {
        whose.keep(&looking.profile(took), took, PATIENCE);
    }
}

fn pause() -> Duration {
    PERIOD.mul_f64(0.5 + fastrand::f64())
}

/// False if it is over before.
fn sleep_until(due: Instant, state: &AtomicU8) -> bool {
    while state.load(Ordering::Relaxed) == LOOKS {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::park_timeout(left);
    }
    false
}

/// What was seen so far.
struct Looking {
    looker: Looker,
    task: Arc<str>,
    profile: Profile,
    /// By addresses.
    stacks: FxHashMap<Box<[usize]>, Weight>,
    /// How many they have together.
    addresses: usize,
    awaited: Weight,
    looked: Instant,
    /// The time that each thread that ran the body had had a processor when it was seen last.
    cpu: FxHashMap<u32, Duration>,
}

impl Looking {
    fn new(looker: Looker, task: Arc<str>, began: Instant) -> Self {
        let (stacks, addresses, awaited, cpu) = Default::default();
        Self { looker, task, profile: Profile::new(), stacks, addresses, awaited, looked: began, cpu }
    }

    fn look(&mut self, look: &mut impl FnMut(&mut Looker) -> Seen) {
        let now = Instant::now();
        let wall = now.saturating_duration_since(self.looked);
        let seen = look(&mut self.looker);
        match seen {
            // This time goes with what is seen next.
            Seen::NoAnswer => return,
            Seen::Nothing => add(&mut self.awaited, wall, Duration::ZERO),
            Seen::Thread(thread) => {
                let cpu = self.passed(thread).min(wall);
                if let Some(weight) = self.stacks.get_mut(self.looker.addresses()) {
                    add(weight, wall, cpu);
                } else {
                    let mut weight = Weight::default();
                    add(&mut weight, wall, cpu);
                    self.stacks.insert(self.looker.addresses().into(), weight);
                    self.addresses += self.looker.addresses().len();
                }
            }
        }
        self.looked = now;
        if self.stacks.len() >= STACKS_MAX || self.addresses >= ADDRESSES_MAX {
            self.settle();
        }
    }

    /// The time that a thread had a processor since it was seen last; of one that was not seen before it is not known.
    fn passed(&mut self, thread: u32) -> Duration {
        let Some(now) = cpu_of_thread(thread) else { return Duration::ZERO };
        let before = self.cpu.insert(thread, now).unwrap_or(now);
        now.saturating_sub(before)
    }

    /// Gives what was seen its names.
    fn settle(&mut self) {
        self.addresses = 0;
        let track = self.profile.track(&self.task, Kind::Thread);
        for (addresses, weight) in self.stacks.drain() {
            let mut calls = calls(&mut self.profile, &addresses);
            if calls.is_empty() {
                // What calls the body, or what comes before and after it.
                calls.push(Call { frame: self.profile.frame(&self.task, "", 0), line: 0 });
            }
            self.profile.add(track, &calls, weight);
        }
    }

    /// All of it, of an attempt that took so long.
    fn profile(mut self, took: Duration) -> Profile {
        self.settle();
        if self.awaited.samples > 0 {
            let track = self.profile.track(&self.task, Kind::Awaiting);
            let task = Call { frame: self.profile.frame(&self.task, "", 0), line: 0 };
            self.profile.add(track, &[task], self.awaited);
        }
        self.profile.ran(took.as_nanos() as u64);
        self.profile
    }
}

fn add(weight: &mut Weight, wall: Duration, cpu: Duration) {
    weight.wall_ns += wall.as_nanos() as u64;
    weight.cpu_ns += cpu.as_nanos() as u64;
    weight.samples += 1;
}
