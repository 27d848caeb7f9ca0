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

/// A range of bytes in a cold file: where payloads go that outlive the segment they came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColdLocation {
    /// Number of the file.
    pub file: u64,
    /// First byte within the file, below 2^31 - 1.
    pub offset: u32,
    /// Number of bytes, at least 1.
    pub length: u32,
}

/// A payload by reference: nothing, bytes in a commit or a cold file, or a blob of its own (above 1 MiB).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PayloadRef {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes in the body of a commit.
    Inline(Location),
    /// Bytes in a cold file, durable before the commit that names it.
    Cold(ColdLocation),
    /// A blob, durable before the commit that names it.
    Blob {
        /// The blob's id.
        id: u64,
        /// Its size in bytes.
        length: u32,
    },
}

/// A [`PayloadRef`] in 16 bytes: (LSN, number of the cold file or blob id; offset; length).
pub type PackedPayload = (u64, u32, u32);

/// The offset that marks a blob in a [`PackedPayload`].
const BLOB: u32 = u32::MAX;
/// The bit of the offset that marks a cold file; bodies are far smaller than this.
const COLD: u32 = 1 << 31;

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
            Self::Cold(location) => location.length,
            Self::Blob { length, .. } => length,
        }
    }

    /// The reference in 16 bytes; [`PayloadRef::unpack`] gives it back.
    pub const fn pack(self) -> PackedPayload {
        match self {
            Self::Empty => (0, 0, 0),
            Self::Inline(Location { lsn, offset, length }) => (lsn, offset, length),
            Self::Cold(ColdLocation { file, offset, length }) => (file, offset | COLD, length),
            Self::Blob { id, length } => (id, BLOB, length),
        }
    }

    /// The reference packed in `packed`.
    pub const fn unpack(packed: PackedPayload) -> Self {
        match packed {
            (id, BLOB, length) => Self::Blob { id, length },
            (_, _, 0) => Self::Empty,
            (file, offset, length) if offset & COLD != 0 => {
                Self::Cold(ColdLocation { file, offset: offset & !COLD, length })
            }
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
        let cold = |offset| PayloadRef::Cold(ColdLocation { file: 7, offset, length: 3 });
        for reference in [PayloadRef::Empty, inline, cold(0), cold(COLD - 2), blob] {
            assert_eq!(PayloadRef::unpack(reference.pack()), reference);
        }
        assert!(size_of::<PayloadRef>() <= 24);
    }

    #[test]
    fn a_location_without_bytes_is_empty() {
        assert_eq!(PayloadRef::inline(Location { lsn: 7, offset: 9, length: 0 }), PayloadRef::Empty);
    }
}
