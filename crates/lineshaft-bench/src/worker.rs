//! A worker in Rust, run by the command in a process of its own.

#![expect(clippy::unused_async, reason = "whether a body is a coroutine decides where it runs")]

use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lineshaft::{Client, Context, Worker, task};

use crate::error::{Error, Result};

/// Attempts at a time; a body that does nothing needs few, but the server is to be kept busy.
const SLOTS: u32 = 1_000;

/// The tasks, the first of which is the one that all figures but those of the history run.
pub(crate) const TASKS: [&str; 4] = ["nothing", "resize", "index", "send"];
/// An argument with which a job gives up.
pub(crate) const FAILS: &str = "fail";
/// Gives back its text.
pub(crate) const ECHO: &str = "echo";
/// Fails at its first attempt.
pub(crate) const FLAKY: &str = "flaky";
/// Gives back when it began, Unix microseconds.
pub(crate) const STAMP: &str = "stamp";

/// No task costs anything: what is measured is the engine. They are coroutines, since a plain `fn` may block and so gets a
/// thread of its own for each call.
fn body(text: &str) -> task::Result<usize> {
    if text == FAILS { Err(task::Error::discard("it was told to fail")) } else { Ok(text.len()) }
}

#[lineshaft::task(name = "nothing")]
async fn nothing(text: String) -> task::Result<usize> {
    body(&text)
}

#[lineshaft::task(name = "resize")]
async fn resize(text: String) -> task::Result<usize> {
    body(&text)
}

#[lineshaft::task(name = "index")]
async fn index(text: String) -> task::Result<usize> {
    body(&text)
}

#[lineshaft::task(name = "send")]
async fn send(text: String) -> task::Result<usize> {
    body(&text)
}

#[lineshaft::task(name = "echo")]
async fn echo(text: String) -> task::Result<String> {
    Ok(text)
}

#[lineshaft::task(name = "flaky")]
async fn flaky(context: &Context, text: String) -> task::Result<usize> {
    if context.attempt() == 1 { Err(task::Error::new("it fails the first time")) } else { Ok(text.len()) }
}

#[lineshaft::task(name = "stamp")]
async fn stamp(_text: String) -> task::Result<u64> {
    Ok(now_us())
}

/// Unix microseconds.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

/// Works for `home` until it is asked to stop, or until whoever started it is gone: that closes our standard input.
pub fn run(home: &Path) -> Result<(), Error> {
    end_with_our_starter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start a runtime"))?.block_on(async {
        let client = Client::connect(lineshaft::Target::home(home)).await?;
        let worker = Worker::new(&client).task(nothing::TASK).task(resize::TASK).task(index::TASK);
        let worker = worker.task(send::TASK).task(echo::TASK).task(flaky::TASK).task(stamp::TASK);
        Ok(worker.slots(SLOTS).run().await?)
    })
}

fn end_with_our_starter() {
    std::thread::spawn(|| {
        // Nothing is ever said there.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}
