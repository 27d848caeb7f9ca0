//! What can go wrong in a pool.

use std::sync::Arc;

use lineshaft_ipc::process::Exit;
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::value::typed;

/// Why a call of a [`Pool`](super::Pool) gave nothing, or the pool cannot work. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The function returned an error or panicked, or its arguments did not read there. Its worker lives on.
    #[error("{}", words_of(.0))]
    Failed(Arc<ErrorRecord>),
    /// The process of the worker ended over the call, and is replaced.
    #[error("the worker {reason} over this item")]
    WorkerDied {
        /// What it passed to `exit`; `None` if a signal ended it.
        code: Option<i32>,
        /// The signal that ended it, SIGKILL also if it had more memory than it may.
        signal: Option<i32>,
        /// How it ended, in words.
        reason: Arc<str>,
    },
    /// The call was taken back before it began, by `cancel` of its handle.
    #[error("the call was cancelled")]
    Cancelled,
    /// The pool has ended.
    #[error("the pool has ended")]
    Ended,
    /// What the item of this number, counted from 0, came to.
    #[error("item {index}: {source}")]
    Item {
        /// The place of the item.
        index: usize,
        /// What went wrong with it.
        source: Box<Error>,
    },
    /// The arguments of a call cannot be sent, or are more than 64 MiB.
    #[error("{0}")]
    Unencodable(Box<crate::Error>),
    /// What the function returned does not read as what its call says it gives.
    #[error("the result does not fit: {0}")]
    Undecodable(typed::Error),
    /// This program has no such task, or more than one.
    #[error("call of {task}: {reason}")]
    UnknownTask {
        /// The name.
        task: Arc<str>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `lineshaft::pool::init()` was not called in this process, so that its workers would run all of `main`.
    #[error("a pool is made before `lineshaft::pool::init()` was called")]
    NotInitialized,
    /// The workers end before they are ready, one after the other, and nothing can be done any more.
    #[error("the workers of the pool end before they are ready: {0}")]
    Broken(Arc<str>),
    /// The system refused a process or memory to share with it.
    #[error("{0}")]
    System(Arc<lineshaft_ipc::Error>),
}

impl Error {
    /// Whether the function failed with an error of this type, named as in [`crate::Error::is_a`]: `shop.Bounced` for a
    /// `shop::Bounced`, `panic`.
    pub fn is_a(&self, class: &str) -> bool {
        let is_it = |name: &String| name == class || name.strip_prefix("builtins.") == Some(class);
        self.record().is_some_and(|record| record.types.iter().any(is_it))
    }

    /// Where the function failed: `at src/shop.rs:12`, with what called it if `RUST_BACKTRACE` is set.
    pub fn traceback(&self) -> Option<&str> {
        self.record()?.traceback.as_deref()
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Item { source, .. } => source.hint(),
            Self::NotInitialized => Some(
                "let `main` begin with `lineshaft::pool::init()`: workers are this program, started again",
            ),
            Self::Broken(_) => Some("is `lineshaft::pool::init()` the first that `main` does?"),
            _ => None,
        }
    }

    /// What the item at this place came to; nothing of it, if there is no pool to do any.
    pub(super) fn of_item(self, index: u64) -> Self {
        match self {
            Self::Ended | Self::Broken(_) | Self::NotInitialized => self,
            source => Self::Item { index: index as usize, source: Box::new(source) },
        }
    }

    fn record(&self) -> Option<&ErrorRecord> {
        match self {
            Self::Failed(record) => Some(record),
            Self::Item { source, .. } => source.record(),
            _ => None,
        }
    }

    /// What the worker ended with over an item; `why` in words, if it was its parent that did it.
    pub(super) fn worker_died(exit: Option<Exit>, why: Option<&str>) -> Self {
        let (code, signal) = exit.map_or((None, None), |exit| (exit.code, exit.signal));
        let reason = why.map_or_else(|| how(code, signal), ToOwned::to_owned).into();
        Self::WorkerDied { code, signal, reason }
    }
}

impl From<lineshaft_ipc::Error> for Error {
    fn from(error: lineshaft_ipc::Error) -> Self {
        Self::System(Arc::new(error))
    }
}

/// How a process ended, in words.
fn how(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (_, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was killed by {name}"),
            None => format!("was killed by signal {signal}"),
        },
        _ => "ended".to_owned(),
    }
}

fn words_of(record: &ErrorRecord) -> String {
    match record.types.first() {
        Some(name) => format!("{name}: {}", record.message),
        None => record.message.clone(),
    }
}
