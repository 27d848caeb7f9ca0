//! Where records go: one file each.

mod callable;
mod console;
mod file;
#[cfg(feature = "http")]
mod http;
mod journald;
mod memory;
mod syslog;
#[cfg(feature = "tracing")]
mod tracing;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::filter::Filter;
use crate::level::{Level, LevelNames};
use crate::record::Record;

pub use callable::Callable;
pub(crate) use console::say;
pub use console::{Colours, Console, redirect_consoles};
pub use file::{Compression, File, FileOptions, Rotation};
#[cfg(feature = "http")]
pub use http::{Http, HttpBody, HttpOptions};
pub use journald::{Journald, JournaldOptions};
pub use memory::{Kept, Memory};
pub use syslog::{Syslog, SyslogAddress, SyslogOptions};
#[cfg(feature = "tracing")]
pub use tracing::Tracing;

/// Takes records to where they belong. Each has a thread of its own, so that it may take its time.
pub trait Handler: Send {
    /// Takes records, in order.
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure>;

    /// How many it wants at once, if it is better to wait for more. By default it gets them as they come.
    fn gathering(&self) -> Option<Gathering> {
        None
    }

    /// Whether somebody was there to take what it could not do last. Near the end it is not waited for long if not.
    fn is_reachable(&self) -> bool {
        true
    }

    /// How many records the function that is its form failed of, which were written as text, and what was wrong first.
    fn unformatted(&self) -> (u64, &str) {
        (0, "")
    }
}

/// What is waited for before records are handed over. Who flushes, and who ends the pipeline, ends that waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gathering {
    /// So many records.
    pub records: usize,
    /// So many bytes of memory.
    pub bytes: usize,
    /// No longer than this since the first of them.
    pub age: Duration,
}

/// What a handler could not do.
#[derive(Debug)]
pub struct Failure {
    /// How many of the records it was given are done; it is not given those again.
    pub done: usize,
    /// How many of those that come next can never be done: they are given up. 0 if all are to be tried again after a pause.
    pub refused: usize,
    /// What is wrong.
    pub reason: String,
}

/// Where to and which of them.
#[derive(Clone)]
pub struct Spec {
    /// What it is called where something is said about it.
    pub name: String,
    /// Records below it are not for it.
    pub level: Level,
    /// Which of the others are.
    pub filter: Option<Arc<Filter>>,
    /// How to open it.
    pub kind: Kind,
}

/// Opens a handler, whenever one is needed: at the start, and again in a process that was forked.
pub type Open = Arc<dyn Fn(&Arc<LevelNames>) -> Result<Box<dyn Handler>, Error> + Send + Sync>;

/// What takes the records.
#[derive(Clone)]
pub enum Kind {
    /// A handler, on a thread that the pipeline has for it.
    Handler(Open),
    /// Whoever takes them from a [`crate::Tap`], on a thread of their own.
    Tapped,
}

impl Spec {
    /// A handler of every record.
    pub fn new(name: &str, open: Open) -> Self {
        Self { name: name.to_owned(), level: Level(i32::MIN), filter: None, kind: Kind::Handler(open) }
    }

    /// Whether a record is for it.
    pub fn wants(&self, record: &Record) -> bool {
        record.level >= self.level && self.filter.as_ref().is_none_or(|filter| filter.takes(record))
    }
}
