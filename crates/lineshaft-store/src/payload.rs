//! Where a payload's bytes lie.

use serde::{Deserialize, Serialize};

/// A range of bytes in the body of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The commit, from 1.
    pub lsn: u64,
    /// First byte within the commit's body.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

/// A payload by reference: nothing, bytes in a commit, or a blob of its own (above 1 MiB).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PayloadRef {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes in the body of a commit.
    Inline(Location),
    /// A blob, durable before the commit that names it.
    Blob {
        /// The blob's id.
        id: u64,
        /// Its size in bytes.
        length: u32,
    },
}

/// A [`PayloadRef`] in 16 bytes: (LSN or blob id, offset, length).
pub type PackedPayload = (u64, u32, u32);

/// The offset that marks a blob in a [`PackedPayload`]; bodies are far smaller than this.
const BLOB: u32 = u32::MAX;

impl PayloadRef {
    /// Payloads above this size are blobs.
    pub const INLINE_BYTES_MAX: usize = 1 << 20;

    /// The payload at `location`, or [`PayloadRef::Empty`] if it has no bytes.
    pub const fn inline(location: Location) -> Self {
        if location.length == 0 { Self::Empty } else { Self::Inline(location) }
    }

    /// Size in bytes.
    pub const fn length(self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Inline(location) => location.length,
            Self::Blob { length, .. } => length,
        }
    }

    /// The reference in 16 bytes; [`PayloadRef::unpack`] gives it back.
    pub const fn pack(self) -> PackedPayload {
        match self {
            Self::Empty => (0, 0, 0),
            Self::Inline(Location { lsn, offset, length }) => (lsn, offset, length),
            Self::Blob { id, length } => (id, BLOB, length),
        }
    }

    /// The reference packed in `packed`.
    pub const fn unpack(packed: PackedPayload) -> Self {
        match packed {
            (id, BLOB, length) => Self::Blob { id, length },
            (_, _, 0) => Self::Empty,
            (lsn, offset, length) => Self::Inline(Location { lsn, offset, length }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_gives_every_reference_back() {
        let inline = PayloadRef::Inline(Location { lsn: 7, offset: 9, length: 3 });
        let blob = PayloadRef::Blob { id: u64::MAX, length: u32::MAX };
        for reference in [PayloadRef::Empty, inline, blob] {
            assert_eq!(PayloadRef::unpack(reference.pack()), reference);
        }
        assert!(size_of::<PayloadRef>() <= 24);
    }

    #[test]
    fn a_location_without_bytes_is_empty() {
        assert_eq!(PayloadRef::inline(Location { lsn: 7, offset: 9, length: 0 }), PayloadRef::Empty);
    }
}
