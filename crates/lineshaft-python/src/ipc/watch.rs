//! Wakes coroutines that wait for a queue, from a thread that never takes the interpreter.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lineshaft_ipc::channel::Channel;

use crate::client::{Wakes, lock};

/// How long the thread may go without looking whether anybody still waits.
const LOOK: Duration = Duration::from_millis(50);

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Messages,
    Room,
    /// That all messages are done.
    Idle,
}

impl Side {
    fn wait(self, channel: &Channel) -> bool {
        match self {
            Self::Messages => channel.wait_for_messages(Some(LOOK)),
            Self::Room => channel.wait_for_room(0, Some(LOOK)),
            Self::Idle => channel.ring().join(Some(LOOK)),
        }
    }
}

/// Those who wait for one side of a queue. There is a thread while there are any.
#[derive(Default)]
pub(super) struct Watch(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    /// One token for each, and where it goes. Bounded by the coroutines that wait.
    tokens: Vec<(Arc<Wakes>, u64)>,
    has_thread: bool,
}

impl Watch {
    /// Puts `token` into `wakes` once it is worth trying again.
    pub(super) fn expect(
        self: &Arc<Self>,
        channel: &Channel,
        side: Side,
        wakes: Arc<Wakes>,
        token: u64,
    ) -> std::io::Result<()> {
        let mut waiters = lock(&self.0);
        if !waiters.has_thread {
            let (watch, channel) = (Arc::clone(self), channel.clone());
            let thread = thread::Builder::new().name("lineshaft-queue".into());
            thread.spawn(move || watch.run(&channel, side))?;
            waiters.has_thread = true;
        }
        waiters.tokens.push((wakes, token));
        Ok(())
    }

    /// Nobody waits for `token` any more.
    pub(super) fn forget(&self, wakes: &Arc<Wakes>, token: u64) {
        lock(&self.0).tokens.retain(|(other, number)| *number != token || !Arc::ptr_eq(other, wakes));
    }

    fn run(&self, channel: &Channel, side: Side) {
        loop {
            let is_ready = side.wait(channel);
            let mut waiters = lock(&self.0);
            if is_ready {
                waiters.tokens.drain(..).for_each(|(wakes, token)| wakes.push(token));
            }
            if waiters.tokens.is_empty() {
                waiters.has_thread = false;
                return;
            }
        }
    }
}
