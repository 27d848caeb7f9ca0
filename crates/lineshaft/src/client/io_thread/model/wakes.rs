//! An alarm that goes off at some time after it was set.

use std::io;
use std::os::fd::AsFd;
use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

pub(in super::super) struct Wakes {
    is_set: Mutex<bool>,
    goes_off: Condvar,
}

impl Wakes {
    pub(in super::super) fn new() -> io::Result<Self> {
        Ok(Self { is_set: Mutex::new(false), goes_off: Condvar::new() })
    }

    pub(in super::super) fn set_alarm(&self, _: Duration) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.goes_off.notify_one();
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // As the product's.
    pub(in super::super) fn add_connection(&self, _: impl AsFd) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn wait(&self, _: Option<Duration>) -> bool {
        let mut is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_set {
            is_set = self.goes_off.wait(is_set).unwrap_or_else(PoisonError::into_inner);
        }
        *is_set = false;
        false
    }
}
