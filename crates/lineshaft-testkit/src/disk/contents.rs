//! A file's bytes: as reads see them, as they are durable, and the changes between.

use std::sync::Arc;

/// Bytes the disk writes at once.
const SECTOR: usize = 512;

/// Copies share what neither has changed, since a disk is copied far more often than it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// What reads see.
    pub(super) current: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// Changes since the last sync.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Contents {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(Arc::make_mut(&mut self.current), offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_length(&mut self, length: usize) {
        Arc::make_mut(&mut self.current).resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    /// Makes the pending changes durable: not more than these, since an earlier sync may have failed.
    pub(super) fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } => put(durable, offset, &bytes),
                Change::Length(length) => durable.resize(length, 0),
            }
        }
    }

    /// Whether a power loss would decide something about it.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What a failed sync does: nothing is pending any more, and nothing became durable.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Loses power: what is durable stays, and of the pending changes what the generator says.
    pub(super) fn settle(&mut self, mut rng: Option<&mut fastrand::Rng>) {
        for change in std::mem::take(&mut self.pending) {
            let Some(rng) = rng.as_deref_mut() else { continue };
            match change {
                Change::Write { offset, bytes } => {
                    put_some(Arc::make_mut(&mut self.durable), offset, &bytes, rng);
                }
                Change::Length(length) if rng.bool() => Arc::make_mut(&mut self.durable).resize(length, 0),
                Change::Length(_) => {}
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Up to `count` sectors of what is durable, from one on that the number decides; `None` if nothing is in them.
    pub(super) fn sectors(&self, number: u32, count: usize) -> Option<Vec<u8>> {
        let start = number as usize % self.durable.len().div_ceil(SECTOR).max(1) * SECTOR;
        let bytes = self.durable.get(start..)?;
        let bytes = &bytes[..bytes.len().min(count * SECTOR)];
        bytes.iter().any(|byte| *byte != 0).then(|| bytes.to_vec())
    }

    /// Puts bytes over what is durable, where the number decides. Gives the offset if that changes something.
    pub(super) fn overwrite(&mut self, number: u32, bytes: &[u8]) -> Option<usize> {
        let start = number as usize % self.durable.len().div_ceil(SECTOR).max(1) * SECTOR;
        let there = self.durable.get(start..)?;
        let bytes = &bytes[..bytes.len().min(there.len())];
        let there = &there[..bytes.len()];
        if there == bytes {
            return None;
        }
        put(Arc::make_mut(&mut self.durable), start, bytes);
        put(Arc::make_mut(&mut self.current), start, bytes);
        Some(start)
    }

    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        Arc::make_mut(&mut self.current)[offset] ^= mask;
        if let Some(byte) = Arc::make_mut(&mut self.durable).get_mut(offset) {
            *byte ^= mask;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// Writes all, none or a choice of the sectors, now and then a part of one.
fn put_some(content: &mut Vec<u8>, offset: usize, bytes: &[u8], rng: &mut fastrand::Rng) {
    let kept_of_ten = [0, 5, 9, 10][rng.usize(..4)];
    let mut start = offset;
    while start < offset + bytes.len() {
        let end = (start + 1).next_multiple_of(SECTOR).min(offset + bytes.len());
        let is_torn = rng.u8(..20) == 0;
        let kept = if is_torn { start + rng.usize(..end - start) } else { end };
        if rng.u8(..10) < kept_of_ten {
            put(content, start, &bytes[start - offset..kept - offset]);
        }
        start = end;
    }
}
