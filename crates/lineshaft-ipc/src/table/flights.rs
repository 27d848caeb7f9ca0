//! Who computes what, so that others wait for it instead of computing it too.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::words::{Flight, ShardWords};
use crate::sync::Owner;

/// The right to compute the value of a key, until it is dropped or its process is dead.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` if there was no place for it: others do not wait then.
    index: Option<usize>,
}

impl Place {
    /// Of one who computes without anybody waiting.
    pub(super) fn none() -> Self {
        Self { index: None }
    }
}

/// Whether to compute.
pub(super) enum Claim {
    Mine(Place),
    /// Another process does.
    Others,
}

/// Claims the computing of the key with `hash`, with the lock.
pub(super) fn claim(words: &ShardWords, hash: u64, me: Owner) -> Claim {
    let mut free = None;
    for (index, flight) in words.flights.iter().enumerate() {
        let owner = Owner::from_word(flight.owner.load(Acquire));
        if owner.is_some() && flight.hash.load(Relaxed) == hash {
            match owner {
                // Its own thread computes, and asks for the same in the middle of that: it would wait for itself.
                Some(owner) if owner == me => return Claim::Mine(Place::none()),
                Some(owner) if owner.is_alive() => return Claim::Others,
                _ => {
                    flight.owner.store(me.word(), Release);
                    return Claim::Mine(Place { index: Some(index) });
                }
            }
        }
        if owner.is_none() {
            free.get_or_insert(index);
        }
    }
    let index = free.or_else(|| of_the_dead(words));
    if let Some(index) = index {
        let flight = &words.flights[index];
        flight.hash.store(hash, Relaxed);
        flight.owner.store(me.word(), Release);
    }
    Claim::Mine(Place { index })
}

fn of_the_dead(words: &ShardWords) -> Option<usize> {
    let is_dead =
        |flight: &Flight| Owner::from_word(flight.owner.load(Acquire)).is_some_and(|owner| !owner.is_alive());
    words.flights.iter().position(is_dead)
}

/// It is computed, or will not be. Needs no lock: nobody else takes the place of one who lives.
pub(super) fn land(words: &ShardWords, place: &Place, me: Owner) {
    if let Some(index) = place.index {
        let _ = words.flights[index].owner.compare_exchange(me.word(), 0, AcqRel, Relaxed);
        words.landings.notify(u32::MAX);
    }
}

/// Waits until nobody computes the key with `hash` any more, at most so long.
pub(super) fn wait(words: &ShardWords, hash: u64, timeout: Duration) {
    let is_over = || {
        !words.flights.iter().any(|flight| {
            let owner = Owner::from_word(flight.owner.load(Acquire));
            owner.is_some_and(|owner| flight.hash.load(Relaxed) == hash && owner.is_alive())
        })
    };
    words.landings.wait_until(Some(timeout), is_over);
}
