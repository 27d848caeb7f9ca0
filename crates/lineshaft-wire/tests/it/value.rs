//! Values come back as they were; hostile bytes are errors within limits; people can read them.

use std::time::Duration;

use lineshaft_wire::JobId;
use lineshaft_wire::value::{
    Call, DECODED_BYTES_MAX, DEPTH_MAX, Date, DateTime, Dtype, EnumMember, Exception, Reader, Record, Table,
    Time, TimeDelta, Token, Value, ValueError, Writer, Zone, decode, decode_call, encode, encode_call,
    encode_failure_call, typed,
};
use proptest::prelude::*;

fn boxed(text: &str) -> Box<str> {
    text.into()
}

fn decode_value(bytes: &[u8]) -> Result<Value, ValueError> {
    decode(&[&[0x01], bytes].concat())
}

fn refused(bytes: &[u8]) -> String {
    decode_value(bytes).unwrap_err().to_string()
}

fn nested(depth: u32) -> Value {
    (1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))
}

fn record() -> Value {
    Value::Record(Box::new(Record {
        type_name: "shop.Order".into(),
        fields: vec![(boxed("id"), 3.into()), (boxed("total"), Value::Decimal("1.20".into()))],
        state: Vec::new(),
    }))
}

#[test]
fn a_call_is_a_list_of_a_list_and_a_dict() {
    let call = Call { positional: vec![2.into(), 3.into()], keywords: Vec::new() };
    let bytes = encode_call(&call).unwrap();
    assert_eq!(bytes, [0x01, 0x92, 0x92, 2, 3, 0x80]);
    assert_eq!(decode_call(&bytes).unwrap(), call);
    let call = Call { positional: vec![record()], keywords: vec![(boxed("to"), "a@b.c".into())] };
    assert_eq!(decode_call(&encode_call(&call).unwrap()).unwrap(), call);
    assert_eq!(call.to_string(), "(Order(id=3, total=Decimal('1.20')), to='a@b.c')");
}

/// What a handler of a failure is given, whichever version of it.
#[test]
fn a_handler_s_call_names_the_job_that_failed() {
    let job = JobId::direct(1_790_000_000_000, 0, 3, 1);
    let call = Call { positional: vec![job.into()], keywords: Vec::new() };
    assert_eq!(encode_failure_call(job, 1), encode_call(&call).unwrap());
    let later = encode_failure_call(job, 3);
    assert_eq!(decode_call(&later).unwrap(), call);
    assert_eq!(later.last(), Some(&3), "the version is the last of its three parts");
}

#[test]
fn lengths_at_the_edges_of_their_forms_come_back() {
    for length in [31, 32, 0xff, 0x100, 0xffff, 0x1_0000] {
        let text = Value::from("a".repeat(length));
        assert_eq!(decode(&encode(&text).unwrap()).unwrap(), text, "{length}");
    }
    for length in [15, 16, 0xffff, 0x1_0000] {
        let dict = Value::Dict((0..length).map(|key| (key.into(), Value::None)).collect());
        assert_eq!(decode(&encode(&dict).unwrap()).unwrap(), dict, "{length}");
    }
}

#[test]
fn values_are_made_from_what_rust_has() {
    assert_eq!(Value::from(vec![Some(1), None]), Value::List(vec![1.into(), Value::None]));
    let half_day = Duration::from_micros(129_600_000_001);
    let delta = TimeDelta { days: 1, seconds: 43_200, microseconds: 1 };
    assert_eq!(TimeDelta::try_from(half_day), Ok(delta));
    assert_eq!(Duration::try_from(delta), Ok(half_day));
    let error = TimeDelta::try_from(Duration::from_secs(1_000_000_000 * 86_400)).unwrap_err();
    assert_eq!(error, "a duration of a billion days or more is no timedelta");
}

/// Whoever builds objects keeps them by these numbers, for references to come.
#[test]
fn a_reader_and_a_writer_number_what_references_may_name_alike() {
    let mut writer = Writer::default();
    assert_eq!(writer.next_number(), 0);
    writer.begin_list(2).unwrap();
    assert_eq!(writer.next_number(), 1);
    writer.int(5);
    writer.begin_dict(0).unwrap();
    assert_eq!(writer.next_number(), 2);
    writer.end();
    writer.end();
    let bytes = writer.finish(&[]).unwrap();
    let mut reader = Reader::new(&bytes[1..]);
    for (token, number) in [(Token::List(2), 0), (Token::Int(5), 0), (Token::Dict(0), 1)] {
        assert_eq!((reader.next_token().unwrap(), reader.last_number()), (token, number));
    }
}

