//! Classes of arguments: one choice for each.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};
use lineshaft_insight::Choice;
use lineshaft_insight::choice::shared::OTHERS;
use lineshaft_wire::value::{Value, decode, encode, typed};
use serde::Serialize;

/// It is not known yet of how many runs others know.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// A class of arguments and the choice for it.
pub(super) struct Class {
    /// What the key gave, as a value: the same bytes for the same class.
    encoded: Box<[u8]>,
    choice: Mutex<Choice>,
    /// When it is looked next whether others know more, in milliseconds of the clock that never goes back.
    pub(super) look_ms: AtomicU64,
    /// Whether it waits to be told to others.
    pub(super) is_waiting: AtomicBool,
    /// Of how many runs others know, [`UNKNOWN`] before the first look.
    pub(super) told_runs: AtomicU64,
    /// The implementation that gave another result, if one did and is known by its name: the first that did.
    pub(super) wrong: OnceLock<Box<str>>,
    /// Whether that waits to be told to others.
    pub(super) is_pin_waiting: AtomicBool,
}

impl Class {
    pub(super) fn new(encoded: &[u8], count: usize) -> Self {
        Self {
            encoded: encoded.into(),
            choice: Mutex::new(Choice::new(count)),
            look_ms: AtomicU64::new(0),
            is_waiting: AtomicBool::new(false),
            told_runs: AtomicU64::new(UNKNOWN),
            wrong: OnceLock::new(),
            is_pin_waiting: AtomicBool::new(false),
        }
    }

    pub(super) fn choice(&self) -> MutexGuard<'_, Choice> {
        // Arithmetic alone is done under the lock.
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it reads, as Python has it.
    pub(super) fn shown(&self) -> String {
        match self.value() {
            // A text stands for itself, as `str` has it.
            Value::Str(text) => text.into(),
            value => value.to_string(),
        }
    }

    /// Its name in the cache, the same one that Python makes.
    pub(super) fn digest(&self) -> String {
        digest(self.value())
    }

    fn value(&self) -> Value {
        decode(&self.encoded).unwrap_or(Value::None)
    }
}

/// Gives `with` what stands for a class: its bytes as a value. What is none is one class with all that is none.
pub(super) fn with_encoded<R>(class: &impl Serialize, with: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let room = ROOM.take();
    let encoded = typed::to_plain_payload_in(room, class).unwrap_or_else(|_| others());
    let result = with(&encoded);
    ROOM.set(encoded);
    result
}

/// The class of all that is no class of its own.
pub(super) fn others() -> Vec<u8> {
    typed::to_plain_payload(OTHERS).expect("a text is a value")
}

/// Sixteen letters for a value. `_digest` of `python/lineshaft/_alternatives/_sharing.py` gives the same for numbers,
/// texts, None and what tuples, lists, sets and dicts have of them.
pub(super) fn digest(value: Value) -> String {
    let encoded = encode(&canonical(value)).unwrap_or_default();
    let hash: [u8; 8] = Blake2b::<U8>::digest(&encoded).into();
    format!("{:016x}", u64::from_be_bytes(hash))
}

/// Containers under the name that Python has for them, those without order in one.
fn canonical(value: Value) -> Value {
    let (kind, parts) = match value {
        Value::Tuple(parts) => ("builtins.tuple", in_place(parts)),
        Value::List(parts) => ("builtins.list", in_place(parts)),
        Value::Set(parts) => ("builtins.set", sorted(in_place(parts), ToString::to_string)),
        Value::FrozenSet(parts) => ("builtins.frozenset", sorted(in_place(parts), ToString::to_string)),
        Value::Dict(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (canonical(key), canonical(value)));
            let entries = sorted(entries.collect(), |(key, _): &(Value, Value)| key.to_string());
            let pairs = entries.into_iter().map(|(key, value)| Value::Tuple(vec![key, value]));
            ("builtins.dict", pairs.collect())
        }
        other => return other,
    };
    Value::Tuple(vec![Value::Str(kind.into()), Value::List(parts)])
}

fn in_place(parts: Vec<Value>) -> Vec<Value> {
    parts.into_iter().map(canonical).collect()
}

fn sorted<T>(mut parts: Vec<T>, shown: impl Fn(&T) -> String) -> Vec<T> {
    parts.sort_by_cached_key(shown);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Literals of Python, their bytes and their digests: `tests/python/test_alternatives.py` reads the same.
    #[test]
    fn digests_are_those_of_python() {
        for line in include_str!("../../../../../tests/python/data/classes.tsv").lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let value = decode(&hex(columns[1])).expect("a value");
            assert_eq!((value.to_string().as_str(), digest(value).as_str()), (columns[0], columns[2]));
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn a_class_reads_as_in_python() {
        let shown = |class: &dyn Fn(&mut Vec<u8>)| {
            let mut encoded = Vec::new();
            class(&mut encoded);
            Class::new(&encoded, 2).shown()
        };
        let keep = |class: &[u8], encoded: &mut Vec<u8>| encoded.extend_from_slice(class);
        assert_eq!(shown(&|encoded| with_encoded(&[Some(7_u32)], |class| keep(class, encoded))), "(7,)");
        assert_eq!(
            shown(&|encoded| with_encoded(&(Some(7_u32), None::<u32>), |class| keep(class, encoded))),
            "(7, None)"
        );
        assert_eq!(shown(&|encoded| with_encoded(&(), |class| keep(class, encoded))), "None");
        assert_eq!(shown(&|encoded| with_encoded(&"large", |class| keep(class, encoded))), "large");
        assert_eq!(shown(&|encoded| with_encoded(&true, |class| keep(class, encoded))), "True");
    }
}
