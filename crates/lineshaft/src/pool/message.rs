//! What a pool and its workers say to each other.
//!
//! A message is a head, a table with an entry for each item, and the payloads of the items one after the other. Numbers are
//! little-endian. What is small is copied through a ring; what is large lies in a block that both sides map, and is read
//! there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, TryGetError};
use lineshaft_ipc::Error;
use lineshaft_ipc::arena::Block;
use lineshaft_ipc::channel::{Channel, Part};
use lineshaft_ipc::ring::{Message, Options};

/// What the pool says to a worker.
pub(super) const ITEMS: u32 = 1;
pub(super) const ENDING: u32 = 2;
/// What workers say, and the pool itself to wake its thread.
pub(super) const POKE: u32 = 0;
pub(super) const RESULTS: u32 = 1;
pub(super) const READY: u32 = 2;

/// Bytes of a message that goes through the ring, which has room for as many as a worker gets at a time.
const COPIED_MAX: usize = 4_096;
const ROOM_BYTES: usize = 512 << 10;
/// Address space for blocks; memory is taken as they are used.
const ARENA_BYTES: usize = 256 << 20;
/// Of this many bytes of blocks the parent keeps views. More are copied, so that room for others is left.
const HELD_MAX: usize = 64 << 20;

/// In the length of a result: it is what went wrong.
pub(super) const FAILED: u32 = 1 << 31;

/// A channel for such messages.
pub(super) fn channel() -> lineshaft_ipc::Result<Channel> {
    Channel::create(Options { room_bytes: ROOM_BYTES, ..Options::default() }, ARENA_BYTES)
}

/// Sends a message of these pieces, as soon as there is room.
///
/// [`Error::TimedOut`] if there was none within `timeout`, and what [`Channel::allocate`] says.
pub(super) fn send(
    channel: &Channel,
    tag: u32,
    pieces: &[&[u8]],
    timeout: Option<Duration>,
) -> lineshaft_ipc::Result<usize> {
    let total = pieces.iter().map(|piece| piece.len()).sum();
    if total <= COPIED_MAX {
        channel.put(Message { tag, bytes: &pieces.concat() }, timeout)?;
        return Ok(total);
    }
    let mut block = channel.allocate(total, timeout)?;
    let mut rest = &mut block[..];
    for piece in pieces {
        let (room, behind) = rest.split_at_mut(piece.len());
        room.copy_from_slice(piece);
        rest = behind;
    }
    channel.put_block(tag, block, timeout)?;
    Ok(total)
}

/// How many bytes of blocks are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    /// The bytes of a message: those of a block where they are, as long as not too many are.
    pub(super) fn bytes_of(&self, part: Part<'_>) -> Bytes {
        match part {
            Part::Small(bytes) => Bytes::copy_from_slice(bytes),
            Part::Large(block) if self.0.load(Ordering::Relaxed) + block.len() > HELD_MAX => {
                Bytes::copy_from_slice(&block)
            }
            Part::Large(block) => {
                self.0.fetch_add(block.len(), Ordering::Relaxed);
                Bytes::from_owner(View { block, held: self.clone() })
            }
        }
    }
}

struct View {
    block: Block,
    held: Held,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.block.len(), Ordering::Relaxed);
    }
}

/// Items of a call, for a worker. The table has the number of a task and the length of its arguments for each of them.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) slot: u16,
    pub(super) number: u16,
    pub(super) count: u32,
    table: Bytes,
    pub(super) payloads: Bytes,
    /// Where those of the next item begin.
    next: usize,
}

impl Share {
    pub(super) const ENTRY_BYTES: usize = 8;

    pub(super) fn head(slot: usize, number: u16, count: u32) -> [u8; 8] {
        let mut head = [0; 8];
        head[..2].copy_from_slice(&(slot as u16).to_le_bytes());
        head[2..4].copy_from_slice(&number.to_le_bytes());
        head[4..].copy_from_slice(&count.to_le_bytes());
        head
    }

    pub(super) fn read(mut bytes: Bytes) -> Result<Self, TryGetError> {
        let (slot, number) = (bytes.try_get_u16_le()?, bytes.try_get_u16_le()?);
        let count = bytes.try_get_u32_le()?;
        let table = split(&mut bytes, count as usize * Self::ENTRY_BYTES)?;
        Ok(Self { slot, number, count, table, payloads: bytes, next: 0 })
    }

    /// The task of the next item, and where its arguments are among the payloads.
    pub(super) fn next_item(&mut self) -> Result<(u32, Range<usize>), TryGetError> {
        let (task, length) = (self.table.try_get_u32_le()?, self.table.try_get_u32_le()? as usize);
        let available = self.payloads.len() - self.next;
        if length > available {
            return Err(TryGetError { requested: length, available });
        }
        let start = self.next;
        self.next += length;
        Ok((task, start..self.next))
    }
}

/// What items of a share gave. The table has the length of each result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) worker: u32,
    pub(super) slot: u16,
    pub(super) is_last: bool,
    pub(super) count: u32,
    pub(super) took: Duration,
    pub(super) table: Bytes,
    pub(super) payloads: Bytes,
}

impl Report {
    pub(super) const ENTRY_BYTES: usize = 4;

    pub(super) fn head(worker: u32, slot: u16, is_last: bool, count: u32, took: Duration) -> [u8; 20] {
        let mut head = [0; 20];
        head[..4].copy_from_slice(&worker.to_le_bytes());
        head[4..6].copy_from_slice(&slot.to_le_bytes());
        head[6] = u8::from(is_last);
        head[8..12].copy_from_slice(&count.to_le_bytes());
        head[12..].copy_from_slice(&(took.as_nanos() as u64).to_le_bytes());
        head
    }

    /// A worker that writes where it should not may write here too: nothing is believed.
    pub(super) fn read(mut bytes: Bytes) -> Result<Self, TryGetError> {
        let (worker, slot) = (bytes.try_get_u32_le()?, bytes.try_get_u16_le()?);
        let is_last = bytes.try_get_u16_le()? != 0;
        let count = bytes.try_get_u32_le()?;
        let took = Duration::from_nanos(bytes.try_get_u64_le()?);
        let table = split(&mut bytes, count as usize * Self::ENTRY_BYTES)?;
        Ok(Self { worker, slot, is_last, count, took, table, payloads: bytes })
    }
}

fn split(bytes: &mut Bytes, length: usize) -> Result<Bytes, TryGetError> {
    if length > bytes.len() {
        return Err(TryGetError { requested: length, available: bytes.len() });
    }
    Ok(bytes.split_to(length))
}

/// Whether a message found no room that it may find later.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error, Error::TimedOut)
}
