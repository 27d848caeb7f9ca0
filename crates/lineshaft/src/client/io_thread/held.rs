//! What is to be sent to the runtime's tasks while nobody drives them. To wake a task from outside of its runtime takes
//! system calls, of the one who sends and of the one who drives next; to hold what was sent until then takes none.

use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

type Sending = Box<dyn FnOnce() + Send>;

/// In the order in which it came; bounded by whoever sends, as what is under way is.
#[derive(Default)]
pub(super) struct Held(Mutex<Vec<Sending>>);

impl Held {
    /// Sends now if `is_driven` says so and nothing is held that came before; else holds it. Says whether it was sent.
    ///
    /// `is_driven` is asked under the lock that [`Held::release`] takes: whoever drives from then on releases it.
    pub(super) fn send(
        &self,
        is_driven: impl FnOnce() -> bool,
        send: impl FnOnce() + Send + 'static,
    ) -> bool {
        let mut held = self.lock();
        let is_sent = held.is_empty() && is_driven();
        if is_sent {
            drop(held);
            send();
        } else {
            held.push(Box::new(send));
        }
        is_sent
    }

    /// Sends what is held; by who has begun to drive, within the runtime.
    pub(super) fn release(&self) {
        let mut held = self.lock();
        held.drain(..).for_each(|send| send());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
