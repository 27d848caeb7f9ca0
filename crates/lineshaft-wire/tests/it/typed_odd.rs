//! What Rust types do that is rare: unusual implementations of serde, members and jobs as text, other formats.

use std::fmt;

use lineshaft_wire::JobId;
use lineshaft_wire::value::typed::{
    Arguments, Bound, CallWriter, Complex, Decimal, Error, Set, from_payload, from_value, to_payload,
    to_value,
};
use lineshaft_wire::value::{EnumMember, Value};
use serde::de::value::{BytesDeserializer, Error as OtherError};
use serde::de::{IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn refused<T: serde::de::DeserializeOwned + fmt::Debug>(value: impl Into<Value>) -> String {
    from_value::<T>(&value.into()).unwrap_err().to_string()
}

fn member(member: Value) -> Value {
    Value::Enum(Box::new(EnumMember { type_name: "shop.Color".into(), member }))
}

/// A map that is written step by step.
struct Steps(&'static [Step]);

enum Step {
    Key(&'static str),
    Value(i32),
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for step in self.0 {
            match step {
                Step::Key(key) => map.serialize_key(key)?,
                Step::Value(value) => map.serialize_value(value)?,
            }
        }
        map.end()
    }
}

#[test]
fn keys_and_values_may_come_one_by_one() {
    let both = Steps(&[Step::Key("a"), Step::Value(1), Step::Key("b"), Step::Value(2)]);
    assert_eq!(to_value(&both).unwrap().to_string(), "{'a': 1, 'b': 2}");
    let alone = Steps(&[Step::Value(1)]);
    assert_eq!(to_payload(&alone).unwrap_err().to_string(), "a value of a map came before its key");
}

#[test]
fn a_length_that_is_not_kept_is_an_error_rather_than_bytes_that_do_not_read() {
    struct Short;
    impl Serialize for Short {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(Some(3))?;
            elements.serialize_element(&1)?;
            elements.end()
        }
    }
    struct Fewer;
    impl Serialize for Fewer {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_struct("Fewer", 2)?.end()
        }
    }
    assert_eq!(to_payload(&Short).unwrap_err().to_string(), "3 elements were announced, but 1 came");
    assert_eq!(to_payload(&Fewer).unwrap_err().to_string(), "2 elements were announced, but 0 came");
}

#[test]
fn a_set_has_to_know_its_length() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_seq(None)?.end()
        }
    }
    assert_eq!(to_payload(&Set(Endless)).unwrap_err().to_string(), "a set of unknown length");
}

/// Takes the first of what is there and leaves the rest.
#[derive(Debug)]
struct First;

impl<'de> Visitor<'de> for First {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        elements.next_element::<IgnoredAny>()?;
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        entries.next_entry::<IgnoredAny, IgnoredAny>()?;
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

#[test]
fn what_a_type_leaves_unread_is_too_much_for_it() {
    let entries = || vec![("a".into(), 1.into()), ("b".into(), 2.into())];
    assert_eq!(refused::<First>(vec![1, 2]), "invalid length 2, expected fewer elements");
    assert_eq!(refused::<First>(Value::Dict(entries())), "invalid length 2, expected fewer entries");
    let fields = vec![("a".into(), 1.into()), ("b".into(), 2.into())];
    let record = lineshaft_wire::value::Record { type_name: "a.B".into(), fields, state: Vec::new() };
    assert_eq!(refused::<First>(Value::Record(Box::new(record))), "invalid length 2, expected fewer fields");
    assert!(from_value::<First>(&vec![1].into()).is_ok());
}

/// They came as numbers of 128 bits, which no smaller type of Rust takes.
#[test]
fn the_bits_of_a_flag_are_a_number_of_whatever_size_holds_them() {
    assert_eq!(from_value::<u8>(&member(6.into())).unwrap(), 6);
    assert_eq!(from_value::<i32>(&member((-1).into())).unwrap(), -1);
    assert_eq!(from_value::<u64>(&member(u64::MAX.into())).unwrap(), u64::MAX);
    assert_eq!(from_value::<i128>(&member(i128::MIN.into())).unwrap(), i128::MIN);
}

#[test]
fn jobs_and_members_are_read_as_text_and_bits_of_no_number_not_at_all() {
    let job = JobId::direct(1_790_000_000_000, 0, 1, 1);
    assert_eq!(from_value::<String>(&job.into()).unwrap(), job.to_string());
    assert_eq!(from_value::<String>(&member("RED".into())).unwrap(), "RED");
    let many = member(Value::BigInt([1].into_iter().chain([0; 20]).collect()));
    assert_eq!(refused::<u8>(many), "invalid type: shop.Color of many bits, expected u8");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
}

#[test]
fn a_variant_is_named_by_text_a_dict_or_a_member_and_by_nothing_else() {
    let empty = Value::Dict(vec![("Empty".into(), Value::None)]);
    assert_eq!(from_value::<Shape>(&empty).unwrap(), Shape::Empty);
    assert_eq!(from_value::<Shape>(&member("Empty".into())).unwrap(), Shape::Empty);
    assert_eq!(refused::<Shape>(member(3.into())), "invalid type: shop.Color(3), expected enum Shape");
    assert_eq!(refused::<Shape>(3), "invalid type: an integer, expected enum Shape");
}

#[test]
fn a_unit_struct_is_nothing_and_a_small_number_a_number() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;
    assert_eq!(to_value(&Nothing).unwrap(), Value::None);
    assert_eq!(from_payload::<Nothing>(&to_payload(&Nothing).unwrap()).unwrap(), Nothing);
    for number in [i16::MIN, -1, i16::MAX] {
        assert_eq!(from_payload::<i16>(&to_payload(&number).unwrap()).unwrap(), number);
    }
    assert_eq!(from_payload::<u32>(&to_payload(&u32::MAX).unwrap()).unwrap(), u32::MAX);
}

