//! One object in several places: a reference names the right one, whatever stands before it.

use bytes::Bytes;
use lineshaft_wire::value::typed::from_value;
use lineshaft_wire::value::{Array, Dtype, Exception, Record, Table, Value};

fn list() -> Value {
    Value::List(vec!["the shared one".into()])
}

/// A list of `before`, an object and a reference to the object, whose number is `number`, becomes a list with two copies.
fn check(before: Value, number: u32) {
    let whole = Value::List(vec![before.clone(), list(), Value::Reference(number)]);
    let read = from_value::<Value>(&whole).unwrap_or_else(|error| panic!("{before}: {error}"));
    assert_eq!(read, Value::List(vec![before, list(), list()]));
}

#[test]
fn what_has_no_number_counts_for_nothing() {
    check(5.into(), 1);
    check(Value::Tuple(vec![1.into()]), 1);
    check(Value::FrozenSet(vec![1.into()]), 1);
    check(Value::ArrayScalar(Box::new((Dtype::Simple("|u1".into()), [1].into()))), 1);
}

#[test]
fn what_has_a_number_counts_with_all_that_it_holds() {
    let inner = || Value::List(Vec::new());
    check(inner(), 2);
    check(Value::List(vec![inner(), inner()]), 4);
    check(Value::Tuple(vec![inner(), inner()]), 3);
    check(Value::Set(vec![1.into()]), 2);
    check(Value::FrozenSet(vec![Value::Tuple(vec![Value::ByteArray((*b"a").into())])]), 2);
    check(Value::Dict(vec![("a".into(), inner())]), 3);
    check(Value::Table(Box::new(Table { kind: "table".into(), stream: Bytes::from_static(b"rows") })), 2);
    check(
        Value::Record(Box::new(Record {
            type_name: "a.B".into(),
            fields: vec![("x".into(), inner())],
            state: vec![("y".into(), inner())],
        })),
        4,
    );
    check(
        Value::Exception(Box::new(Exception {
            type_name: "a.E".into(),
            arguments: vec![inner()],
            attributes: vec![("notes".into(), inner())],
        })),
        4,
    );
}

#[test]
fn the_fields_of_an_array_s_elements_count_too() {
    let fields = || Value::List(vec![Value::Tuple(vec!["x".into(), "<i4".into()])]);
    let array = Array {
        dtype: Dtype::Structured(fields()),
        shape: vec![1],
        is_fortran: false,
        data: Bytes::from_static(&[0; 4]),
    };
    check(Value::Array(Box::new(array)), 3);
    check(Value::ArrayScalar(Box::new((Dtype::Structured(fields()), [0; 4].into()))), 2);
}
