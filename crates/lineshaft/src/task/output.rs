//! Where the words of attempts go.

use std::fmt;
use std::io::{self, Write};

use super::Context;

/// The output of an attempt: what is written here is kept with it, at most 64 KiB, beginning and end, and repeated on
/// the worker's standard error, each line with its attempt. Made by [`Context::output`] and [`output`].
///
/// `println!` goes to the standard output of the process, which all attempts of a worker share: nobody can say whose it
/// is, so it is not kept.
#[derive(Clone, Debug)]
pub struct Output {
    context: Option<Context>,
}

/// The output of the attempt whose body runs here; standard error outside of one. A body that spawns a task or a thread
/// hands it on itself.
///
/// It is what a subscriber of `tracing` needs to keep the records of an attempt with it:
/// `tracing_subscriber::fmt().with_writer(lineshaft::task::output).init()`.
pub fn output() -> Output {
    Output { context: Context::current() }
}

impl Output {
    pub(super) fn of(context: &Context) -> Self {
        Self { context: Some(context.clone()) }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // After the end of its attempt, what a thread of it still says is not lost altogether.
        match &self.context {
            Some(context) if context.print(bytes) => Ok(bytes.len()),
            _ => io::stderr().write(bytes),
        }
    }

    /// In one piece, so that the words of neighbours do not come between.
    fn write_fmt(&mut self, words: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(words.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
