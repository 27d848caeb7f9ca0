//! Job ids and fences.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a job: a valid `UUIDv7`.
///
/// One of the 74 free bits says *direct*: the other 73 are then the shard, the slot and the slot's generation, so
/// that the engine finds the job without a map. Look-ups compare all 128 bits. Ids are not secrets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

const VERSION_7: u128 = 0x7 << 76;
const VARIANT: u128 = 0b10 << 62;
const DIRECT: u128 = 1 << 75;

/// Shards an app may have; the width of the id's shard field.
pub const SHARDS_MAX: u16 = 1 << 11;
/// Generations a slot passes through before they repeat; the width of the id's generation field.
pub const GENERATIONS: u32 = 1 << 30;

impl JobId {
    /// The id of the job in `slot` of `shard`, created at `created_ms` (Unix milliseconds, 48 bits kept).
    ///
    /// Panics if `shard` or `generation` is out of its field.
    pub fn direct(created_ms: u64, shard: u16, slot: u32, generation: u32) -> Self {
        assert!(
            shard < SHARDS_MAX && generation < GENERATIONS,
            "shard {shard} or generation {generation} too large"
        );
        let time = u128::from(created_ms & 0xffff_ffff_ffff) << 80;
        let low = (u128::from(slot) << 30) | u128::from(generation);
        Self(time | VERSION_7 | DIRECT | (u128::from(shard) << 64) | VARIANT | low)
    }

    /// The 16 bytes of the UUID, most significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Four hexadecimal digits by which people tell jobs apart: those of the slot, which differ between jobs that are
    /// unfinished at the same time, as the last digits of an id do not.
    pub fn digits(self) -> u16 {
        let [.., a, b, c, d, _, _, _] = self.to_bytes();
        (u32::from_be_bytes([a, b, c, d]) >> 4) as u16
    }

    /// The id with these bytes, or `None` if they are not a `UUIDv7`.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let bits = u128::from_be_bytes(bytes);
        let valid = (bits >> 76) & 0xf == 7 && (bits >> 62) & 0b11 == 0b10;
        valid.then_some(Self(bits))
    }

    /// When the job was created, in Unix milliseconds.
    pub const fn created_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The slot and generation of a direct id; `None` for a named one.
    pub const fn slot(self) -> Option<(u32, u32)> {
        if self.0 & DIRECT == 0 {
            return None;
        }
        let low = (self.0 & ((1 << 62) - 1)) as u64;
        Some(((low >> 30) as u32, (low as u32) & (GENERATIONS - 1)))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// A text that is not a job id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a job id: expected a UUID of version 7 such as 0199b1c2-7a5e-7800-8000-000000000001"
)]
pub struct ParseIdError {
    text: String,
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text)
            .ok()
            .and_then(|uuid| Self::from_bytes(uuid.into_bytes()))
            .ok_or_else(|| ParseIdError { text: text.chars().take(80).collect() })
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        let bytes = serde_bytes::ByteArray::<16>::deserialize(deserializer)?;
        Self::from_bytes(bytes.into_array()).ok_or_else(|| D::Error::custom("job id is not a UUIDv7"))
    }
}

/// The token of one attempt: grows strictly within a home, so that whoever holds an older one is refused.
///
/// `epoch` changes at every start of the engine; `counter` counts the leases within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The start of the engine that gave the lease.
    pub epoch: u64,
    /// The number of the lease within the epoch, from 1.
    pub counter: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_id_is_a_uuid_of_version_7_and_gives_its_parts_back() {
        let id = JobId::direct(1_790_000_000_123, 2047, u32::MAX, GENERATIONS - 1);
        let uuid = uuid::Uuid::from_bytes(id.to_bytes());
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!((id.created_ms(), id.slot()), (1_790_000_000_123, Some((u32::MAX, GENERATIONS - 1))));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_uuids_are_refused_with_the_text() {
        let error = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse::<JobId>().unwrap_err();
        assert!(error.to_string().starts_with("\"67e55044"), "{error}");
        assert_eq!(JobId::from_bytes([0; 16]), None);
    }
}
