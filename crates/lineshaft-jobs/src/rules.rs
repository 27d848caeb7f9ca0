//! Rules as journals, snapshots and blocks keep them.
//!
//! The *plain* form ends with the time that results are kept: it is what was written before rules had a handler of
//! failures. Handlers are written beside it, one after the other, each with its own rules in the plain form, so that no
//! bytes can nest. Their versions stand behind them, where one is later than the first.

use std::sync::Arc;

use lineshaft_wire::message::{ON_FAILURE_DEPTH_MAX, OnFailure, Rules};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Every field of the plain form, in its order.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Rules")]
struct PlainFields {
    max_attempts: u32,
    max_crashes: u32,
    timeout_ms: Option<u64>,
    backoff_first_ms: u64,
    backoff_max_ms: u64,
    retry_on: Vec<String>,
    retry_never: Vec<String>,
    at_most_once: bool,
    keep_result: bool,
    result_ttl_ms: u64,
    #[serde(skip)]
    on_failure: Option<Arc<OnFailure>>,
}

/// Rules without their handlers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Plain(#[serde(with = "PlainFields")] pub(crate) Rules);

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnFailure")]
struct HandlerFields {
    task: Arc<str>,
    queue: Arc<str>,
    priority: u8,
    expires_ms: Option<u64>,
    deadline_ms: Option<u64>,
    tags: Vec<Arc<str>>,
    #[serde(with = "plain")]
    rules: Arc<Rules>,
    #[serde(skip, default = "first_version")]
    version: u32,
}

