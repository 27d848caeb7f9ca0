//! A table of values by key in shared memory, which lets go of what is used least: a cache of all processes of a host.
//!
//! A [`Table`] has shards, each with entries in cells of 64 bytes and a lock for its changes. Look-ups take no lock: they
//! see whether something was changed meanwhile (`version.rs`), and try again. A process may be killed at any instruction:
//! a shard that it was changing is emptied by the next one, since everything in it can be computed again.
//!
//! *Invalidation* is a number that grows. An entry knows the one at which its computing began; its tags, its key and its
//! shard know when they were invalidated last. One store invalidates a tag, however many entries have it, and once the
//! call returns nobody on the host is served what it made untrue. Tags are told apart by 16 bits: sometimes an entry goes
//! with a tag that is not its own.
//!
//! An entry may have *sources*, keys that it was computed from: it is untrue when one of them is invalidated or gets another
//! value (`sources.rs`).
//!
//! Times are milliseconds of a clock that all processes share and that nobody sets, such as the system's monotonic one.

mod content;
mod file;
mod flights;
mod layout;
mod order;
mod shard;
mod sources;
mod version;
mod words;

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use siphasher::sip::SipHasher13;

pub use self::file::TableFile;
use self::flights::{Claim, Place};
use self::layout::{Layout, Parts, SHARD_SHIFT};
pub use self::layout::{ROOM_BYTES_MAX, ROOM_BYTES_MIN};
use self::shard::{Seen, Shard};
use self::words::{Header, MAGIC, STRIPES, TAGS, Word};
use crate::Result;
use crate::segment::{Segment, bad_segment};
use crate::sync::Owner;

/// So often it is looked again without a lock, when something was changed meanwhile.
const LOOKS: usize = 8;
/// So long a look-up waits for a lock: then it has found nothing.
const LOOK_PATIENCE: Duration = Duration::from_millis(5);
/// So long a change waits for one: longer than anybody who runs keeps it on a busy machine.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug)]
pub struct Table {
    parts: Parts,
}

/// A key, hashed for one table.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    hash: u64,
    bytes: &'a [u8],
}

/// A moment between invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

/// A tag, hashed for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(u16);

/// A key that others were computed from, hashed for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its shard and its bucket.
    place: u32,
    /// Tells it from others of the bucket.
    print: u32,
}

/// What comes with a value. Times are milliseconds, `None` for ever.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How long it lives from now.
    pub ttl_ms: Option<u32>,
    /// How long from its last use.
    pub idle_ms: Option<u32>,
    /// How long it may be served after that.
    pub stale_ms: u32,
    /// Under which it can be invalidated together with others. The first [`TAGS_MAX`] count.
    pub tags: &'a [Tag],
    /// What it was computed from: all of it, what its sources were computed from included. The first [`SOURCES_MAX`] count.
    pub sources: &'a [Source],
    /// When its computing began: what was invalidated since makes it untrue.
    pub since: Stamp,
}

/// Tags of an entry at most.
pub const TAGS_MAX: usize = 1_024;
/// Sources of an entry at most.
pub const SOURCES_MAX: usize = 256;

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there.
    Stored,
    /// Something of it was invalidated since its computing began.
    Untrue,
    /// It has more than [`Table::value_bytes_max`].
    TooLarge,
    /// The system has no memory for it.
    NoMemory,
    /// Somebody keeps the lock, stopped in the middle of a change.
    Busy,
}

/// A value that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its time is over: somebody should compute it anew.
    pub is_stale: bool,
}

/// The right to compute the value of a key. While it is there, others wait for it, until its process is dead.
#[derive(Debug)]
pub struct Computing {
    parts: Parts,
    shard: usize,
    place: Place,
    owner: Owner,
    /// For [`Terms::since`].
    pub since: Stamp,
}

/// What happened, since the table was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Look-ups that were answered.
    pub hits: u64,
    /// Look-ups that were not.
    pub misses: u64,
    /// Values that came.
    pub inserts: u64,
    /// Entries that went to make room.
    pub evictions: u64,
    /// Entries that went as their time was over.
    pub expirations: u64,
    /// Entries that went as they were invalidated.
    pub invalidations: u64,
    /// Entries that are there, with those whose end nobody has noticed yet.
    pub entries: u64,
    /// Bytes of the cells that they have.
    pub bytes: u64,
    /// Bytes of all cells.
    pub bytes_max: u64,
}

