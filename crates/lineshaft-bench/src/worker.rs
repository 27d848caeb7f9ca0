//! A worker in Rust, run by the command in a process of its own.

#![expect(clippy::unused_async, reason = "whether a body is a coroutine decides where it runs")]

use std::io::Read;
use std::path::Path;

use lineshaft::{Client, Worker, task};

use crate::error::{Error, Result};

/// Attempts at a time; a body that does nothing needs few, but the server is to be kept busy.
const SLOTS: u32 = 1_000;

/// The tasks, the first of which is the one that all figures but those of the history run.
pub(crate) const TASKS: [&str; 4] = ["nothing", "resize", "index", "send"];
/// An argument with which a job gives up.
pub(crate) const FAILS: &str = "fail";

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

/// Works for `home` until it is asked to stop, or until whoever started it is gone: that closes our standard input.
pub fn run(home: &Path) -> Result<(), Error> {
    end_with_our_starter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start a runtime"))?.block_on(async {
        let client = Client::connect(lineshaft::Target::home(home)).await?;
        let worker = Worker::new(&client).task(nothing::TASK).task(resize::TASK).task(index::TASK);
        Ok(worker.task(send::TASK).slots(SLOTS).run().await?)
    })
}

fn end_with_our_starter() {
    std::thread::spawn(|| {
        // Nothing is ever said there.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}