#[test]
fn what_is_no_call_is_refused() {
    let refused = |value: Value| decode_call(&encode(&value).unwrap()).unwrap_err().to_string();
    assert_eq!(refused(5.into()), "call at byte 0 is not valid: it is not a list");
    assert_eq!(refused(nested(2)), "call at byte 0 is not valid: it is not a list and a dict");
    let keyed_by_number = Value::Dict(vec![(1.into(), 2.into())]);
    let error = refused(Value::List(vec![Value::List(Vec::new()), keyed_by_number]));
    assert_eq!(error, "call at byte 0 is not valid: the name of an argument is not text");
}

#[test]
fn depth_is_limited_both_ways() {
    let deepest = nested(DEPTH_MAX);
    assert_eq!(decode(&encode(&deepest).unwrap()).unwrap(), deepest);
    assert_eq!(encode(&nested(DEPTH_MAX + 1)).unwrap_err().to_string(), "nested deeper than 128 levels");
    assert_eq!(refused(&vec![0x91; 1_000_000]), "nested deeper than 128 levels");
    let tuples = [0xc9, 0x00, 0xff, 0xff, 0xff, 1, 0x91];
    assert!(decode_value(&tuples.repeat(1_000)).is_err());
}

#[test]
fn announced_lengths_are_compared_with_what_is_there() {
    for announcement in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
        &[0xdf, 0x7f, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 4],
    ] {
        assert!(refused(announcement).starts_with("value ends early"), "{announcement:x?}");
    }
    assert_eq!(refused(&[0x92, 1]), "value ends early: 1 more bytes are announced at byte 1 than there are");
}

#[test]
fn bytes_that_become_too_much_memory_are_refused() {
    let limit = "too many elements: once decoded they take more than 768 MiB of memory";
    let with_count = |tag: u8, count: usize, elements: &[u8]| {
        [&[tag][..], &(count as u32).to_be_bytes(), elements].concat()
    };
    let empty_dicts = |count: usize| with_count(0xdd, count, &vec![0x80; count]);
    let most = ((DECODED_BYTES_MAX - 64) / 216) as usize;
    assert_eq!(Reader::new(&empty_dicts(most)).skip(), Ok(()));
    assert_eq!(refused(&empty_dicts(most + 1)), limit);
    let most = (DECODED_BYTES_MAX / 128) as usize;
    assert_eq!(refused(&with_count(0xdf, most, &vec![0xc0; 2 * most])), limit, "before the first is read");
}

#[test]
fn what_would_take_too_much_memory_does_not_encode() {
    let limit = Err(ValueError::TooMuchMemory { limit_bytes: DECODED_BYTES_MAX });
    let most = |each| (DECODED_BYTES_MAX / each) as usize;
    assert_eq!(Writer::default().begin_list(most(40)), limit);
    assert_eq!(Writer::default().begin_dict(most(128)), limit);
    assert_eq!(Writer::default().begin_set(most(144)), limit);
    let mut writer = Writer::default();
    writer.begin_list(most(40) - 2).unwrap();
    assert_eq!(writer.str("a"), limit);
}

