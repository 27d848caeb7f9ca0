//! Who takes the engine's turns.
//!
//! The engine's own thread does when there is much to do or time has passed. A few small requests are dealt with by the
//! thread that brought them, if the engine is at rest: two hand-overs between threads, there and back, take as long as
//! a third of the sync that the request has to wait for.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use lineshaft_store::Journal;

use crate::Error;
use crate::driver::Driver;
use crate::inbox::Bell;

/// Takes a turn on the calling thread if the engine is at rest; see [`crate::Handle::attend`].
pub(crate) trait Attend: Send + Sync {
    fn attend(&self) -> bool;
}

/// The engine between its turns.
pub(crate) struct Turns<J: Journal> {
    /// Gone when the engine has ended, and the home is free.
    driver: Mutex<Option<Driver<J>>>,
    bell: Arc<Bell>,
}

impl<J: Journal> Turns<J> {
    pub(crate) fn new(driver: Driver<J>, bell: Arc<Bell>) -> Self {
        Self { driver: Mutex::new(Some(driver)), bell }
    }

    /// The life of the engine's thread.
    pub(crate) fn run(&self) -> Result<(), Error> {
        self.bell.answer_here();
        loop {
            self.bell.heard();
            let mut seat = self.driver.lock().map_err(|_| panicked())?;
            let driver = seat.as_mut().ok_or(Error::Ended)?;
            driver.overslept();
            if let Some(result) = driver.take_turn().and_then(|()| driver.close_if_stopping()).transpose() {
                driver.say_farewell(&result);
                *seat = None;
                return result;
            }
            let patience = driver.rest();
            drop(seat);
            thread::park_timeout(patience);
        }
    }
}

impl<J: Journal> Attend for Turns<J> {
    fn attend(&self) -> bool {
        if self.bell.has_rung() {
            return false;
        }
        // Whoever holds the lock may have looked at what arrived already, so the thread has to look again.
        let Ok(mut seat) = self.driver.try_lock() else {
            self.bell.ring();
            return false;
        };
        let _alarm = Alarm(&self.bell);
        let driver = seat.as_mut().filter(|driver| driver.has_little_to_do());
        let is_done = driver.is_some_and(Driver::take_turn_aside);
        if !is_done {
            self.bell.ring();
        }
        is_done
    }
}

/// Tells the engine's thread of a panic in a turn that another one took.
struct Alarm<'a>(&'a Bell);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ring();
        }
    }
}

impl<J: Journal> Drop for Turns<J> {
    fn drop(&mut self) {
        self.driver.get_mut().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn panicked() -> Error {
    Error::Panicked("a turn panicked".to_owned())
}
