//! Rust's own types cross as docs/values.md says, both ways; what does not fit is named with its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::value::typed::{
    Arguments, Bound, ByteArray, CallWriter, Complex, Decimal, Error, FrozenSet, Set, Uuid, from_payload,
    from_value, to_payload, to_plain_payload, to_plain_payload_in, to_value,
};
use lineshaft_wire::value::{
    Array, Date, DateTime, Dtype, EnumMember, Exception, Record, Table, Time, TimeDelta, Value, Zone,
    decode_call, encode,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vectors::{from_hex, vectors};

/// As `#[lineshaft::value("shop.Order", aliases = ["shop.OldOrder"])]` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "lineshaft.record:shop.Order|shop.OldOrder", deny_unknown_fields)]
struct Order {
    id: u64,
    items: Vec<Item>,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    price: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "lineshaft.enum:shop.Color", rename_all = "SCREAMING_SNAKE_CASE")]
enum Color {
    Red,
    DarkBlue,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i32, i32),
    Square { side: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i64, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metres(f64);

/// Crosses as the value that Python would write as `shows`, and comes back.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, shows: &str) {
    let payload = to_payload(&value).unwrap();
    assert_eq!(to_value(&value).unwrap().to_string(), shows, "{value:?}");
    assert_eq!(from_payload::<T>(&payload).unwrap(), value);
}

fn refused<T: DeserializeOwned + Debug>(value: impl Into<Value>) -> String {
    from_value::<T>(&value.into()).unwrap_err().to_string()
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dict(entries.map(|(key, value)| (key.into(), value)).into())
}

#[test]
fn what_serde_knows_becomes_what_python_would_write() {
    check((), "None");
    check(true, "True");
    check(-5_i8, "-5");
    check(u64::MAX, "18446744073709551615");
    check(i128::MIN, "-170141183460469231731687303715884105728");
    check(u128::MAX, "340282366920938463463374607431768211455");
    check(1.5_f32, "1.5");
    check(0.1_f64, "0.1");
    check('ä', "'ä'");
    check("text".to_owned(), "'text'");
    check(Some(5), "5");
    check(None::<i32>, "None");
    check(vec![1, 2], "[1, 2]");
    check((1, "a".to_owned(), 2.5), "(1, 'a', 2.5)");
    check([1, 2], "(1, 2)");
    check(BTreeMap::from([(1, "a".to_owned()), (2, "b".to_owned())]), "{1: 'a', 2: 'b'}");
    check(HashMap::from([((1, 2), true)]), "{(1, 2): True}");
    check(BTreeSet::from([1, 2]), "[1, 2]");
    check(Bytes::from_static(b"ab"), "b'ab'");
    check(Metres(2.0), "2.0");
    check(Pair(1, "a".into()), "(1, 'a')");
    check(std::net::Ipv4Addr::LOCALHOST, "'127.0.0.1'");
}

#[test]
fn structs_are_dicts_and_named_ones_records() {
    let item = Item { name: "nut".into(), price: 0.5 };
    check(item.clone(), "{'name': 'nut', 'price': 0.5}");
    let order = Order { id: 7, items: vec![item], note: None };
    check(order, "Order(id=7, items=[{'name': 'nut', 'price': 0.5}], note=None)");
}

#[test]
fn variants_are_texts_or_dicts_and_named_ones_members() {
    check(Shape::Empty, "'Empty'");
    check(Shape::Circle(1.0), "{'Circle': 1.0}");
    check(Shape::Line(1, 2), "{'Line': (1, 2)}");
    check(Shape::Square { side: 3 }, "{'Square': {'side': 3}}");
    check(Color::Red, "Color.RED");
    check(vec![Color::DarkBlue], "[Color.DARK_BLUE]");
}

#[test]
fn kinds_that_serde_lacks_have_types_of_their_own() {
    check(Set(BTreeSet::from([1, 2])), "{1, 2}");
    check(FrozenSet(BTreeSet::from([1])), "frozenset({1})");
    check(ByteArray(Bytes::from_static(b"ab")), "bytearray(b'ab')");
    check(Uuid(uuid::Uuid::from_u128(5)), "UUID('00000000-0000-0000-0000-000000000005')");
    check(Decimal("1.20".into()), "Decimal('1.20')");
    check(Complex(0.0, 2.0), "2j");
    check(Date { year: 2026, month: 1, day: 2 }, "datetime.date(2026, 1, 2)");
    check(TimeDelta { days: 1, seconds: 2, microseconds: 0 }, "datetime.timedelta(days=1, seconds=2)");
    check(vec![Value::Ellipsis, Value::None], "[Ellipsis, None]");
}