#[test]
fn malformed_values_are_refused_with_the_place() {
    let cases: [(&[u8], &str); 24] = [
        (&[0xc1], "expected a value at byte 0, found a byte that MessagePack never uses"),
        (&[0xa2, 0xc3, 0x28], "text at byte 1 is not UTF-8"),
        (&[0xc0, 0xc0], "1 bytes follow the end of the value at byte 1"),
        (&[0xd6, 0xff, 0, 0, 0, 0], "expected a list at byte 2, found an integer"),
        (
            &[0xc7, 1, 100, 0x90],
            "extension type 100 (unknown extension) at byte 3 cannot be read by this version",
        ),
        (&[0xc7, 2, 1, 0x90, 0x90], "1 bytes follow the end of the value at byte 4"),
        (&[0xc7, 4, 9, 0x93, 1, 13, 1], "date at byte 4 is not valid: there is no such day"),
        (&[0xc7, 2, 9, 0x91, 1], "date at byte 3 is not valid: it has the wrong number of parts"),
        (&[0xc7, 5, 9, 0x93, 0xa1, b'x', 1, 1], "expected an integer at byte 4, found text"),
        (&[0xc7, 7, 10, 0x96, 0, 0, 0, 0, 0, 0xc3], "expected a zone at byte 9, found a truth value"),
        (
            &[0xc7, 8, 11, 0x93, 0, 0xd2, 0, 1, 0x51, 0x80, 0],
            "timedelta at byte 4 is not valid: a number out of range",
        ),
        (&[0xc7, 3, 12, 0x92, 1, 2], "expected a float at byte 4, found an integer"),
        (
            &[0xc7, 4, 15, 0x92, 0xa1, b'C', 0xc0],
            "enum at byte 4 is not valid: a member is named by text or an integer",
        ),
        (
            &[0xc7, 5, 18, 0x94, 1, 0x90, 0xa1, b'C'],
            "array at byte 4 is not valid: its type is neither text nor a list",
        ),
        (
            &[0xc7, 9, 18, 0x94, 0xa3, b'|', b'u', b'1', 0x90, 0xa1, b'D', 0],
            "array at byte 9 is not valid: the order is neither C nor F",
        ),
        (&[0xc7, 6, 19, 0x92, 0xa3, b'|', b'u', b'1', 0x90], "expected bytes at byte 8, found a list"),
        (&[0xc7, 4, 17, 0x93, 0xc0, 0x90, 0x80], "expected text at byte 4, found none"),
        (&[0xc7, 1, 7, 1], "uuid at byte 3 is not valid: it is not 16 bytes"),
        (&[0xc7, 1, 26, 1], "job at byte 3 is not valid: it is not the id of a job"),
        (
            &[0xc7, 4, 13, 0x93, 1, 2, 0],
            "range at byte 4 is not valid: a bound is not an integer or the step is 0",
        ),
        (&[0xc7, 1, 21, 0], "reference at byte 3 names value 0, which does not come before it"),
        (&[0xc7, 1, 14, 0], "ellipsis at byte 3 is not valid: it is not empty"),
        (
            &[0xc7, 11, 18, 0x94, 0xa3, b'|', b'u', b'1', 0x91, 4, 0xa1, b'C', 0, 0],
            "array needs buffer 0 of 4 bytes, the payload has None",
        ),
        (
            // More elements than 64 bits count, which an empty buffer was enough for.
            &[
                0xc7, 27, 18, 0x94, 0xa3, b'|', b'u', b'1', 0x92, 0xcf, 64, 0, 0, 0, 0, 0, 0, 0, 0xcf, 64, 0,
                0, 0, 0, 0, 0, 0, 0xa1, b'C', 0,
            ],
            "array needs buffer 0 of 18446744073709551615 bytes, the payload has None",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refused(bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn a_buffer_is_used_once() {
    let array = Value::Array(Box::new(lineshaft_wire::value::Array {
        dtype: lineshaft_wire::value::Dtype::Simple("|u1".into()),
        shape: vec![1],
        is_fortran: false,
        data: bytes::Bytes::from_static(b"x"),
    }));
    let mut bytes = encode(&Value::List(vec![array.clone(), array])).unwrap();
    let second_index = bytes.iter().rposition(|byte| *byte == 1).unwrap();
    bytes[second_index] = 0;
    let error = decode(&bytes).unwrap_err().to_string();
    assert!(error.ends_with("its buffer is not the next one"), "{error}");
}

#[test]
fn references_are_numbered_in_the_order_of_beginning() {
    let inner = Value::List(vec![1.into()]);
    let shared =
        Value::List(vec![Value::Dict(vec![("a".into(), inner)]), Value::Reference(2), Value::Reference(0)]);
    let bytes = encode(&shared).unwrap();
    assert_eq!(bytes[0], 0x41, "the format says that there are references");
    assert_eq!(decode(&bytes).unwrap(), shared);
    assert_eq!(shared.to_string(), "[{'a': [1]}, <same as value 2>, <same as value 0>]");
}

/// Such a list inside itself passed for a plain value of Rust's, which could be written and not be read again.
#[test]
fn a_reference_that_is_not_announced_is_refused() {
    let mut bytes = encode(&Value::List(vec![Value::Reference(0)])).unwrap();
    bytes[0] = 0x01;
    let expected = "reference at byte 4 is not valid: the payload says that it has none";
    assert_eq!(decode(&bytes).unwrap_err().to_string(), expected);
    assert!(typed::from_payload::<Value>(&bytes).is_err());
}

#[test]
fn values_are_shown_as_python_does() {
    let cases: Vec<(Value, &str)> = vec![
        (Value::None, "None"),
        (true.into(), "True"),
        (1e16.into(), "1e+16"),
        (1.5e-7.into(), "1.5e-07"),
        ((-0.0).into(), "-0.0"),
        (f64::NAN.into(), "nan"),
        ("it's".into(), "\"it's\""),
        ("a\n\"'\\\u{1}".into(), r#"'a\n"\'\\\x01'"#),
        (Value::Bytes((*b"\x00a'").into()), r#"b"\x00a'""#),
        (Value::Tuple(vec![1.into()]), "(1,)"),
        (Value::Set(Vec::new()), "set()"),
        (Value::FrozenSet(vec![1.into()]), "frozenset({1})"),
        (Value::Complex(0.0, 2.0), "2j"),
        (Value::Complex(1.5, -2.0), "(1.5-2j)"),
        (Value::Range(Box::new([0.into(), 3.into(), 1.into()])), "range(0, 3)"),
        (record(), "Order(id=3, total=Decimal('1.20'))"),
        (member("RED".into()), "Color.RED"),
        (member(5.into()), "Color(5)"),
        (Value::Complex(1.5, 2.0), "(1.5+2j)"),
        (scalar("|b1", &[1]), "numpy.True_"),
        (scalar("|i1", &[0xff]), "numpy.int8(-1)"),
        (scalar("<u2", &[1, 2]), "numpy.uint16(513)"),
        (scalar("<f4", &0.1_f32.to_le_bytes()), "numpy.float32(0.1)"),
        (scalar("<M8[s]", &[0; 2]), r"numpy.scalar('<M8[s]', b'\x00\x00')"),
        (Value::TimeDelta(TimeDelta { days: 0, seconds: 0, microseconds: 0 }), "datetime.timedelta(0)"),
        (
            Value::TimeDelta(TimeDelta { days: -1, seconds: 5, microseconds: 0 }),
            "datetime.timedelta(days=-1, seconds=5)",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(value.to_string(), expected);
    }
}

fn scalar(dtype: &str, bytes: &[u8]) -> Value {
    Value::ArrayScalar(Box::new((Dtype::Simple(dtype.into()), bytes.into())))
}

#[test]
fn what_an_instance_keeps_beside_its_fields_comes_back_but_is_not_shown() {
    let Value::Record(mut with_state) = record() else { unreachable!() };
    with_state.state = vec![(boxed("set"), Value::List(vec!["id".into()]))];
    let with_state = Value::Record(with_state);
    assert_eq!(decode(&encode(&with_state).unwrap()).unwrap(), with_state);
    assert_eq!(with_state.to_string(), record().to_string());
}

fn member(member: Value) -> Value {
    Value::Enum(Box::new(EnumMember { type_name: "shop.Color".into(), member }))
}

#[test]
fn a_summary_is_as_long_as_asked() {
    let value = Value::List(vec![Value::Int(7); 1_000_000]);
    assert_eq!(value.summary(12), "[7, 7, 7, 7…");
    assert_eq!(Value::from("ab").summary(4), "'ab'");
    assert_eq!(Value::from("ab").summary(0), "…");
}

fn zone() -> impl Strategy<Value = Zone> {
    prop_oneof![
        Just(Zone::Naive),
        (-86_399_999_999_i64..86_400_000_000, proptest::option::of("[A-Z]{3}"))
            .prop_map(|(microseconds, name)| Zone::Offset { microseconds, name: name.map(Into::into) }),
        Just(Zone::Key("Europe/Berlin".into())),
    ]
}

fn date_time() -> impl Strategy<Value = DateTime> {
    let date = (1_u16..=9999, 1_u8..=12, 1_u8..=28).prop_map(|(year, month, day)| Date { year, month, day });
    let time = (0_u8..24, 0_u8..60, 0_u8..60, 0_u32..1_000_000, 0_u8..2, zone()).prop_map(
        |(hour, minute, second, microsecond, fold, zone)| Time {
            hour,
            minute,
            second,
            microsecond,
            fold,
            zone,
        },
    );
    (date, time).prop_map(|(date, time)| DateTime { date, time })
}

fn leaf() -> impl Strategy<Value = Value> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Vec::into_boxed_slice);
    prop_oneof![
        Just(Value::None),
        Just(Value::Ellipsis),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Into::into),
        any::<i128>().prop_map(Value::Int),
        (-200_i64..200).prop_map(Into::into),
        any::<f64>().prop_filter("equal to itself", |value| !value.is_nan()).prop_map(Value::Float),
        ".{0,40}".prop_map(Value::from),
        bytes().prop_map(Value::Bytes),
        bytes().prop_map(Value::ByteArray),
        any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(uuid::Uuid::from_bytes(bytes))),
        any::<u32>().prop_map(|slot| Value::Job(JobId::direct(1_790_000_000_000, 0, slot, 1))),
        date_time().prop_map(|moment| Value::DateTime(Box::new(moment))),
        date_time().prop_map(|moment| Value::Time(Box::new(moment.time))),
        date_time().prop_map(|moment| Value::Date(moment.date)),
        (-999_999_999..=999_999_999_i32, 0..86_400_u32, 0..1_000_000_u32).prop_map(
            |(days, seconds, microseconds)| Value::TimeDelta(TimeDelta { days, seconds, microseconds })
        ),
        "[0-9]{1,9}".prop_map(|text| Value::Decimal(text.into())),
        "[A-Z]{1,9}".prop_map(|name| member(name.into())),
        bytes().prop_map(Value::Pickle),
        bytes().prop_map(|stream| {
            Value::Table(Box::new(Table { kind: "table".into(), stream: stream.into_vec().into() }))
        }),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 60, 8, |inner| {
        let values = || proptest::collection::vec(inner.clone(), 0..20);
        let fields = || {
            let field = ("[a-z]{1,8}", inner.clone()).prop_map(|(name, value)| (name.into(), value));
            proptest::collection::vec(field, 0..6)
        };
        prop_oneof![
            values().prop_map(Value::List),
            values().prop_map(Value::Tuple),
            values().prop_map(Value::Set),
            values().prop_map(Value::FrozenSet),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..20).prop_map(Value::Dict),
            (fields(), fields()).prop_map(|(fields, state)| {
                Value::Record(Box::new(Record { type_name: "a.B".into(), fields, state }))
            }),
            (values(), fields()).prop_map(|(arguments, attributes)| {
                Value::Exception(Box::new(Exception { type_name: "a.E".into(), arguments, attributes }))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_comes_back(value in any_value()) {
        prop_assert_eq!(decode(&encode(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_value(&bytes);
        let _ = decode(&bytes);
    }

    #[test]
    fn damage_never_panics(value in any_value(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = encode(&value).unwrap();
        let index = at % bytes.len();
        bytes[index] = byte;
        if let Ok(value) = decode(&bytes) {
            let _ = value.summary(1_000);
        }
    }
}

/// What is passed over without a token is passed over as its token says, truncated or not.
#[test]
fn numbers_and_short_containers_are_read_alike_with_and_without_a_token() {
    for (tag, length) in (0..=0xff_u8).flat_map(|tag| (0..=40).map(move |length| (tag, length))) {
        let bytes = [vec![tag], vec![1; length]].concat();
        let (mut by_token, mut without) = (Reader::new(&bytes), Reader::new(&bytes));
        let token = by_token.next_token();
        let (expected, found) = match token {
            Ok(Token::List(length)) => (Ok(length), without.plain_list()),
            Ok(Token::Dict(length)) => (Ok(length), without.plain_dict()),
            Ok(Token::Ext(..)) => continue,
            Ok(_) => (Ok(0), without.skip().map(|()| 0)),
            Err(error) => (Err(error), without.skip().map(|()| 0)),
        };
        assert_eq!(found, expected, "{tag:#x} and {length} bytes");
        assert!(expected.is_err() || by_token.offset() == without.offset(), "{tag:#x} and {length} bytes");
    }
}
