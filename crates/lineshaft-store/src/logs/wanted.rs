//! What is looked for, made ready once for all blocks.

use lineshaft_structures::BloomFilter;
use lineshaft_wire::LogFilter;
use memchr::memchr;
use memchr::memmem::Finder;

use super::filters::{wanted_field, wanted_text, wanted_words};
use super::header::BlockHeader;

/// A filter, and what can be told from it before a record is whole.
pub(crate) struct Wanted<'a> {
    pub(crate) filter: &'a LogFilter,
    /// For each field the hashes one of which has to be there.
    fields: Vec<Vec<u64>>,
    /// Hashes that all have to be there.
    trigrams: Vec<u64>,
    words: Vec<u64>,
    values: Vec<Finder<'a>>,
    texts: Vec<Finder<'static>>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(filter: &'a LogFilter) -> Self {
        let small = |text: &str| Finder::new(text.to_ascii_lowercase().as_bytes()).into_owned();
        Self {
            filter,
            fields: filter.fields.iter().map(|(name, value)| wanted_field(name, value)).collect(),
            trigrams: filter.texts.iter().flat_map(|text| wanted_text(text)).collect(),
            words: filter.texts.iter().flat_map(|text| wanted_words(text)).collect(),
            values: filter.fields.iter().map(|(_, value)| Finder::new(value.as_bytes())).collect(),
            texts: filter.texts.iter().map(|text| small(text)).collect(),
        }
    }

    /// Whether the block may have something, as far as its header tells.
    pub(crate) fn may_be_in(&self, header: &BlockHeader) -> bool {
        let filter = self.filter;
        filter.level.is_none_or(|least| header.levels.1 >= least)
            && filter.since_us.is_none_or(|since| header.times.1 >= since)
            && filter.until_us.is_none_or(|until| header.times.0 < until)
            && filter.job.is_none_or(|job| (header.jobs.0..=header.jobs.1).contains(&job))
            && (!filter.attached || header.has_attachments())
    }

    pub(crate) fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    pub(crate) fn has_trigrams(&self) -> bool {
        !self.trigrams.is_empty()
    }

    pub(crate) fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    pub(crate) fn fields_may_be_in(&self, filter: &BloomFilter) -> bool {
        self.fields.iter().all(|hashes| hashes.iter().any(|hash| filter.contains(*hash)))
    }

    pub(crate) fn texts_may_be_in(&self, filter: &BloomFilter) -> bool {
        self.trigrams.iter().all(|hash| filter.contains(*hash))
    }

    pub(crate) fn words_may_be_in(&self, filter: &BloomFilter) -> bool {
        self.words.iter().all(|hash| filter.contains(*hash))
    }

    pub(crate) fn has_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// Whether rows whose texts are these bytes, in small letters, may have what is looked for.
    pub(crate) fn texts_may_be_among(&self, lowered: &[u8]) -> bool {
        self.texts.iter().all(|text| text.find(lowered).is_some())
    }

    /// Whether rows whose fields are these bytes may have those that are looked for.
    pub(crate) fn fields_may_be_among(&self, bytes: &[u8]) -> bool {
        // A value stands there as it is, unless JSON writes it by escapes.
        self.values.iter().all(|value| value.find(bytes).is_some()) || memchr(b'\\', bytes).is_some()
    }
}
