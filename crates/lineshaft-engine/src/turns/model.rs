//! The commit hand-off under every order of loads and stores that the memory model allows: `make test-models`. Nobody who
//! leaves a request and attends is forgotten, though the engine's thread never wakes by itself here.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use loom::model::Builder;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::*;

/// An engine that ends when it has seen as many requests as it is to see. What it looks at has no order of its own beyond
/// that of a channel: who takes something out sees what was written before it was put in.
struct Engine {
    left: Arc<AtomicUsize>,
    /// What was seen, for those who ask when their turn is over.
    told: Arc<AtomicUsize>,
    seen: usize,
    total: usize,
    has_little_to_do: bool,
}

impl Turn for Engine {
    fn overslept(&mut self) {}

    fn take_turn(&mut self) -> Result<(), Error> {
        self.seen = self.left.load(Acquire);
        self.told.store(self.seen, Relaxed);
        Ok(())
    }

    fn take_turn_aside(&mut self) -> bool {
        self.take_turn().is_ok() && self.seen < self.total
    }

    fn has_little_to_do(&self) -> bool {
        self.has_little_to_do
    }

    fn rest(&mut self) -> Duration {
        Duration::MAX
    }

    fn close_if_stopping(&mut self) -> Result<Option<()>, Error> {
        Ok((self.seen == self.total).then_some(()))
    }

    fn say_farewell(&mut self, _: &Result<(), Error>) {}
}

/// How a request is handed in.
#[derive(Clone, Copy)]
enum By {
    /// [`crate::inbox::Inbox::send`].
    Sending,
    /// [`crate::inbox::Inbox::leave`], and [`Attend::attend`] after it.
    Attending,
}

/// Each way on a thread of its own, against the engine's.
fn check(ways: &'static [By], has_little_to_do: bool, preemptions: usize) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let (left, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let total = ways.len();
        let engine =
            Engine { left: Arc::clone(&left), told: Arc::clone(&told), seen: 0, total, has_little_to_do };
        let bell = Arc::<Bell>::default();
        let turns = Arc::new(Turns::new(engine, Arc::clone(&bell)));
        for by in ways {
            let (left, told) = (Arc::clone(&left), Arc::clone(&told));
            let (turns, bell) = (Arc::clone(&turns), Arc::clone(&bell));
            thread::spawn(move || {
                let number = left.fetch_add(1, Release) + 1;
                match by {
                    By::Sending => bell.ring(),
                    By::Attending if turns.attend() => assert!(told.load(Relaxed) >= number),
                    By::Attending => {}
                }
            });
        }
        turns.run().unwrap();
    });
}

#[test]
fn a_request_that_is_left_and_attended_to_is_seen() {
    check(&[By::Attending], true, 4);
    check(&[By::Attending], false, 4);
}

#[test]
fn of_two_that_attend_nobody_is_forgotten() {
    check(&[By::Attending, By::Attending], true, 3);
}

/// One that found the bell ringing trusted the thread to look after it; what it had read may have been from before the thread
/// looked.
#[test]
fn nor_is_one_that_comes_while_the_bell_rings() {
    check(&[By::Sending, By::Attending], true, 3);
    check(&[By::Sending, By::Attending], false, 2);
}
