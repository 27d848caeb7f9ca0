//! Handlers that hang, fail and panic, and what the others notice of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lineshaft_log::handler::{Console, File, FileOptions, redirect_consoles};
use lineshaft_log::{
    Asked, Bounds, Filter, Format, Gate, Handler, Kind, Level, Limit, Open, Passage, Pipeline, Pushed, Spec,
    Value, WhenFull, Zone,
};

use crate::{calling, options, record, started};

const LONG: Duration = Duration::from_secs(20);

fn counting(count: &Arc<AtomicUsize>) -> Spec {
    let count = count.clone();
    calling("counting", move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

#[test]
fn records_arrive_in_order_and_a_level_is_kept() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let mut spec = calling("hears", move |record| {
        hears.lock().expect("no panic").push(record.message.to_string());
        Ok(())
    });
    spec.level = Level::INFO;
    let pipeline = started(options(vec![spec]));
    for number in 0..5_000 {
        let level = if number % 2 == 0 { Level::INFO } else { Level::DEBUG };
        pipeline.push_waiting(record(level, &number.to_string()));
    }
    assert!(pipeline.flush(Some(LONG)));
    let expected: Vec<String> = (0..2_500).map(|number| (number * 2).to_string()).collect();
    assert_eq!(*heard.lock().expect("no panic"), expected);
    assert_eq!(pipeline.counts().handlers[0].handled, 2_500);
}

/// A handler that hangs until it is let go.
fn hanging() -> (Spec, Arc<AtomicBool>) {
    let is_let_go = Arc::new(AtomicBool::new(false));
    let waits_for = is_let_go.clone();
    let hanging = calling("hanging", move |_| {
        while !waits_for.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    (hanging, is_let_go)
}

#[test]
fn a_handler_that_hangs_holds_up_nobody() {
    let (count, (hanging, is_let_go)) = (Arc::new(AtomicUsize::new(0)), hanging());
    let mut options = options(vec![hanging, counting(&count)]);
    options.patience = Duration::from_millis(50);
    options.bounds = Bounds { records_max: 10, bytes_max: 1 << 20 };
    let pipeline = started(options);
    let large = "x".repeat(1 << 20);
    for _ in 0..40 {
        assert!(matches!(pipeline.push_waiting(record(Level::INFO, &large)), Pushed::Taken));
    }
    assert!(pipeline.flush_healthy(LONG));
    assert_eq!(count.load(Ordering::Relaxed), 40);
    assert!(!pipeline.flush(Some(Duration::from_millis(10))));
    let lost = pipeline.counts().handlers[0].lost;
    assert!(lost > 0, "{:?}", pipeline.counts());
    is_let_go.store(true, Ordering::Relaxed);
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(pipeline.counts().handlers[0].handled, 40 - lost);
    assert!(pipeline.close(LONG));
}

/// It was waited for each time.
#[test]
fn a_handler_that_hangs_is_waited_for_once_by_who_waits_for_healthy_ones() {
    let (count, (hanging, is_let_go)) = (Arc::new(AtomicUsize::new(0)), hanging());
    let pipeline = started(options(vec![hanging, counting(&count)]));
    pipeline.push(record(Level::INFO, "x"));
    assert!(!pipeline.flush_healthy(Duration::from_millis(100)));
    let began = Instant::now();
    for number in 2..12 {
        pipeline.push(record(Level::INFO, "x"));
        assert!(pipeline.flush_healthy(LONG));
        assert_eq!(count.load(Ordering::Relaxed), number);
    }
    assert!(began.elapsed() < LONG / 2);
    is_let_go.store(true, Ordering::Relaxed);
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(pipeline.counts().handlers[0].handled, 11);
    assert!(pipeline.counts().handlers.iter().all(|handler| handler.is_healthy));
}

#[test]
fn a_handler_that_hangs_does_not_hang_the_end() {
    let pipeline = started(options(vec![calling("hanging", |_| {
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    })]));
    pipeline.push(record(Level::INFO, "x"));
    let began = Instant::now();
    assert!(!pipeline.close(Duration::from_millis(100)));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(matches!(pipeline.push(record(Level::INFO, "x")), Pushed::Closed(_)));
}

#[test]
fn a_handler_that_fails_or_panics_gives_up_that_record_alone() {
    let count = Arc::new(AtomicUsize::new(0));
    let odd = calling("odd", |record| match record.message.parse::<u32>() {
        Ok(number) if number % 4 == 0 => Err("a multiple of four".to_owned()),
        Ok(number) if number % 4 == 2 => panic!("an even number"),
        _ => Ok(()),
    });
    let pipeline = started(options(vec![odd, counting(&count)]));
    for number in 0..8 {
        pipeline.push(record(Level::INFO, &number.to_string()));
    }
    assert!(pipeline.flush(Some(LONG)));
    let counts = pipeline.counts().handlers;
    assert_eq!((counts[0].handled, counts[0].failed, counts[0].is_healthy), (4, 4, true));
    assert_eq!(count.load(Ordering::Relaxed), 8);
}

#[test]
fn what_was_dropped_is_said_when_there_is_room() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let mut options = options(vec![calling("hears", move |record| {
        hears.lock().expect("no panic").push((record.logger.to_string(), record.field("count").cloned()));
        Ok(())
    })]);
    options.when_full = WhenFull::DropNew;
    options.bounds = Bounds { records_max: 4, bytes_max: 1 << 20 };
    let (pipeline, _) = Pipeline::open(options).expect("it opens");
    for _ in 0..10 {
        pipeline.push(record(Level::INFO, "x"));
    }
    pipeline.start().expect("threads");
    assert!(pipeline.flush(Some(LONG)));
    let heard = heard.lock().expect("no panic");
    assert_eq!((heard.len(), &heard[4]), (5, &("lineshaft.log".to_owned(), Some(6_i64.into()))));
    assert_eq!(pipeline.counts().dropped, 6);
}

#[test]
fn what_a_place_was_held_back_is_said_when_it_is_silent() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let mut options = options(vec![calling("hears", move |record| {
        let line = record.place.as_ref().map(|place| place.line);
        let said = (record.field("count").cloned(), record.field("place").map(ToString::to_string), line);
        hears.lock().expect("no panic").push(said);
        Ok(())
    })]);
    let limit = Limit { count: 1, period: Duration::from_secs(60), burst: 1 };
    options.gate = Arc::new(Gate::new(Filter::at(Level::INFO), Some(limit)));
    let gate = options.gate.clone();
    let pipeline = started(options);
    for number in 0..15 {
        let site = number % 3;
        let place = (site > 0).then_some(("a.py", site as u32));
        let asked = Asked { level: Level::INFO, logger: "app", site, place, now_ns: 0 };
        gate.pass(asked, &gate.verdict("app"), &Vec::new());
    }
    pipeline.flush(Some(LONG));
    assert!(pipeline.close(LONG));
    let mut heard = heard.lock().expect("no panic");
    heard.sort_by_key(|(_, _, line)| *line);
    let four = || Some(4_i64.into());
    let text = |text: &str| Some(text.to_owned());
    let expected =
        [(four(), text("app"), None), (four(), text("a.py:1"), Some(1)), (four(), text("a.py:2"), Some(2))];
    assert_eq!(*heard, expected);
}

/// A pipeline whose gate lets each place log ten in a second, and how many were held back as its reports say.
fn limited() -> (Pipeline, Arc<AtomicUsize>) {
    let said = Arc::new(AtomicUsize::new(0));
    let says = said.clone();
    let mut options = options(vec![calling("hears", move |record| {
        if let Some(Value::Int(count)) = record.field("count") {
            says.fetch_add(*count as usize, Ordering::Relaxed);
        }
        Ok(())
    })]);
    let limit = Limit { count: 10, period: Duration::from_secs(1), burst: 1 };
    options.gate = Arc::new(Gate::new(Filter::at(Level::INFO), Some(limit)));
    (started(options), said)
}

fn log_at(pipeline: &Pipeline, line: u32, now_ns: u64) {
    let gate = pipeline.gate();
    let (site, place) = (u64::from(line), Some(("a.py", line)));
    let asked = Asked { level: Level::INFO, logger: "app", site, place, now_ns };
    if let Passage::Passes { .. } = gate.pass(asked, &gate.verdict("app"), &Vec::new()) {
        pipeline.push(record(Level::INFO, "x"));
    }
}

/// Every record that passed put the report off by a second, those of the flood itself among them.
#[test]
fn a_flood_is_reported_while_others_log() {
    let (pipeline, said) = limited();
    let (began, mut turn) = (Instant::now(), 0_u32);
    while said.load(Ordering::Relaxed) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing is said of {:?}", pipeline.counts());
        let now_ns = began.elapsed().as_nanos() as u64;
        log_at(&pipeline, 1, now_ns);
        if turn.is_multiple_of(20) {
            log_at(&pipeline, 2, now_ns);
        }
        turn += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(pipeline.close(LONG));
}

/// The writer slept until the next record that passed.
#[test]
fn what_was_held_back_wakes_the_writer() {
    let (pipeline, said) = limited();
    log_at(&pipeline, 1, 0);
    assert!(pipeline.flush(Some(LONG)));
    std::thread::sleep(Duration::from_millis(500));
    log_at(&pipeline, 1, 0);
    let began = Instant::now();
    while said.load(Ordering::Relaxed) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing is said of {:?}", pipeline.counts());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(pipeline.close(LONG));
}

#[test]
fn a_tap_is_drained_by_whoever_has_it() {
    let mut spec = calling("tapped", |_| Ok(()));
    spec.kind = Kind::Tapped;
    spec.level = Level::WARNING;
    let (pipeline, mut taps) = Pipeline::open(options(vec![spec])).expect("it opens");
    let tap = taps.pop().expect("a tap");
    pipeline.start().expect("threads");
    let reader = std::thread::spawn(move || {
        let mut heard = Vec::new();
        while let Some(taken) = tap.take(None) {
            heard.extend(taken.wanted().iter().map(|number| taken.records()[*number].message.to_string()));
            tap.finish(taken.wanted().len() as u64, 0);
        }
        (heard, tap.is_over())
    });
    for (level, message) in [(Level::INFO, "a"), (Level::ERROR, "b"), (Level::WARNING, "c")] {
        pipeline.push(record(level, message));
    }
    assert!(pipeline.close(LONG));
    assert_eq!(reader.join().expect("no panic"), (vec!["b".to_owned(), "c".to_owned()], true));
}

#[test]
fn a_handler_that_hangs_is_waited_for_once_at_the_end() {
    let (count, (hanging, is_let_go)) = (Arc::new(AtomicUsize::new(0)), hanging());
    let pipeline = started(options(vec![hanging, counting(&count)]));
    pipeline.push(record(Level::INFO, "x"));
    assert!(!pipeline.flush_late(Duration::from_millis(200)));
    for number in 0..100 {
        pipeline.push(record(Level::INFO, "x"));
        assert!(pipeline.flush_late(LONG), "it is not waited for again");
        assert_eq!(count.load(Ordering::Relaxed), number + 2, "the other one is");
    }
    is_let_go.store(true, Ordering::Relaxed);
    assert!(pipeline.flush(Some(LONG)));
    assert!(pipeline.counts().handlers.iter().all(|handler| handler.is_healthy && handler.handled == 101));
}

/// Runs this test again as a program of its own, and gives what it says on standard error.
fn said_by(test: &str) -> String {
    let mut again = std::process::Command::new(std::env::current_exe().expect("a program"));
    again.args([&format!("pipelines::{test}"), "--exact", "--nocapture"]).env("LINESHAFT_LOG_TEST_SAYS", "1");
    let output = again.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("a text")
}

/// What handlers had not taken when a program ended was lost without a word.
#[test]
fn what_is_not_taken_at_the_end_is_said_by_handler() {
    if std::env::var_os("LINESHAFT_LOG_TEST_SAYS").is_none() {
        let said = said_by("what_is_not_taken_at_the_end_is_said_by_handler");
        for (name, count) in [("hanging", 3), ("refused", 2)] {
            let sentence = format!(
                "lineshaft: the program ends, and the log handler {name} has not taken {count} records\n"
            );
            assert_eq!(said.matches(&sentence).count(), 1, "{said}");
        }
        assert!(!said.contains("handler works has"), "{said}");
        return;
    }
    let hanging = calling("hanging", |_| {
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    });
    let open: Open = Arc::new(|_| Ok(Box::new(Failing) as Box<dyn Handler>));
    let mut failing = Spec::new("refused", open);
    failing.level = Level::ERROR;
    let pipeline = started(options(vec![hanging, failing, calling("works", |_| Ok(()))]));
    for level in [Level::ERROR, Level::ERROR, Level::INFO] {
        pipeline.push(record(level, "x"));
    }
    let began = Instant::now();
    assert!(!pipeline.flush_late(Duration::from_millis(500)));
    assert!(pipeline.flush_late(LONG), "they are not waited for again");
    pipeline.close(Duration::ZERO);
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Fails of everything, for now.
struct Failing;

impl Handler for Failing {
    fn handle(&mut self, _: &[&lineshaft_log::Record]) -> Result<(), lineshaft_log::Failure> {
        Err(lineshaft_log::Failure { done: 0, refused: 0, reason: "not now".to_owned() })
    }
}

/// Where consoles write nowhere nobody heard of handlers that failed, either.
#[test]
fn what_fails_is_said_where_consoles_write_nowhere() {
    if std::env::var_os("LINESHAFT_LOG_TEST_SAYS").is_none() {
        let said = said_by("what_fails_is_said_where_consoles_write_nowhere");
        assert!(said.contains("lineshaft: the log handler refused failed: not now\n"), "{said}");
        assert!(
            said.contains("lineshaft: the program ends, and the log handler refused has not taken"),
            "{said}"
        );
        assert!(!said.contains("to the console"), "{said}");
        return;
    }
    redirect_consoles(None);
    let open: Open = Arc::new(|_| Ok(Box::new(Failing) as Box<dyn Handler>));
    let console: Open = Arc::new(|levels| {
        let format = Format::template("{message}").expect("a template");
        Ok(Box::new(Console::new(format, Zone::Utc, levels)) as Box<dyn Handler>)
    });
    let pipeline = started(options(vec![Spec::new("refused", open), Spec::new("console", console)]));
    pipeline.push(record(Level::INFO, "to the console"));
    assert!(!pipeline.flush_late(Duration::from_millis(500)));
    pipeline.close(Duration::ZERO);
}

/// Both were said to be healthy.
#[test]
fn a_handler_that_takes_nothing_is_not_healthy_until_it_has_taken_something() {
    let is_let_go = Arc::new(AtomicBool::new(false));
    let (waits_for, works) = (is_let_go.clone(), is_let_go.clone());
    let hanging = calling("hanging", move |_| {
        while !waits_for.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    let odd =
        calling("odd", move |_| if works.load(Ordering::Relaxed) { Ok(()) } else { Err("odd".to_owned()) });
    let pipeline = started(options(vec![hanging, odd]));
    let healthy = || pipeline.counts().handlers.iter().map(|handler| handler.is_healthy).collect::<Vec<_>>();
    (0..100).for_each(|_| drop(pipeline.push(record(Level::INFO, "x"))));
    assert!(!pipeline.flush(Some(Duration::from_millis(300))));
    assert_eq!((healthy(), pipeline.counts().handlers[1].failed), (vec![false, false], 100));
    is_let_go.store(true, Ordering::Relaxed);
    pipeline.push(record(Level::INFO, "x"));
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(healthy(), [true, true]);
}

#[test]
fn a_form_that_fails_is_counted_and_the_record_is_written_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let format = Format::function(|record| match &*record.message {
        "odd" => Err("odd".to_owned()),
        message => Ok(Some(message.to_owned())),
    });
    let file = FileOptions { path: path.clone(), format, zone: Zone::Utc, mode: 0o640, rotation: None };
    let open: Open =
        Arc::new(move |levels| Ok(Box::new(File::open(file.clone(), levels)?) as Box<dyn Handler>));
    let pipeline = started(options(vec![Spec::new("file", open)]));
    for message in ["a", "odd", "b", "odd"] {
        pipeline.push(record(Level::INFO, message));
    }
    assert!(pipeline.flush(Some(LONG)));
    let written = std::fs::read_to_string(path).expect("a file");
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (4, "a", "b"));
    assert!(lines[1].ends_with("odd  [the format failed: odd]"), "{written}");
    let counts = &pipeline.counts().handlers[0];
    assert_eq!((counts.handled, counts.failed, counts.unformatted, counts.is_healthy), (4, 0, 2, true));
}
