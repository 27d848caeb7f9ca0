//! Large payloads in shared memory: an [`Arena`] whose blocks belong to processes.
//!
//! A block is a run of grains of 64 KiB, with an entry for its first one: whose it is, and which message of a
//! [`Channel`](crate::channel::Channel) has it. It is there by one store of its length, and gone by another, so a kill
//! leaves nothing half done; what a dead process had is swept when somebody finds no room. Whose block is on its way in a
//! message is told by that: it belongs to the dead, and is kept while its message is there.
#![allow(unsafe_code)] // Slices of blocks, which are exclusive by their owner.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::segment::{Segment, Shared, bad_segment};
use crate::sync::{AtomicU32, AtomicU64, EventCount, GRACE, LockWord, Owner};
use crate::{Error, Result};

/// Bytes of a grain.
pub const GRAIN_BYTES: usize = 64 << 10;
/// Says that this is an arena, and of which layout: the last byte changes with it.
const MAGIC: u64 = u64::from_be_bytes(*b"lnarena\x01");
/// Where the entries begin.
const ENTRIES_AT: usize = 256;
/// Above the number of a message, in an entry: some message has it.
const IN_MESSAGE: u64 = 1 << 32;

#[derive(Debug)]
#[repr(C)]
struct Words {
    magic: AtomicU64,
    /// Held while a block is looked for.
    lock: LockWord,
    /// Rings when a block is free again.
    room: EventCount,
    /// Grains for which memory was taken.
    taken: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Shared for Words {}

/// What is known of the block that begins at a grain.
#[derive(Debug)]
#[repr(C)]
struct Entry {
    owner: AtomicU64,
    /// The last message that it was put in, with [`IN_MESSAGE`]; 0 for none.
    message: AtomicU64,
    /// Its grains, or 0 if no block begins here. With a store to it a block is there, and with another one gone.
    grains: AtomicU32,
    unused: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Shared for Entry {}

/// An arena in a segment of its own, mapped in this process. Clones and forked children use the same one.
#[derive(Clone, Debug)]
pub struct Arena {
    segment: Arc<Segment>,
    grains: usize,
}

impl Arena {
    /// An arena for so many bytes, rounded up to grains. Memory is taken as blocks are first used, lowest first.
    pub fn create(bytes: usize) -> Result<Self> {
        let grains = bytes.div_ceil(GRAIN_BYTES).max(1);
        let segment = Segment::create(bytes_of(grains), blocks_at(grains))?;
        segment.at::<Words>(0).magic.store(MAGIC, Release);
        Self::open(segment)
    }

    /// As [`Self::create`], but where the system gives this process no memory of so many bytes, or no addresses for it, of a
    /// quarter of them, and so on; it fails if there is not even one of `least` bytes.
    pub fn create_down_to(bytes: usize, least: usize) -> Result<Self> {
        match Self::create(bytes) {
            made @ (Ok(_) | Err(Error::TooManyFiles { .. })) => made,
            Err(_) if bytes > least => Self::create_down_to((bytes / 4).max(least), least),
            failed => failed,
        }
    }

    /// The arena in a segment that another process passed on; [`Error::BadSegment`] if there is something else.
    pub fn open(segment: Segment) -> Result<Self> {
        let grains =
            grains_in(segment.size_bytes()).ok_or_else(|| bad_segment("it is too small for an arena"))?;
        let magic = segment.at::<Words>(0).magic.load(Acquire);
        if magic != MAGIC {
            return Err(bad_segment(format!("it begins with {magic:#018x}, an arena with {MAGIC:#018x}")));
        }
        Ok(Self { segment: Arc::new(segment), grains })
    }

    /// The segment that it is in.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Bytes of the largest block that fits.
    pub fn block_bytes_max(&self) -> usize {
        self.grains * GRAIN_BYTES
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.heads().count()
    }

    fn words(&self) -> &Words {
        self.segment.at(0)
    }

    fn entries(&self) -> &[Entry] {
        self.segment.slice(ENTRIES_AT, self.grains)
    }

    /// A block for so many bytes that belongs to this process, or `None` if there is no room.
    ///
    /// Errors if the system has no memory for it.
    pub(crate) fn allocate(&self, me: Owner, length: usize) -> Result<Option<Block>> {
        let need = length.div_ceil(GRAIN_BYTES).max(1);
        let lock = &self.words().lock;
        lock.lock(me, Some(GRACE)).ok_or(Error::TimedOut)?;
        let result = self.find(need).map(|grain| self.make(grain, need, me)).transpose();
        lock.unlock();
        Ok(result?.map(|grain| Block { arena: self.clone(), grain, length }))
    }

    /// The first so many grains in a row that no block has.
    fn find(&self, need: usize) -> Option<usize> {
        let (entries, mut start, mut grain) = (self.entries(), 0, 0);
        while grain < self.grains {
            // Who freed a block is done with it.
            match entries[grain].grains.load(Acquire) {
                0 => grain += 1,
                taken => {
                    grain += taken as usize;
                    start = grain;
                }
            }
            if grain - start == need {
                return Some(start);
            }
        }
        None
    }

