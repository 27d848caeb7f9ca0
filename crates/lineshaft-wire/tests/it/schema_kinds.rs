//! Kinds of values in schemas: how they are written, what they reach, and which take each other's values.

use lineshaft_wire::schema::{Schema, Type, compare};
use serde_json::{Value as Json, json};

/// A task `t` whose one parameter is `of`.
fn taking(of: Json, types: Json) -> Schema {
    let task = json!({ "version": 1, "from_version": 1, "parameters": [{ "name": "x", "type": of }], "result": "none" });
    Schema::parse(&json!({ "format": 1, "tasks": { "t": task }, "types": types }).to_string()).unwrap()
}

#[test]
fn plain_kinds_are_shown_by_the_names_of_their_types() {
    for (form, shown) in [
        ("any", "Any"),
        ("none", "None"),
        ("bool", "bool"),
        ("int", "int"),
        ("float", "float"),
        ("complex", "complex"),
        ("str", "str"),
        ("bytes", "bytes"),
        ("bytearray", "bytearray"),
        ("decimal", "Decimal"),
        ("uuid", "UUID"),
        ("datetime", "datetime"),
        ("date", "date"),
        ("time", "time"),
        ("timedelta", "timedelta"),
        ("range", "range"),
        ("ellipsis", "EllipsisType"),
        ("job", "Job"),
        ("array", "ndarray"),
        ("table", "Table"),
        ("pickled", "Pickled"),
    ] {
        let of: Type = serde_json::from_value(json!(form)).unwrap();
        assert_eq!(of.to_string(), shown);
    }
    let frozen: Type = serde_json::from_value(json!({ "frozenset": "int" })).unwrap();
    assert_eq!(frozen.to_string(), "frozenset[int]");
}

/// A type is part of the task's id wherever it stands, so that a change of it is noticed.
#[test]
fn a_type_is_reached_through_whatever_holds_it() {
    let named = || json!({ "named": "Colour" });
    for of in [
        named(),
        json!({ "list": named() }),
        json!({ "set": named() }),
        json!({ "frozenset": named() }),
        json!({ "tuple_of": named() }),
        json!({ "tuple": ["int", named()] }),
        json!({ "dict": [named(), "int"] }),
        json!({ "dict": ["int", named()] }),
        json!({ "one_of": ["int", named()] }),
        json!({ "literal": [named(), "Colour.RED"] }),
    ] {
        let id = |members: Json| {
            let types = json!({ "Colour": { "kind": "enum", "members": members } });
            taking(of.clone(), types).with_ids().tasks["t"].id.clone()
        };
        assert_ne!(id(json!(["RED"])), id(json!(["RED", "BLUE"])), "{of}");
    }
}

#[test]
fn a_type_may_hold_itself() {
    let node = |field: &str| {
        let fields = json!([{ "name": field, "type": { "one_of": ["none", { "named": "Node" }] } },
                            { "name": "twin", "type": { "named": "Node" } }]);
        taking(json!({ "named": "Node" }), json!({ "Node": { "kind": "record", "fields": fields } }))
    };
    assert_eq!(node("next").with_ids().tasks["t"].id, node("next").with_ids().tasks["t"].id);
    assert_ne!(node("next").with_ids().tasks["t"].id, node("last").with_ids().tasks["t"].id);
}

#[test]
fn unions_have_one_form_inside_other_kinds_too() {
    let (long, short) =
        (json!({ "one_of": ["int", { "one_of": ["none"] }] }), json!({ "one_of": ["none", "int"] }));
    for kind in ["list", "set", "frozenset", "tuple_of"] {
        assert_eq!(
            taking(json!({ kind: long }), json!({})),
            taking(json!({ kind: short }), json!({})),
            "{kind}"
        );
    }
    for kind in ["dict", "tuple"] {
        let of = |union: &Json| json!({ kind: ["str", union] });
        assert_eq!(taking(of(&long), json!({})), taking(of(&short), json!({})), "{kind}");
    }
}

/// Whether jobs of before are taken, as the levels of what is found say.
#[test]
fn parts_decide_what_the_whole_takes() {
    let level = |old: Json, new: Json| {
        let found = compare(&taking(old, json!({})), &taking(new, json!({})));
        let of_before =
            found.iter().filter(|it| !it.effect.as_deref().is_some_and(|it| it.starts_with("old workers")));
        of_before.map(|finding| finding.level.as_str()).collect::<Vec<_>>()
    };
    for (old, new) in [
        (json!({ "tuple": ["int", "bool"] }), json!({ "tuple": ["float", "int"] })),
        (json!({ "dict": ["str", "int"] }), json!({ "dict": ["str", "float"] })),
        (json!({ "frozenset": "int" }), json!({ "frozenset": "complex" })),
    ] {
        assert_eq!(level(old.clone(), new.clone()), ["fine"], "{old} {new}");
        assert_eq!(level(new.clone(), old.clone()), ["breaking"], "{new} {old}");
    }
    let other = json!({ "other": "Callable" });
    assert_eq!(level(other.clone(), json!("int")), ["careful"]);
    assert_eq!(level(json!("int"), other), ["careful"]);
}
