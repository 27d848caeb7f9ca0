//! What callers and the I/O thread hand over by: the means of the language, or in a build for models those of a scheduler
//! that tries one order after the other.

#[cfg(model)]
pub(crate) use shuttle::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(model))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
