//! Schemas: their form, their ids, and what is found between two of them.

use lineshaft_wire::schema::{Schema, Type, compare};
use serde_json::{Value as Json, json};

fn schema(tasks: Json, types: Json) -> Schema {
    Schema::parse(&json!({ "format": 1, "tasks": tasks, "types": types }).to_string()).unwrap()
}

/// A task `t` of version 1 with these parameters.
fn task(parameters: Json) -> Json {
    json!({ "t": { "version": 1, "from_version": 1, "parameters": parameters, "result": "none" } })
}

fn versioned(version: u32, from: u32, parameters: Json) -> Json {
    json!({ "t": { "version": version, "from_version": from, "parameters": parameters, "result": "none" } })
}

fn found(old: &Schema, new: &Schema) -> Vec<String> {
    compare(old, new)
        .iter()
        .map(|finding| format!("{} {}: {}", finding.level.as_str(), finding.path, finding.change))
        .collect()
}

/// What is found from one signature to another.
fn check_task(old: Json, new: Json, expected: &[&str]) {
    assert_eq!(
        found(&schema(task(old.clone()), json!({})), &schema(task(new.clone()), json!({}))),
        expected,
        "{old} {new}"
    );
}

/// What is found where a type `Order` in an argument changes.
fn check_type(old: Json, new: Json, expected: &[&str]) {
    let of = |shape: Json| {
        schema(task(json!([{ "name": "x", "type": { "named": "Order" } }])), json!({ "Order": shape }))
    };
    assert_eq!(found(&of(old.clone()), &of(new.clone())), expected, "{old} {new}");
}

fn record(fields: Json) -> Json {
    json!({ "kind": "record", "fields": fields })
}

const X: &str = "x";

#[test]
fn types_are_shown_as_people_write_them() {
    for (form, shown) in [
        (json!("int"), "int"),
        (json!({ "list": { "named": "shop.Order" } }), "list[shop.Order]"),
        (json!({ "dict": ["str", { "one_of": ["none", "int"] }] }), "dict[str, int | None]"),
        (json!({ "tuple": ["int", "str"] }), "tuple[int, str]"),
        (json!({ "tuple": [] }), "tuple[()]"),
        (json!({ "tuple_of": "float" }), "tuple[float, ...]"),
        (
            json!({ "one_of": [{ "literal": ["str", "'a'"] }, { "literal": ["str", "'b'"] }, "int"] }),
            "int | Literal['a', 'b']",
        ),
    ] {
        let of: Type = serde_json::from_value(form.clone()).unwrap();
        assert_eq!((of.to_string(), serde_json::to_value(&of).unwrap()), (shown.to_owned(), form));
    }
}

#[test]
fn a_document_comes_back_and_a_later_form_is_refused() {
    let whole = schema(
        task(json!([{ "name": X, "type": { "named": "Order" }, "default": "None" }])),
        json!({ "Order": record(json!([{ "name": "item", "type": "str" }])) }),
    )
    .with_ids();
    assert_eq!(Schema::parse(&serde_json::to_string(&whole).unwrap()), Ok(whole));
    assert!(Schema::parse("{\"format\": 2, \"tasks\": {}}").unwrap_err().contains("form 2"));
    assert!(Schema::parse("[]").unwrap_err().starts_with("it is no schema"));
}

#[test]
fn an_id_follows_from_everything_that_a_task_reaches_and_from_nothing_else() {
    let of = |field: &str, members: Json| {
        let types = json!({
            "Order": record(json!([{ "name": field, "type": { "list": { "named": "Colour" } } }])),
            "Colour": { "kind": "enum", "members": members },
            "Other": { "kind": "exception" },
        });
        let schema = schema(task(json!([{ "name": X, "type": { "named": "Order" } }])), types).with_ids();
        schema.tasks["t"].id.clone()
    };
    let id = of("a", json!(["RED"]));
    assert_eq!(id.len(), 16);
    assert_eq!(id, of("a", json!(["RED"])));
    assert_ne!(id, of("b", json!(["RED"])));
    assert_ne!(id, of("a", json!(["RED", "BLUE"])));
}

/// Unions are the same however they are written.
#[test]
fn a_union_has_one_form() {
    let of = |hint: Json| schema(task(json!([{ "name": X, "type": hint }])), json!({})).with_ids();
    let nested = json!({ "one_of": ["int", { "one_of": ["none", "int"] }] });
    assert_eq!(of(nested), of(json!({ "one_of": ["none", "int"] })));
    assert_eq!(of(json!({ "one_of": ["int"] })), of(json!("int")));
    assert_eq!(of(json!({ "list": { "one_of": ["any", "int"] } })), of(json!({ "list": "any" })));
}

