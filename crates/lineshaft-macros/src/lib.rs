//! The attribute macros of Lineshaft: [`macro@task`] and [`macro@value`].
//!
//! They only write code that names `::lineshaft`; what tasks, calls and values are is known there. Use them through the
//! crate `lineshaft`, which re-exports both.

mod forms;
mod nearest;
mod options;
mod parameter;
mod task;
mod value;

use proc_macro::TokenStream;

/// Makes a task of a function.
///
/// ```ignore
/// #[lineshaft::task(name = "img.resize", queue = "img", retries = 3)]
/// async fn resize(ctx: &Context, src: String, size: (u32, u32)) -> Result<Thumb, Error> {
///     Thumb::of(&src, size).await
/// }
/// ```
///
/// The function stays what it is and can be called as before. Beside it there is a type of the same name with
/// `resize::TASK`, for a worker, and `resize::call(src, size)`, which makes a call for a client to enqueue.
///
/// An `async fn` runs as a coroutine and is dropped at its next `.await` when it has to stop; a plain `fn` runs on a
/// thread where it may block, and should look at `ctx.is_cancelled()` from time to time. `ctx: &Context` comes first, if
/// it is there at all. Every other argument owns its data and is `Serialize` and `DeserializeOwned`; one of type
/// `Option<T>` may be left out by the caller and is `None` then, one with `#[default = expression]` takes that value.
///
/// | option | form | default |
/// |---|---|---|
/// | `name` | `"img.resize"` | the function's path, `shop::img::resize` |
/// | `version` | 1 to 2147483647: workers leave jobs of a later one to others | 1 |
/// | `from_version` | 1 to `version`: workers leave jobs of an earlier one to others | 1 |
/// | `aliases` | `["img.shrink"]`: older names under which jobs may still wait | none |
/// | `queue` | `"img"` | `"default"` |
/// | `priority` | 1 (first) to 9; `"high"`, `"normal"`, `"low"` | 5 |
/// | `retries` | 0 to 9999: how often it is tried again after an error, a panic or a timeout | 0 |
/// | `retry(…)` | which errors are tried again, and when; see below | every error; 1 s, doubling, at most 10 min |
/// | `timeout` | of an attempt: `"30s"`, `"1h30m"`, a number of seconds; `None` | one hour |
/// | `expires` | the job is discarded if it has not begun within this time | `None` |
/// | `deadline` | the job is discarded, its attempt stopped, if it has not ended within this time | `None` |
/// | `unique` | `"args"`, or `unique(by = ["tenant"], while = "queued", period = "1h")` | none |
/// | `delivery` | `"at_least_once"`, `"at_most_once"` | `"at_least_once"` |
/// | `result` | `true`, `false`: whether the result is kept | `true` |
/// | `tags` | `["a", "b"]` | none |
/// | `on_failure` | `tell_owner`, a task that takes the job if it gives up; `"alarms.tell_owner"`, one elsewhere | none |
///
/// `retry(on = [std::io::Error], never = ["shop.Bounced"], first = "2s", cap = "5m", after = wait)` may have any of these:
/// types of errors that alone are tried again, or never are (`"panic"` is a panic), the first and the longest wait, and
/// a `fn(attempt: u32, error: &Error) -> Duration` that says how long to wait instead.
///
/// Jobs are *unique* by their arguments, or by those that `by` names: a second `enqueue` answers with the job that is
/// there. `while = "queued"` keeps others out until the job first runs, the default `"unfinished"` until it has ended.
///
/// A task that is an `on_failure` takes one argument, the failed `Job` (or its `JobId`); any others may be left out by a
/// caller. Handlers that lead back to themselves, or more than four of them in a row, do not compile.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Gives a struct or an enum the name under which other languages know it: `#[lineshaft::value("shop.Order")]`.
///
/// A struct with named fields becomes a record, a Python dataclass; an enum without data becomes the member of a Python
/// `Enum`. `aliases = ["shop.OldOrder"]` are names under which it is read too. What `serde` needs is derived, unless the
/// type derives it itself below this attribute; the attributes of `serde` work as always.
#[proc_macro_attribute]
pub fn value(name: TokenStream, item: TokenStream) -> TokenStream {
    value::expand(name.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
