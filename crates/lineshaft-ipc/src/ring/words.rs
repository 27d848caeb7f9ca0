//! The words of a ring, and what each side does with them under its lock.
//!
//! `put.cursor` and `get.cursor` say which messages there are: those between. Each is moved by one store, of whoever has the
//! lock of its side, and that store is all there is to putting or getting: a putter that dies before it has put nothing, as
//! nobody looks at what lies beyond the cursor, and one that dies after it has put everything. So the next one to acquire
//! the lock, also from a dead process, finds nothing half done.
#![allow(unsafe_code)] // Copies from and to the room, which are exclusive by the two locks.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::batch::{Batch, Message};
use super::cursor::{Cursor, GRAIN_BYTES};
#[cfg(model)]
use super::model::Bytes;
use super::record::{Header, grains_of};
#[cfg(not(model))]
use crate::segment::Bytes;
use crate::segment::Shared;
use crate::sync::{AtomicU32, AtomicU64, EventCount, GRACE, LockWord, Owner, fence};
use crate::{Error, Result};

/// Most messages and bytes that are put or got while a lock is held, so that the others need not wait for long.
const CHUNK_MESSAGES: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;

/// What one side needs: no cache line of it is written by the other.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Side {
    lock: LockWord,
    /// How far this side has come.
    cursor: AtomicU64,
    /// How far the other one had when somebody of this side last looked: no further than it is.
    seen: AtomicU64,
}

impl Side {
    /// How far the other side has come.
    fn look(&self, other: &Self) -> u64 {
        // What it did until there is over: it has read what it got, or written what it put.
        let cursor = other.cursor.load(Acquire);
        self.seen.store(cursor, Relaxed);
        cursor
    }
}

/// A word to sleep on, alone in its cache line: it is read with every message.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Signal(pub(super) EventCount);

#[derive(Debug)]
#[repr(C)]
pub(super) struct Words {
    put: Side,
    get: Side,
    /// Rings when messages have come.
    pub(super) items: Signal,
    /// Rings when there is room again.
    pub(super) room: Signal,
    /// Messages that somebody is done with, counted around.
    done: AtomicU32,
    /// Rings when all are.
    pub(super) idle: EventCount,
    /// See [`Shutdown`].
    shutdown: AtomicU32,
}

// SAFETY: atomics only, and alignments below that of a memory page.
unsafe impl Shared for Words {}

/// How far a ring is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Shutdown {
    /// Not at all.
    No = 0,
    /// Nothing can be put any more.
    Put = 1,
    /// And nothing can be got.
    All = 2,
}

/// The words of a ring with its room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core<'a> {
    pub(super) words: &'a Words,
    pub(super) data: Bytes<'a>,
    /// Grains of the room: a power of two, since cursors are counted around 2^32.
    pub(super) grains: u32,
    pub(super) messages_max: u32,
}

/// A lock that is given back, with one fence for all who may sleep.
struct Held<'a> {
    lock: &'a LockWord,
}

impl<'a> Held<'a> {
    /// Errors if somebody else has kept it for longer than anybody who runs does.
    fn acquire(lock: &'a LockWord, me: Owner) -> Result<Self> {
        lock.lock(me, Some(GRACE)).map(|_| Self { lock }).ok_or(Error::TimedOut)
    }

