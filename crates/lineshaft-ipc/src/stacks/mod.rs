//! Looking at what another thread of this process does: the functions that it is in, down to where it began something.
//!
//! Who runs what may be looked at does so in a [`Spot`], which costs some nanoseconds. A [`Looker`] sends the spot's
//! thread a signal; the handler copies that thread's registers, and its stack up to the spot, into a buffer that was made
//! before (`signal.rs`). Only then, in the thread that looks, the way up the stack is found, from tables of the program that
//! were copied too (`modules.rs`), and still later what the functions are called (`names.rs`).
//!
//! A program that knows its threads by other means, such as an interpreter, may look at one wherever it is
//! ([`Spot::of_thread`]), down to a function of its choice, and have it say more of itself at the same moment ([`Note`]).
//!
//! So the handler takes no lock, allocates nothing and reads no tables, whatever it interrupts: an allocation, the loader,
//! the unwinding of a panic. To unwind in the handler itself, as profilers often do, would be shorter, but the C library's way
//! to the tables takes a lock before glibc 2.35, and wrong tables (of assembler, of code made at run time) would end the
//! process there, where here they end the stack.
#![allow(unsafe_code)] // A signal's handler, its context, and the tables of what the loader has loaded: each in its file.

mod modules;
mod names;
mod note;
mod registers;
mod signal;
mod spot;

use std::ops::Range;

use framehop::{FrameAddress, Unwinder};

use self::modules::Modules;
use self::registers::{Cache, Registers};
use self::signal::{Answer, Copied, STACK_BYTES, What};

pub use self::names::{Function, Library, exported, functions_at, library_at};
pub use self::note::{Note, words_at};
pub use self::spot::Spot;

/// Functions of a stack that are looked for, the innermost first.
pub const CALLS_MAX: usize = 2_048;

/// Somebody who looks. To make one reads the tables of the program, which takes some milliseconds for a large one.
pub struct Looker {
    modules: Modules,
    cache: Cache,
    copied: Copied,
    addresses: Vec<usize>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing runs in the spot.
    Nothing,
    /// A thread does: its number. [`Looker::addresses`] has where it is.
    Thread(u32),
    /// A thread seems to, but it does not answer: it has just left, lets no signals in, is on a stack of its own making or
    /// had no processor.
    NoAnswer,
}

impl Looker {
    /// Installs the handler, once for the process, for a real-time signal that nobody uses. `None` if all are used, or this
    /// is a processor whose registers are not known.
    pub fn new() -> Option<Self> {
        if !registers::ARE_KNOWN || !signal::install() {
            return None;
        }
        Some(Self {
            modules: Modules::default(),
            cache: Cache::new(),
            copied: Copied::default(),
            addresses: Vec::new(),
        })
    }

    /// Looks what is run in a spot now. Takes some tens of microseconds, and up to 50 ms if there is no answer.
    pub fn look(&mut self, spot: &Spot) -> Seen {
        self.addresses.clear();
        let what = What { stack_bytes: STACK_BYTES, note: None };
        match signal::ask(spot, what, &mut self.copied) {
            Answer::Nothing => Seen::Nothing,
            Answer::None => Seen::NoAnswer,
            Answer::From(thread) => {
                self.modules.refresh();
                self.walk(&(0..0));
                Seen::Thread(thread)
            }
        }
    }

    /// Looks what a thread does above the innermost call of a function, which lies in a range of addresses: what is found
    /// ends with that call, or elsewhere if there is none in the innermost `stack_bytes` of the stack, at most 1 MiB.
    /// `None` if there is no answer, which may take 50 ms.
    pub fn look_above(
        &mut self,
        spot: &Spot,
        function: &Range<usize>,
        stack_bytes: usize,
        note: Note,
    ) -> Option<[usize; 2]> {
        self.addresses.clear();
        let what = What { stack_bytes, note: Some(note) };
        let Answer::From(_) = signal::ask(spot, what, &mut self.copied) else { return None };
        self.modules.refresh();
        self.walk(function);
        Some(self.copied.noted())
    }

    /// Reads the tables of the program now, and not after the first answer, when the thread may have gone on.
    pub fn prepare(&mut self) {
        self.modules.refresh();
    }

    /// Whether its signal is still there, for one that was not used for a while.
    pub fn is_ready(&self) -> bool {
        signal::install()
    }

    /// Where the calls are that were seen last, the innermost first, for [`functions_at`].
    pub fn addresses(&self) -> &[usize] {
        &self.addresses
    }

    /// From the innermost call outwards, until one of a function or as far as the copy of the stack goes.
    fn walk(&mut self, until: &Range<usize>) {
        let Self { modules, cache, copied, addresses } = self;
        let Registers { pc, mut unwound } = copied.registers();
        let mut address = FrameAddress::from_instruction_pointer(pc);
        // As if it were a return address, which is one behind the call.
        addresses.push(pc as usize + 1);
        while addresses.len() < CALLS_MAX && !addresses.last().is_some_and(|one| until.contains(&(one - 1))) {
            let found =
                modules.unwinder().unwind_frame(address, &mut unwound, cache, &mut |at| copied.word(at));
            let Ok(Some(found)) = found else { return };
            if unwound.sp() > copied.end() {
                return;
            }
            let Some(outer) = FrameAddress::from_return_address(found) else { return };
            addresses.push(found as usize);
            address = outer;
        }
    }
}

impl std::fmt::Debug for Looker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looker").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(miri)))]
mod tests;
