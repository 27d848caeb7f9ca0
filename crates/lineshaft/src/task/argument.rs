//! What a task can take and give.

use std::cell::Cell;
use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a task can take: any type that owns its data and that serde can write and read. Implemented for all of them.
///
/// ```compile_fail,E0277
/// struct Opaque;
///
/// #[lineshaft::task]
/// async fn takes(id: u8, thing: Opaque) {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task",
    label = "this argument has to be written by the caller and read by the worker",
    note = "derive `serde::Serialize` and `serde::Deserialize`, or put `#[lineshaft::value(\"name\")]` on the type"
)]
pub trait Argument: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {}

/// What the body of a task may return: a `Result` of any error that has a text, those of `anyhow` and texts included.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "return a value, or a `Result` of a value and an error"
)]
pub trait TaskResult {
    /// What it gives if it succeeds.
    type Output;
}

impl<T, E> TaskResult for Result<T, E> {
    type Output = T;
}

/// What a body returned. Rust takes the first of [`FromError`] and [`FromAny`] that the error has a way for, as method
/// calls look at references one by one: no bound could say "this, or else that".
pub struct Returned<T, E>(pub Cell<Option<Result<T, E>>>);

/// Errors that become one of a task by `?`.
pub trait FromError<T> {
    /// What it came to.
    fn into_result(self) -> super::Result<T>;
}

/// Errors that a box can hold.
#[diagnostic::on_unimplemented(
    message = "a task cannot fail with this error",
    note = "return `lineshaft::task::Error`, an error that implements `std::error::Error`, or one of `anyhow`"
)]
pub trait FromAny<T> {
    /// What it came to.
    fn into_result(self) -> super::Result<T>;
}

impl<T, E: Into<super::Error>> FromError<T> for &&Returned<T, E> {
    #[track_caller]
    fn into_result(self) -> super::Result<T> {
        // A closure would be the place of the error.
        match self.0.take().expect("a body returns once") {
            Ok(value) => Ok(value),
            Err(error) => {
                let error: super::Error = error.into();
                Err(error.returned_at(Location::caller()))
            }
        }
    }
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> FromAny<T> for &Returned<T, E> {
    #[track_caller]
    fn into_result(self) -> super::Result<T> {
        // A closure would be the place of the error.
        match self.0.take().expect("a body returns once") {
            Ok(value) => Ok(value),
            Err(error) => Err(super::Error::any(error).returned_at(Location::caller())),
        }
    }
}

/// Refuses at compile time what cannot be an argument.
pub const fn assert_argument<T: Argument>() {}

/// Refuses at compile time what cannot be a result.
pub const fn assert_result<T: Argument>() {}