#[test]
fn python_s_types_are_read_as_the_nearest_of_rust() {
    let tuple = Value::Tuple(vec![1.into(), 2.into()]);
    assert_eq!(from_value::<Vec<u8>>(&tuple).unwrap(), [1, 2]);
    assert_eq!(from_value::<[u8; 2]>(&Value::List(vec![1.into(), 2.into()])).unwrap(), [1, 2]);
    assert_eq!(from_value::<BTreeSet<u8>>(&Value::FrozenSet(vec![1.into()])).unwrap(), BTreeSet::from([1]));
    assert_eq!(from_value::<f64>(&3.into()).unwrap().to_bits(), 3.0_f64.to_bits());
    assert_eq!(from_value::<Vec<u8>>(&Value::Bytes((*b"ab").into())).unwrap(), b"ab");
    assert_eq!(from_value::<Vec<u8>>(&Value::ByteArray((*b"ab").into())).unwrap(), b"ab");
    assert_eq!(from_value::<Bytes>(&Value::ByteArray((*b"ab").into())).unwrap(), "ab");
    let uuid = uuid::Uuid::from_u128(5);
    assert_eq!(from_value::<Uuid>(&uuid.to_string().into()).unwrap().0, uuid);
    assert_eq!(from_value::<String>(&Value::Decimal("1.20".into())).unwrap(), "1.20");
    let delta = Value::TimeDelta(TimeDelta { days: 1, seconds: 2, microseconds: 3 });
    assert_eq!(from_value::<Duration>(&delta).unwrap(), Duration::from_micros(86_402_000_003));
}

#[test]
fn moments_are_read_as_the_text_that_date_libraries_parse() {
    let date = Date { year: 2026, month: 1, day: 2 };
    let time = |microsecond, zone| Time { hour: 3, minute: 4, second: 5, microsecond, fold: 0, zone };
    let offset = |seconds: i64| Zone::Offset { microseconds: seconds * 1_000_000, name: None };
    let moment = |time| Value::DateTime(Box::new(DateTime { date, time }));
    for (value, text) in [
        (Value::Date(date), "2026-01-02"),
        (Value::Time(Box::new(time(6, Zone::Naive))), "03:04:05.000006"),
        (moment(time(0, Zone::Naive)), "2026-01-02T03:04:05"),
        (moment(time(0, offset(0))), "2026-01-02T03:04:05+00:00"),
        (moment(time(0, offset(-19_800))), "2026-01-02T03:04:05-05:30"),
        (moment(time(0, offset(3_601))), "2026-01-02T03:04:05+01:00:01"),
        (moment(time(0, Zone::Key("Europe/Berlin".into()))), "2026-01-02T03:04:05[Europe/Berlin]"),
    ] {
        assert_eq!(from_value::<String>(&value).unwrap(), text);
    }
}

