//! What `#[task]` and `#[value]` make of a declaration.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use lineshaft::Context;
use lineshaft::task::{self, Error, Task};
use lineshaft::value::{Date, EnumMember, Record, Value, from_payload, to_payload, to_value};
use lineshaft::worker::{End, Ending};

use super::block_on;

#[lineshaft::value("img.Thumb", aliases = ["img.OldThumb"])]
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Thumb {
    pub(super) path: String,
    pub(super) size: (u32, u32),
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

#[lineshaft::value("shop.Color")]
#[derive(Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Color {
    Red,
}

#[lineshaft::value("shop.Mixed")]
#[derive(serde::Serialize, serde::Deserialize)]
struct DerivesItself {
    number: u8,
}

#[lineshaft::task(name = "img.resize", queue = "img", retries = 3)]
pub(super) async fn resize(ctx: &Context, src: String, size: (u32, u32)) -> Result<Thumb, Error> {
    tokio::task::yield_now().await;
    Ok(Thumb { path: format!("{src}@{}", ctx.attempt()), size, tags: Vec::new() })
}

/// Everything that a declaration may leave out.
#[lineshaft::task]
fn plain() {}

#[lineshaft::task(
    name = "shop.order",
    priority = 2,
    timeout = "1h30m",
    delivery = "at_most_once",
    result = false,
    tags = ["a", "b"]
)]
fn order(
    id: u64,
    mut note: Option<String>,
    #[default = 2 * 2] count: u8,
    extra: HashMap<String, Value>,
) -> io::Result<String> {
    if id == 0 {
        return Err(io::Error::other("no order has the number 0"));
    }
    note.get_or_insert_with(|| "none".to_owned());
    Ok(format!("{id} {note:?} {count} {}", extra.len()))
}

#[lineshaft::task(name = "ends")]
async fn ends(how: String) -> task::Result<u8> {
    tokio::task::yield_now().await;
    match how.as_str() {
        "parse" => Ok("x".parse::<u8>()?),
        "panic" => panic!("went {how}"),
        "later" => Err(Error::retry_after(Duration::from_secs(5))),
        _ => Err(Error::discard("never")),
    }
}

fn wait(attempt: u32, _: &Error) -> Duration {
    Duration::from_secs(attempt.into())
}

#[lineshaft::task(name = "waits", aliases = ["waited"], retries = 5, retry(never = [io::Error, "panic"], after = wait))]
async fn waits(how: String) -> task::Result<()> {
    tokio::task::yield_now().await;
    match how.as_str() {
        "io" => Err(io::Error::other("no route"))?,
        "panic" => panic!("went off"),
        _ => Err(Error::new(how)),
    }
}

#[lineshaft::task(name = "texts")]
async fn texts() -> Result<(), String> {
    tokio::task::yield_now().await;
    Err("a text".into())
}

#[lineshaft::task(name = "boxes")]
fn boxes() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err(io::Error::other("in a box").into())
}

#[lineshaft::task(name = "paints")]
fn paints(thumb: Thumb, color: Color) -> (u32, u32) {
    assert_eq!(color, Color::Red);
    thumb.size
}

#[lineshaft::task(name = "blocks")]
fn blocks(panics: bool) -> Date {
    assert!(!panics, "it was asked to");
    Date { year: 2026, month: 1, day: 2 }
}

fn run(task: Task, payload: Vec<u8>) -> Ending {
    let mut ending = None;
    block_on(async { ending = Some(task.run(Context::detached(), payload.into()).await) });
    ending.unwrap()
}

fn payload(positional: &[Value], keywords: &[(&str, Value)]) -> Vec<u8> {
    let keywords = keywords.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect();
    to_payload(&[Value::List(positional.to_vec()), Value::Dict(keywords)].to_vec()).unwrap()
}

fn returned<T: serde::de::DeserializeOwned>(ending: &Ending) -> T {
    let Ending::Returned(payload) = ending else { panic!("{ending:?}") };
    from_payload(payload).unwrap()
}

fn message(ending: Ending) -> String {
    let Ending::Other(End::Errored { error, .. } | End::Rejected { error, .. }) = ending else {
        panic!("{ending:?}")
    };
    error.message
}

#[test]
fn a_task_runs_on_a_call_from_anywhere() {
    let size = Value::List(vec![64.into(), 48.into()]);
    let ending = run(resize::TASK, payload(&["a.png".into()], &[("size", size)]));
    let thumb = Thumb { path: "a.png@1".into(), size: (64, 48), tags: Vec::new() };
    assert_eq!(returned::<Thumb>(&ending), thumb);
    assert_eq!(returned::<Value>(&ending).to_string(), "Thumb(path='a.png@1', size=(64, 48), tags=[])");
}

#[test]
fn its_function_can_be_called_as_before() {
    block_on(async {
        let thumb = resize(&Context::detached(), "b".into(), (1, 2)).await.unwrap();
        assert_eq!((&*thumb.path, thumb.size), ("b@1", (1, 2)));
    });
    plain();
}

#[test]
fn arguments_that_may_be_left_out_have_defaults() {
    let extra = Value::Dict(Vec::new());
    let short = run(order::TASK, payload(&[7.into()], &[("extra", extra.clone())]));
    assert_eq!(returned::<String>(&short), "7 Some(\"none\") 4 0");
    let full = payload(&[7.into(), "x".into(), 5.into(), extra.clone()], &[]);
    assert_eq!(returned::<String>(&run(order::TASK, full)), "7 Some(\"x\") 5 0");
    let failed = run(order::TASK, payload(&[0.into()], &[("extra", extra)]));
    assert_eq!(message(failed), "no order has the number 0");
}