#[test]
fn nothing_is_found_where_nothing_changed() {
    check_task(json!([{ "name": X, "type": "int" }]), json!([{ "name": X, "type": "int" }]), &[]);
}

#[test]
fn parameters_are_added_removed_and_renamed() {
    let x = || json!({ "name": X, "type": "int" });
    check_task(
        json!([x()]),
        json!([x(), { "name": "y", "type": "str" }]),
        &[
            "breaking t(y): parameter without a default, which jobs of before do not have",
            "breaking t(y): parameter added",
        ],
    );
    check_task(
        json!([x()]),
        json!([x(), { "name": "y", "type": "str", "default": "'a'" }]),
        &["breaking t(y): parameter added", "fine t(y): parameter added"],
    );
    check_task(
        json!([x(), { "name": "y", "type": "str", "default": "'a'" }]),
        json!([x()]),
        &["breaking t(y): parameter removed"],
    );
    check_task(
        json!([x()]),
        json!([{ "name": "z", "type": "int" }]),
        &["breaking t(x): parameter renamed to `z`"],
    );
    check_task(
        json!([{ "name": X, "kind": "positional_only", "type": "int" }]),
        json!([{ "name": "z", "kind": "positional_only", "type": "int" }]),
        &[],
    );
    check_task(
        json!([x(), { "name": "y", "type": "str" }]),
        json!([{ "name": "y", "type": "str" }, x()]),
        &[
            "breaking t(x): parameter moved to another place",
            "breaking t(y): parameter moved to another place",
        ],
    );
    check_task(
        json!([x()]),
        json!([{ "name": X, "kind": "keyword_only", "type": "int" }]),
        &["breaking t(x): parameter taken in another way"],
    );
    check_task(
        json!([x(), { "name": "y", "type": "int" }]),
        json!([x(), { "name": "rest", "kind": "var_positional", "type": "int" },
               { "name": "more", "kind": "var_keyword", "type": "int" }]),
        // What takes everything breaks no job of before; new jobs may have more than old workers take.
        &[
            "breaking t(more): parameter added",
            "breaking t(rest): parameter added",
            "breaking t(y): parameter may be left out",
        ],
    );
}

#[test]
fn a_raised_version_keeps_new_jobs_from_old_workers_and_a_raised_from_version_old_jobs_from_new_ones() {
    let (before, now) = (json!([{ "name": X, "type": "int" }]), json!([{ "name": "y", "type": "str" }]));
    let of =
        |version, from, parameters: &Json| schema(versioned(version, from, parameters.clone()), json!({}));
    assert_eq!(
        found(
            &of(1, 1, &before),
            &of(2, 1, &json!([{ "name": X, "type": "int" }, { "name": "y", "type": "int", "default": "0" }]))
        ),
        ["fine t: version raised from 1 to 2", "fine t(y): parameter added"]
    );
    assert_eq!(
        found(&of(1, 1, &before), &of(2, 2, &now)),
        ["careful t: runs no jobs of version 1 any more", "fine t: version raised from 1 to 2"]
    );
    assert_eq!(
        found(&of(3, 1, &before), &of(4, 4, &now)),
        ["careful t: runs no jobs of versions 1 to 3 any more", "fine t: version raised from 3 to 4"]
    );
    assert_eq!(found(&of(2, 1, &before), &of(1, 1, &before)), ["breaking t: version went back from 2 to 1"]);
}

#[test]
fn numbers_widen_and_unions_grow() {
    let of = |kind: Json| json!([{ "name": X, "type": kind }]);
    let fine = |change: &str| format!("fine t(x): type changed from {change}");
    let breaking = |change: &str| format!("breaking t(x): type changed from {change}");
    let both = |old: Json, new: Json| {
        let (old, new) =
            (schema(versioned(1, 1, of(old)), json!({})), schema(versioned(2, 1, of(new)), json!({})));
        found(&old, &new).into_iter().filter(|it| it.contains("t(x)")).collect::<Vec<_>>()
    };
    for (old, new, change) in [
        (json!("int"), json!("float"), "int to float"),
        (json!("bool"), json!("int"), "bool to int"),
        (json!("int"), json!({ "one_of": ["none", "int"] }), "int to int | None"),
        (json!({ "list": "int" }), json!({ "list": "float" }), "list[int] to list[float]"),
        (
            json!({ "tuple": ["int", "int"] }),
            json!({ "tuple_of": "int" }),
            "tuple[int, int] to tuple[int, ...]",
        ),
        (json!({ "literal": ["str", "'a'"] }), json!("str"), "Literal['a'] to str"),
        (json!("int"), json!("any"), "int to Any"),
    ] {
        assert_eq!(both(old, new), [fine(change)]);
    }
    for (old, new, change) in [
        (json!("float"), json!("int"), "float to int"),
        (json!("str"), json!("int"), "str to int"),
        (json!({ "list": "int" }), json!({ "set": "int" }), "list[int] to set[int]"),
        (json!({ "one_of": ["none", "int"] }), json!("int"), "int | None to int"),
        (json!({ "tuple": ["int"] }), json!({ "tuple": ["int", "int"] }), "tuple[int] to tuple[int, int]"),
    ] {
        assert_eq!(both(old, new), [breaking(change)]);
    }
    assert_eq!(both(json!("any"), json!("int")), ["careful t(x): type changed from Any to int"]);
}

