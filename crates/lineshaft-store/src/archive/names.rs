//! The names of a block: each text once, rows hold its number.

use std::collections::HashMap;
use std::sync::Arc;

use super::codec::{Decoded, Decoder, Encoder, Malformed};

/// Numbers texts in the order in which they first come.
#[derive(Debug, Default)]
pub(crate) struct NameWriter<'a> {
    numbers: HashMap<&'a str, u32>,
    names: Vec<&'a str>,
    /// Jobs in a row mostly share their queue, task and worker, so the last name of each kind is tried first.
    last: [Option<(&'a str, u32)>; 4],
}

/// What a name names; keeps kinds apart only for speed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Queue,
    Task,
    Worker,
    Other,
}

impl<'a> NameWriter<'a> {
    pub(crate) fn number(&mut self, kind: Kind, name: &'a str) -> u32 {
        let last = &mut self.last[kind as usize];
        if let Some((text, number)) = *last
            && std::ptr::eq(text, name)
        {
            return number;
        }
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        *last = Some((name, number));
        number
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.names.len() as u64);
        self.names.iter().for_each(|name| encoder.bytes(name.as_bytes()));
    }
}

/// The names of a block that is read; records share them.
#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<Arc<str>>,
}

impl Names {
    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Decoded<Self> {
        let count = decoder.count()?;
        let names = (0..count).map(|_| decoder.text().map(Arc::from)).collect::<Decoded<_>>()?;
        Ok(Self { names })
    }

    /// Reads a number and gives its name.
    pub(crate) fn get(&self, decoder: &mut Decoder<'_>) -> Decoded<Arc<str>> {
        self.names.get(decoder.length()?).cloned().ok_or(Malformed)
    }
}