impl Table {
    /// An empty one in memory of its own, with room for so many bytes: about that much of keys and values, in entries of 64
    /// bytes and their multiples.
    pub fn create(room_bytes: usize) -> Result<Self> {
        let layout = Layout::of(room_bytes);
        let segment = Segment::create(layout.bytes, layout.reserved())?;
        Self::begin_in(segment, room_bytes)
    }

    /// Begins an empty table in a segment of [`Layout::bytes`] that is all zero.
    fn begin_in(segment: Segment, room_bytes: usize) -> Result<Self> {
        let header = segment.at::<Header>(0);
        header.room_bytes.store(room_bytes as u64, Relaxed);
        for seed in &header.seeds {
            seed.store(random()?, Relaxed);
        }
        header.magic.store(MAGIC, Release);
        Self::open(segment)
    }

    /// The table in a segment; [`Error::BadSegment`](crate::Error::BadSegment) if there is something else.
    pub fn open(segment: Segment) -> Result<Self> {
        if segment.size_bytes() < size_of::<Header>() {
            return Err(bad_segment("it is too small for a table"));
        }
        let header = segment.at::<Header>(0);
        let magic = header.magic.load(Acquire);
        if magic != MAGIC {
            return Err(bad_segment(format!("it begins with {magic:#018x}, a table with {MAGIC:#018x}")));
        }
        let layout = Layout::of(header.room_bytes.get() as usize);
        layout.check(&segment)?;
        Ok(Self { parts: Parts { segment: Arc::new(segment), layout } })
    }

