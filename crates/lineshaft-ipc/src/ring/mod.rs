//! A bounded queue of small messages between processes: [`Ring`].
//!
//! Any number of processes and threads put and get; messages come out in the order in which they went in. Each side has a
//! lock, which is held for as long as the bytes are copied, and a cursor, which one store moves (`words.rs`). That is all
//! there is to say of what a SIGKILL does, wherever it hits:
//!
//! - a message whose `put` returned is got once, or is still there;
//! - one whose putter died is there as a whole or not at all;
//! - one whose getter died is still there, or was got by it: that one has it, and nobody else;
//! - whoever waits goes on, since locks do not stay with the dead and no sleep is without end.
//!
//! Two locks and no lock-free slots: see `docs/adr/0010-a-ring-has-two-locks-and-commits-by-one-store.md`. Large
//! payloads go through a [`Channel`](crate::channel::Channel).
#![allow(unsafe_code)] // Saying that the preamble is of atomics.

mod batch;
mod cursor;
#[cfg(model)]
mod model;
mod patience;
mod record;
mod words;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use self::cursor::GRAIN_BYTES;
use self::patience::Patience;
use self::words::{Core, Shutdown, Words};
use crate::segment::{Segment, Shared, bad_segment};
use crate::sync::{AtomicU64, Deadline, EventCount, NAP, Owner};
use crate::{Error, Result};

pub use self::batch::{Batch, Message};

/// Says that this is a ring, and of which layout: the last byte changes with it.
const MAGIC: u64 = u64::from_be_bytes(*b"lnsring\x01");
/// Where the words are, behind the preamble, and where the room begins: at a memory page.
const WORDS_AT: usize = 128;
const ROOM_AT: usize = 4_096;
/// Bytes of the greatest room.
pub const ROOM_BYTES_MAX: usize = 1 << 34;

const _: () = assert!(WORDS_AT + size_of::<Words>() <= ROOM_AT);

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of its room, rounded up to a power of two from 4 KiB to [`ROOM_BYTES_MAX`]. A message takes 16 bytes more than
    /// it has, rounded up to 16.
    pub room_bytes: usize,
    /// Most messages at a time.
    pub messages_max: u32,
}

impl Default for Options {
    /// A mebibyte, and any number of messages.
    fn default() -> Self {
        Self { room_bytes: 1 << 20, messages_max: u32::MAX }
    }
}

/// What the segment of a ring begins with; written once.
#[derive(Debug)]
#[repr(C)]
struct Preamble {
    magic: AtomicU64,
    room_bytes: AtomicU64,
    messages_max: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Shared for Preamble {}

/// A ring in a segment of its own, mapped in this process.
///
/// Clones and forked children use the same one; others [open](Self::from_fd) it by its descriptor. Every operation is for
/// any thread of any of them.
#[derive(Clone, Debug)]
pub struct Ring {
    segment: Arc<Segment>,
    grains: u32,
    messages_max: u32,
    getting: Arc<Patience>,
    putting: Arc<Patience>,
}

impl Ring {
    /// An empty ring. All of its memory is taken at once, so that no put can fail for want of it.
    ///
    /// # Panics
    ///
    /// If the room would be larger than [`ROOM_BYTES_MAX`], or have no message.
    pub fn create(options: Options) -> Result<Self> {
        Self::create_in(options, Segment::create)
    }

    /// As [`Self::create`], in the segment that `make` gives for so many bytes, of which so many are reserved.
    pub fn create_in(options: Options, make: impl FnOnce(usize, usize) -> Result<Segment>) -> Result<Self> {
        assert!(options.room_bytes <= ROOM_BYTES_MAX && options.messages_max > 0, "{options:?}");
        let room_bytes = options.room_bytes.max(4_096).next_power_of_two();
        let segment = make(ROOM_AT + room_bytes, ROOM_AT + room_bytes)?;
        let preamble = segment.at::<Preamble>(0);
        preamble.room_bytes.store(room_bytes as u64, Release);
        preamble.messages_max.store(options.messages_max.into(), Release);
        preamble.magic.store(MAGIC, Release);
        Self::open(segment)
    }

    /// The ring behind a descriptor that another process passed on. [`Error::BadSegment`] if it is something else, or made
    /// by another version.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        Self::open(Segment::from_fd(fd)?)
    }

