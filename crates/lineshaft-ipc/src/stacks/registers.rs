//! The registers of a thread, out of the context that the kernel gives to a signal's handler.

use framehop::MayAllocateDuringUnwind;

/// Whether there is a way to read them here.
pub(super) const ARE_KNOWN: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{
    CacheAarch64 as AnyCache, UnwindRegsAarch64 as AnyRegisters, UnwinderAarch64 as AnyUnwinder,
};
#[cfg(not(target_arch = "aarch64"))]
use framehop::x86_64::{
    CacheX86_64 as AnyCache, UnwindRegsX86_64 as AnyRegisters, UnwinderX86_64 as AnyUnwinder,
};

pub(super) type Cache = AnyCache<MayAllocateDuringUnwind>;
pub(super) type Unwound = AnyRegisters;
pub(super) type Engine = AnyUnwinder<Vec<u8>, MayAllocateDuringUnwind>;

/// How many words are kept of them.
pub(super) const WORDS: usize = 17;

/// Registers, as far as a way up the stack needs them.
pub(super) struct Registers {
    /// What was to be executed next.
    pub(super) pc: u64,
    pub(super) unwound: Unwound,
}

/// Where the stack pointer is among the words.
pub(super) const POINTER: usize = 1;

#[cfg(target_arch = "x86_64")]
mod of_x86_64 {
    use framehop::x86_64::Reg;

    use super::{Registers, Unwound, WORDS};

    /// What the kernel calls a register, and what the unwinder does, behind the program counter and the stack pointer.
    const ORDER: [(libc::c_int, Reg); WORDS - 2] = [
        (libc::REG_RBP, Reg::RBP),
        (libc::REG_RBX, Reg::RBX),
        (libc::REG_R12, Reg::R12),
        (libc::REG_R13, Reg::R13),
        (libc::REG_R14, Reg::R14),
        (libc::REG_R15, Reg::R15),
        (libc::REG_RAX, Reg::RAX),
        (libc::REG_RCX, Reg::RCX),
        (libc::REG_RDX, Reg::RDX),
        (libc::REG_RSI, Reg::RSI),
        (libc::REG_RDI, Reg::RDI),
        (libc::REG_R8, Reg::R8),
        (libc::REG_R9, Reg::R9),
        (libc::REG_R10, Reg::R10),
        (libc::REG_R11, Reg::R11),
    ];

    /// In a handler: nothing but reads.
    pub(in super::super) fn words_of(context: &libc::ucontext_t) -> [u64; WORDS] {
        let all = &context.uc_mcontext.gregs;
        let mut words = [0; WORDS];
        words[0] = all[libc::REG_RIP as usize] as u64;
        words[1] = all[libc::REG_RSP as usize] as u64;
        for (word, (register, _)) in words[2..].iter_mut().zip(ORDER) {
            *word = all[register as usize] as u64;
        }
        words
    }

    pub(in super::super) fn registers_of(words: &[u64; WORDS]) -> Registers {
        let mut unwound = Unwound::new(words[0], words[1], words[2]);
        for (word, (_, register)) in words[2..].iter().zip(ORDER) {
            unwound.set(register, *word);
        }
        Registers { pc: words[0], unwound }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use of_x86_64::{registers_of, words_of};

#[cfg(target_arch = "aarch64")]
mod of_aarch64 {
    use super::{Registers, Unwound, WORDS};

    /// In a handler: nothing but reads.
    pub(in super::super) fn words_of(context: &libc::ucontext_t) -> [u64; WORDS] {
        let all = &context.uc_mcontext;
        let mut words = [0; WORDS];
        (words[0], words[1], words[2], words[3]) = (all.pc, all.sp, all.regs[29], all.regs[30]);
        words
    }

    pub(in super::super) fn registers_of(words: &[u64; WORDS]) -> Registers {
        Registers { pc: words[0], unwound: Unwound::new(words[3], words[1], words[2]) }
    }
}
#[cfg(target_arch = "aarch64")]
pub(super) use of_aarch64::{registers_of, words_of};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod of_others {
    use super::{Registers, Unwound, WORDS};

    pub(in super::super) fn words_of(_: &libc::ucontext_t) -> [u64; WORDS] {
        [0; WORDS]
    }

    pub(in super::super) fn registers_of(_: &[u64; WORDS]) -> Registers {
        Registers { pc: 0, unwound: Unwound::new(0, 0, 0) }
    }
}
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use of_others::{registers_of, words_of};
