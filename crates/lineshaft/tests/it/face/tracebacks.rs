//! What is kept of the way to an error where `RUST_BACKTRACE` is set, which is read once in a process: each test looks
//! at another run of this program.

use std::process::Command;

use lineshaft::task::{Error as TaskError, Result};
use lineshaft::{Embedded, Worker};

use super::block_on;

fn parsed(text: &str) -> Result<u8> {
    Ok(text.parse::<u8>()?) // parsed
}

fn second(numbers: &[u8]) -> u8 {
    numbers[1] // second
}

#[lineshaft::task(name = "fails")]
async fn fails(how: String) -> Result<u8> {
    tokio::task::yield_now().await;
    let of = |text: &&str| match *text {
        "panic" => second(&[1]), // of
        text => parsed(text).unwrap_or(2),
    };
    let sum: u8 = [&*how].iter().map(of).sum(); // sum
    match &*how {
        "spawn" => tokio::spawn(async { parsed("spawned") }).await?, // spawn
        _ => Ok(sum + parsed(&how)?),                                // plain
    }
}

#[lineshaft::task(name = "blocks")]
fn blocks(how: String) -> Result<u8> {
    let number = if how == "panic" { second(&[]) } else { parsed(&how)? }; // blocks
    Ok(number)
}

#[lineshaft::task(name = "returns")]
fn returns() -> std::result::Result<(), String> {
    Err("as it is".into())
}

#[lineshaft::task(name = "discards")]
async fn discards() -> Result<()> {
    tokio::task::yield_now().await;
    Err(TaskError::discard("never")) // discards
}

/// Run by itself: what is kept of each error, after a line with its name.
#[test]
#[ignore = "the other tests here run it"]
#[expect(clippy::print_stdout, reason = "they read it")]
fn prints_tracebacks() {
    block_on(async {
        let home = tempfile::tempdir().unwrap();
        let engine = Embedded::start(home.path()).await.unwrap();
        let client = engine.client();
        let worker = Worker::new(client).task(fails::TASK).task(blocks::TASK);
        let worker = worker.task(returns::TASK).task(discards::TASK).start().unwrap();
        for (name, call) in [
            ("plain", fails::call("x".into())),
            ("panic", fails::call("panic".into())),
            ("spawn", fails::call("spawn".into())),
            ("blocking", blocks::call("x".into())),
            ("blocking panic", blocks::call("panic".into())),
        ] {
            let error = client.enqueue(call).await.unwrap().result().await.unwrap_err();
            println!("== {name}\n{}", error.traceback().unwrap());
        }
        for (name, call) in [("returned", returns::call()), ("discarded", discards::call())] {
            let error = client.enqueue(call).await.unwrap().result().await.unwrap_err();
            println!("== {name}\n{}", error.traceback().unwrap());
        }
        worker.stop().await.unwrap();
        engine.stop().await.unwrap();
    });
}

/// The traceback of each error, by its name.
fn tracebacks(setting: &str) -> Vec<(String, String)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "face::tracebacks::prints_tracebacks", "--ignored", "--nocapture"]);
    let output = command.env("RUST_BACKTRACE", setting).env_remove("RUST_LIB_BACKTRACE").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let sections = text.split("== ").skip(1).map(|section| section.split_once('\n').unwrap());
    sections.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

/// The places of its frames, as the words that are noted at the end of their lines.
fn words(traceback: &str) -> Vec<String> {
    let source: Vec<&str> = include_str!("tracebacks.rs").lines().collect();
    let places = traceback.lines().filter_map(|line| line.trim_start().strip_prefix("at ./"));
    let word = |place: &str| {
        let (file, line) = place.split_once(".rs:").unwrap();
        assert!(file.ends_with("tracebacks"), "{place}");
        let line: usize = line.split(':').next().unwrap().parse().unwrap();
        source[line - 1].split_once("// ").map_or(source[line - 1], |(_, word)| word).to_owned()
    };
    places.map(word).collect()
}

/// There were sixty frames and more, five of them the program's.
#[test]
fn a_traceback_is_the_program_from_the_error_to_the_body() {
    let tracebacks = tracebacks("1");
    let places: Vec<_> = tracebacks.iter().map(|(name, traceback)| (&**name, words(traceback))).collect();
    let expected: [(&str, &[&str]); 7] = [
        ("plain", &["parsed", "plain"]),
        ("panic", &["second", "of", "sum"]),
        ("spawn", &["parsed", "spawn"]),
        ("blocking", &["parsed", "blocks"]),
        ("blocking panic", &["second", "blocks"]),
        ("returned", &[]),
        ("discarded", &["discards"]),
    ];
    let expected: Vec<_> =
        expected.map(|(name, words)| (name, words.iter().map(|word| (*word).to_owned()).collect())).into();
    assert_eq!(places, expected, "{tracebacks:#?}");
}

#[test]
fn all_of_it_is_kept_on_request() {
    let (_, plain) = tracebacks("full").swap_remove(0);
    assert!(plain.contains("lineshaft::task::definition") && plain.contains("tokio"), "{plain}");
}

#[test]
fn without_the_setting_it_is_the_place() {
    let tracebacks = tracebacks("0");
    assert_eq!(tracebacks.len(), 7);
    for (name, traceback) in tracebacks {
        let lines: Vec<&str> = traceback.lines().take_while(|line| !line.is_empty()).collect();
        assert!(lines[0].starts_with(&format!("at {}:", file!())), "{name}: {traceback}");
        assert!(!traceback.contains("   0: "), "{name}: {traceback}");
    }
}
