//! A ring whose large messages go through an arena: [`Channel`].
//!
//! A large message is a small one that names a block. The block belongs to its putter until it is got, and then to the
//! getter; either may be killed at any instruction:
//!
//! | killed | the block |
//! |---|---|
//! | before its message is put | belongs to a dead process and is in no message: swept |
//! | after that | belongs to a dead process, and is kept while the message is there |
//! | after the getter has written itself in, before the message is got | the same; the next getter writes itself in |
//! | after that, or with the block in hand | belongs to a dead process and is in no message: swept |
//!
//! It is swept when somebody finds no room, under the getters' lock, so that no message is got meanwhile.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::arena::{Arena, Block};
use crate::ring::{Batch, Message, Options, Ring};
use crate::segment::{Backing, Segment, bad_segment};
use crate::sync::{Deadline, NAP, Owner};
use crate::{Error, Result};

/// In the tag of a message: it names a block.
const IS_BLOCK: u32 = 1 << 31;

/// An arena that is smaller than it should be has so many bytes at least.
pub const ARENA_BYTES_MIN: usize = 16 << 20;

/// A queue of messages of any size between processes.
#[derive(Clone, Debug)]
pub struct Channel {
    ring: Ring,
    arena: Arena,
}

/// Messages that were got. Worth keeping: what it has allocated is used again.
#[derive(Debug, Default)]
pub struct Received {
    batch: Batch,
    /// Those of the messages that name one, in their order.
    blocks: VecDeque<Block>,
}

impl Received {
    /// Takes the messages out, with their tags.
    pub fn drain(&mut self) -> impl Iterator<Item = (u32, Part<'_>)> {
        let Self { batch, blocks } = self;
        batch.iter().filter_map(move |message| match message.tag & IS_BLOCK {
            0 => Some((message.tag, Part::Small(message.bytes))),
            _ => blocks.pop_front().map(|block| (message.tag & !IS_BLOCK, Part::Large(block))),
        })
    }
}

/// What one message of [`Received`] says.
#[derive(Debug)]
pub enum Part<'a> {
    /// A copy.
    Small(&'a [u8]),
    /// The very bytes that were put, for as long as this is kept.
    Large(Block),
}

/// What a message of a channel says.
#[derive(Debug)]
pub enum Payload {
    /// A copy.
    Small(Vec<u8>),
    /// The very bytes that were put, for as long as this is kept.
    Large(Block),
}

impl Channel {
    /// The channel of these two, each of which was made for it alone: every process uses the same two together.
    pub fn new(ring: Ring, arena: Arena) -> Self {
        Self { ring, arena }
    }

    /// An empty channel with a ring like that, and an arena of so many bytes, or of fewer where memory or addresses are scarce: see
    /// [`Arena::create_down_to`].
    pub fn create(ring: Options, arena_bytes: usize) -> Result<Self> {
        let arena = Arena::create_down_to(arena_bytes, ARENA_BYTES_MIN.min(arena_bytes))?;
        Ok(Self::new(Ring::create(ring)?, arena))
    }

    /// The channel behind the descriptors of its ring and its arena, which another process passed on.
    pub fn from_fds(ring: OwnedFd, arena: OwnedFd) -> Result<Self> {
        Ok(Self::new(Ring::from_fd(ring)?, Arena::open(Segment::from_fd(arena)?)?))
    }

    /// The descriptors of its ring and its arena.
    pub fn as_fds(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        (self.ring.as_fd(), self.arena.segment().as_fd())
    }

    /// Whether it is in memory, not in files.
    pub fn is_in_memory(&self) -> bool {
        [self.ring.segment(), self.arena.segment()].iter().all(|segment| segment.backing() == Backing::Memory)
    }

    /// The ring of it: its messages are counted, shut down and waited for there, but put and got here.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The arena of it.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// A block to be filled and put, as soon as there is room.
    ///
    /// [`Error::TimedOut`] if there was none within `timeout`, [`Error::MessageTooLarge`]; and if the system has no memory
    /// for it.
    pub fn allocate(&self, bytes: usize, timeout: Option<Duration>) -> Result<Block> {
        let limit = self.arena.block_bytes_max();
        if bytes > limit {
            return Err(Error::MessageTooLarge { bytes, limit });
        }
        let me = Owner::current()?;
        if let Some(block) = self.arena.allocate(me, bytes)? {
            return Ok(block);
        }
        let deadline = Deadline::after(timeout);
        loop {
            self.sweep()?;
            if let Some(block) = self.arena.allocate(me, bytes)? {
                return Ok(block);
            }
            let left = deadline.left(NAP).ok_or(Error::TimedOut)?;
            // What is freed from here on wakes it, and what was before is found.
            let mut found = Ok(None);
            self.arena.room().wait(left, || {
                found = self.arena.allocate(me, bytes);
                !matches!(found, Ok(None))
            });
            if let Some(block) = found? {
                return Ok(block);
            }
        }
    }

