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

use std::time::Duration;

use crate::arena::{Arena, Block};
use crate::ring::{Batch, Message, Ring};
use crate::segment::bad_segment;
use crate::sync::{Deadline, NAP, Owner};
use crate::{Error, Result};

/// In the tag of a message: it names a block.
const IS_BLOCK: u32 = 1 << 31;

/// A queue of messages of any size between processes.
#[derive(Clone, Debug)]
pub struct Channel {
    ring: Ring,
    arena: Arena,
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

    /// Puts a block, which is freed if that fails, as [`Ring::put`] says.
    pub fn put_block(&self, tag: u32, block: Block, timeout: Option<Duration>) -> Result<()> {
        assert!(tag < IS_BLOCK, "a tag of 31 bits");
        let (grain, length) = block.place();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(grain as u64).to_ne_bytes());
        bytes[8..].copy_from_slice(&(length as u64).to_ne_bytes());
        let message = Message { tag: tag | IS_BLOCK, bytes: &bytes };
        self.ring.put_noting(message, timeout, |number| block.note_message(number))?;
        block.leave();
        Ok(())
    }

    /// Gets the next message, and its tag, as [`Ring::get`] does.
    pub fn get(&self, timeout: Option<Duration>) -> Result<(u32, Payload)> {
        let (mut batch, me) = (Batch::default(), Owner::current()?);
        let mut block = Ok(None);
        // Written in before the message counts as got.
        self.ring.get_noting(&mut batch, timeout, |message| block = self.block_of(message, me))?;
        let message = batch.iter().next().ok_or_else(|| bad_segment("a message without bytes"))?;
        Ok(match block? {
            Some(block) => (message.tag & !IS_BLOCK, Payload::Large(block)),
            None => (message.tag, Payload::Small(message.bytes.to_vec())),
        })
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