const fn first_version() -> u32 {
    1
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Handler(#[serde(with = "HandlerFields")] OnFailure);

/// The handlers of rules: that of a failure, that of the handler's failure, and so on.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Handlers(Vec<Handler>);

impl Handlers {
    pub(crate) fn of(rules: &Rules) -> Self {
        Self(rules.handlers().cloned().map(Handler).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions of their tasks; none if all are the first.
    pub(crate) fn versions(&self) -> Vec<u32> {
        let versions = self.each_version();
        if versions.iter().all(|version| *version == 1) { Vec::new() } else { versions }
    }

    fn each_version(&self) -> Vec<u32> {
        self.0.iter().map(|Handler(handler)| handler.version).collect()
    }

    /// The same handlers of these versions of their tasks. `None` unless there is one for each.
    pub(crate) fn of_versions(mut self, versions: &[u32]) -> Option<Self> {
        if versions.len() != self.0.len() {
            return None;
        }
        for (Handler(handler), version) in self.0.iter_mut().zip(versions) {
            handler.version = *version;
        }
        Some(self)
    }

    /// Plain rules with these handlers.
    pub(crate) fn complete(self, Plain(rules): Plain) -> Rules {
        let chained = self.0.into_iter().rev().fold(None, |next, Handler(handler)| {
            let rules = Rules { on_failure: next, ..(*handler.rules).clone() };
            Some(Arc::new(OnFailure { rules: Arc::new(rules), ..handler }))
        });
        Rules { on_failure: chained, ..rules }
    }
}

impl<'de> Deserialize<'de> for Handlers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handlers = Vec::deserialize(deserializer)?;
        if handlers.len() > ON_FAILURE_DEPTH_MAX {
            return Err(D::Error::custom("too many handlers of failures in a row"));
        }
        Ok(Self(handlers))
    }
}

/// Rules in the plain form.
pub(crate) mod plain {
    use super::{Arc, Deserialize, Deserializer, Plain, PlainFields, Rules, Serializer};

    pub(crate) fn serialize<S: Serializer>(rules: &Arc<Rules>, serializer: S) -> Result<S::Ok, S::Error> {
        PlainFields::serialize(rules, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Rules>, D::Error> {
        Plain::deserialize(deserializer).map(|plain| Arc::new(plain.0))
    }
}

/// Rules in the plain form, then their handlers.
pub(crate) mod handled {
    use super::{Arc, Deserialize, Deserializer, Handlers, Plain, Rules, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(rules: &Arc<Rules>, serializer: S) -> Result<S::Ok, S::Error> {
        (Plain((**rules).clone()), Handlers::of(rules)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Rules>, D::Error> {
        let (plain, handlers) = <(Plain, Handlers)>::deserialize(deserializer)?;
        Ok(Arc::new(handlers.complete(plain)))
    }
}

/// Rules in the plain form, then their handlers, then the versions of those.
pub(crate) mod versioned {
    use super::{Arc, Deserialize, Deserializer, Error, Handlers, Plain, Rules, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(rules: &Arc<Rules>, serializer: S) -> Result<S::Ok, S::Error> {
        let handlers = Handlers::of(rules);
        let versions = handlers.each_version();
        (Plain((**rules).clone()), handlers, versions).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Rules>, D::Error> {
        let (plain, handlers, versions) = <(Plain, Handlers, Vec<u32>)>::deserialize(deserializer)?;
        let handlers = handlers.of_versions(&versions);
        let handlers = handlers.ok_or_else(|| D::Error::custom("not a version for each handler"))?;
        Ok(Arc::new(handlers.complete(plain)))
    }
}

/// Rules as a block keeps them: plain, then the handlers if there are some, then the versions of those if one is not the
/// first.
pub fn encode_rules(rules: &Rules) -> Vec<u8> {
    let bytes = postcard::to_allocvec(&Plain(rules.clone())).expect("rules encode");
    let handlers = Handlers::of(rules);
    if handlers.is_empty() {
        return bytes;
    }
    let bytes = postcard::to_extend(&handlers, bytes).expect("rules encode");
    let versions = handlers.versions();
    if versions.is_empty() {
        return bytes;
    }
    postcard::to_extend(&versions, bytes).expect("rules encode")
}

/// Reads rules as a block keeps them.
///
/// Errors if the bytes are no rules.
pub fn decode_rules(bytes: &[u8]) -> Result<Rules, postcard::Error> {
    let (plain, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() {
        return Ok(Handlers::default().complete(plain));
    }
    let (handlers, rest): (Handlers, &[u8]) = postcard::take_from_bytes(rest)?;
    if rest.is_empty() {
        return Ok(handlers.complete(plain));
    }
    let versions: Vec<u32> = postcard::from_bytes(rest)?;
    let handlers = handlers.of_versions(&versions).ok_or(postcard::Error::DeserializeBadEncoding)?;
    Ok(handlers.complete(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handled_by(task: &str, rules: Rules) -> Rules {
        let handler = OnFailure {
            task: task.into(),
            queue: "mail".into(),
            priority: 2,
            expires_ms: Some(5),
            deadline_ms: None,
            tags: vec!["red".into()],
            rules: Arc::new(rules),
            version: 1,
        };
        Rules { max_attempts: 4, on_failure: Some(Arc::new(handler)), ..Rules::default() }
    }

    #[test]
    fn rules_come_back_from_a_block_with_their_handlers() {
        let plain = Rules { retry_on: vec!["x.Busy".to_owned()], ..Rules::default() };
        let handled = handled_by("shop.tell", plain.clone());
        let twice = handled_by("shop.bill", handled.clone());
        let mut versioned = twice.clone();
        Arc::make_mut(versioned.on_failure.as_mut().expect("it has one")).version = 300;
        for rules in [plain, handled, twice, versioned] {
            assert_eq!(decode_rules(&encode_rules(&rules)), Ok(rules));
        }
    }

    /// What stands behind the handlers used to be ignored.
    #[test]
    fn versions_of_other_handlers_do_not_read() {
        let mut bytes = encode_rules(&handled_by("t", Rules::default()));
        assert!(decode_rules(&bytes).is_ok());
        bytes.extend([2, 1, 2]);
        assert!(decode_rules(&bytes).is_err());
    }

    /// Bytes can claim any number of handlers, and what drops them calls itself once for each.
    #[test]
    fn more_handlers_than_may_be_do_not_read() {
        let rules = (0..=ON_FAILURE_DEPTH_MAX).fold(Rules::default(), |rules, _| handled_by("t", rules));
        assert!(decode_rules(&encode_rules(&rules)).is_err());
    }

    /// Blocks of the version before handlers hold these bytes.
    #[test]
    fn rules_of_earlier_blocks_read() {
        let bytes = [5, 3, 0, 0xe8, 7, 0xc0, 0xcf, 0x24, 1, 1, b'x', 0, 0, 1, 0x80, 0xb8, 0x99, 0x29];
        let rules =
            Rules { max_attempts: 5, timeout_ms: None, retry_on: vec!["x".to_owned()], ..Rules::default() };
        assert_eq!(decode_rules(&bytes), Ok(rules));
    }
}
