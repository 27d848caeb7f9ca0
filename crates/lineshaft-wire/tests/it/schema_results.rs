//! What changes for results and for programs of before, and what two documents are together.

use std::collections::BTreeMap;

use lineshaft_wire::schema::{Finding, Schema, TaskSchema, Type, compare};
use serde_json::{Value as Json, json};

fn schema(version: u32, parameters: Json, result: Json, types: Json) -> Schema {
    let task = json!({ "version": version, "from_version": 1, "parameters": parameters, "result": result });
    Schema::parse(&json!({ "format": 1, "tasks": { "t": task }, "types": types }).to_string()).unwrap()
}

fn shown(findings: &[Finding]) -> Vec<String> {
    let line = |it: &Finding| {
        let effect = it.effect.as_deref().unwrap_or("-");
        format!("{} {}: {}: {effect}", it.level.as_str(), it.path, it.change)
    };
    findings.iter().map(line).collect()
}

/// What is found where a type `Sum` of a result changes.
fn check_result_type(old: Json, new: Json, expected: &[&str]) {
    let of = |shape: Json| schema(1, json!([]), json!({ "named": "Sum" }), json!({ "Sum": shape }));
    assert_eq!(shown(&compare(&of(old), &of(new))), expected);
}

fn record(fields: Json) -> Json {
    json!({ "kind": "record", "fields": fields })
}

#[test]
fn a_result_of_another_type_is_judged_by_who_reads_it() {
    let of = |result: &str| schema(1, json!([]), json!(result), json!({}));
    for (old, new, expected) in [
        ("float", "int", "fine t(): result changed from float to int: -"),
        (
            "int",
            "float",
            "careful t(): result changed from int to float: programs of before do not expect it",
        ),
        (
            "int",
            "any",
            "careful t(): result changed from int to Any: whether programs of before can use it cannot be said",
        ),
    ] {
        assert_eq!(shown(&compare(&of(old), &of(new))), [expected]);
    }
}

#[test]
fn what_results_of_before_do_not_have_is_named_as_such() {
    let n = || json!({ "name": "n", "type": "int" });
    check_result_type(
        record(json!([n()])),
        record(json!([])),
        &[
            "breaking Sum.n: field removed: results of before cannot be read",
            "careful Sum.n: field gone, which the old code needs: programs of before cannot read results that have it",
        ],
    );
    check_result_type(
        record(json!([n()])),
        record(json!([{ "name": "n", "type": "any" }])),
        &[
            "careful Sum.n: type changed from int to Any: whether every value fits cannot be said",
            "fine Sum.n: type changed from int to Any: -",
        ],
    );
    check_result_type(
        record(json!([{ "name": "n", "type": "any" }])),
        record(json!([n()])),
        &["careful Sum.n: type changed from Any to int: whether every value fits cannot be said"],
    );
}

#[test]
fn a_type_by_another_name_is_unknown_to_programs_of_before() {
    let takes = |name: &str| json!([{ "name": "x", "type": { "named": name } }]);
    let old = schema(1, takes("Order"), json!("none"), json!({ "Order": { "kind": "exception" } }));
    let types = json!({ "Purchase": { "kind": "exception", "aliases": ["Order"] } });
    let new = schema(1, takes("Purchase"), json!("none"), types);
    let found = shown(&compare(&old, &new));
    let renamed = "careful Order: renamed to Purchase: old workers leave new jobs that have it to workers of the new code";
    assert!(found.iter().any(|line| line == renamed), "{found:#?}");
}

#[test]
fn a_default_of_another_value_is_what_jobs_of_before_get() {
    let of = |default: &str| json!([{ "name": "x", "type": "int", "default": default }]);
    let (old, new) =
        (schema(1, of("1"), json!("none"), json!({})), schema(1, of("2"), json!("none"), json!({})));
    assert_eq!(
        shown(&compare(&old, &new)),
        ["fine t(x): default changed: jobs of before that do not say it take 2"]
    );
}

#[test]
fn a_parameter_that_takes_more_is_more_than_old_workers_expect() {
    let of = |kind: &str| schema(1, json!([{ "name": "x", "type": kind }]), json!("none"), json!({}));
    assert_eq!(
        shown(&compare(&of("int"), &of("float"))),
        [
            "breaking t(x): type changed from int to float: old workers run new jobs with what they do not expect",
            "fine t(x): type changed from int to float: -",
        ]
    );
}

#[test]
fn a_parameter_by_name_alone_is_removed_or_taken_by_place() {
    let by = |kind: &str, name: &str| json!([{ "name": name, "kind": kind, "type": "int", "default": "0" }]);
    let found = |old: Json, new: Json| {
        let of = |parameters| schema(1, parameters, json!("none"), json!({}));
        shown(&compare(&of(old), &of(new))).remove(0)
    };
    assert_eq!(
        found(by("keyword_only", "x"), by("positional_only", "x")),
        "breaking t(x): parameter taken in another way: jobs of before that give it otherwise are discarded"
    );
    assert_eq!(
        found(by("keyword_only", "x"), json!([])),
        "breaking t(x): parameter removed: jobs of before that have it are discarded"
    );
}

/// Workers of several versions tell of their tasks; a client that asks sees one document.
#[test]
fn of_two_documents_the_later_version_of_a_task_counts() {
    let of = |version: u32, parameter: &str| {
        schema(version, json!([{ "name": parameter, "type": "int" }]), json!("none"), json!({}))
    };
    for (first, second, wins) in [(1, 2, "second"), (2, 1, "first"), (1, 1, "second")] {
        let mut both = of(first, "first");
        both.extend(of(second, "second"));
        assert_eq!(both.tasks["t"].parameters[0].name, wins, "{first} {second}");
    }
    let other = TaskSchema {
        id: String::new(),
        version: 1,
        from_version: 1,
        aliases: Vec::new(),
        parameters: Vec::new(),
        result: Type::None,
    };
    let mut both = of(1, "x");
    both.extend(Schema::new(BTreeMap::from([("u".to_owned(), other)]), BTreeMap::new()));
    assert_eq!(both.tasks.keys().collect::<Vec<_>>(), ["t", "u"]);
}
