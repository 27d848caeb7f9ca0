//! Fields that go along with work to another process: as a text, and back.

use serde_json::Value as Json;

use crate::format::json;
use crate::{Fields, Value};

/// Says how many fields were left out, since there was no room for them.
const LEFT_OUT: &str = "left_out";
/// What that takes at most.
const LEFT_OUT_BYTES: usize = r#","left_out":18446744073709551615"#.len();

/// Fields as a JSON object of at most `bytes_max`, in their order; `None` if there are none. Of fields with the same name
/// the last one counts. One that does not fit is left out, and the object says how many are.
pub fn carry(fields: &Fields, bytes_max: usize) -> Option<String> {
    let mut text = vec![b'{'];
    let mut left_out = 0;
    for (at, (key, value)) in fields.iter().enumerate() {
        if fields[at + 1..].iter().any(|(later, _)| later == key) {
            continue;
        }
        let before = text.len();
        if before > 1 {
            text.push(b',');
        }
        json::push_text(&mut text, key);
        text.push(b':');
        json::push_value(&mut text, value);
        if text.len() + LEFT_OUT_BYTES + 1 > bytes_max {
            text.truncate(before);
            left_out += 1;
        }
    }
    if left_out > 0 {
        let comma = if text.len() > 1 { "," } else { "" };
        text.extend_from_slice(format!("{comma}\"{LEFT_OUT}\":{left_out}").as_bytes());
    }
    text.push(b'}');
    (text.len() > 2).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// What [`carry`] made, or somebody else: none if it is no JSON object.
pub fn carried(text: &str) -> Fields {
    let Ok(Json::Object(fields)) = serde_json::from_str(text) else { return Fields::new() };
    fields.into_iter().map(|(key, value)| (key.into(), value_of(value))).collect()
}

fn value_of(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => value.into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(other)) => other.into(),
            (None, None) => number.to_string().into(),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => Value::List(items.into_iter().map(value_of).collect()),
        Json::Object(items) => {
            Value::Map(items.into_iter().map(|(key, item)| (key.into(), value_of(item))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(fields: &Fields) -> Fields {
        carried(&carry(fields, 4_096).expect("there are some"))
    }

    #[test]
    fn values_keep_their_kinds() {
        let list = Value::List(vec![Value::Null, true.into(), (-7).into(), 2.5.into()]);
        let map = Value::Map(vec![("a\"b".into(), "é\n".into()), ("x".into(), Value::List(Vec::new()))]);
        let fields: Fields = vec![("list".into(), list), ("map".into(), map), ("text".into(), "ü".into())];
        assert_eq!(there_and_back(&fields), fields);
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let fields: Fields = vec![("a".into(), 1.into()), ("b".into(), 2.into()), ("a".into(), 3.into())];
        let expected: Fields = vec![("a".into(), 3.into()), ("b".into(), 2.into())];
        assert_eq!(there_and_back(&fields), expected);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let long = "x".repeat(90);
        let fields: Fields =
            vec![("a".into(), 1.into()), ("b".into(), (&*long).into()), ("c".into(), 2.into())];
        let text = carry(&fields, 80).unwrap();
        assert_eq!(text, r#"{"a":1,"c":2,"left_out":1}"#);
        assert_eq!(carry(&vec![("b".into(), long.into())], 80).unwrap(), r#"{"left_out":1}"#);
    }

    #[test]
    fn never_more_than_it_may_be() {
        let fields: Fields = (0..100).map(|number| (format!("name{number}").into(), number.into())).collect();
        for bytes_max in 40..400 {
            let text = carry(&fields, bytes_max).unwrap();
            assert!(text.len() <= bytes_max, "{} bytes for {bytes_max}: {text}", text.len());
            assert!(!carried(&text).is_empty());
        }
    }

    #[test]
    fn none_of_none_and_of_what_is_no_object() {
        assert_eq!(carry(&Fields::new(), 100), None);
        for text in ["", "{", "7", "[1]", "{\"a\":}"] {
            assert_eq!(carried(text), Fields::new(), "{text}");
        }
    }
}