#[test]
fn a_call_that_does_not_fit_is_never_tried_again() {
    let refused = |payload| {
        let ending = run(resize::TASK, payload);
        assert!(
            matches!(&ending, Ending::Other(End::Rejected { reason, .. }) if &**reason == "arguments_undecodable")
        );
        message(ending)
    };
    assert_eq!(refused(payload(&["a".into()], &[])), "img.resize() misses its argument `size`");
    let wrong = payload(&["a".into(), "b".into()], &[]);
    assert_eq!(refused(wrong), "size: invalid type: string \"b\", expected a tuple of size 2");
    let unknown = payload(&["a".into()], &[("colour", 1.into())]);
    assert_eq!(refused(unknown), "img.resize() has no argument `colour`; it has `src`, `size`");
}

#[test]
fn errors_and_panics_are_the_ends_of_attempts() {
    let end = |how: &str| run(ends::TASK, payload(&[how.into()], &[]));
    assert_eq!(message(end("parse")), "invalid digit found in string");
    assert_eq!(message(end("panic")), "went panic");
    assert!(matches!(end("later"), Ending::Other(End::Errored { retry_after_ms: Some(5_000), .. })));
    assert!(matches!(end("other"), Ending::Other(End::Rejected { .. })));
    assert_eq!(message(run(blocks::TASK, payload(&[true.into()], &[]))), "it was asked to");
    let date = Date { year: 2026, month: 1, day: 2 };
    assert_eq!(returned::<Date>(&run(blocks::TASK, payload(&[false.into()], &[]))), date);
}

#[test]
fn the_task_says_itself_when_an_error_is_tried_again() {
    let end = |how: &str| run(waits::TASK, payload(&[how.into()], &[]));
    let delay = |ending| match ending {
        Ending::Other(End::Errored { retry_after_ms, .. }) => retry_after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(delay(end("busy")), Some(1_000));
    assert_eq!((delay(end("io")), delay(end("panic"))), (None, None), "these are never tried again");
    assert_eq!(waits::TASK.names().collect::<Vec<_>>(), ["waits", "waited"]);
}

#[test]
fn any_error_with_a_text_may_be_returned() {
    assert_eq!(message(run(texts::TASK, payload(&[], &[]))), "a text");
    assert_eq!(message(run(boxes::TASK, payload(&[], &[]))), "in a box");
}

/// Such jobs were discarded, though a worker of another version may know what they name.
#[test]
fn a_job_that_names_what_is_not_known_here_is_for_another_worker() {
    let record = |name: &str, fields: &[(&str, Value)]| {
        let fields = fields.iter().map(|(name, value)| (Box::from(*name), value.clone())).collect();
        Value::Record(Box::new(Record { type_name: name.into(), fields, state: Vec::new() }))
    };
    let member = |name: &str, member: &str| {
        Value::Enum(Box::new(EnumMember { type_name: name.into(), member: member.into() }))
    };
    let size = || ("size", Value::Tuple(vec![1.into(), 2.into()]));
    let parked = |thumb: Value, color: Value| match run(paints::TASK, payload(&[thumb, color], &[])) {
        Ending::Other(End::Parked { missing }) => missing.to_string(),
        other => panic!("{other:?}"),
    };
    let thumb = || record("img.OldThumb", &[("path", "a".into()), size()]);
    let red = || member("shop.Color", "RED");
    assert_eq!(returned::<(u32, u32)>(&run(paints::TASK, payload(&[thumb(), red()], &[]))), (1, 2));
    assert_eq!(parked(record("img.Picture", &[]), red()), "img.Picture");
    assert_eq!(parked(record("img.Thumb", &[size()]), red()), "img.Thumb.path");
    let wider = record("img.Thumb", &[("path", "a".into()), ("depth", 8.into()), size()]);
    assert_eq!(parked(wider, red()), "img.Thumb.depth");
    assert_eq!(parked(thumb(), member("shop.Colour", "RED")), "shop.Colour");
    assert_eq!(parked(thumb(), member("shop.Color", "BLUE")), "shop.Color.BLUE");
    let wrong = run(paints::TASK, payload(&[7.into(), red()], &[]));
    assert!(matches!(wrong, Ending::Other(End::Rejected { .. })), "a number is no record of any version");
}

#[test]
fn a_task_without_a_name_is_called_by_its_path() {
    assert_eq!(plain::TASK.name(), "it::face::declared::plain");
    assert_eq!(resize::TASK.name(), "img.resize");
    let Ending::Returned(nothing) = run(plain::TASK, payload(&[], &[])) else { panic!("it returned") };
    from_payload::<()>(&nothing).unwrap();
}

#[test]
fn named_types_are_records_and_members() {
    assert_eq!(to_value(&Color::Red).unwrap().to_string(), "Color.RED");
    assert_eq!(to_value(&DerivesItself { number: 1 }).unwrap().to_string(), "Mixed(number=1)");
}

/// An error of another type said that it happened in the standard library, which had called what makes it one of ours.
#[test]
fn an_error_that_a_body_returns_as_it_is_has_its_place_in_the_program() {
    let nothing = || payload(&[], &[]);
    let zero = payload(&[0.into()], &[("extra", Value::Dict(Vec::new()))]);
    let calls = [(texts::TASK, nothing()), (boxes::TASK, nothing()), (order::TASK, zero)];
    for (task, payload) in calls {
        let Ending::Other(End::Errored { error, .. }) = run(task, payload) else { panic!("it succeeded") };
        let traceback = error.traceback.unwrap();
        assert!(traceback.starts_with(&format!("at {}:", file!())), "{traceback}");
    }
}