    /// Frees what dead processes had; how many blocks. Done when there is no room, too.
    pub fn sweep(&self) -> Result<usize> {
        self.ring.while_nothing_is_got(|is_in_ring| self.arena.sweep(is_in_ring))
    }

    /// Puts a small message, as [`Ring::put`] does. Of its tag 31 bits are the caller's.
    pub fn put(&self, message: Message<'_>, timeout: Option<Duration>) -> Result<()> {
        assert!(message.tag < IS_BLOCK, "a tag of 31 bits");
        self.ring.put(message, timeout)
    }

    /// Puts many small messages, as [`Ring::put_many`] does, with tags as in [`Self::put`]; how many.
    pub fn put_many(&self, messages: &[Message<'_>], timeout: Option<Duration>) -> Result<usize> {
        assert!(messages.iter().all(|message| message.tag < IS_BLOCK), "tags of 31 bits");
        self.ring.put_many(messages, timeout)
    }

    /// Puts a block, which is freed if that fails, as [`Ring::put`] says.
    pub fn put_block(&self, tag: u32, block: Block, timeout: Option<Duration>) -> Result<()> {
        self.put_kept_block(tag, &mut Some(block), timeout)
    }

    /// As [`Self::put_block`], but if that fails the block stays there, and may be put again.
    pub fn put_kept_block(
        &self,
        tag: u32,
        block: &mut Option<Block>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        assert!(tag < IS_BLOCK, "a tag of 31 bits");
        let Some(held) = block.take() else { return Ok(()) };
        match self.put_name_of(&held, tag, timeout) {
            Ok(()) => held.leave(),
            Err(error) => {
                *block = Some(held);
                return Err(error);
            }
        }
        Ok(())
    }

    fn put_name_of(&self, block: &Block, tag: u32, timeout: Option<Duration>) -> Result<()> {
        let (grain, length) = block.place();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(grain as u64).to_ne_bytes());
        bytes[8..].copy_from_slice(&(length as u64).to_ne_bytes());
        let message = Message { tag: tag | IS_BLOCK, bytes: &bytes };
        self.ring.put_noting(message, timeout, |number| block.note_message(number))
    }

    /// Gets the next message, and its tag, as [`Ring::get`] does.
    pub fn get(&self, timeout: Option<Duration>) -> Result<(u32, Payload)> {
        let mut received = Received::default();
        self.get_many(&mut received, 1, timeout)?;
        let (tag, part) = received.drain().next().ok_or_else(|| bad_segment("a message without bytes"))?;
        Ok(match part {
            Part::Small(bytes) => (tag, Payload::Small(bytes.to_vec())),
            Part::Large(block) => (tag, Payload::Large(block)),
        })
    }

    /// Gets up to `count` messages into `received`, instead of what was there, as [`Ring::get_many`] does; how many.
    pub fn get_many(
        &self,
        received: &mut Received,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let me = Owner::current()?;
        let Received { batch, blocks } = received;
        blocks.clear();
        let mut bad = None;
        // Written in before the messages count as got.
        let got =
            self.ring.get_noting(batch, count, timeout, |message| match self.block_of(message, me) {
                Ok(Some(block)) => blocks.push_back(block),
                Ok(None) => {}
                Err(error) => bad = Some(error),
            })?;
        bad.map_or(Ok(got), Err)
    }

    /// Waits until there may be something to get; false if there was nothing within `timeout`. True also once the channel is
    /// shut down.
    pub fn wait_for_messages(&self, timeout: Option<Duration>) -> bool {
        self.ring.wait_for_messages(timeout)
    }

    /// Waits until there may be room for a small message of so many bytes; false if there was none within `timeout`. True
    /// also once the channel is shut down.
    pub fn wait_for_room(&self, bytes: usize, timeout: Option<Duration>) -> bool {
        self.ring.wait_for_room(bytes, timeout)
    }

    fn block_of(&self, message: Message<'_>, me: Owner) -> Result<Option<Block>> {
        if message.tag & IS_BLOCK == 0 {
            return Ok(None);
        }
        let number = |part: Option<&[u8]>| part.and_then(|part| part.try_into().ok()).map(u64::from_ne_bytes);
        match (number(message.bytes.get(..8)), number(message.bytes.get(8..16))) {
            (Some(grain), Some(length)) => {
                self.arena.take_over(grain as usize, length as usize, me).map(Some)
            }
            _ => Err(bad_segment("a message that names no block")),
        }
    }
}
