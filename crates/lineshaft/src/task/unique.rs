//! Unique jobs: the key by which equal calls are recognised, the same in Rust and in Python.

use std::time::Duration;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use lineshaft_wire::message::{self, UniqueWhile};
use lineshaft_wire::task;
use lineshaft_wire::value::{Call, Value, decode_call, encode};

use super::error::cut;
use super::rules::{UniqueBy, milliseconds};

/// Bytes of a task's name in the key of its jobs.
const NAME_BYTES: usize = 200;

/// At most one job of a task with the same key: a second `enqueue` answers with the job that is there.
///
/// ```
/// use lineshaft::Unique;
///
/// let by_all = Unique::args(); // equal arguments
/// let by_name = Unique::by(["customer"]).while_queued(); // one that waits for each customer
/// let by_text = Unique::key("import-7").period(std::time::Duration::from_secs(3_600));
/// ```
///
/// The key keeps others out until the job has ended. The same call has the same key whether Rust or Python makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    by: By,
    while_: UniqueWhile,
    period: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    Arguments,
    Names(Vec<String>),
    Text(String),
}

impl Unique {
    /// Jobs with equal arguments are equal.
    pub fn args() -> Self {
        Self { by: By::Arguments, while_: UniqueWhile::Unfinished, period: None }
    }

    /// Jobs are equal whose arguments of these names are.
    pub fn by<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self { by: By::Names(names.into_iter().map(str::to_owned).collect()), ..Self::args() }
    }

    /// Jobs are equal for which the caller says so, by this text.
    pub fn key(text: impl Into<String>) -> Self {
        Self { by: By::Text(text.into()), ..Self::args() }
    }

    /// Keeps others out until the job first runs, not until it has ended.
    #[must_use]
    pub fn while_queued(mut self) -> Self {
        self.while_ = UniqueWhile::Queued;
        self
    }

    /// Keeps others out for this time after the job was enqueued too, whatever has become of it.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.period = Some(period);
        self
    }

    /// As it is sent with a call of `task`, whose parameters are `parameters` where they are known. In words why not.
    pub(super) fn of_call(
        &self,
        task: &str,
        parameters: &[&str],
        payload: &[u8],
    ) -> Result<message::Unique, String> {
        let key = match &self.by {
            By::Text(text) => format!("{task}:{text}"),
            By::Arguments => keyed(task, &digest(task, &all_arguments(parameters, payload)?)?),
            By::Names(names) => {
                let known: Vec<_> = arguments(parameters, payload)?.collect();
                let values = names.iter().map(|name| {
                    let found = known.iter().find(|(known, _)| **known == **name);
                    found.map(|(_, value)| value.clone()).ok_or_else(|| {
                        let known: Vec<&str> = known.iter().map(|(name, _)| &**name).collect();
                        format!("the call has no argument `{name}`; it has `{}`", known.join("`, `"))
                    })
                });
                keyed(task, &digest(task, &Value::List(values.collect::<Result<_, _>>()?))?)
            }
        };
        let period_ms = self.period.map(|period| milliseconds(period).max(1));
        Ok(message::Unique { key: key.into(), while_: self.while_, period_ms })
    }
}

/// What equal calls of this version of a task have in common while a result of it is cached for `period`.
pub(super) fn cached(
    (task, version): (&str, u32),
    parameters: &[&str],
    payload: &[u8],
    period: Duration,
) -> Result<message::Unique, String> {
    let digest = digest(task, &all_arguments(parameters, payload)?)?;
    let key = format!("{}{digest}", cached_prefix(task, version)).into();
    Ok(message::Unique { key, while_: UniqueWhile::Cached, period_ms: Some(milliseconds(period).max(1)) })
}

/// How the keys of all cached results of this version of a task begin. A name has no blanks, and no unique key begins so.
pub(crate) fn cached_prefix(task: &str, version: u32) -> String {
    format!("cache {} v{version} ", cut(task::name_of(task), NAME_BYTES))
}

