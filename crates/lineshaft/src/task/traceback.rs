//! The way to an error, from the body of the task on.
//!
//! A backtrace of Rust begins in what takes it and ends in the first function of the thread: of sixty frames five may be
//! the program's. Left out are those before the place where the error was made, those below the body, and those of the
//! standard library, of tokio and of this crate in between. `RUST_BACKTRACE=full` leaves out none.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The name of the functions that call bodies: nothing below them is the task's.
const BODY: &str = "__lineshaft_task_body";

/// Polls the body of a task that is an `async fn`. What calls one that is a plain `fn` has the same name, in the code
/// that the macro writes.
#[inline(never)]
pub fn __lineshaft_task_body<F: Future>(body: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let polled = body.poll(context);
    // As the standard library does: a call at the very end could leave no frame.
    std::hint::black_box(());
    polled
}

/// Where an error was made.
#[derive(Debug)]
pub(super) struct Place {
    file: String,
    line: u32,
    backtrace: Backtrace,
}

impl Place {
    pub(super) fn new(location: &Location<'_>, backtrace: Backtrace) -> Self {
        Self { file: location.file().to_owned(), line: location.line(), backtrace }
    }

    /// Forgets the way to it, if it is at `location`.
    pub(super) fn forget_way_to(&mut self, location: &Location<'_>) {
        if (&*self.file, self.line) == (location.file(), location.line()) {
            self.backtrace = Backtrace::disabled();
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, backtrace } = self;
        write!(f, "at {file}:{line}")?;
        match backtrace.status() {
            BacktraceStatus::Captured if is_full() => write!(f, "\n{backtrace}"),
            BacktraceStatus::Captured => f.write_str(&shortened(&backtrace.to_string(), file, *line)),
            _ => Ok(()),
        }
    }
}

fn is_full() -> bool {
    let is_full = |name| std::env::var_os(name).is_some_and(|value| value == "full");
    is_full("RUST_LIB_BACKTRACE") || is_full("RUST_BACKTRACE")
}

/// A function that was being called.
#[derive(Debug)]
struct Frame<'a> {
    name: &'a str,
    /// `src/shop.rs:12:5`, where it is known.
    place: Option<&'a str>,
}

/// The frames of a backtrace that are the program's, each on lines of its own. An error was made at `line` of `file`.
fn shortened(backtrace: &str, file: &str, line: u32) -> String {
    let frames = frames_of(backtrace);
    // A thread or a task that the body started has no body below it.
    let body = frames.iter().position(|frame| frame.name.contains(BODY));
    let end = body.or_else(|| frames.iter().position(Frame::starts_threads_or_tasks));
    let frames = &frames[..end.unwrap_or(frames.len())];
    let made = frames.iter().position(|frame| frame.is_at(file, line)).unwrap_or(0);
    let kept = frames[made..].iter().filter(|frame| !frame.is_of_a_library());
    let mut text = String::new();
    for (number, frame) in kept.enumerate() {
        let Frame { name, place } = frame;
        // A string takes whatever is written.
        let _ = write!(text, "\n{number:4}: {name}");
        let _ = place.map_or(Ok(()), |place| write!(text, "\n             at {place}"));
    }
    text
}

/// A line with a number begins a frame; one with `at` says where it is.
fn frames_of(backtrace: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in backtrace.lines() {
        let line = line.trim_start();
        if let Some(place) = line.strip_prefix("at ") {
            frames.last_mut().into_iter().for_each(|frame| frame.place = Some(place));
        } else if let Some((number, name)) = line.split_once(": ")
            && number.parse::<u32>().is_ok()
        {
            frames.push(Frame { name, place: None });
        }
    }
    frames
}

impl Frame<'_> {
    /// The same file may be written in more than one way.
    fn is_at(&self, file: &str, line: u32) -> bool {
        let Some((path, at)) = self.place.and_then(|place| place.split_once(".rs:")) else { return false };
        let name = |path: &str| path.rsplit(['/', '\\']).next().map(str::to_owned);
        let is_line = at.split(':').next().is_some_and(|at| at.parse() == Ok(line));
        is_line && name(path) == name(file.strip_suffix(".rs").unwrap_or(file))
    }

    /// Whether what is below it is no call of the program's.
    fn starts_threads_or_tasks(&self) -> bool {
        let is_runtime = |text: &str| text.contains("tokio::runtime::") || text.contains("/src/runtime/");
        self.name.contains("__rust_begin_short_backtrace")
            || is_runtime(self.name)
            || self.place.is_some_and(|place| place.contains("/tokio-1.") && is_runtime(place))
    }

    fn is_of_a_library(&self) -> bool {
        // Where debug information is missing, only the name says it; what is inlined may be known by its file alone.
        let crate_name = crate_of(self.name);
        let by_name = ["std", "core", "alloc", "tokio", "lineshaft"].contains(&crate_name)
            || crate_name.starts_with("__rust")
            || self.name == "<unknown>";
        by_name || self.place.is_some_and(is_in_a_library)
    }
}