    /// Gives it back and wakes up to `count` sleepers of `signal`.
    fn release(self, signal: &EventCount, count: usize) {
        let lock = self.lock;
        std::mem::forget(self);
        lock.unlock_silently();
        fence(SeqCst);
        if count > 0 {
            signal.notify_fenced(u32::try_from(count).unwrap_or(u32::MAX));
        }
        lock.wake_fenced();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

impl Core<'_> {
    /// Puts as many of `messages` as there is room for, but no more than a chunk; how many.
    /// Of each `note` hears its number, before it is put.
    pub(super) fn put(self, me: Owner, messages: &[Message<'_>], note: impl Fn(u32)) -> Result<usize> {
        let held = Held::acquire(&self.words.put.lock, me)?;
        if self.shutdown() != Shutdown::No {
            return Err(Error::ShutDown);
        }
        let mut tail = Cursor::from_word(self.words.put.cursor.load(Relaxed));
        let (mut count, mut bytes) = (0, 0);
        for message in messages.iter().take(CHUNK_MESSAGES) {
            let header = Header::new(tail.messages, message.tag, message.bytes);
            let next = tail.after(header.grains());
            if bytes > CHUNK_BYTES || !self.has_room(next) {
                break;
            }
            self.write(tail, header, message.bytes);
            note(tail.messages);
            tail = next;
            count += 1;
            bytes += message.bytes.len();
        }
        if count > 0 {
            // With this they are put, and were not before.
            self.words.put.cursor.store(tail.word(), Release);
        }
        held.release(&self.words.items.0, count);
        Ok(count)
    }

    /// Whether the room reaches up to `tail`. For who has the lock for putting.
    fn has_room(self, tail: Cursor) -> bool {
        let fits = |head: u64| {
            let used = tail.since(Cursor::from_word(head));
            used.grains <= self.grains && used.messages <= self.messages_max
        };
        let side = &self.words.put;
        fits(side.seen.load(Relaxed)) || fits(side.look(&self.words.get))
    }

    fn write(self, at: Cursor, header: Header, bytes: &[u8]) {
        let start = self.index(at.grains);
        let first = self.index(at.grains.wrapping_add(1));
        let (front, back) = bytes.split_at(bytes.len().min(self.data_end() - first));
        // SAFETY: this part is beyond the last message and before the first one, where getters do not look; other putters do
        // not write, as this one has the lock, or had it taken away because it is dead.
        unsafe {
            self.data.write(start, &header.to_bytes());
            self.data.write(first, front);
            if !back.is_empty() {
                self.data.write(0, back);
            }
        }
    }

    /// Appends up to `count` messages to `batch`, but no more than a chunk; how many. `note` hears of each before it is got.
    pub(super) fn get(
        self,
        me: Owner,
        count: usize,
        batch: &mut Batch,
        note: impl FnMut(Message<'_>),
    ) -> Result<usize> {
        let held = Held::acquire(&self.words.get.lock, me)?;
        let side = &self.words.get;
        let mut head = Cursor::from_word(side.cursor.load(Relaxed));
        let mut tail = Cursor::from_word(side.seen.load(Relaxed));
        if (tail.since(head).messages as usize) < count {
            tail = Cursor::from_word(side.look(&self.words.put));
        }
        let (mut got, mut result) = (0, Ok(()));
        while got < count.min(CHUNK_MESSAGES) && head != tail && batch.size_bytes() <= CHUNK_BYTES {
            let (next, is_read) = self.read(head, tail, batch);
            if is_read.is_err() && got > 0 {
                // The next one to come learns of it.
                break;
            }
            head = next;
            got += 1;
            if is_read.is_err() {
                result = is_read;
                break;
            }
        }
        batch.iter().for_each(note);
        if got > 0 {
            // With this they are got, and were not before.
            side.cursor.store(head.word(), Release);
        }
        held.release(&self.words.room.0, got);
        result.map(|()| got)
    }

    /// Appends the message at `head`, and says where the next one is. Of one that is not as it was put nothing is appended.
    fn read(self, head: Cursor, tail: Cursor, batch: &mut Batch) -> (Cursor, Result<()>) {
        let start = self.index(head.grains);
        // SAFETY: this part has a message that was put, which nobody writes until it is got; that this process does, as it
        // has the lock.
        let header = Header::from_bytes(unsafe { self.data.read_array(start) });
        let bad = |lost| Err(Error::BadMessage { number: head.messages, lost });
        if header.number != head.messages || header.grains() > tail.since(head).grains.min(self.grains) {
            // Where the next one begins cannot be known.
            return (tail, bad(tail.since(head).messages));
        }
        let first = self.index(head.grains.wrapping_add(1));
        let result = batch.push(header.tag, |into| {
            let (length, begin) = (header.length as usize, into.len());
            let front = length.min(self.data_end() - first);
            // SAFETY: as above.
            unsafe {
                self.data.read(first, front, into);
                if front < length {
                    self.data.read(0, length - front, into);
                }
            }
            if header.checksum_over(&into[begin..]) == header.checksum { Ok(()) } else { bad(1) }
        });
        (head.after(header.grains()), result)
    }

    /// Calls `act` while nothing is got, with which messages are there.
    pub(super) fn while_nothing_is_got<T>(
        self,
        me: Owner,
        act: impl FnOnce(&dyn Fn(u32) -> bool) -> T,
    ) -> Result<T> {
        let held = Held::acquire(&self.words.get.lock, me)?;
        let head = Cursor::from_word(self.words.get.cursor.load(Relaxed));
        let result = act(&|number| {
            let tail = Cursor::from_word(self.words.put.cursor.load(Acquire));
            number.wrapping_sub(head.messages) < tail.since(head).messages
        });
        held.release(&self.words.room.0, 0);
        Ok(result)
    }

    /// Whether it is worth trying to get, without the lock.
    pub(super) fn may_have_items(self) -> bool {
        self.held().messages > 0 || self.shutdown() != Shutdown::No
    }

    /// Whether it is worth trying to put a message of so many bytes, without the lock.
    pub(super) fn may_have_room(self, bytes: usize) -> bool {
        let held = self.held();
        let grains = grains_of(bytes);
        let has_room = held.messages < self.messages_max && held.grains.saturating_add(grains) <= self.grains;
        has_room || self.shutdown() != Shutdown::No
    }

    /// Where in the room a grain lies.
    fn index(self, grain: u32) -> usize {
        (grain & (self.grains - 1)) as usize * GRAIN_BYTES
    }

    fn data_end(self) -> usize {
        self.grains as usize * GRAIN_BYTES
    }

    /// What there is now: messages that are put and not got.
    pub(super) fn held(self) -> Cursor {
        // In this order, so that the difference is never below zero.
        let head = self.words.get.cursor.load(Acquire);
        let tail = self.words.put.cursor.load(Acquire);
        Cursor::from_word(tail).since(Cursor::from_word(head))
    }

    #[inline]
    pub(super) fn shutdown(self) -> Shutdown {
        match self.words.shutdown.load(Acquire) {
            0 => Shutdown::No,
            1 => Shutdown::Put,
            _ => Shutdown::All,
        }
    }

    /// Afterwards nothing is put any more. Under the lock, so that whoever finds it marked also finds the last message.
    pub(super) fn shut_down(self, me: Owner, shutdown: Shutdown) -> Result<()> {
        let held = Held::acquire(&self.words.put.lock, me)?;
        let _ = self.words.shutdown.fetch_update(Release, Relaxed, |now| Some(now.max(shutdown as u32)));
        held.release(&self.words.items.0, usize::MAX);
        self.words.room.0.notify(u32::MAX);
        self.words.idle.notify(u32::MAX);
        Ok(())
    }

    /// Says that somebody is done with `count` of the messages; whether there were so many.
    pub(super) fn done(self, count: u32) -> bool {
        let subtracted = |done: u32| (self.unfinished_after(done) >= count).then(|| done.wrapping_add(count));
        let before = self.words.done.fetch_update(Release, Relaxed, subtracted);
        if before.is_ok_and(|done| self.unfinished_after(done.wrapping_add(count)) == 0) {
            self.words.idle.notify(u32::MAX);
        }
        before.is_ok()
    }

    /// Messages that were ever put and that nobody is done with.
    pub(super) fn unfinished(self) -> u32 {
        self.unfinished_after(self.words.done.load(Acquire))
    }

    fn unfinished_after(self, done: u32) -> u32 {
        Cursor::from_word(self.words.put.cursor.load(Acquire)).messages.wrapping_sub(done)
    }
}

#[cfg(all(test, model))]
impl Words {
    pub(super) fn new() -> Self {
        let side = || Side { lock: LockWord::new(), cursor: AtomicU64::new(0), seen: AtomicU64::new(0) };
        let signal = || Signal(EventCount::new());
        Self {
            put: side(),
            get: side(),
            items: signal(),
            room: signal(),
            done: AtomicU32::new(0),
            idle: EventCount::new(),
            shutdown: AtomicU32::new(0),
        }
    }
}
