//! Tasks: what is declared once and called from anywhere.
//!
//! `#[lineshaft::task]` makes of a function `resize` a type of the same name beside it, with [`resize::TASK`](Task) for
//! workers and `resize::call(…)` for a [`Call`] that a client enqueues. The body gets a [`Context`] if it asks for one,
//! and says with an [`Error`] what shall become of an attempt that did not succeed.

mod argument;
mod call;
mod checkpoint;
mod context;
mod definition;
mod error;
mod handler;
mod output;
mod panics;
mod profiled;
mod rules;
mod schema;
pub(crate) mod spare;
mod stop;
mod traceback;
mod unique;

pub use argument::{Argument, TaskResult};
pub use call::Call;
pub use checkpoint::Checkpointing;
pub use context::{Context, Shield};
pub use definition::Task;
pub use error::{Error, Result};
pub use handler::Handler;
pub use output::{Output, output};
pub use unique::Unique;

pub(crate) use call::{Name, Prepared};
pub(crate) use context::{Attempt, Place};
pub(crate) use definition::{Body, Outcome};
pub(crate) use panics::notice_panics;
pub(crate) use profiled::Profiled;
pub(crate) use schema::schema_of;
pub(crate) use stop::Stop;
pub(crate) use unique::cached_prefix;

/// What the macros use. Not for anybody else: it changes without notice.
#[doc(hidden)]
pub mod private {
    pub use bytes::Bytes;
    pub use inventory;
    pub use lineshaft_wire::value::typed::{Arguments, Bound, Error as ValueError};

    pub use super::argument::{FromAny, FromError, Returned, assert_argument, assert_result};
    pub use super::definition::{Outcome, Run, Running, finish, undecodable};
    pub use super::handler::{FailedJob, Takes};
    pub use super::rules::{Class, Defaults, Retry, UniqueBy};
    pub use super::schema::Signature;
    pub use super::traceback::__lineshaft_task_body;
    pub use crate::duration::literal as duration;
    pub use crate::pool::Registered;
}
