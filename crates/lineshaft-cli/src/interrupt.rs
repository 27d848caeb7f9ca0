//! Signals that ask a command to end which has something to put away first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Failure;

/// Whether one came. Clones look at the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// The first signal is only noted from now on; another one ends the process at once.
    pub(crate) fn listen(&self) {
        let was_asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // Without it the signal's default, or the host's handler, still ends the process. What is registered is
            // called in this order.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&was_asked));
            let _ = flag::register(signal, Arc::clone(&was_asked));
            let _ = flag::register_usize(signal, Arc::clone(&self.signal), signal as usize);
        }
    }

    pub(crate) fn came(&self) -> bool {
        self.signal.load(Ordering::Relaxed) > 0
    }

    /// The failure of a command that a signal ended, in place of the one that it came to by that.
    pub(crate) fn or(&self, what: &str, failure: Failure) -> Failure {
        match self.signal.load(Ordering::Relaxed) {
            0 => failure,
            signal => Failure::new(
                128 + signal as i32,
                format!("a signal ended the {what}: what it had written is removed"),
            ),
        }
    }
}