impl From<UniqueBy> for Unique {
    fn from(UniqueBy { names, while_queued, period }: UniqueBy) -> Self {
        let unique = names.map_or_else(Self::args, |names| Self::by(names.iter().copied()));
        let while_ = if while_queued { UniqueWhile::Queued } else { UniqueWhile::Unfinished };
        Self { while_, period, ..unique }
    }
}

/// The arguments of a call by their names, in the order of the parameters.
fn arguments(parameters: &[&str], payload: &[u8]) -> Result<impl Iterator<Item = (Box<str>, Value)>, String> {
    let Call { positional, mut keywords } = decode_call(payload).map_err(|error| error.to_string())?;
    if positional.len() > parameters.len() {
        return Err(
            "the names of its arguments are not known here: give them by name, or `Unique::key`".into()
        );
    }
    let place = |name: &str| parameters.iter().position(|parameter| *parameter == name);
    keywords.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    let named = parameters.iter().map(|name| Box::from(*name)).zip(positional);
    Ok(named.collect::<Vec<_>>().into_iter().chain(keywords))
}

fn all_arguments(parameters: &[&str], payload: &[u8]) -> Result<Value, String> {
    Ok(Value::List(arguments(parameters, payload)?.map(pair).collect()))
}

fn pair((name, value): (Box<str>, Value)) -> Value {
    Value::List(vec![Value::Str(name), value])
}

fn digest(task: &str, value: &Value) -> Result<String, String> {
    let encoded = encode(&canonical(value)).map_err(|error| error.to_string())?;
    let mut hash = Blake2b::<U16>::new();
    hash.update(task);
    hash.update([0]);
    hash.update(encoded);
    Ok(format!("{:032x}", u128::from_be_bytes(hash.finalize().into())))
}

fn keyed(task: &str, digest: &str) -> String {
    format!("{}:{digest}", cut(task, NAME_BYTES))
}

/// `value` in a form that is equal in every process: sets and dicts have no order of their own.
fn canonical(value: &Value) -> Value {
    let sorted = |mut parts: Vec<Value>| {
        parts.sort_by_cached_key(ToString::to_string);
        Value::List(parts)
    };
    let tagged = |tag: &str, parts| Value::Tuple(vec![Value::from(tag), sorted(parts)]);
    match value {
        Value::List(parts) | Value::Tuple(parts) => Value::List(parts.iter().map(canonical).collect()),
        Value::Set(parts) | Value::FrozenSet(parts) => tagged("set", parts.iter().map(canonical).collect()),
        Value::Dict(entries) => {
            let entry = |(key, value)| Value::Tuple(vec![canonical(key), canonical(value)]);
            tagged("dict", entries.iter().map(|(key, value)| entry((key, value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::value::encode_call;

    use super::*;

    /// `tests/python/test_task_cache.py` has the same one.
    #[test]
    fn the_key_of_a_call_is_that_of_python() {
        let numbers = Value::List(vec![Value::from(1), Value::Tuple(vec![Value::from(2), Value::None])]);
        let entries = vec![(Value::from("b"), numbers), (Value::from("a"), Value::Set(vec![Value::from(3)]))];
        let keywords = vec![("tags".into(), Value::Dict(entries)), ("count".into(), Value::from(2))];
        let call = Call { positional: vec![Value::from("tea")], keywords };
        let payload = encode_call(&call).expect("it is a value");
        let period = Duration::from_millis(500);
        let unique = cached(("shop.price", 3), &["item", "count", "tags"], &payload, period);
        let unique = unique.expect("its parameters are known");
        assert_eq!(&*unique.key, "cache shop.price v3 bd092f828f24f7b15595e29371c30b9c");
        assert_eq!((unique.while_, unique.period_ms), (UniqueWhile::Cached, Some(500)));
        assert!(unique.key.starts_with(&cached_prefix("shop.price", 3)));
    }
}