    /// `bytes` as a key of this table.
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { hash: self.hash(bytes), bytes }
    }

    /// `bytes` as a tag of this table.
    pub fn tag(&self, bytes: &[u8]) -> Tag {
        Tag(self.hash(bytes) as u16)
    }

    /// `key` as what others are computed from.
    pub fn source(&self, key: Key<'_>) -> Source {
        let bucket = self.parts.layout.bucket_of(key.hash);
        let place = (self.shard_of(key) as u32) << SHARD_SHIFT | bucket as u32;
        Source { place, print: sources::print(key) }
    }

    /// `SipHash` 1-3 (Aumasson and Bernstein, 2012) with a secret of the table.
    fn hash(&self, bytes: &[u8]) -> u64 {
        let [first, second] = &self.parts.header().seeds;
        let mut hasher = SipHasher13::new_with_keys(first.get(), second.get());
        hasher.write(bytes);
        hasher.finish()
    }

    /// Bytes that a value may have with its key and tags.
    pub fn value_bytes_max(&self) -> usize {
        self.parts.layout.cells / 2 * words::CELL_WORDS * 8
    }

    /// Appends the value of `key` to `into`, if it may be served.
    pub fn get(&self, key: Key<'_>, now_ms: u64, into: &mut Vec<u8>) -> Result<Option<Found>> {
        let (shard, me) = (self.shard(key), Owner::current()?);
        let seen = Self::look(&shard, me, key, now_ms, into);
        let stripe = &self.parts.header().stripes[me.process().pid as usize % STRIPES];
        let counted = if seen.is_some() { &stripe.hits } else { &stripe.misses };
        counted.fetch_add(1, Relaxed);
        let Some(seen) = seen else { return Ok(None) };
        shard.count_use(seen.slot);
        if seen.is_idle {
            shard.locked(me, LOOK_PATIENCE, |shard| shard.renew(key, now_ms));
        }
        Ok(Some(Found { is_stale: seen.is_stale }))
    }

    /// As [`Self::get`], without counting it and without making the entry live on.
    pub fn peek(&self, key: Key<'_>, now_ms: u64, into: &mut Vec<u8>) -> Result<Option<Found>> {
        let seen = Self::look(&self.shard(key), Owner::current()?, key, now_ms, into);
        Ok(seen.map(|seen| Found { is_stale: seen.is_stale }))
    }

    fn look(shard: &Shard<'_>, me: Owner, key: Key<'_>, now_ms: u64, into: &mut Vec<u8>) -> Option<Seen> {
        let start = into.len();
        for _ in 0..LOOKS {
            let seen = shard.words.version.read(|| shard.look(key, now_ms, Some(&mut *into)));
            if !matches!(seen, Some(Some(_))) {
                // What was copied may be of anybody.
                into.truncate(start);
            }
            if let Some(seen) = seen {
                return seen;
            }
            std::hint::spin_loop();
        }
        let seen =
            shard.locked(me, LOOK_PATIENCE, |shard| shard.look(key, now_ms, Some(&mut *into))).flatten();
        if seen.is_none() {
            into.truncate(start);
        }
        seen
    }

    /// The right to compute the value of `key`, or `None` while another process does: then [`wait`](Self::wait), and look
    /// again.
    pub fn begin(&self, key: Key<'_>) -> Result<Option<Computing>> {
        let owner = Owner::current()?;
        let since = self.stamp();
        let claim = self
            .shard(key)
            .locked(owner, CHANGE_PATIENCE, |shard| flights::claim(shard.words, key.hash, owner));
        let place = match claim {
            Some(Claim::Others) => return Ok(None),
            Some(Claim::Mine(place)) => place,
            None => Place::none(),
        };
        Ok(Some(Computing { parts: self.parts.clone(), shard: self.shard_of(key), place, owner, since }))
    }

    /// Waits until no other process computes the value of `key` any more, at most so long.
    pub fn wait(&self, key: Key<'_>, timeout: Duration) {
        flights::wait(self.shard(key).words, key.hash, timeout);
    }

    /// The present moment.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.parts.header().generation.load(Acquire))
    }

    /// Whether nothing of a source with these tags was invalidated since a moment.
    pub fn stands(&self, source: Source, tags: &[Tag], since: Stamp) -> bool {
        let words = self.parts.tags();
        sources::stands(&self.parts, source.place, since.0).is_some()
            && tags.iter().all(|tag| words[usize::from(tag.0)].load(Acquire) <= since.0)
    }

    /// Stores the value of `key`.
    pub fn put(&self, key: Key<'_>, value: &[u8], terms: &Terms<'_>, now_ms: u64) -> Result<Stored> {
        let tags = &terms.tags[..terms.tags.len().min(TAGS_MAX)];
        let sources = &terms.sources[..terms.sources.len().min(SOURCES_MAX)];
        let terms = Terms { tags, sources, ..*terms };
        let stored = self
            .shard(key)
            .locked(Owner::current()?, CHANGE_PATIENCE, |shard| shard.put(key, value, &terms, now_ms));
        Ok(stored.unwrap_or(Stored::Busy))
    }

    /// Makes what is stored under `key` untrue, and what is being computed for it. Whether there was anything.
    pub fn invalidate(&self, key: Key<'_>, now_ms: u64) -> Result<bool> {
        let generation = self.advance();
        let shard = self.shard(key);
        let was_there = shard
            .locked(Owner::current()?, CHANGE_PATIENCE, |shard| shard.invalidate(key, generation, now_ms));
        Ok(was_there.unwrap_or_else(|| {
            // Whoever has the lock is stopped: everything in the shard is made untrue, which needs none.
            shard.words.true_since.fetch_max(generation, AcqRel);
            true
        }))
    }

    /// Makes all entries with `tag` untrue, and those that are being computed with it. One store.
    pub fn invalidate_tag(&self, tag: Tag) {
        let generation = self.advance();
        self.parts.tags()[usize::from(tag.0)].fetch_max(generation, AcqRel);
    }

    /// Makes every entry untrue.
    pub fn invalidate_all(&self) {
        let generation = self.advance();
        for shard in 0..self.parts.layout.shards {
            self.parts.words(shard).true_since.fetch_max(generation, AcqRel);
        }
    }

    fn advance(&self) -> u64 {
        self.parts.advance()
    }

    /// What has happened.
    pub fn statistics(&self) -> Statistics {
        let mut all = Statistics::default();
        for stripe in &self.parts.header().stripes {
            all.hits += stripe.hits.get();
            all.misses += stripe.misses.get();
        }
        for shard in 0..self.parts.layout.shards {
            let words = self.parts.words(shard);
            all.inserts += words.inserts.get();
            all.evictions += words.evictions.get();
            all.expirations += words.expirations.get();
            all.invalidations += words.invalidations.get();
            all.entries += u64::from(words.entries.get());
            let cells = words.small.cells.get() + words.main.cells.get();
            all.bytes += u64::from(cells) * words::CELL_BYTES as u64;
            all.bytes_max += (self.parts.layout.cells * words::CELL_BYTES) as u64;
        }
        all
    }

    /// The segment that it is in.
    pub fn segment(&self) -> &Segment {
        &self.parts.segment
    }

    fn shard_of(&self, key: Key<'_>) -> usize {
        (key.hash >> 58) as usize & (self.parts.layout.shards - 1)
    }

    fn shard(&self, key: Key<'_>) -> Shard<'_> {
        Shard::new(&self.parts, self.shard_of(key))
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        // A forked child drops what its parent has; that one computes on.
        if Owner::current().is_ok_and(|me| me != self.owner) {
            return;
        }
        flights::land(self.parts.words(self.shard), &self.place, self.owner);
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(crate::Error::os("get random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}

const _: () = assert!(TAGS == 1 << 16);
