//! Who takes the engine's turns.
//!
//! The engine's own thread does when there is much to do or time has passed. A few small requests are dealt with by the
//! thread that brought them, if the engine is at rest: two hand-overs between threads, there and back, take as long as
//! a third of the sync that the request has to wait for.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::inbox::Bell;
use crate::sync::{Mutex, PoisonError, park_timeout};

/// Takes a turn on the calling thread if the engine is at rest; see [`crate::Handle::attend`].
pub(crate) trait Attend: Send + Sync {
    fn attend(&self) -> bool;
}

/// Whose turns are taken: [`crate::driver::Driver`].
pub(crate) trait Turn: Send {
    /// Takes a turn, and credits leases if it stood still.
    ///
    /// After an error what is in memory may be ahead of the disk, and there must be no further turn.
    fn take_turn(&mut self) -> Result<(), Error>;

    /// Takes a turn on another thread than the engine's; says whether that one can go on resting.
    fn take_turn_aside(&mut self) -> bool;

    /// Whether a turn is sure to be a short one, but for the disk's own whims.
    ///
    /// Not while attempts run for long: if the disk stands still, their renewals must be heard all the same, and the
    /// thread that reads them would be the one that waits.
    fn has_little_to_do(&self) -> bool;

    /// Credits leases if the engine's thread slept longer than it meant to.
    fn overslept(&mut self);

    /// How long the engine's thread may rest now.
    fn rest(&mut self) -> Duration;

    /// Ends the engine if it was asked to stop.
    fn close_if_stopping(&mut self) -> Result<Option<()>, Error>;

    /// Tells the connections that nothing more will come.
    fn say_farewell(&mut self, result: &Result<(), Error>);
}

/// The engine between its turns.
pub(crate) struct Turns<D: Turn> {
    /// Gone when the engine has ended, and the home is free.
    driver: Mutex<Option<D>>,
    bell: Arc<Bell>,
}

impl<D: Turn> Turns<D> {
    pub(crate) fn new(driver: D, bell: Arc<Bell>) -> Self {
        Self { driver: Mutex::new(Some(driver)), bell }
    }

    /// The life of the engine's thread.
    pub(crate) fn run(&self) -> Result<(), Error> {
        self.bell.answer_here();
        let _wreck = Wreck(self);
        loop {
            self.bell.heard();
            let mut seat = match self.driver.lock() {
                Ok(seat) => seat,
                Err(poisoned) => {
                    drop(poisoned.into_inner().take());
                    return Err(panicked());
                }
            };
            let driver = seat.as_mut().ok_or(Error::Ended)?;
            driver.overslept();
            if let Some(result) = driver.take_turn().and_then(|()| driver.close_if_stopping()).transpose() {
                driver.say_farewell(&result);
                *seat = None;
                return result;
            }
            let patience = driver.rest();
            drop(seat);
            park_timeout(patience);
        }
    }
}

/// After a panic on the engine's thread: what worked for it ends too, and nobody waits for that in vain.
struct Wreck<'a, D: Turn>(&'a Turns<D>);

impl<D: Turn> Drop for Wreck<'_, D> {
    fn drop(&mut self) {
        if thread::panicking() {
            drop(self.0.driver.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl<D: Turn> Attend for Turns<D> {
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
        let is_done = driver.is_some_and(D::take_turn_aside);
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

impl<D: Turn> Drop for Turns<D> {
    fn drop(&mut self) {
        self.driver.get_mut().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn panicked() -> Error {
    Error::Panicked("a turn panicked".to_owned())
}

#[cfg(all(test, model))]
mod model;