fn record(type_name: &str, fields: Vec<(&str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Record(Box::new(Record { type_name: type_name.into(), fields, state: Vec::new() }))
}

#[test]
fn records_are_read_by_field_names_and_aliases() {
    let fields = || vec![("note", "x".into()), ("items", Value::List(Vec::new())), ("id", 7.into())];
    let order = Order { id: 7, items: Vec::new(), note: Some("x".into()) };
    for name in ["shop.Order", "shop.OldOrder"] {
        assert_eq!(from_value::<Order>(&record(name, fields())).unwrap(), order);
    }
    let other = refused::<Order>(record("shop.Customer", fields()));
    assert_eq!(other, "expected shop.Order, found shop.Customer");
    let nut = || vec![("name", "nut".into()), ("price", 1.into())];
    let item = Item { name: "nut".into(), price: 1.0 };
    assert_eq!(from_value::<Item>(&record("shop.Item", nut())).unwrap(), item, "any record");
    assert_eq!(from_value::<Item>(&dict([("name", "nut".into()), ("price", 1.into())])).unwrap(), item);
    let map = from_value::<BTreeMap<String, Value>>(&record("shop.Item", nut())).unwrap();
    assert_eq!(map["name"], "nut".into());
}

/// A model of pydantic keeps what was set beside its fields; reading it failed for its three parts.
#[test]
fn what_a_model_keeps_beside_its_fields_is_nothing_to_a_struct() {
    let state = vec![("set".into(), Value::List(vec!["name".into(), Value::Set(vec![1.into()])]))];
    let Value::Record(mut model) = record("shop.Item", vec![("name", "nut".into()), ("price", 1.into())])
    else {
        unreachable!("it was just made");
    };
    model.state = state;
    let model = Value::Record(model);
    assert_eq!(from_value::<Item>(&model).unwrap(), Item { name: "nut".into(), price: 1.0 });
    assert_eq!(from_value::<Vec<Item>>(&Value::List(vec![model.clone(), model])).unwrap().len(), 2);
}

/// The buffer of a table that nobody wanted was not counted, so that the array behind it was taken for damaged.
#[test]
fn what_is_ignored_takes_its_buffers_with_it() {
    #[derive(Debug, Deserialize)]
    struct Wanted {
        array: Array,
    }
    let array = Array {
        dtype: Dtype::Simple("|u1".into()),
        shape: vec![2],
        is_fortran: false,
        data: Bytes::from_static(&[1, 2]),
    };
    let table = Value::Table(Box::new(Table { kind: "table".into(), stream: Bytes::from_static(b"rows") }));
    let both = dict([
        ("other", Value::List(vec![table, Value::Array(Box::new(array.clone()))])),
        ("array", Value::Array(Box::new(array.clone()))),
    ]);
    assert_eq!(from_value::<Wanted>(&both).unwrap().array, array);
}

#[test]
fn an_added_field_needs_a_default_and_a_field_that_went_is_refused() {
    let missing = refused::<Order>(record("shop.Order", vec![("id", 7.into())]));
    assert_eq!(missing, "missing field `items`");
    let extra = vec![("id", 7.into()), ("items", Value::List(Vec::new())), ("colour", 1.into())];
    let error = refused::<Order>(record("shop.Order", extra));
    assert!(error.starts_with("unknown field `colour`"), "{error}");
}

#[test]
fn what_does_not_fit_is_named_with_its_place() {
    let items = Value::List(vec![
        dict([("name", "nut".into()), ("price", 1.into())]),
        dict([("name", "bolt".into()), ("price", "cheap".into())]),
    ]);
    let order = record("shop.Order", vec![("id", 7.into()), ("items", items)]);
    assert_eq!(refused::<Order>(order), "items[1]['price']: invalid type: string \"cheap\", expected f64");
    assert_eq!(
        refused::<Vec<u8>>(Value::List(vec![1.into(), 300.into()])),
        "[1]: invalid value: integer `300`, expected u8"
    );
    assert_eq!(
        refused::<(i32, i32)>(Value::Tuple(vec![1.into()])),
        "invalid length 1, expected a tuple of size 2"
    );
    assert_eq!(
        refused::<(i32,)>(Value::Tuple(vec![1.into(), 2.into()])),
        "invalid length 2, expected fewer elements"
    );
    assert_eq!(refused::<Date>("x"), "expected a date, found 'x'");
    assert_eq!(refused::<u8>(Value::Ellipsis), "invalid type: Ellipsis, expected u8");
    assert_eq!(refused::<Item>(5), "invalid type: an integer, expected struct Item");
    assert_eq!(
        refused::<i64>(Value::Int(1 << 70)),
        "invalid type: integer `1180591620717411303424` as i128, expected i64"
    );
    let member = |type_name: &str, member: Value| {
        Value::Enum(Box::new(EnumMember { type_name: type_name.into(), member }))
    };
    assert_eq!(refused::<Color>(member("shop.Size", "RED".into())), "expected shop.Color, found shop.Size");
    assert_eq!(
        refused::<Color>(member("shop.Color", "PINK".into())),
        "unknown variant `PINK`, expected `RED` or `DARK_BLUE`"
    );
    let negative = Value::TimeDelta(TimeDelta { days: -1, seconds: 0, microseconds: 0 });
    assert_eq!(refused::<Duration>(negative), "a negative timedelta is no duration");
}

struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a socket is not a value"))
    }
}

