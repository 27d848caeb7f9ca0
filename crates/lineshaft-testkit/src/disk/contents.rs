//! A file's bytes: as reads see them, as they are durable, and the changes between.

/// Bytes the disk writes at once.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// What reads see.
    pub(super) current: Vec<u8>,
    durable: Vec<u8>,
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
        put(&mut self.current, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_length(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    /// Makes the pending changes durable: not more than these, since an earlier sync may have failed.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::Length(length) => self.durable.resize(length, 0),
            }
        }
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
                Change::Write { offset, bytes } => put_some(&mut self.durable, offset, &bytes, rng),
                Change::Length(length) if rng.bool() => self.durable.resize(length, 0),
                Change::Length(_) => {}
            }
        }
        self.current.clone_from(&self.durable);
    }

    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        self.current[offset] ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
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
