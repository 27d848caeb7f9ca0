//! What threads do natively above the lines of Python that called it.
//!
//! A thread that works in C without letting others in lets the looker have the interpreter's lock when it is done. So each
//! thread is asked before, by a signal that lets it copy its own stack ([`lineshaft_ipc::stacks`]), and Python's frames are
//! walked afterwards, when the lock was got. Between the two the thread may have gone on.
//!
//! What belongs together is known by where Python is: at the very moment of the copy, in the handler, the thread notes the
//! code object that the interpreter is in and the instruction of it (`insides.rs`). The copy is used only if the innermost
//! frame that is walked is of the same code and at the same instruction; else the stack has no native functions, as
//! without this. In the copy only what is above the interpreter's innermost loop counts, which is what this instruction has
//! called. So native time is never at a line that has not called it:
//!
//! - A call that took long is seen at the same instruction, since behind a call is the first place where the interpreter
//!   lets go of its lock; and who has released the lock stays at its instruction, since it needs the lock to go on.
//! - Of calls shorter than what the lock is waited for (5 ms if Python is busy) some are seen at another instruction, and have
//!   no native functions, while their time counts as ever. So does what no call instruction does, as an operator of large
//!   numbers, if it does not release the lock: the interpreter lets go of it somewhere behind.
//! - The same instruction may be seen in a later turn of a loop, or in another call of the same function. That is the
//!   same line. The calls around it are those of the walk.
//! - Code that is freed between the two looks, with other code in the same place and at the same instruction, would be taken
//!   for it: programs that make code all the time, within some milliseconds, at the same address.
//! - Tables of a library that are wrong end the way up the stack. If it does not lead to the interpreter's loop, the innermost
//!   function alone is shown.
//!
//! Nobody is waited for with the interpreter's lock held. A thread that does not answer, since it blocks signals, is waited
//! for once, 50 ms, and asked again when it has taken the signal.
#![allow(unsafe_code)] // Where the stack of another thread lies, and what it runs in its handler.

mod insides;
mod names;

use std::ops::Range;
use std::path::Path;

use lineshaft_insight::profile::{Call, Profile, TrackId, Weight};
use lineshaft_ipc::stacks::{Looker, Note, Spot};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use self::insides::At;
use self::names::Names;
use crate::once::intern;

/// Bytes of a stack above the interpreter's loop that are looked through. A way that is longer does not end there.
const STACK_BYTES: usize = 256 << 10;
/// Stacks that are kept without names; then these are asked for.
const STACKS_MAX: usize = 4_096;
/// Native functions of a stack that are kept, the innermost ones.
const CALLS_MAX: usize = 128;

/// Who looks at the native part of stacks.
pub(super) struct Native {
    looker: Looker,
    note: Note,
    /// The interpreter's loop.
    evaluates: Range<usize>,
    /// Where the instructions of code begin, in its object.
    instructions: usize,
    threads: FxHashMap<u64, Asked>,
    names: Names,
    /// What was seen without names yet.
    kept: FxHashMap<Stack, Weight>,
}

/// A thread, and what it has answered.
struct Asked {
    spot: Spot,
    number: u32,
    at: Option<At>,
    addresses: Vec<usize>,
    round: u64,
}

#[derive(Eq, Hash, PartialEq)]
struct Stack {
    track: TrackId,
    calls: Box<[Call]>,
    addresses: Box<[usize]>,
}

impl Native {
    /// `None` where it cannot be done: in an interpreter whose insides are not known, or without a free real-time signal.
    pub(super) fn new(py: Python<'_>) -> PyResult<Option<Self>> {
        let Some(insides) = insides::find(py)? else { return Ok(None) };
        let Some(looker) = Looker::new() else { return Ok(None) };
        Ok(Some(Self {
            looker,
            note: insides.note,
            names: Names::new(insides.evaluates.start),
            evaluates: insides.evaluates,
            instructions: insides.instructions,
            threads: FxHashMap::default(),
            kept: FxHashMap::default(),
        }))
    }

    /// A thread that has frames of Python now is asked from now on, until a round in which it was not expected.
    pub(super) fn expect(&mut self, _: Python<'_>, ident: u64, number: u32, round: u64) {
        if let Some(asked) = self.threads.get_mut(&ident)
            && asked.number == number
        {
            asked.round = round;
            return;
        }
        self.threads.remove(&ident);
        if !Path::new(&format!("/proc/self/task/{number}")).exists() {
            return;
        }
        // SAFETY: Python knows a thread by what the C library does. It has frames and is there, so that it cannot end before
        // it gets the interpreter's lock, which we have.
        let spot = unsafe { Spot::of_thread(number, ident) };
        if let Some(spot) = spot {
            self.threads.insert(ident, Asked { spot, number, at: None, addresses: Vec::new(), round });
        }
    }

    /// Threads that were not expected in this round are not asked any more.
    pub(super) fn forget_all_before(&mut self, round: u64) {
        self.threads.retain(|_, asked| asked.round >= round);
    }

    /// Asks every thread, without the interpreter's lock: each may have to wait for a processor.
    pub(super) fn ask(&mut self) {
        for asked in self.threads.values_mut() {
            asked.addresses.clear();
            asked.at = (self.looker.look_above(&asked.spot, &self.evaluates, STACK_BYTES, self.note))
                .and_then(At::of);
            let found = self.looker.addresses();
            let ends_there = |address: &usize| self.evaluates.contains(&(address - 1));
            let above = match found.split_last() {
                Some((last, above)) if ends_there(last) => above,
                _ => found.get(..1).unwrap_or_default(),
            };
            asked.addresses.extend(above.iter().take(CALLS_MAX));
        }
    }

    /// Whether a thread worked natively when it was asked, and was where its innermost frame is now.
    pub(super) fn is_above(&self, ident: u64, frame: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.threads.get(&ident) {
            Some(Asked { at: Some(at), addresses, .. }) if !addresses.is_empty() => {
                Ok(At::now(frame, self.instructions)? == *at)
            }
            _ => Ok(false),
        }
    }

    /// A stack was seen, with what its thread worked at when it was asked; that has no names yet.
    pub(super) fn keep(&mut self, ident: u64, track: TrackId, calls: &[Call], weight: Weight) {
        let addresses = self.threads.get(&ident).map_or(&[][..], |asked| &asked.addresses);
        let stack = Stack { track, calls: calls.into(), addresses: addresses.into() };
        let sum = self.kept.entry(stack).or_default();
        sum.wall_ns += weight.wall_ns;
        sum.cpu_ns += weight.cpu_ns;
        sum.samples += weight.samples;
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= STACKS_MAX
    }

    /// Adds what was seen with its names, which may take a second; without the interpreter's lock.
    pub(super) fn settle(&mut self, profile: &mut Profile) {
        self.names.learn(self.kept.keys().flat_map(|stack| stack.addresses.iter().copied()));
        for (stack, weight) in self.kept.drain() {
            let work = self.names.work(&stack.addresses);
            let above: Vec<Call> = work.iter().map(|function| profile.native_call(function)).collect();
            profile.add(stack.track, &[above.as_slice(), &stack.calls].concat(), weight);
        }
    }
}

impl At {
    /// Where a frame is now that is the innermost of its thread.
    fn now(frame: &Bound<'_, PyAny>, instructions: usize) -> PyResult<Self> {
        let py = frame.py();
        let code = frame.getattr(intern!(py, "f_code"))?.as_ptr() as usize;
        let offset: isize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
        Ok(Self { code, instruction: (code + instructions).wrapping_add_signed(offset) })
    }
}
