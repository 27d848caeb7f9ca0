//! Which fields and texts a block is sure not to have, so that a search passes it by.
//!
//! Texts are found by their *trigrams*: every three bytes after one another, capitals of ASCII as small letters. A text
//! can only be where all its trigrams are (Zobel, Moffat and Sacks-Davis, "Searching large lexicons for partially
//! specified terms using compressed inverted files", VLDB 1993). Where many numbers are, all trigrams of digits are: so
//! there is a filter of whole *words* too, for those parts of a text that are words whatever stands around it.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use lineshaft_structures::BloomFilter;
use lineshaft_wire::LogRecord;
use rustc_hash::FxHasher;
use xxhash_rust::xxh3::xxh3_64;

/// Bits for each field: of the blocks that do not have it, about one in a thousand is read for nothing.
const FIELD_BITS: u32 = 17;
/// Bits for each trigram. Fewer, since all trigrams of a text have to be wrong.
const TRIGRAM_BITS: u32 = 8;
/// More trigrams than these make their filter wrong more often, rather than larger.
const TRIGRAMS_MAX: u64 = 128 << 10;
/// Bits for each word: of the blocks that do not have it, about one in thirty is read for nothing.
const WORD_BITS: u32 = 8;
/// More words than these make their filter wrong more often, rather than larger.
const WORDS_MAX: u64 = 32 << 10;
/// Shorter words are known by their trigram, or are everywhere.
const WORD_BYTES_MIN: usize = 4;
/// There are so many trigrams.
const TRIGRAMS: usize = 1 << 24;

/// What the fields of a block's records are told by.
pub(crate) fn of_fields(records: &[&LogRecord]) -> BloomFilter {
    let fields = records.iter().flat_map(|record| &record.fields);
    let mut hashes: Vec<u64> = fields.map(|(name, json)| field_of(name, json)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    with_members(&hashes, FIELD_BITS, TRIGRAMS_MAX)
}

/// What the messages and exceptions of a block's records are told by.
pub(crate) fn of_texts(records: &[&LogRecord]) -> BloomFilter {
    let mut seen = vec![0_u64; TRIGRAMS / 64];
    let mut found = Vec::new();
    for trigram in texts(records).flat_map(trigrams) {
        let (word, bit) = (&mut seen[trigram as usize / 64], 1 << (trigram % 64));
        if *word & bit == 0 {
            *word |= bit;
            found.push(spread(trigram));
        }
    }
    with_members(&found, TRIGRAM_BITS, TRIGRAMS_MAX)
}

/// What the words of a block's messages and exceptions are told by.
pub(crate) fn of_words(records: &[&LogRecord]) -> BloomFilter {
    let mut found: HashSet<u64, BuildHasherDefault<FxHasher>> = HashSet::default();
    let mut small = Vec::new();
    for text in texts(records) {
        small.clear();
        small.extend_from_slice(text.as_bytes());
        small.make_ascii_lowercase();
        found.extend(small.split(|byte| !is_of_word(*byte)).filter(is_long).map(xxh3_64));
    }
    let hashes: Vec<u64> = found.into_iter().collect();
    with_members(&hashes, WORD_BITS, WORDS_MAX)
}

fn texts<'a>(records: &[&'a LogRecord]) -> impl Iterator<Item = &'a str> {
    records.iter().flat_map(|record| [Some(&*record.message), record.exception.as_deref()]).flatten()
}

fn with_members(hashes: &[u64], bits: u32, hashes_max: u64) -> BloomFilter {
    let capacity = (hashes.len() as u64).min(hashes_max);
    let mut filter = BloomFilter::with_bits(capacity, bits).expect("there is room for what a block may hold");
    for hash in hashes {
        filter.insert(*hash);
    }
    filter
}

/// The hash of a field: a text counts as it is, whatever way JSON writes it.
fn field_of(name: &str, json: &str) -> u64 {
    match text_of(json) {
        Some(text) => hash(name, &text),
        None => hash(name, json),
    }
}

/// The hashes one of which is there if a record has the field: `value` may be the text, or its JSON.
pub(crate) fn wanted_field(name: &str, value: &str) -> Vec<u64> {
    let mut hashes = vec![hash(name, value)];
    hashes.extend(text_of(value).map(|text| hash(name, &text)));
    hashes
}

/// The hashes that are all there if a record has the text; none for shorter ones than a trigram.
pub(crate) fn wanted_text(text: &str) -> Vec<u64> {
    trigrams(text).map(spread).collect()
}

/// The hashes that are all there if a record has the text: those of the words that have their ends in it. The first one
/// may be the end of a longer word, and the last one the beginning of one.
pub(crate) fn wanted_words(text: &str) -> Vec<u64> {
    let small = text.to_ascii_lowercase();
    let words: Vec<&[u8]> = small.as_bytes().split(|byte| !is_of_word(*byte)).collect();
    let whole = words.get(1..words.len().saturating_sub(1)).unwrap_or_default();
    whole.iter().filter(|word| is_long(word)).map(|word| xxh3_64(word)).collect()
}

/// Bytes of what is not ASCII belong to words.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn is_long(word: &&[u8]) -> bool {
    word.len() >= WORD_BYTES_MIN
}

/// The text that this JSON is.
fn text_of(json: &str) -> Option<String> {
    json.trim_start().starts_with('"').then(|| serde_json::from_str(json).ok()).flatten()
}

fn hash(name: &str, value: &str) -> u64 {
    let mut bytes = Vec::with_capacity(8 + name.len() + value.len());
    bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value.as_bytes());
    xxh3_64(&bytes)
}

fn trigrams(text: &str) -> impl Iterator<Item = u32> {
    text.as_bytes().windows(3).map(|window| {
        let [a, b, c] = [window[0], window[1], window[2]].map(|byte| u32::from(byte.to_ascii_lowercase()));
        a << 16 | b << 8 | c
    })
}

/// All bits of 64 from the 24 of a trigram: the last step of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn spread(trigram: u32) -> u64 {
    let mixed = u64::from(trigram).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_text_and_by_any_of_its_spellings() {
        let check = |stored: &str, wanted: &str, expected: bool| {
            let is_found = wanted_field("to", wanted).contains(&field_of("to", stored));
            assert_eq!(is_found, expected, "{stored} by {wanted}");
        };
        check("\"ada\"", "ada", true);
        check("\"ada\"", "\"ada\"", true);
        check("\"\\u0061da\"", "ada", true);
        check("3", "3", true);
        check("{\"a\":1}", "{\"a\":1}", true);
        check("\"ada\"", "bob", false);
        assert!(!wanted_field("t", "oada").contains(&field_of("to", "\"ada\"")));
    }

    #[test]
    fn words_are_wanted_where_both_of_their_ends_are_in_the_text() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<u64> = expected.iter().map(|word| xxh3_64(word.as_bytes())).collect();
            assert_eq!(wanted_words(text), expected, "{text}");
        };
        check("customer 12345 in 345", &["12345"]);
        check("12345", &[]);
        check(" 12345", &[]);
        check(" 12345,", &["12345"]);
        check("a Größe_X=7000;b", &["größe_x", "7000"]);
        check("", &[]);
    }

    #[test]
    fn texts_shorter_than_a_trigram_are_not_filtered() {
        assert_eq!((wanted_text("ab").len(), wanted_text("abcd").len()), (0, 2));
        assert_eq!(wanted_text("ABC"), wanted_text("abc"));
    }
}