fn is_in_a_library(place: &str) -> bool {
    let place = place.replace('\\', "/");
    place.contains("/library/std/")
        || place.contains("/library/core/")
        || place.contains("/library/alloc/")
        || place.contains("/tokio-1.")
        || place.contains("/lineshaft/src/")
        || place
            .split_once("/lineshaft-")
            .is_some_and(|(_, rest)| rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// The crate that a function is of: `shop` of `shop::send` and of `<shop::Order as core::fmt::Debug>::fmt`.
fn crate_of(name: &str) -> &str {
    let name = name.trim_start_matches(['<', '&', '(', '*']);
    let name =
        ["dyn ", "mut ", "impl "].iter().fold(name, |name, word| name.strip_prefix(word).unwrap_or(name));
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
    let (first, rest) = name.split_at(end);
    match rest.strip_prefix(" as ") {
        // A parameter says nothing; the trait does.
        Some(of_trait) => crate_of(of_trait),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKTRACE: &str = "   0: std::backtrace::Backtrace::capture
             at /rustc/59807616e/library/std/src/backtrace.rs:290:21
   1: of
             at /home/ada/.cargo/registry/src/index-19/lineshaft-0.1.0/src/task/error.rs:108:52
   2: <core::result::Result<T,F> as core::ops::try_trait::FromResidual<E>>::from_residual
             at /rustc/59807616e/library/core/src/result.rs:2201:27
   3: {closure#0}
             at ./src/orders/mod.rs:18:68
   4: fold<&str, u8>
             at /rustc/59807616e/library/core/src/slice/iter/macros.rs:255:27
   5: <tokio::time::timeout::Timeout<T> as core::future::future::Future>::poll
             at /home/ada/.cargo/registry/src/index-19/tokio-1.54.1/src/time/timeout.rs:202:33
   6: {async_fn#0}
             at ./src/orders/mod.rs:30:5
   7: serde_json::from_str
             at /home/ada/.cargo/registry/src/index-19/serde_json-1.0.1/src/de.rs:1:1
   8: shop::orders::__run::__lineshaft_task_body
             at ./src/orders/mod.rs:24:1
   9: shop::main
             at ./src/main.rs:3:5
  10: __libc_start_main
";

    fn names(backtrace: &str, file: &str, line: u32) -> Vec<String> {
        let text = shortened(backtrace, file, line);
        frames_of(&text).iter().map(|frame| frame.name.to_owned()).collect()
    }

    #[test]
    fn what_is_kept_is_the_program_from_the_error_to_the_body() {
        let kept = names(BACKTRACE, "crates/shop/src/orders/mod.rs", 18);
        assert_eq!(kept, ["{closure#0}", "{async_fn#0}", "serde_json::from_str"]);
        let text = shortened(BACKTRACE, "src/orders/mod.rs", 18);
        assert!(
            text.starts_with("\n   0: {closure#0}\n             at ./src/orders/mod.rs:18:68\n"),
            "{text}"
        );
    }

    #[test]
    fn without_a_body_it_ends_in_the_runtime() {
        let spawned = BACKTRACE.replace(BODY, "caller");
        let in_a_runtime = spawned.replace("9: shop::main", "9: tokio::runtime::Runtime::block_on");
        let kept = names(&in_a_runtime, "src/orders/mod.rs", 30);
        assert_eq!(kept, ["{async_fn#0}", "serde_json::from_str", "shop::orders::__run::caller"]);
        let kept = names(&spawned, "src/orders/mod.rs", 30);
        let expected = [
            "{async_fn#0}",
            "serde_json::from_str",
            "shop::orders::__run::caller",
            "shop::main",
            "__libc_start_main",
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn without_debug_information_names_say_what_is_left_out() {
        let bare: String = BACKTRACE
            .lines()
            .filter(|line| !line.contains(" at "))
            .fold(String::new(), |text, line| text + line + "\n");
        let bare = bare
            .replace("{async_fn#0}", "shop::send::{{closure}}")
            .replace("   1: of", "   1: lineshaft::task::error::Error::of");
        assert_eq!(
            names(&bare, "src/orders/mod.rs", 18),
            ["{closure#0}", "fold<&str, u8>", "shop::send::{{closure}}", "serde_json::from_str"]
        );
    }

    #[test]
    fn a_function_is_of_the_crate_of_its_type_or_of_its_trait() {
        for (name, expected) in [
            ("shop::send", "shop"),
            ("<shop::Order as core::fmt::Debug>::fmt", "shop"),
            ("<T as core::convert::Into<U>>::into", "core"),
            ("<&mut core::iter::Map<I,F> as Iterator>::next", "core"),
            ("<F as shop::Sends>::send", "shop"),
            ("__rust_try", "__rust_try"),
            ("main", "main"),
        ] {
            assert_eq!(crate_of(name), expected, "{name}");
        }
    }
}