#[test]
fn what_cannot_be_written_is_named_with_its_place() {
    #[derive(Serialize)]
    struct Holder {
        parts: Vec<Refusing>,
    }
    let holder = || Holder { parts: vec![Refusing] };
    assert_eq!(to_payload(&holder()).unwrap_err().to_string(), "parts[0]: a socket is not a value");
    let keyed = BTreeMap::from([("a", holder())]);
    let mut call = CallWriter::new(1).unwrap();
    call.positional(None, &1).unwrap();
    let error = call.positional(None, &keyed).unwrap_err().to_string();
    assert_eq!(error, "args[1]['a'].parts[0]: a socket is not a value");
    let error = call.keyword("size", &Refusing).unwrap_err().to_string();
    assert_eq!(error, "size: a socket is not a value");
}

#[test]
fn the_limits_hold_for_rust_types_too() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);
    let nested = (0..200).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    let error = to_payload(&nested).unwrap_err().to_string();
    assert!(error.ends_with("nested deeper than 128 levels"), "{error}");
    let deep = [vec![1], vec![0x91; 100_000]].concat();
    let error = from_payload::<Nested>(&deep).unwrap_err().to_string();
    assert!(error.ends_with("nested deeper than 128 levels"), "{error}");
    let large = Bytes::from(vec![0; 65 << 20]);
    let error = to_payload(&large).unwrap_err().to_string();
    assert_eq!(error, "payload of 68157441 bytes is above the limit of 64 MiB");
}

/// Iterators that do not know their length are written as if they did.
#[test]
fn lengths_that_come_late_make_the_same_bytes() {
    struct Late(usize);
    impl Serialize for Late {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..self.0 * 2).filter(|number| number % 2 == 0).map(|_| 7))
        }
    }
    #[derive(Serialize)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    for length in [0, 15, 16, 65_535, 65_536] {
        assert_eq!(to_payload(&Late(length)).unwrap(), to_payload(&vec![7; length]).unwrap(), "{length}");
    }
    let flat = Flat { a: 1, rest: BTreeMap::from([("b".to_owned(), 2)]) };
    assert_eq!(to_value(&flat).unwrap().to_string(), "{'a': 1, 'b': 2}");
}

#[test]
fn an_object_in_several_places_is_copied_into_each() {
    let shared = Value::List(vec![Value::List(vec![1.into()]), Value::Reference(1), Value::Reference(1)]);
    assert_eq!(from_value::<Vec<Vec<u8>>>(&shared).unwrap(), [[1], [1], [1]]);
    let cycle = Value::List(vec![Value::Reference(0)]);
    let error = refused::<Vec<Value>>(cycle);
    assert!(error.contains("the object is inside itself"), "{error}");
}

/// Thirty levels of ten references each would unfold into 10^30 elements.
#[test]
fn references_that_unfold_beyond_the_limits_are_refused() {
    let mut levels = vec![Value::List(vec![1.into(); 10])];
    for level in 0..30 {
        levels.push(Value::List(vec![Value::Reference(level + 1); 10]));
    }
    let error = refused::<Value>(Value::List(levels));
    assert!(error.contains("of memory") || error.contains("above the limit"), "{error}");
}

#[test]
fn arguments_are_bound_by_position_and_by_name() {
    let mut call = CallWriter::new(1).unwrap();
    call.positional(Some("src"), "a.png").unwrap();
    call.keyword("size", &(64, 48)).unwrap();
    let payload = call.finish().unwrap();
    assert_eq!(decode_call(&payload).unwrap().to_string(), "('a.png', size=(64, 48))");
    let arguments = Arguments::open(&payload).unwrap();
    let opened = arguments.payload().unwrap();
    let bound = Bound::new("resize", 1, &["src", "size", "colour"], &opened).unwrap();
    assert_eq!(bound.required::<(u32, u32)>(1).unwrap(), (64, 48));
    assert_eq!(bound.required::<String>(0).unwrap(), "a.png");
    assert_eq!(bound.optional::<u8>(2).unwrap(), None);
    let missing = bound.required::<u8>(2).unwrap_err().to_string();
    assert_eq!(missing, "resize() misses its argument `colour`");
    let wrong = bound.required::<(u32, String)>(1).unwrap_err().to_string();
    assert_eq!(wrong, "size[1]: invalid type: integer `48`, expected a string");
}

