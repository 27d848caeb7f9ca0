//! The attribute macros of Lineshaft: [`macro@task`] and [`macro@value`], and what is put around functions:
//! [`macro@logged`], [`macro@retry`], [`macro@timed`], [`macro@cached`] and [`macro@alternatives`].
//!
//! They only write code that names `::lineshaft`; what tasks, calls and values are is known there. Use them through the
//! crate `lineshaft`, which re-exports them.

mod around;
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
/// | `cache` | how long an equal call is answered with the completed job: `"10m"`, at most `"24h"`; not with `unique` | `None` |
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

/// Has a function say when it is called, with which arguments, and what it gives, in records of `tracing`.
///
/// ```ignore
/// #[lineshaft::logged(redact = ["password"])]
/// fn log_in(user: &str, password: &str) -> Result<u64, Refused> {
///     accounts().check(user, password)
/// }
/// ```
///
/// `Calling log_in with arguments ("ada", ***)` comes before a call, `log_in returned 7` after it. Of a `Result` that is
/// what is in the `Ok`; an `Err` is `log_in failed: no such user`, always at level error. Where nobody listens a call
/// costs a few nanoseconds more. Arguments and results are shown as `Debug` does, errors as `Display` if they have it,
/// and `self` is left out. It stands above functions and methods, `async` or not; what happens before the first poll, or
/// after a future is dropped, is not said.
///
/// | option | what it says | default |
/// |---|---|---|
/// | `level` | `"trace"`, `"debug"`, `"info"`, `"warn"`, `"error"` | `"info"` |
/// | `target` | the target of the records | the module |
/// | `redact` | `["password"]`: arguments that are shown as `***` and need no `Debug` | none |
/// | `result` | whether the result is shown | `true` |
/// | `errors` | whether an `Err` is logged | `true` |
/// | `duration` | whether the end says how long it took | `false` |
/// | `max_length` | to how many characters each value is cut | whole |
#[proc_macro_attribute]
pub fn logged(options: TokenStream, item: TokenStream) -> TokenStream {
    around::expand("logged", &options.into(), item.into()).into()
}

/// Has a function called again that returned an `Err`, or what is no result yet, after a pause that grows.
///
/// ```ignore
/// #[lineshaft::retry(on = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut, max = 5, deadline = "30s")]
/// async fn fetch(url: String) -> io::Result<Page> {
///     Page::of(&url).await
/// }
/// ```
///
/// In the end the last error is returned as it is, and a warning of `tracing` says how often it was tried. What an
/// `async fn` waits for between attempts is tokio's timer; a plain `fn` sleeps. A panic is no error.
///
/// Each attempt gets a clone of the arguments, which has to be `Clone`, and the same references; what an attempt changed
/// behind a `&mut` the next one finds changed. A method takes `&self` or `&mut self`.
///
/// | option | what it says | default |
/// |---|---|---|
/// | `max` | retries after the first attempt; `None` for as often as the others allow | 3 |
/// | `on` | a `fn(&Error) -> bool`, by its path or as a closure: which errors are tried again | all |
/// | `never` | likewise: which are not all the same | none |
/// | `if_result` | a `fn(&T) -> bool` of what is in an `Ok`, or of what a function without `Result` returns: which are tried again; the last one is returned in the end | none |
/// | `first`, `cap` | longest pause before the first retry, which doubles with each, and the longest of all | `"100ms"`, `"10s"` |
/// | `after` | the pause itself, or a `fn(attempt: u32, &Error) -> Duration` that gives it | |
/// | `deadline` | no retry begins later than so long after the first attempt began | `None` |
/// | `budget` | retries in this process, as a rate of this function, `"10/s"`; `None` for no bound | shared: 100 a second, 1,000 at once |
/// | `before_pause` | a `fn(&Retrying<Error>)` that is called before each pause | |
///
/// Each pause is drawn between zero and its longest, so that those who failed together do not come back together. When
/// the budget is used up, what fails is not tried again, so that an outage is not multiplied. `before_pause`, and an
/// `after` that is called, are given errors, so that they are refused beside `if_result`.
#[proc_macro_attribute]
pub fn retry(options: TokenStream, item: TokenStream) -> TokenStream {
    around::expand("retry", &options.into(), item.into()).into()
}

/// Has a function count its calls and how long they take.
///
/// ```ignore
/// #[lineshaft::timed(slow = "1s")]
/// fn work(n: u64) -> u64 {
///     (0..n).sum()
/// }
///
/// println!("{}", work_timing().quantile(0.99));
/// ```
///
/// Beside the function there is another one, `work_timing()`, which gives its `Timing`: ten kilobytes for each function,
/// however many calls there are. All threads, all instances and all types of a generic function have one. Calls that
/// fail or panic count too. Of an `async fn` it is the time from when it is first polled until it ends or is dropped,
/// with what it waits for. It stands above functions and methods, but not above those of a trait, which can have no
/// other beside them.
///
/// | option | what it says | default |
/// |---|---|---|
/// | `slow` | calls that take so long, `"1s"`, are reported | none |
/// | `report` | a `fn(name: &str, took: Duration)` that is told of slow calls | a warning of `tracing` |
#[proc_macro_attribute]
pub fn timed(options: TokenStream, item: TokenStream) -> TokenStream {
    around::expand("timed", &options.into(), item.into()).into()
}

