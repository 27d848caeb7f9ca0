//! What is put around functions: `#[lineshaft::logged]`, `#[lineshaft::retry]`, `#[lineshaft::timed]`,
//! `#[lineshaft::cached]` and `#[lineshaft::alternatives]`.
//!
//! ```
//! #[lineshaft::timed]
//! fn work(n: u64) -> u64 {
//!     (0..n).sum()
//! }
//!
//! for n in 0..1_000 {
//!     work(n);
//! }
//! let timing = work_timing();
//! assert_eq!(timing.count(), 1_000);
//! assert!(timing.min() <= timing.quantile(0.99));
//! ```
//!
//! They work on functions and methods, `async` or not, and none of them needs a client, a worker or an engine. A function
//! keeps its signature. Of several the one on top comes first in a call and last out of it.

mod alternatives;
mod cached;
#[doc(hidden)]
pub mod clock;
mod logged;
mod place;
mod retry;
mod rough;
mod timed;

pub use alternatives::{Alternatives, Implementation, Measured, Standing};
pub use cached::{CacheInfo, Cached, TagInfo};
pub use retry::Retrying;
pub use timed::Timing;

/// What the macros use. Not for anybody else: it changes without notice.
#[doc(hidden)]
pub mod private {
    pub use lineshaft_cache::PolicyKind;
    pub use lineshaft_macros::around;
    pub use tokio::time::sleep;
    pub use tracing;

    pub use super::alternatives::{Alike, Argument, BySize, compared, error_type, is_same, no_error, twice};
    pub use super::cached::{Kept, Key, Settings, Ticket, assert_kept, assert_key, life};
    pub use super::logged::{Arguments, ByDebug, ByDisplay, Cut, Failure, Redacted, Took, began, shown};
    pub use super::place::Place;
    pub use super::retry::{Budget, Patience, again};
    pub use super::rough::Rough;

    /// Texts of whatever kind.
    pub fn texts(texts: impl IntoIterator<Item: Into<String>>) -> Vec<String> {
        texts.into_iter().map(Into::into).collect()
    }

    /// Calls a closure, which may give away what it has taken in: the compiler sees that it is called once.
    #[inline]
    pub fn call<T>(body: impl FnOnce() -> T) -> T {
        body()
    }
}