/// What was in a writer or a buffer before is not in what is written next.
#[test]
fn room_that_is_used_again_holds_what_new_room_does() {
    let array = Array {
        dtype: Dtype::Simple("|u1".into()),
        shape: vec![100],
        is_fortran: false,
        data: Bytes::from(vec![7; 100]),
    };
    let arguments: [Value; 4] =
        ["text".repeat(100).as_str().into(), Value::Array(Box::new(array)), 7.into(), Value::List(vec![])];
    let mut used = CallWriter::new(1).unwrap();
    let mut buffer = Vec::new();
    for (version, argument) in (1..).zip(arguments.iter().chain(arguments.iter().rev())) {
        used.reset(version).unwrap();
        let mut new = CallWriter::new(version).unwrap();
        for call in [&mut used, &mut new] {
            call.positional(None, argument).unwrap();
            call.keyword("named", argument).unwrap();
        }
        assert_eq!(used.plain().unwrap(), new.plain().unwrap(), "{version}");
        buffer = to_plain_payload_in(buffer, argument).unwrap();
        assert_eq!(buffer, to_plain_payload(argument).unwrap(), "{version}");
    }
    // As it is where another has taken the payload away.
    used.reset(1).unwrap();
    drop(std::mem::take(used.plain().unwrap()));
    used.reset(1).unwrap();
    used.positional(None, &7).unwrap();
    assert_eq!(decode_call(used.plain().unwrap()).unwrap().positional, [7.into()]);
}

#[test]
fn arguments_that_do_not_bind_are_named() {
    fn refused<const N: usize>(parameters: &[&str; N], positional: &[u8], keywords: &[&str]) -> String {
        let mut call = CallWriter::new(1).unwrap();
        positional.iter().for_each(|value| call.positional(None, value).unwrap());
        keywords.iter().for_each(|name| call.keyword(name, &0).unwrap());
        let payload = call.finish().unwrap();
        let arguments = Arguments::open(&payload).unwrap();
        let opened = arguments.payload().unwrap();
        Bound::new("resize", 1, parameters, &opened).unwrap_err().to_string()
    }
    assert_eq!(refused(&["src"], &[1, 2], &[]), "resize() takes 1 argument, 2 were given");
    assert_eq!(refused(&[], &[1], &[]), "resize() takes 0 arguments, 1 were given");
    assert_eq!(refused(&["src"], &[1], &["src"]), "resize() got its argument `src` twice");
    assert_eq!(
        refused(&["src", "size"], &[], &["colour"]),
        "resize() has no argument `colour`; it has `src`, `size`"
    );
    assert_eq!(refused(&[], &[], &["colour"]), "resize() has no argument `colour`; it has none");
    let payload = to_payload(&5).unwrap();
    let arguments = Arguments::open(&payload).unwrap();
    let opened = arguments.payload().unwrap();
    let error = Bound::new("resize", 1, &[], &opened).unwrap_err().to_string();
    assert_eq!(error, "call at byte 0 is not valid: it is not a list and a dict");
}

/// A later version is said before its arguments are judged, which this version cannot do.
#[test]
fn a_call_of_a_later_version_names_what_is_missing() {
    fn bound<const N: usize>(asked: u32, here: u32, parameters: &[&str; N]) -> Result<(), Error> {
        let mut call = CallWriter::new(asked).unwrap();
        call.keyword("src", "a.png").unwrap();
        let payload = call.finish().unwrap();
        assert_eq!(payload.len(), CALL_OF_A_FIRST_VERSION + usize::from(asked > 1));
        assert_eq!(decode_call(&payload).unwrap().keywords.len(), 1);
        let arguments = Arguments::open(&payload).unwrap();
        let opened = arguments.payload().unwrap();
        Bound::new("resize", here, parameters, &opened).map(drop)
    }
    assert_eq!(bound(1, 1, &["src"]), Ok(()));
    assert_eq!(bound(2, 2, &["src"]), Ok(()));
    assert_eq!(bound(2, 3, &["src"]), Ok(()));
    let newer = bound(3, 1, &[]).unwrap_err();
    assert_eq!(newer.missing(), Some("version 3 of resize, not just 1"));
    assert_eq!(newer.to_string(), "it needs version 3 of resize, not just 1");
    assert_eq!(bound(1, 1, &[]).unwrap_err().missing(), None);
}

/// Format, list, list, dict, name, value.
const CALL_OF_A_FIRST_VERSION: usize = 1 + 1 + 1 + 1 + 4 + 6;