#[test]
fn a_field_is_added_with_a_default_renamed_and_removed() {
    let item = || json!({ "name": "item", "type": "str" });
    check_type(
        record(json!([item()])),
        record(json!([item(), { "name": "count", "type": "int", "default": "1" }])),
        &["careful Order.count: field added", "fine Order.count: field added"],
    );
    check_type(
        record(json!([item()])),
        record(json!([item(), { "name": "count", "type": "int" }])),
        &[
            "breaking Order.count: field without a default, which values of before do not have",
            "careful Order.count: field added",
        ],
    );
    check_type(
        record(json!([item(), { "name": "note", "type": "str", "default": "''" }])),
        record(json!([item()])),
        &["breaking Order.note: field removed"],
    );
    check_type(
        record(json!([item(), { "name": "note", "type": "str" }])),
        json!({ "kind": "record", "fields": [item()], "removed": ["note"] }),
        &["careful Order.note: field gone, which the old code needs", "fine Order.note: field removed"],
    );
    check_type(
        record(json!([item()])),
        json!({ "kind": "record", "fields": [{ "name": "article", "type": "str" }], "renamed": { "item": "article" } }),
        &[
            "careful Order.article: field added",
            "careful Order.item: field gone, which the old code needs",
            "fine Order.item: field renamed to `article`",
        ],
    );
    check_type(
        record(json!([item()])),
        record(json!([{ "name": "item", "type": "int" }])),
        &[
            "breaking Order.item: type changed from str to int",
            "breaking Order.item: type changed from str to int",
        ],
    );
}

#[test]
fn members_are_added_and_removed() {
    let of = |members: Json| json!({ "kind": "enum", "members": members });
    check_type(of(json!(["RED"])), of(json!(["RED", "BLUE"])), &["careful Order.BLUE: member added"]);
    check_type(of(json!(["RED", "BLUE"])), of(json!(["RED"])), &["breaking Order.BLUE: member removed"]);
    let flag = |members: Json| json!({ "kind": "flag", "members": members });
    check_type(
        flag(json!({ "R": 1, "W": 2 })),
        flag(json!({ "R": 1 })),
        &["breaking Order.W: member removed"],
    );
    check_type(flag(json!({ "R": 1 })), flag(json!({ "READ": 1 })), &[]);
    check_type(
        of(json!(["RED"])),
        record(json!([])),
        &["breaking Order: another kind of type", "careful Order: another kind of type"],
    );
}

#[test]
fn names_of_before_find_what_is_called_otherwise_now() {
    let x = || json!([{ "name": X, "type": { "named": "Order" } }]);
    let old = schema(task(x()), json!({ "Order": { "kind": "exception" } }));
    let now = json!({ "u": { "version": 1, "from_version": 1, "aliases": ["t"], "result": "none",
                             "parameters": [{ "name": X, "type": { "named": "Purchase" } }] } });
    let new = schema(now.clone(), json!({ "Purchase": { "kind": "exception", "aliases": ["Order"] } }));
    assert_eq!(
        found(&old, &new),
        ["careful t: renamed to u", "fine u(x): type changed from Order to Purchase"]
    );
    let other = schema(now, json!({ "Purchase": { "kind": "exception" } }));
    assert_eq!(
        found(&old, &other),
        ["breaking u(x): type changed from Order to Purchase", "careful t: renamed to u"]
    );
    assert_eq!(found(&old, &schema(json!({}), json!({}))), ["breaking t: task removed"]);
    assert_eq!(found(&schema(json!({}), json!({})), &old), ["fine t: task added"]);
}

#[test]
fn types_of_results_are_read_by_programs_rather_than_workers() {
    let of = |fields: Json| {
        let tasks = json!({ "t": { "version": 1, "from_version": 1, "parameters": [], "result": { "named": "Sum" } } });
        schema(tasks, json!({ "Sum": record(fields) }))
    };
    let (old, new) = (of(json!([])), of(json!([{ "name": "n", "type": "int", "default": "0" }])));
    let findings = compare(&old, &new);
    let effects: Vec<_> =
        findings.iter().map(|finding| finding.effect.as_deref().unwrap_or_default()).collect();
    assert_eq!(
        effects,
        ["programs of before cannot read results that have it", "values of before take its default, 0"]
    );
}