    fn make(&self, grain: usize, need: usize, me: Owner) -> Result<usize> {
        self.take_memory(grain + need)?;
        let entry = &self.entries()[grain];
        entry.owner.store(me.word(), Relaxed);
        entry.message.store(0, Relaxed);
        // With this it is there.
        entry.grains.store(need as u32, Release);
        Ok(grain)
    }

    fn take_memory(&self, end: usize) -> Result<()> {
        let taken = self.words().taken.load(Relaxed) as usize;
        if end > taken {
            let start = blocks_at(self.grains) + taken * GRAIN_BYTES;
            self.segment.reserve(start, (end - taken) * GRAIN_BYTES)?;
            self.words().taken.store(end as u32, Relaxed);
        }
        Ok(())
    }

    /// The block at `grain` of `length` bytes, taken from a message that has it, for `me`. [`Error::BadSegment`] if there
    /// cannot be one.
    pub(crate) fn take_over(&self, grain: usize, length: usize, me: Owner) -> Result<Block> {
        let entry = self.entries().get(grain).ok_or_else(|| bad_segment(format!("no grain {grain}")))?;
        let grains = entry.grains.load(Acquire) as usize;
        if grains == 0 || grains > self.grains - grain || length > grains * GRAIN_BYTES {
            return Err(bad_segment(format!("no block of {length} bytes at grain {grain}")));
        }
        entry.owner.store(me.word(), Relaxed);
        Ok(Block { arena: self.clone(), grain, length })
    }

    /// Frees the blocks whose owners are dead, but for those that are in a message. No message may be got meanwhile.
    pub(crate) fn sweep(&self, is_in_ring: impl Fn(u32) -> bool) -> usize {
        let mut alive = Vec::new();
        let mut freed = 0;
        for entry in self.heads() {
            let word = entry.owner.load(Relaxed);
            if alive.contains(&word) {
                continue;
            }
            if Owner::from_word(word).is_some_and(Owner::is_alive) {
                alive.push(word);
                continue;
            }
            // Read after its death, so it is the last that it wrote.
            let message = entry.message.load(Relaxed);
            if message & IN_MESSAGE == 0 || !is_in_ring(message as u32) {
                entry.grains.store(0, Release);
                freed += 1;
            }
        }
        if freed > 0 {
            self.words().room.notify(u32::MAX);
        }
        freed
    }

    /// The entries of blocks.
    fn heads(&self) -> impl Iterator<Item = &Entry> {
        let (entries, mut grain) = (self.entries(), 0);
        std::iter::from_fn(move || {
            while let Some(entry) = entries.get(grain) {
                let grains = entry.grains.load(Acquire) as usize;
                grain += grains.max(1);
                if grains > 0 {
                    return Some(entry);
                }
            }
            None
        })
    }

    /// Rings when a block is free again.
    pub(crate) fn room(&self) -> &EventCount {
        &self.words().room
    }
}

/// A block that belongs to this process; dropping it frees it.
///
/// Its bytes are this process's alone by the rule of the owner. A forked child of the owner must not use it.
#[derive(Debug)]
pub struct Block {
    arena: Arena,
    grain: usize,
    length: usize,
}

impl Block {
    /// Where it is, for [`Arena::take_over`].
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.grain, self.length)
    }

    fn entry(&self) -> &Entry {
        &self.arena.entries()[self.grain]
    }

    /// Where its bytes begin in the segment of the arena, at a memory page: for one who maps that by himself.
    pub fn offset(&self) -> usize {
        blocks_at(self.arena.grains) + self.grain * GRAIN_BYTES
    }

    /// Notes that message `number` has it: it stays for as long as that is there, though its owner is dead.
    pub(crate) fn note_message(&self, number: u32) {
        self.entry().message.store(IN_MESSAGE | u64::from(number), Relaxed);
    }

    /// Leaves it to whoever gets the message that has it.
    pub(crate) fn leave(self) {
        let mut block = std::mem::ManuallyDrop::new(self);
        // SAFETY: the block is not used or dropped afterwards, so this is the only drop of its arena.
        unsafe { std::ptr::drop_in_place(&raw mut block.arena) }
    }

    fn start(&self) -> *mut u8 {
        self.arena.segment.pointer(self.offset(), self.length)
    }
}

impl std::ops::Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes lie in the segment, as `pointer` asserts, which the arena keeps mapped; and nobody writes
        // them while this process owns the block.
        unsafe { std::slice::from_raw_parts(self.start(), self.length) }
    }
}

impl std::ops::DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else reads them.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.length) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let entry = self.entry();
        // A forked child drops what its parent has; that one frees it.
        if Owner::current().is_ok_and(|me| entry.owner.load(Relaxed) == me.word()) {
            entry.grains.store(0, Release);
            self.arena.words().room.notify(u32::MAX);
        }
    }
}

const fn blocks_at(grains: usize) -> usize {
    (ENTRIES_AT + grains * size_of::<Entry>()).next_multiple_of(4_096)
}

const fn bytes_of(grains: usize) -> usize {
    blocks_at(grains) + grains * GRAIN_BYTES
}

/// How many grains an arena of so many bytes has.
fn grains_in(bytes: usize) -> Option<usize> {
    let about = bytes / GRAIN_BYTES;
    (about.saturating_sub(8 + about / 1_024)..=about).find(|grains| *grains > 0 && bytes_of(*grains) == bytes)
}
