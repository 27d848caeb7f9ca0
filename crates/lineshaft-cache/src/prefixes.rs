//! Entries by the beginning of a text: all of one user, one region, one version at once.

use lineshaft_structures::Trie;

/// No text has this byte in UTF-8, so that it ends one.
const END: u8 = 0xff;

/// Slots of entries by text. Who holds entries tells it of each that comes and goes.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    slots: Trie<u32>,
    /// A buffer.
    key: Vec<u8>,
}

impl Prefixes {
    /// The entry `id` with this text is in `slot`. Ids tell entries of one text apart.
    pub fn add(&mut self, text: &str, id: u64, slot: u32) {
        self.write_key(text, id);
        self.slots.insert(&self.key, slot);
    }

    /// It is gone.
    pub fn remove(&mut self, text: &str, id: u64) {
        self.write_key(text, id);
        self.slots.remove(&self.key);
    }

    /// All are gone.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// The slots of all whose text begins with `prefix`, in the order of the texts. Costs as much as there are of them.
    pub fn slots(&self, prefix: &str) -> Vec<u32> {
        self.slots.with_prefix(prefix.as_bytes()).map(|(_, slot)| *slot).collect()
    }

    fn write_key(&mut self, text: &str, id: u64) {
        self.key.clear();
        self.key.extend_from_slice(text.as_bytes());
        self.key.push(END);
        // Most are told apart by their text alone.
        if id != 0 {
            self.key.extend_from_slice(&id.to_be_bytes());
        }
    }
}
