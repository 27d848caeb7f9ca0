//! How a pool is made.

use std::ffi::OsString;
use std::num::NonZero;
use std::thread::available_parallelism;

use super::call::CallOptions;
use super::{Error, Pool};

/// The options of a [`Pool`], made by [`Pool::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until its pool is built"]
pub struct Builder {
    options: Options,
}

/// What they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) workers: usize,
    /// Bytes that each may have.
    pub(super) memory: Option<u64>,
    pub(super) calls: CallOptions,
    /// With which they are started, if not with those of this program.
    pub(super) args: Option<Vec<OsString>>,
}

impl Default for Builder {
    fn default() -> Self {
        let workers = available_parallelism().map_or(1, NonZero::get);
        Self { options: Options { workers, ..Options::default() } }
    }
}

impl Builder {
    /// How many processes: 1 or more. Default: as many as this program may use processors.
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers.max(1);
        self
    }

    /// Most bytes of memory of a worker, resident. It is looked at every 10 ms; a worker that has more is killed, and its item
    /// fails with [`Error::WorkerDied`]. Default: no limit.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = Some(bytes);
        self
    }

    /// How often an item is done again whose worker died over it, for functions that may run more than once. Default: 0.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.calls.retries = retries;
        self
    }

    /// How many items a worker is given at a time. Default: as many as take some ten milliseconds, as the first ones tell.
    pub fn share_items(mut self, items: u32) -> Self {
        self.options.calls.share_items = Some(items.max(1));
        self
    }

    /// The arguments with which workers are started, after the name of the program. They see them if they ask for the
    /// arguments of their process, and what `main` does before [`init`](super::init) may look at them. Default: those of this
    /// process.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.options.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Starts the workers. It does not wait until they are ready, which takes some milliseconds.
    ///
    /// [`Error::NotInitialized`] if [`init`](super::init) was not called, [`Error::System`] if no process or no memory can be
    /// had.
    pub fn build(self) -> Result<Pool, Error> {
        Pool::start(self.options)
    }
}
