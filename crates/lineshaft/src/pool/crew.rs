//! What drives a pool: one lock, and one thread that takes what workers report, gives them
//! more and replaces those that ended.
//!
//! Who does what is decided by a [`Foreman`](super::Foreman). What there is to do stands in `agenda.rs`, and a `Staff` looks after the
//! workers. Outcomes go to the sinks of their calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lineshaft_ipc::Error as IpcError;
use lineshaft_ipc::channel::{Channel, Received};
use lineshaft_ipc::ring::Message;

use super::Error;
use super::agenda::{Call, Chunk};
use super::builder::Options;
use super::hand::Hand;
use super::message::{Held, POKE, channel};
use super::sink::{Outcome, Sink};
use super::state::{Phase, State};

const MESSAGES: usize = 256;
/// So soon somebody who has nothing to do may get a part of what others have.
const UNEVEN: Duration = Duration::from_millis(5);
/// How often it is looked whether workers live, and how much memory they have; and while there is nothing to do.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_IDLE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Crew {
    options: Options,
    results: Channel,
    state: Mutex<State>,
}

impl Crew {
    /// Starts the thread, and that the workers.
    pub(super) fn start(options: Options) -> Result<(Arc<Self>, JoinHandle<()>), Error> {
        let state = State::new(options.workers);
        let crew = Arc::new(Self { options, results: channel()?, state: Mutex::new(state) });
        let (started, is_started) = mpsc::channel();
        let its = Arc::clone(&crew);
        let thread = thread::Builder::new().name("lineshaft-pool".to_owned()).spawn(move || {
            let first = its.hire();
            let is_good = first.is_ok();
            // Nobody who was told waits.
            let _ = started.send(first);
            if is_good {
                its.work();
            }
        });
        let thread = thread.map_err(IpcError::os("start a thread"))?;
        is_started.recv().unwrap_or(Err(Error::Ended))?;
        Ok((crew, thread))
    }

    /// Adds a call, to which items may be added.
    pub(super) fn add(&self, sink: Arc<Sink>) -> Result<u64, Error> {
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if state.phase != Phase::Working {
            return Err(Error::Ended);
        }
        let number = state.calls_made;
        state.calls_made += 1;
        if state.calls.is_empty() {
            // It looks after the workers less often while there is nothing to do.
            self.poke();
        }
        state.calls.insert(number, Call::new(sink));
        state.foreman.add_call(number, 0, self.options.calls);
        Ok(number)
    }

    /// More items of a call; no more will come, if they are the last.
    pub(super) fn extend(&self, call: u64, chunk: Chunk, is_last: bool) {
        let mut state = self.state();
        let Some(known) = state.calls.get_mut(&call) else { return };
        let items = chunk.items();
        known.extend(chunk);
        known.is_open = !is_last;
        state.foreman.plan().extend(call, items);
        state.forget_if_over(call);
        state.feed();
    }

    /// Takes back what nobody has begun of a call: how many items.
    pub(super) fn cancel(&self, call: u64) -> u64 {
        let mut state = self.state();
        let cancelled = state.foreman.cancel(call);
        cancelled.into_iter().map(|items| state.lose(call, items, &Error::Cancelled)).sum()
    }

    /// Nobody waits for a call any more: what is not begun of it is not done.
    pub(super) fn abandon(&self, call: u64) {
        let mut state = self.state();
        state.foreman.cancel(call);
        state.foreman.plan().forget(call);
        state.calls.remove(&call);
        self.poke();
    }

    /// Gives a call up, and kills who is at an item of it; whether anything was left of it.
    pub(super) fn abort(&self, call: u64) -> bool {
        let mut state = self.state();
        let workers = state.foreman.workers_of(call);
        let Some(known) = state.calls.remove(&call) else { return false };
        state.foreman.cancel(call);
        state.foreman.plan().forget(call);
        known.sink.push(Outcome::end(Error::Cancelled));
        for hand in workers.iter().filter_map(|worker| state.staff.hands.get(worker)) {
            hand.kill();
        }
        self.poke();
        true
    }

    /// Whether its workers could be given more than there is.
    pub(super) fn is_hungry(&self) -> bool {
        self.state().foreman.plan().is_all_given()
    }

    /// The process ids of the workers.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.state().staff.hands.values().map(Hand::pid).collect()
    }

    /// Nothing more will be added: it ends when all is done, or `now`.
    pub(super) fn close(&self, now: bool) {
        self.state().phase = if now { Phase::Ending } else { Phase::Closing };
        self.poke();
    }

    fn poke(&self) {
        // If there is no room, it is awake.
        let _ = self.results.put(Message { tag: POKE, bytes: &[] }, Some(Duration::ZERO));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The thread.

    fn work(&self) {
        let why = match catch_unwind(AssertUnwindSafe(|| self.turns())) {
            Ok(Ok(())) => Error::Ended,
            Ok(Err(error)) => error.into(),
            Err(_) => Error::Broken("their thread panicked".into()),
        };
        let mut state = self.state();
        state.give_up(&why);
        state.staff.end();
    }

    fn turns(&self) -> lineshaft_ipc::Result<()> {
        let (mut received, held) = (Received::default(), Held::default());
        let mut dead = Vec::new();
        loop {
            let pause = self.pause();
            if dead.is_empty() {
                dead = self.state().staff.look(pause.min(LOOK));
            }
            let patience = if dead.is_empty() { pause } else { Duration::ZERO };
            let is_quiet = match self.results.get_many(&mut received, MESSAGES, Some(patience)) {
                Ok(_) => false,
                Err(IpcError::TimedOut) => true,
                Err(error) => return Err(error),
            };
            let mut state = self.state();
            if is_quiet {
                // What they had reported was there before they were seen to be dead.
                dead.drain(..).for_each(|number| state.bury(number));
            } else {
                received.drain().for_each(|(tag, part)| state.take(tag, held.bytes_of(part)));
            }
            if state.is_through() {
                return Ok(());
            }
            state.feed();
            drop(state);
            if let Err(error) = self.hire() {
                let mut state = self.state();
                if let Some(why) = state.staff.note_failed_start(&error) {
                    state.break_off(&why);
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        let mut state = self.state();
        match () {
            () if state.foreman.plan().is_uneven() => UNEVEN,
            () if state.calls.is_empty() && state.phase == Phase::Working => LOOK_IDLE,
            () => LOOK,
        }
    }

    /// Starts workers where some are missing, without the lock.
    fn hire(&self) -> Result<(), Error> {
        let numbers = self.state().staff.vacancies();
        for number in numbers {
            let hand = Hand::start(number, &self.options, &self.results)?;
            self.state().staff.hands.insert(number, hand);
        }
        Ok(())
    }
}
