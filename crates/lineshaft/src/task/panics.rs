//! Where a body panicked: only the hook of panics is told.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use super::traceback::Place;
use super::{Context, Error};

thread_local! {
    /// Of the newest panic of a body on this thread.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// From now on the place of a panic is noted where a body runs. What was told of panics before is told as before.
pub(crate) fn notice_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            note(panic);
            before(panic);
        }));
    });
}

fn note(panic: &PanicHookInfo<'_>) {
    if Context::current().is_some() {
        let place = panic.location().map(|place| Place::new(place, Backtrace::capture()));
        PLACE.set(place);
    }
}

/// The error of a body that panicked on this thread.
pub(super) fn error_of(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "it panicked with a value that is no text".to_owned());
    Error::panicked(message, PLACE.take())
}