#[test]
fn kinds_without_a_type_in_rust_take_what_is_near_and_name_what_is_not() {
    assert_eq!(from_value::<Complex>(&1.5.into()).unwrap(), Complex(1.5, 0.0));
    assert_eq!(refused::<Complex>("1"), "expected a complex number, found '1'");
    assert_eq!(refused::<Decimal>(1.5), "expected a decimal, found 1.5");
    assert_eq!(refused::<lineshaft_wire::value::typed::Uuid>(5), "expected a uuid, found 5");
    let wide = Value::BigInt([1].into_iter().chain([0; 16]).collect());
    assert_eq!(
        refused::<i64>(wide),
        "invalid type: the integer 340282366920938463463374607431768211456, expected i64"
    );
}

/// A value is part of types that are read from other formats too.
#[test]
fn a_value_is_what_another_format_has() {
    fn read<'de>(source: impl IntoDeserializer<'de, OtherError>) -> Value {
        Value::deserialize(source.into_deserializer()).unwrap()
    }
    assert_eq!(read(true), true.into());
    assert_eq!(read(-5_i64), (-5).into());
    assert_eq!(read(1_i128 << 70), Value::Int(1 << 70));
    assert_eq!(
        Value::deserialize(BytesDeserializer::<OtherError>::new(b"ab")).unwrap(),
        Value::Bytes((*b"ab").into())
    );
    let refused = Value::deserialize(IntoDeserializer::<OtherError>::into_deserializer('a'));
    assert_eq!(refused.unwrap(), "a".into(), "a character is a text");
}

#[test]
fn arguments_by_position_come_first() {
    struct Refusing;
    impl Serialize for Refusing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no value"))
        }
    }
    let mut call = CallWriter::new(1).unwrap();
    call.keyword("size", &1).unwrap();
    let error = call.positional(Some("src"), "a.png").unwrap_err();
    assert_eq!(error.to_string(), "an argument by position follows one by name");
    let error = CallWriter::new(1).unwrap().positional(Some("src"), &vec![Refusing]).unwrap_err();
    assert_eq!((error.path(), error.to_string().as_str()), ("src[0]", "src[0]: no value"));
}

#[test]
fn a_call_has_two_parts_or_three() {
    let bound = |parts: &[Vec<u8>]| -> Result<(), Error> {
        let payload = to_payload(parts)?;
        let arguments = Arguments::open(&payload)?;
        Bound::new("f", 1, &[], &arguments.payload()?).map(drop)
    };
    for count in [1, 4] {
        let error = bound(&vec![Vec::new(); count]).unwrap_err().to_string();
        assert_eq!(error, "call at byte 0 is not valid: it is not a list and a dict", "{count}");
    }
}

#[test]
fn a_record_has_two_parts_or_three() {
    // The format, then an extension type of 4 bytes: a list of one name.
    let error = from_payload::<First>(&[0x01, 0xc7, 3, 16, 0x91, 0xa1, b'A']).unwrap_err();
    assert_eq!(error.to_string(), "a record has two parts or three");
}
