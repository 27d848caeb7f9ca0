//! A Bloom filter in blocks: a set that takes about ten bits a member, and sometimes takes a stranger for one.

mod bytes;
mod theory;

use std::fmt;

pub use bytes::Unreadable;

/// Bits that a member sets, one in each word of its block.
const WORDS: usize = 8;
const WORD_BITS: u32 = u32::BITS;
const BLOCK_BYTES: usize = WORDS * 4;
/// What a filter may take: room for ten thousand million members at 1 %.
const BYTES_MAX: u64 = 16 << 30;

/// Odd factors, by which one number becomes eight that have little to do with each other. They are those of Parquet.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of hashes that may be asked whether it has one: "no" is certain, "yes" is sometimes wrong.
///
/// A *split block* filter (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", JEA 2009), with
/// the blocks, salts and places of the Bloom filters of Parquet: a member belongs to one block of 256 bits and sets a
/// bit in each of its eight words. So a look-up touches one line of memory. That costs some bits: 10.5 for each member
/// instead of 9.6 at 1 %, 16.9 instead of 14.4 at 0.1 %.
///
/// Hashes are 64 bits, all of which have to depend on the member. Members cannot be taken out.
///
/// ```
/// use lineshaft_structures::BloomFilter;
///
/// let mut filter = BloomFilter::new(1_000, 0.01)?;
/// filter.insert(0x9e37_79b9_7f4a_7c15);
/// assert!(filter.contains(0x9e37_79b9_7f4a_7c15));
/// # Ok::<(), lineshaft_structures::TooLarge>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BloomFilter {
    blocks: Vec<Block>,
}

/// Half a line of the processor's cache, of which it never takes two.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(32))]
struct Block([u32; WORDS]);

/// There is no room for such a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// What it would take.
    pub bytes: u64,
}

/// Two filters of different sizes have no union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifferentSizes {
    /// Bytes of the filter that the other was to be added to.
    pub bytes: u64,
    /// Bytes of the other one.
    pub other_bytes: u64,
}

impl BloomFilter {
    /// An empty filter that takes at most `error_rate` of all strangers for members once it has `capacity` members.
    ///
    /// Rates are between [`Self::ERROR_RATE_MIN`] and 0.5; others are brought there. With more members than `capacity` it
    /// goes on, and is wrong more often.
    pub fn new(capacity: u64, error_rate: f64) -> Result<Self, TooLarge> {
        Self::with_blocks(theory::blocks(capacity, error_rate.clamp(Self::ERROR_RATE_MIN, 0.5)))
    }

    /// An empty filter of so many bits for each of `capacity` members, in whole blocks of 256.
    pub fn with_bits(capacity: u64, bits_each: u32) -> Result<Self, TooLarge> {
        Self::with_blocks(capacity.saturating_mul(u64::from(bits_each)).div_ceil(8 * BLOCK_BYTES as u64))
    }

    /// The lowest rate of errors that a filter is made for: beyond it, more bits bring little.
    pub const ERROR_RATE_MIN: f64 = 1e-6;

    fn with_blocks(count: u64) -> Result<Self, TooLarge> {
        let count = count.max(1);
        let too_large = TooLarge { bytes: count.saturating_mul(BLOCK_BYTES as u64) };
        if too_large.bytes > BYTES_MAX {
            return Err(too_large);
        }
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count as usize).map_err(|_| too_large)?;
        blocks.resize(count as usize, Block::default());
        Ok(Self { blocks })
    }

    /// Adds a member. Whether it is certain that it is new. O(1).
    pub fn insert(&mut self, hash: u64) -> bool {
        let place = self.place(hash);
        let block = &mut self.blocks[place];
        let is_new = !block.has(hash);
        for (word, bit) in block.0.iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
        is_new
    }

    /// Whether it may have a member with this hash. If not, it has none. O(1).
    #[must_use]
    pub fn contains(&self, hash: u64) -> bool {
        self.blocks[self.place(hash)].has(hash)
    }

    /// Adds all members of another filter of the same size. O(size).
    pub fn unite(&mut self, other: &Self) -> Result<(), DifferentSizes> {
        if self.blocks.len() != other.blocks.len() {
            let (bytes, other_bytes) = (self.size_bytes(), other.size_bytes());
            return Err(DifferentSizes { bytes, other_bytes });
        }
        for (block, other) in self.blocks.iter_mut().zip(&other.blocks) {
            for (word, other) in block.0.iter_mut().zip(other.0) {
                *word |= other;
            }
        }
        Ok(())
    }

    /// Takes out all members. O(size).
    pub fn clear(&mut self) {
        self.blocks.fill(Block::default());
    }

    /// About how many members it has, told from the bits that are set. O(size).
    #[must_use]
    pub fn estimated_count(&self) -> u64 {
        let ones: u64 = self.words().map(|word| u64::from(word.count_ones())).sum();
        theory::estimated_count(ones, self.blocks.len() as u64)
    }

    /// The part of all strangers that it takes for members once it has `count` members.
    #[must_use]
    pub fn error_rate_at(&self, count: u64) -> f64 {
        theory::error_rate(count as f64 / self.blocks.len() as f64)
    }

    /// What it takes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        (self.blocks.len() * BLOCK_BYTES) as u64
    }

    fn place(&self, hash: u64) -> usize {
        // The upper half times the count is as good as a remainder, and needs no division.
        ((u128::from(hash >> 32) * self.blocks.len() as u128) >> 32) as usize
    }

    fn words(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().flat_map(|block| block.0)
    }
}

impl fmt::Debug for BloomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BloomFilter").field("size_bytes", &self.size_bytes()).finish_non_exhaustive()
    }
}

impl Block {
    fn has(&self, hash: u64) -> bool {
        let missing = self.0.iter().zip(bits(hash)).fold(0, |missing, (word, bit)| missing | (!word & bit));
        missing == 0
    }
}

/// The bit of each word, from the lower half of the hash.
fn bits(hash: u64) -> [u32; WORDS] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> (32 - WORD_BITS.ilog2())))
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Bloom filter of {} bytes is more than there is room for", self.bytes)
    }
}

impl fmt::Display for DifferentSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, other_bytes } = self;
        write!(
            f,
            "Bloom filters of {bytes} and {other_bytes} bytes have no union: only those of one size have"
        )
    }
}

impl std::error::Error for TooLarge {}
impl std::error::Error for DifferentSizes {}
