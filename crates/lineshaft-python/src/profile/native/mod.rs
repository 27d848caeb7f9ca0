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
//! - The time of a look is divided among the copies that were made for it, one for each period that the lock was waited for
//!   (`asker.rs`). Those that were made elsewhere leave their part at the line, without native functions.
//! - Where a compiler has put rare parts of the interpreter's loop elsewhere, as in Debian's `python3.11`, whose symbols do
//!   not say so, calls from these are followed down to the loop below: what an outer `sorted` does is then above the line of
//!   its `key`. These are ends of exceptions, mostly.
//! - Tables of a library that are wrong end the way up the stack. If it does not lead to the interpreter's loop, the innermost
//!   function alone is shown.
//!
//! Nobody is waited for with the interpreter's lock held. A thread that does not answer, since it blocks signals, is waited
//! for once, 50 ms, and asked again when it has taken the signal.
#![allow(unsafe_code)] // Where the stack of another thread lies, and what it runs in its handler.

mod asker;
mod insides;
mod names;

use std::path::Path;
use std::time::Duration;

use lineshaft_insight::profile::{Call, Profile, TrackId, Weight};
use lineshaft_ipc::stacks::Spot;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use self::asker::{Asker, Copy};
use self::insides::At;
use self::names::Names;
use crate::once::intern;

/// Stacks that are kept without names; then these are asked for.
const STACKS_MAX: usize = 4_096;

/// Who looks at the native part of stacks.
pub(super) struct Native {
    asker: Asker,
    /// Where the instructions of code begin, in its object.
    instructions: usize,
    threads: FxHashMap<u64, Asked>,
    /// What was seen in this look.
    copies: FxHashMap<u64, Vec<Copy>>,
    names: Names,
    /// What was seen without names yet.
    kept: FxHashMap<Stack, Weight>,
}

/// A thread that is asked.
struct Asked {
    number: u32,
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
    pub(super) fn new(py: Python<'_>, period: Duration) -> PyResult<Option<Self>> {
        let Some(insides) = insides::find(py)? else { return Ok(None) };
        let (names, instructions) = (Names::new(insides.evaluates.start), insides.instructions);
        let Some(asker) = Asker::begin(insides, period) else { return Ok(None) };
        let (threads, copies, kept) = Default::default();
        Ok(Some(Self { asker, instructions, threads, copies, names, kept }))
    }

    /// A thread that has frames of Python now is asked from now on, until a round in which it was not expected.
    pub(super) fn expect(&mut self, _: Python<'_>, ident: u64, number: u32, round: u64) {
        if let Some(asked) = self.threads.get_mut(&ident)
            && asked.number == number
        {
            asked.round = round;
            return;
        }
        self.threads.insert(ident, Asked { number, round });
        self.asker.remove(ident);
        if !Path::new(&format!("/proc/self/task/{number}")).exists() {
            return;
        }
        // SAFETY: Python knows a thread by what the C library does. It has frames and is there, so that it cannot end before
        // it gets the interpreter's lock, which we have.
        if let Some(spot) = unsafe { Spot::of_thread(number, ident) } {
            self.asker.add(ident, spot);
        }
    }

    /// Threads that were not expected in this round are not asked any more.
    pub(super) fn forget_all_before(&mut self, round: u64) {
        let asker = &self.asker;
        self.threads.retain(|ident, asked| {
            let is_there = asked.round >= round;
            if !is_there {
                asker.remove(*ident);
            }
            is_there
        });
    }

    /// A look begins: every thread is asked, without the interpreter's lock, since each may have to wait for a processor.
    pub(super) fn ask(&mut self) {
        self.asker.ask();
    }

    /// It has the lock: what is asked from now on is no part of it.
    pub(super) fn take(&mut self, _: Python<'_>) {
        self.copies = self.asker.take();
    }

    /// A stack of a thread was seen, whose innermost frame this is. Of its time this keeps the part in which the thread
    /// worked natively at the instruction where it still is, and gives the rest.
    pub(super) fn keep(
        &mut self,
        ident: u64,
        frame: &Bound<'_, PyAny>,
        (track, calls, weight): (TrackId, &[Call], Weight),
    ) -> PyResult<Weight> {
        let Some(copies) = self.copies.remove(&ident) else { return Ok(weight) };
        let at = At::now(frame, self.instructions)?;
        let count = copies.len() as u64;
        let mut rest = weight;
        for (place, Copy { addresses, .. }) in
            (1..).zip(copies).filter(|(_, copy)| copy.at == at && !copy.addresses.is_empty())
        {
            let part = part_of(weight, place, count);
            rest.wall_ns -= part.wall_ns;
            rest.cpu_ns -= part.cpu_ns;
            rest.samples -= part.samples;
            let sum = self.kept.entry(Stack { track, calls: calls.into(), addresses }).or_default();
            sum.wall_ns += part.wall_ns;
            sum.cpu_ns += part.cpu_ns;
            sum.samples += part.samples;
        }
        Ok(rest)
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

/// What one of so many copies stands for; their sum is all of it.
fn part_of(all: Weight, place: u64, count: u64) -> Weight {
    let part = |whole: u64| {
        let until = |place: u64| (u128::from(whole) * u128::from(place) / u128::from(count)) as u64;
        until(place) - until(place - 1)
    };
    Weight { wall_ns: part(all.wall_ns), cpu_ns: part(all.cpu_ns), samples: part(all.samples) }
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
