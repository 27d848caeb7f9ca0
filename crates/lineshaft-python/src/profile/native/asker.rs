//! The thread that asks others for their stacks, while who looks waits for the interpreter's lock.
//!
//! A call of C that does not let others in may last for seconds, in which one stack says little. So the threads are asked at
//! the beginning of a look, and again after each period until the look has got the lock: that is one *turn*. Nothing is held
//! while a thread is waited for.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lineshaft_ipc::stacks::{Looker, Spot};
use rustc_hash::FxHashMap;

use super::insides::{At, Insides};

/// Bytes of a stack above the interpreter's loop that are looked through. A way that is longer does not end there.
const STACK_BYTES: usize = 256 << 10;
/// Native functions of a stack that are kept, the innermost ones.
const CALLS_MAX: usize = 128;
/// Stacks of a thread that are kept in a turn; more take the places of others.
const COPIES_MAX: usize = 1_000;
/// How long the first answers of a turn are waited for. Who asks may still read the tables of the program.
const PATIENCE: Duration = Duration::from_millis(20);

/// Those that were used, with the tables of the program that they have read: to read these again takes milliseconds.
static LOOKERS: Mutex<Vec<Looker>> = Mutex::new(Vec::new());
const LOOKERS_MAX: usize = 4;

/// What a thread did natively, and where it was in Python.
pub(super) struct Copy {
    pub(super) at: At,
    /// Above the interpreter's loop, the innermost call first.
    pub(super) addresses: Box<[usize]>,
}

/// Has threads asked. Dropped, that ends.
pub(super) struct Asker {
    turns: Sender<u64>,
    rounds: Receiver<u64>,
    turn: u64,
    shared: Arc<Shared>,
}

/// What both threads have: each lock is held for a few steps.
#[derive(Default)]
struct Shared {
    /// Whom to ask, by Python's identifiers.
    threads: Mutex<FxHashMap<u64, Arc<Spot>>>,
    seen: Mutex<Seen>,
}

/// What was seen in a turn, which is 0 if none is going on.
#[derive(Default)]
struct Seen {
    turn: u64,
    copies: FxHashMap<u64, Vec<Copy>>,
}

impl Asker {
    /// `None` if no real-time signal is free, or no thread can be started.
    pub(super) fn begin(insides: Insides, period: Duration) -> Option<Self> {
        let looker = used().or_else(Looker::new)?;
        let shared: Arc<Shared> = Arc::default();
        let ((turns, asked), (done, rounds)) = (channel(), channel());
        let its = Arc::clone(&shared);
        let asking = move || {
            let mut asking = Asking { looker, insides, shared: its };
            asking.run(&asked, &done, period);
            give_back(asking.looker);
        };
        thread::Builder::new().name("profile-native".to_owned()).spawn(asking).ok()?;
        Some(Self { turns, rounds, turn: 0, shared })
    }

    /// A thread is asked from the next turn on.
    pub(super) fn add(&self, ident: u64, spot: Spot) {
        lock(&self.shared.threads).insert(ident, Arc::new(spot));
    }

    /// It is asked no more.
    pub(super) fn remove(&self, ident: u64) {
        lock(&self.shared.threads).remove(&ident);
    }

    /// Begins a turn: each thread was asked once when this returns.
    pub(super) fn ask(&mut self) {
        self.turn += 1;
        *lock(&self.shared.seen) = Seen { turn: self.turn, copies: FxHashMap::default() };
        if self.turns.send(self.turn).is_ok() {
            // Rounds of former turns may have come late.
            while self.rounds.recv_timeout(PATIENCE).is_ok_and(|turn| turn < self.turn) {}
        }
    }

    /// Ends it, and gives what was seen, by identifiers.
    pub(super) fn take(&self) -> FxHashMap<u64, Vec<Copy>> {
        std::mem::take(&mut *lock(&self.shared.seen)).copies
    }
}

struct Asking {
    looker: Looker,
    insides: Insides,
    shared: Arc<Shared>,
}

impl Asking {
    fn run(&mut self, turns: &Receiver<u64>, rounds: &Sender<u64>, period: Duration) {
        self.looker.prepare();
        let Ok(mut turn) = turns.recv() else { return };
        loop {
            self.ask_all(turn);
            let _ = rounds.send(turn);
            turn = match self.next(turns, turn, period) {
                Some(next) => next,
                None => return,
            };
        }
    }

    /// The turn of the next round; `None` at the end.
    fn next(&self, turns: &Receiver<u64>, turn: u64, period: Duration) -> Option<u64> {
        match turns.recv_timeout(period) {
            Ok(next) => Some(next),
            Err(RecvTimeoutError::Timeout) if lock(&self.shared.seen).turn == turn => Some(turn),
            Err(RecvTimeoutError::Timeout) => turns.recv().ok(),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn ask_all(&mut self, turn: u64) {
        let threads: Vec<(u64, Arc<Spot>)> =
            (lock(&self.shared.threads).iter()).map(|(ident, spot)| (*ident, Arc::clone(spot))).collect();
        for (ident, spot) in threads {
            if let Some(copy) = self.ask(&spot) {
                lock(&self.shared.seen).add(turn, ident, copy);
            }
        }
    }

    /// `None` without an answer, or if a thread runs no Python.
    fn ask(&mut self, spot: &Spot) -> Option<Copy> {
        let Insides { note, evaluates, .. } = &self.insides;
        let at = self.looker.look_above(spot, evaluates, STACK_BYTES, *note).and_then(At::of)?;
        let found = self.looker.addresses();
        let above = match found.split_last() {
            Some((last, above)) if evaluates.contains(&(last - 1)) => above,
            // The way does not lead there.
            _ => found.get(..1).unwrap_or_default(),
        };
        Some(Copy { at, addresses: above.iter().copied().take(CALLS_MAX).collect() })
    }
}

impl Seen {
    fn add(&mut self, turn: u64, ident: u64, copy: Copy) {
        if self.turn != turn {
            return;
        }
        let copies = self.copies.entry(ident).or_default();
        if copies.len() < COPIES_MAX {
            copies.push(copy);
        } else {
            copies[fastrand::usize(..COPIES_MAX)] = copy;
        }
    }
}

fn used() -> Option<Looker> {
    // Not waited for: a forked child may have this as somebody had it who is not there.
    let looker = LOOKERS.try_lock().ok()?.pop()?;
    looker.is_ready().then_some(looker)
}

fn give_back(looker: Looker) {
    if let Ok(mut lookers) = LOOKERS.try_lock()
        && lookers.len() < LOOKERS_MAX
    {
        lookers.push(looker);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