/// Has a function keep its results, in this process: calls with equal arguments are computed once.
///
/// ```ignore
/// #[lineshaft::cached(ttl = "5m", tags = |user, _| [format!("user:{user}")])]
/// fn profile(user: u64, field: &str) -> Result<String, Arc<Error>> {
///     load(user, field).map_err(Arc::new)
/// }
///
/// profile_cache().invalidate(&(7, "name".to_owned()));
/// profile_cache().invalidate_tag("user:7");
/// ```
///
/// Threads, or futures of an `async fn`, that ask for what is being computed wait for it. If that panics or is dropped,
/// the next of them computes. Everybody gets a clone of the result, which is `Clone`, `Send`, `Sync` and owns its data.
/// Arguments are `Clone`, `Eq`, `Hash` and `Send`; of those behind references a key has what `ToOwned` makes of them. Of
/// a method `self` is one of them. A function with types of its own cannot be cached.
///
/// Beside the function there is another one, `profile_cache()`, which gives its `Cached`, to look at and to change. So it
/// stands above functions and methods, but not above those of a trait, which can have no other beside them.
///
/// | option | what it says | default |
/// |---|---|---|
/// | `ttl` | time from when it was computed: `"5m"` | for ever |
/// | `idle` | time from when it was last used | for ever |
/// | `max` | number of entries; `None` for as many as come, 0 for none | 10000 |
/// | `policy` | who goes when room is needed: `"s3fifo"`, `"lru"`, `"sieve"`, `"lfu"` | `"s3fifo"` |
/// | `tags` | `["rates"]`, or a closure that gives them: names to invalidate entries by | none |
/// | `negative` | how long an `Err` is kept | not kept |
/// | `key` | what makes calls equal, a closure with its type: `\|user, _\| -> u64 { user.id }` | all arguments |
///
/// Closures take what the function takes, by reference. An `Err` is given to all who waited for it, and kept only with
/// `negative`. The clock has steps of a few milliseconds. In an `impl` with types a function that takes no
/// `self`, and names neither `Self` nor one of them in what it takes and gives, has one cache for all of them.
#[proc_macro_attribute]
pub fn cached(options: TokenStream, item: TokenStream) -> TokenStream {
    around::expand("cached", &options.into(), item.into()).into()
}

/// Has the fastest of several implementations of a function do its work, by the class of its arguments.
///
/// ```ignore
/// #[lineshaft::alternatives(by_set, by_sort, verify = 0.01)]
/// fn common(names: &[String], wanted: &[String]) -> Vec<String> {
///     names.iter().filter(|name| wanted.contains(name)).cloned().collect()
/// }
///
/// println!("{}", common_alternatives().explain());
/// ```
///
/// The function below is the first implementation and right by definition; the others are functions, by their paths, that
/// take and give the same. For each class all are compared at first, in turn, in four calls for each at most; then the
/// fastest does the work, and one call in a hundred looks whether another one has become faster.
///
/// Where a function returns a `Result` and another implementation gives an `Err` where the first one gives none, it is left
/// out of its class for an hour, and the call gives what the first one gives. One that panics is left out as well, and the
/// panic is the caller's. Arguments that own their data are `Clone` in functions that return a `Result`, that are `async`
/// or that have `verify`: implementations may be called twice with them, and must change nothing that counts twice. A look
/// at an `async fn` is dropped after three times what the slowest of the last 32 calls of the fastest one took, by the timer of
/// tokio; outside of tokio it takes what it takes.
///
/// Beside the function there is another one, `common_alternatives()`, which gives its `Alternatives`: `explain()`,
/// `implementations()`, and `share(&client)`, by which the processes of a home learn together. So it stands above functions
/// and methods that take `&self`, but not above those of a trait. Functions with types of their own are refused.
///
/// | option | what it says | default |
/// |---|---|---|
/// | `key` | a function or a closure that gives the class of a call from its arguments, by reference: whatever can be serialized; `None` for one class | the sizes of the arguments as powers of two |
/// | `verify` | the part of the calls of others whose results are compared with the first one's, `0.01`; where they differ the first one does the work of that class from then on | 0 |
/// | `equal` | a `fn(&T, &T) -> bool` that compares two results, of a `Result` what is in them | `==` |
/// | `name` | the name under which processes know it that learn together | its path; that of its type where it, or what stands here, says `Self` or `self` |
#[proc_macro_attribute]
pub fn alternatives(options: TokenStream, item: TokenStream) -> TokenStream {
    around::expand("alternatives", &options.into(), item.into()).into()
}

/// What the attributes above put off, until those that stand below them are done.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn around(attribute: TokenStream, item: TokenStream) -> TokenStream {
    around::expand_later(attribute.into(), item.into()).into()
}