/// Arrays lie in buffers that are used in order, whichever argument is read first.
#[test]
fn arrays_among_arguments_are_read_in_any_order() {
    let array = |byte: u8| Array {
        dtype: Dtype::Simple("|u1".into()),
        shape: vec![1],
        is_fortran: false,
        data: Bytes::copy_from_slice(&[byte]),
    };
    let mut call = CallWriter::new(1).unwrap();
    call.positional(None, &array(1)).unwrap();
    call.positional(None, &vec![array(2)]).unwrap();
    call.keyword("c", &array(3)).unwrap();
    let payload = call.finish().unwrap();
    let arguments = Arguments::open(&payload).unwrap();
    let opened = arguments.payload().unwrap();
    let bound = Bound::new("f", 1, &["a", "b", "c"], &opened).unwrap();
    assert_eq!(bound.required::<Array>(2).unwrap(), array(3));
    assert_eq!(bound.required::<Vec<Array>>(1).unwrap(), [array(2)]);
    assert_eq!(bound.required::<Array>(0).unwrap(), array(1));
}

#[test]
fn every_vector_crosses_as_a_value() {
    for vector in vectors() {
        let payload = from_hex(&vector.hex);
        let read = from_payload::<Value>(&payload);
        if payload[0] & 0x40 != 0 {
            continue;
        }
        let value = read.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        let written = to_payload(&value).unwrap();
        if payload[0] & 0x10 == 0 {
            assert_eq!(written, payload, "{}", vector.name);
        }
    }
}

/// A value is read from other formats too, as far as they have it.
#[test]
fn values_and_records_in_other_formats_are_plain() {
    let json = serde_json::to_string(&Order { id: 1, items: Vec::new(), note: None }).unwrap();
    assert_eq!(json, r#"{"id":1,"items":[],"note":null}"#);
    let date = serde_json::to_string(&Date { year: 2026, month: 1, day: 2 }).unwrap();
    assert_eq!(date, r#""datetime.date(2026, 1, 2)""#);
    let value: Value = serde_json::from_str(r#"{"a": [1, null, 2.5]}"#).unwrap();
    assert_eq!(value.to_string(), "{'a': [1, None, 2.5]}");
    let exception = Exception { type_name: "a.B".into(), arguments: Vec::new(), attributes: Vec::new() };
    assert_eq!(from_payload::<Exception>(&to_payload(&exception).unwrap()).unwrap(), exception);
}

fn item() -> impl Strategy<Value = Item> {
    (".{0,20}", -1e9_f64..1e9).prop_map(|(name, price)| Item { name, price })
}

fn order() -> impl Strategy<Value = Order> {
    (any::<u64>(), proptest::collection::vec(item(), 0..20), proptest::option::of(".{0,300}"))
        .prop_map(|(id, items, note)| Order { id, items, note })
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Empty),
        (-1e9_f64..1e9).prop_map(Shape::Circle),
        any::<(i32, i32)>().prop_map(|(from, to)| Shape::Line(from, to)),
        any::<u8>().prop_map(|side| Shape::Square { side }),
    ]
}

proptest! {
    #[test]
    fn any_rust_value_comes_back(
        orders in proptest::collection::hash_map(".{0,8}", (order(), shape()), 0..8),
        numbers in any::<(i128, u128, u64, i8, bool, char, Option<u16>)>(),
    ) {
        let value = (orders, numbers);
        prop_assert_eq!(from_payload::<(HashMap<String, (Order, Shape)>, _)>(&to_payload(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn what_rust_writes_the_model_reads_and_writes_alike(orders in proptest::collection::vec(order(), 0..8)) {
        let payload = to_payload(&orders).unwrap();
        let value = to_value(&orders).unwrap();
        prop_assert_eq!(encode(&value).unwrap(), payload);
        prop_assert_eq!(from_value::<Vec<Order>>(&value).unwrap(), orders);
    }

    #[test]
    fn damage_is_an_error_or_another_value(order in order(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = to_payload(&order).unwrap();
        let index = at % bytes.len();
        bytes[index] = byte;
        let _ = from_payload::<Order>(&bytes);
        let _ = from_payload::<Value>(&bytes);
        let _ = Arguments::open(&bytes).and_then(|arguments| Bound::new("f", 1, &["a", "b"], &arguments.payload()?).map(drop));
    }
}
