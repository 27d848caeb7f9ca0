//! `lineshaft explain choice`: what processes of a home have learned about implementations of functions.
//!
//! It is in the engine's cache, where `python/lineshaft/_alternatives/_sharing.py` and
//! `crates/lineshaft/src/around/alternatives/sharing.rs` put it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineshaft::client::Client;
use lineshaft_insight::choice::shared::{INDEX, Keys};
use lineshaft_insight::choice::text;
use lineshaft_insight::{Choice, Outline};
use lineshaft_wire::message::CACHE_KEYS_MAX;
use lineshaft_wire::value::typed;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use serde_json::{Value as Json, json};

use crate::context::{Context, answer};
use crate::exit::{Failure, NOT_FOUND};
use crate::plain;

pub(crate) fn run(function: Option<&str>, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    let functions = functions(&client, function)?;
    if functions.is_empty() {
        let what = function.map_or_else(|| "no function".to_owned(), |name| format!("no function {name}"));
        return Err(Failure::new(NOT_FOUND, format!("{what} with alternatives is known in this home")).hint(
            "it is known some seconds after its first calls, if it is declared with `@app.alternatives`",
        ));
    }
    if context.output.is_json() {
        let functions: Vec<Json> = functions.iter().map(Function::json).collect();
        return Ok(context.output.json(&json!({ "functions": functions }))?);
    }
    for line in functions.iter().flat_map(Function::lines) {
        context.output.line(plain::line(&line))?;
    }
    Ok(())
}

/// A function with several implementations.
struct Function {
    name: String,
    names: Vec<String>,
    classes: Vec<Class>,
}

/// What is known for a class of arguments.
struct Class {
    shown: String,
    choice: Choice,
}

fn functions(client: &Client, wanted: Option<&str>) -> Result<Vec<Function>, Failure> {
    let index = values(client, vec![INDEX.into()])?.pop().flatten();
    let index: BTreeMap<String, (String, Vec<String>)> =
        index.and_then(|index| read(&index)).unwrap_or_default();
    let mut functions = Vec::new();
    for (prefix, (name, names)) in index {
        if wanted.is_some_and(|wanted| !is_meant(wanted, &name)) {
            continue;
        }
        let classes = classes(client, &Keys::listed(&name, &prefix), names.len())?;
        if !classes.is_empty() {
            functions.push(Function { name, names, classes });
        }
    }
    Ok(functions)
}

/// Whether `wanted` is the name or its last parts.
fn is_meant(wanted: &str, name: &str) -> bool {
    name.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with(['.', ':']))
}

fn classes(client: &Client, keys: &Keys, count: usize) -> Result<Vec<Class>, Failure> {
    let listed = values(client, vec![keys.classes().into()])?.pop().flatten();
    let listed: BTreeMap<String, String> = listed.and_then(|listed| read(&listed)).unwrap_or_default();
    let choices = values(client, listed.keys().map(|digest| keys.choice(digest).into()).collect())?;
    let pins = values(client, listed.keys().map(|digest| keys.pin(digest).into()).collect())?;
    let mut classes = Vec::new();
    for ((shown, choice), pin) in listed.into_values().zip(choices).zip(pins) {
        let bytes: Option<ByteBuf> = choice.and_then(|choice| read(&choice));
        // What another version wrote is passed over.
        if let Some(mut choice) = bytes.and_then(|bytes| Choice::from_bytes(&bytes, count).ok()) {
            if pin.is_some() {
                choice.pin();
            }
            classes.push(Class { shown, choice });
        }
    }
    classes.sort_by_key(|class| natural(&class.shown));
    Ok(classes)
}

/// So that 9 comes before 10.
fn natural(text: &str) -> Vec<(u64, String)> {
    text.split_inclusive(|char: char| !char.is_ascii_digit())
        .map(|part| {
            (part.trim_end_matches(|char: char| !char.is_ascii_digit()).parse().unwrap_or(0), part.to_owned())
        })
        .collect()
}

/// The entries of keys, whether they were used is not counted.
fn values(client: &Client, keys: Vec<Arc<str>>) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(CACHE_KEYS_MAX) {
        let found = answer(client.cache_get(keys.to_vec(), true, None))?;
        values.extend(found.values.into_iter().map(|value| value.map(|(payload, _)| payload.to_vec())));
    }
    Ok(values)
}

/// A value as Python writes it to the cache: one byte that says that it is no error, and the value.
fn read<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    payload.strip_prefix(&[0]).and_then(|value| typed::from_payload(value).ok())
}

impl Function {
    fn lines(&self) -> Vec<String> {
        let lines = |class: &Class| text::lines(&self.name, Some(&class.shown), &self.names, &class.choice);
        self.classes.iter().flat_map(lines).collect()
    }

    fn json(&self) -> Json {
        let implementation = |(name, outline): (&String, Outline)| {
            let (median, low, high) = outline
                .median_s
                .map_or((None, None, None), |(median, low, high)| (Some(median), Some(low), Some(high)));
            json!({
                "name": name, "standing": outline.standing.as_str(), "calls": outline.runs,
                "median_s": median, "low_s": low, "high_s": high,
            })
        };
        let class = |class: &Class| {
            let implementations: Vec<Json> =
                self.names.iter().zip(class.choice.outlines()).map(implementation).collect();
            json!({ "class": class.shown, "pinned": class.choice.is_pinned(), "implementations": implementations })
        };
        json!({ "name": self.name, "classes": self.classes.iter().map(class).collect::<Vec<Json>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_meant_by_its_last_parts() {
        assert!(is_meant("shop.orders.largest", "shop.orders.largest"));
        assert!(is_meant("orders.largest", "shop.orders.largest"));
        assert!(is_meant("largest", "shop.orders.largest"));
        assert!(is_meant("largest", "shop::orders::largest"));
        assert!(!is_meant("est", "shop.orders.largest"));
        assert!(!is_meant("shop", "shop.orders.largest"));
    }

    #[test]
    fn classes_are_sorted_by_their_numbers() {
        let mut shown = ["(10,)", "(9,)", "others", "(9, 2)"];
        shown.sort_by_key(|text| natural(text));
        assert!(shown.iter().position(|one| *one == "(9,)") < shown.iter().position(|one| *one == "(10,)"));
    }
}
