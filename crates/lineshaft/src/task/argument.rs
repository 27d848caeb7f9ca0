//! What a task can take and give.

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

/// What the body of a task may return: a `Result` of any error that has a text.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "return a value, or a `Result` of a value and an error that implements `std::error::Error`, or of `lineshaft::task::Error`"
)]
pub trait TaskResult {
    /// What it gives if it succeeds.
    type Output;

    /// What it came to.
    fn into_result(self) -> super::Result<Self::Output>;
}

impl<T, E: Into<super::Error>> TaskResult for Result<T, E> {
    type Output = T;

    fn into_result(self) -> super::Result<T> {
        self.map_err(Into::into)
    }
}

/// Refuses at compile time what cannot be an argument.
pub const fn assert_argument<T: Argument>() {}

/// Refuses at compile time what cannot be a result.
pub const fn assert_result<T: Argument>() {}
