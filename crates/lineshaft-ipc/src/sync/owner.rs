//! Whose something is.
#![allow(unsafe_code)] // pthread_atfork, which no safe wrapper offers.

use std::num::NonZeroU64;

use crate::Result;
use crate::process::ProcessId;

/// Bits of the start time: seven hundred centuries of clock ticks since the boot.
const START_BITS: u32 = 42;
const START_MASK: u64 = (1 << START_BITS) - 1;

/// A process for certain, in one word: its pid, which has 22 bits at most, above its start time.
///
/// Nobody ever writes the word of a dead process, so a word that was compared and swapped from it was its own until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(NonZeroU64);

impl Owner {
    /// The word of `process`; `None` if it has numbers that no process of Linux has.
    pub fn of(process: ProcessId) -> Option<Self> {
        let is_one = process.pid < 1 << (u64::BITS - START_BITS) && process.start_time <= START_MASK;
        is_one.then(|| Self::from_word(u64::from(process.pid) << START_BITS | process.start_time)).flatten()
    }

    /// Whose word it is; `None` for nobody's.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        NonZeroU64::new(word).map(Self)
    }

    pub(crate) fn word(self) -> u64 {
        self.0.get()
    }

    /// The process.
    pub fn process(self) -> ProcessId {
        ProcessId { pid: (self.word() >> START_BITS) as u32, start_time: self.word() & START_MASK }
    }

    /// Whether it lives. Some microseconds, but for the calling process.
    ///
    /// Once it does not, this process sees all that it ever wrote: the kernel tells of its death after its last store.
    #[cfg(not(model))]
    pub fn is_alive(self) -> bool {
        current::known() == Some(self) || self.process().is_alive()
    }

    #[cfg(model)]
    pub(crate) fn is_alive(self) -> bool {
        super::model::mortal::is_alive(self)
    }

    /// The calling process. A nanosecond, but for the first time and in a forked child.
    pub fn current() -> Result<Self> {
        match current::known() {
            Some(owner) => Ok(owner),
            None => current::find(),
        }
    }
}

/// The calling process, remembered until it forks.
mod current {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::Owner;
    use crate::process::ProcessId;
    use crate::{Error, Result};

    static KNOWN: AtomicU64 = AtomicU64::new(0);

    pub(super) fn known() -> Option<Owner> {
        Owner::from_word(KNOWN.load(Ordering::Relaxed))
    }

    #[cold]
    pub(super) fn find() -> Result<Owner> {
        forget_when_forked()?;
        let process = ProcessId::current()?;
        let owner = Owner::of(process).ok_or(Error::NoProcess { pid: process.pid })?;
        KNOWN.store(owner.word(), Ordering::Relaxed);
        Ok(owner)
    }

    /// Twice does no harm, and never too late does not either: it is done before anything is remembered.
    fn forget_when_forked() -> Result<()> {
        static DONE: AtomicBool = AtomicBool::new(false);
        if DONE.load(Ordering::Acquire) {
            return Ok(());
        }
        // SAFETY: `forget` only stores to a static, which a child may do right after fork.
        match unsafe { libc::pthread_atfork(None, None, Some(forget)) } {
            0 => DONE.store(true, Ordering::Release),
            error => return Err(Error::os("watch for forks")(std::io::Error::from_raw_os_error(error))),
        }
        Ok(())
    }

    extern "C" fn forget() {
        KNOWN.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    #[test]
    fn the_calling_process_owns_as_itself() {
        let me = Owner::current().unwrap();
        assert_eq!((me.process(), me.is_alive()), (ProcessId::current().unwrap(), true));
        assert_eq!(Owner::from_word(me.word()), Some(me));
    }

    #[test]
    fn the_greatest_numbers_fit_and_others_are_no_process() {
        let greatest = ProcessId { pid: (1 << 22) - 1, start_time: START_MASK };
        assert_eq!(Owner::of(greatest).map(Owner::process), Some(greatest));
        assert_eq!(Owner::of(ProcessId { pid: 1 << 22, ..greatest }), None);
        assert_eq!(Owner::of(ProcessId { start_time: 1 << 42, ..greatest }), None);
        assert_eq!(Owner::of(ProcessId { pid: 0, start_time: 0 }), None);
    }

    #[test]
    fn a_forked_child_owns_as_itself() {
        let parent = Owner::current().unwrap();
        // SAFETY: the child only reads /proc and leaves at once, without what other threads of the parent had locked.
        match unsafe { libc::fork() } {
            0 => {
                let is_other = current::known().is_none();
                // SAFETY: ends this process.
                unsafe { libc::_exit(i32::from(!is_other)) }
            }
            pid => {
                let mut status = -1;
                // SAFETY: `status` is a local of the right type.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                assert_eq!(status, 0);
            }
        }
        assert_eq!(Owner::current().unwrap(), parent);
    }
}
