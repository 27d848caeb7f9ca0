//! What threads hand the engine's turns over by: the means of the language, or in a build for models those of a checker that
//! tries what the memory model allows.

#[cfg(not(model))]
pub(crate) use std::sync::atomic::AtomicBool;
#[cfg(not(model))]
pub(crate) use std::sync::{Mutex, OnceLock, PoisonError};
#[cfg(not(model))]
pub(crate) use std::thread::{Thread, current, park_timeout};

#[cfg(model)]
pub(crate) use self::model::{OnceLock, Thread, current, park_timeout};
#[cfg(model)]
pub(crate) use loom::sync::Mutex;
#[cfg(model)]
pub(crate) use loom::sync::atomic::AtomicBool;
#[cfg(model)]
pub(crate) use std::sync::PoisonError;

/// What the checker does not have.
#[cfg(model)]
mod model {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::time::Duration;

    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Condvar, Mutex};

    /// A value that one thread sets, with the orders of the standard library's.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn get(&self) -> Option<&T> {
            self.value.get().filter(|_| self.is_set.load(Acquire))
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(make);
            self.is_set.store(true, Release);
            value
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false) }
        }
    }

    /// A thread that can be called. The checker's own takes a call for the end of whatever the thread waits for, a mutex
    /// as well.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(Arc<Call>);

    #[derive(Debug)]
    struct Call {
        came: Mutex<bool>,
        changed: Condvar,
    }

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new(Call { came: Mutex::new(false), changed: Condvar::new() }));
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            *self.0.came.lock().unwrap() = true;
            self.0.changed.notify_one();
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    /// For ever: a call that gets lost is found as a thread that waits in vain.
    pub(crate) fn park_timeout(_: Duration) {
        let Thread(call) = current();
        let mut came = call.came.lock().unwrap();
        while !*came {
            came = call.changed.wait(came).unwrap();
        }
        *came = false;
    }
}