    /// What the preamble says is kept here, so that later scribbles do not change what is taken for the room.
    fn open(segment: Segment) -> Result<Self> {
        if segment.size_bytes() < ROOM_AT {
            return Err(bad_segment("it is too small for a ring"));
        }
        let preamble = segment.at::<Preamble>(0);
        let magic = preamble.magic.load(Acquire);
        if magic != MAGIC {
            return Err(bad_segment(format!(
                "it begins with {magic:#018x}, a ring of this version with {MAGIC:#018x}"
            )));
        }
        let room_bytes = preamble.room_bytes.load(Acquire) as usize;
        let messages_max = u32::try_from(preamble.messages_max.load(Acquire)).unwrap_or(u32::MAX);
        if !room_bytes.is_power_of_two() || segment.size_bytes().checked_sub(ROOM_AT) != Some(room_bytes) {
            return Err(bad_segment(format!("a room of {room_bytes} bytes does not fit")));
        }
        Ok(Self {
            segment: Arc::new(segment),
            grains: (room_bytes / GRAIN_BYTES) as u32,
            messages_max,
            getting: Arc::default(),
            putting: Arc::default(),
        })
    }

    #[cfg(not(model))]
    fn core(&self) -> Core<'_> {
        Core {
            words: self.segment.at(WORDS_AT),
            data: self.segment.bytes(ROOM_AT, self.grains as usize * GRAIN_BYTES),
            grains: self.grains,
            messages_max: self.messages_max,
        }
    }

    #[cfg(model)]
    fn core(&self) -> Core<'_> {
        unreachable!("models make their own, and not one for {} messages", self.messages_max)
    }

    /// The segment that it is in.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Bytes of the largest message that fits.
    pub fn message_bytes_max(&self) -> usize {
        (self.grains as usize - 1) * GRAIN_BYTES
    }

    /// How many messages there are now.
    pub fn len(&self) -> usize {
        self.core().held().messages as usize
    }

    /// Whether there are none now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a message, as soon as there is room. Some ten nanoseconds, if nobody has to be woken.
    ///
    /// [`Error::TimedOut`] if there was no room within `timeout`, [`Error::MessageTooLarge`], [`Error::ShutDown`].
    pub fn put(&self, message: Message<'_>, timeout: Option<Duration>) -> Result<()> {
        self.put_many(&[message], timeout).map(|_| ())
    }

    /// Puts messages one after the other, many at a time, each as soon as there is room; how many, which is fewer than there
    /// are if the time was up. Others may put between them.
    ///
    /// Errors as [`Self::put`] if it has put none. A message that is too large is found before anything is put.
    pub fn put_many(&self, messages: &[Message<'_>], timeout: Option<Duration>) -> Result<usize> {
        self.put_each(messages, timeout, |_| ())
    }

    /// As [`Self::put`]; `note` hears the number of the message before it is put.
    pub(crate) fn put_noting(
        &self,
        message: Message<'_>,
        timeout: Option<Duration>,
        note: impl Fn(u32),
    ) -> Result<()> {
        self.put_each(&[message], timeout, note).map(|_| ())
    }

    fn put_each(
        &self,
        messages: &[Message<'_>],
        timeout: Option<Duration>,
        note: impl Fn(u32),
    ) -> Result<usize> {
        let limit = self.message_bytes_max();
        if let Some(message) = messages.iter().find(|message| message.bytes.len() > limit) {
            return Err(Error::MessageTooLarge { bytes: message.bytes.len(), limit });
        }
        let (me, core, mut put) = (Owner::current()?, self.core(), 0);
        let mut waiting = Waiting::new(timeout, &self.putting);
        while put < messages.len() {
            let rest = &messages[put..];
            let result = core.put(me, rest, &note).and_then(|count| match count {
                0 => waiting.wait(&core.words.room.0, || core.may_have_room(rest[0].bytes.len())).map(|()| 0),
                count => Ok(count),
            });
            match result {
                Ok(count) => put += count,
                Err(Error::TimedOut) if !waiting.is_over() => {}
                Err(error) if put == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(put)
    }

    /// Gets the next message into `batch`, instead of what was there, as soon as there is one. Some ten nanoseconds, if there
    /// is. What this process got is lost if it dies.
    ///
    /// [`Error::TimedOut`] if there was none within `timeout`, [`Error::ShutDown`] if there is none left, and
    /// [`Error::BadMessage`] if it is not as it was put: somebody has written to the memory who should not.
    pub fn get(&self, batch: &mut Batch, timeout: Option<Duration>) -> Result<()> {
        self.get_many(batch, 1, timeout).map(|_| ())
    }

    /// Gets up to `count` messages as [`Self::get`] does one; how many, at least one: those that are there, but no more than
    /// some hundred at once.
    pub fn get_many(&self, batch: &mut Batch, count: usize, timeout: Option<Duration>) -> Result<usize> {
        self.get_each(batch, count, timeout, |_| ())
    }

    /// As [`Self::get_many`]; `note` hears of each message before it is got.
    pub(crate) fn get_noting(
        &self,
        batch: &mut Batch,
        count: usize,
        timeout: Option<Duration>,
        note: impl FnMut(Message<'_>),
    ) -> Result<usize> {
        self.get_each(batch, count, timeout, note)
    }

    fn get_each(
        &self,
        batch: &mut Batch,
        count: usize,
        timeout: Option<Duration>,
        mut note: impl FnMut(Message<'_>),
    ) -> Result<usize> {
        batch.clear();
        let (me, core) = (Owner::current()?, self.core());
        let mut waiting = Waiting::new(timeout, &self.getting);
        loop {
            match core.shutdown() {
                Shutdown::All => return Err(Error::ShutDown),
                // Looked at after the mark: nothing is put after it.
                Shutdown::Put if core.held().messages == 0 => return Err(Error::ShutDown),
                Shutdown::Put | Shutdown::No => {}
            }
            let result = core.get(me, count.max(1), batch, &mut note).and_then(|got| match got {
                0 => waiting.wait(&core.words.items.0, || core.may_have_items()).map(|()| 0),
                got => Ok(got),
            });
            match result {
                Ok(0) => {}
                Err(Error::TimedOut) if !waiting.is_over() => {}
                result => return result,
            }
        }
    }

    /// Waits until there may be a message; false if there was none within `timeout`. True also once it is shut down. Another
    /// may be faster to get it.
    pub fn wait_for_messages(&self, timeout: Option<Duration>) -> bool {
        let core = self.core();
        core.words.items.0.wait_until(timeout, || core.may_have_items())
    }

    /// Waits until there may be room for a message of so many bytes; false if there was none within `timeout`. True also
    /// once it is shut down. Another may be faster to fill it.
    pub fn wait_for_room(&self, bytes: usize, timeout: Option<Duration>) -> bool {
        let core = self.core();
        core.words.room.0.wait_until(timeout, || core.may_have_room(bytes))
    }

    /// Calls `act` while nothing is got, with which messages are there.
    pub(crate) fn while_nothing_is_got<T>(&self, act: impl FnOnce(&dyn Fn(u32) -> bool) -> T) -> Result<T> {
        self.core().while_nothing_is_got(Owner::current()?, act)
    }

    /// Says that what was got of `count` messages is done; false if there are not so many undone.
    pub fn task_done(&self, count: u32) -> bool {
        self.core().done(count)
    }

    /// Messages that were ever put and not told done.
    pub fn unfinished(&self) -> u32 {
        self.core().unfinished()
    }

    /// Waits until every message that was put is done; whether that was so within `timeout`. At once if the ring is shut down
    /// with what is in it. What a dead process had got and not told done stays undone.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        let core = self.core();
        core.words.idle.wait_until(timeout, || core.unfinished() == 0 || core.shutdown() == Shutdown::All)
    }

    /// From here on nothing can be put, and what is there can still be got; unless `immediate`, which leaves it there for
    /// good. Ends every wait.
    pub fn shut_down(&self, immediate: bool) -> Result<()> {
        let shutdown = if immediate { Shutdown::All } else { Shutdown::Put };
        self.core().shut_down(Owner::current()?, shutdown)
    }

    /// Whether nothing can be put any more.
    pub fn is_shut_down(&self) -> bool {
        self.core().shutdown() != Shutdown::No
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.segment.as_fd()
    }
}

/// A call that may have to wait. The clock is read when it does.
struct Waiting<'a> {
    timeout: Option<Duration>,
    deadline: Option<Deadline>,
    patience: &'a Patience,
}

impl<'a> Waiting<'a> {
    fn new(timeout: Option<Duration>, patience: &'a Patience) -> Self {
        Self { timeout, deadline: None, patience }
    }

    fn deadline(&mut self) -> Deadline {
        *self.deadline.get_or_insert_with(|| Deadline::after(self.timeout))
    }

    fn is_over(&mut self) -> bool {
        self.timeout == Some(Duration::ZERO) || self.deadline().left(NAP).is_none()
    }

    /// Until `is_ready` holds, which `signal` tells of; [`Error::TimedOut`] if it does not in time.
    fn wait(&mut self, signal: &EventCount, is_ready: impl Fn() -> bool) -> Result<()> {
        if self.timeout == Some(Duration::ZERO) {
            return Err(Error::TimedOut);
        }
        let deadline = self.deadline();
        let sleep = || deadline.left(NAP).map(|left| signal.wait(left, &is_ready)).is_some();
        if self.patience.wait(&is_ready, sleep) { Ok(()) } else { Err(Error::TimedOut) }
    }
}
