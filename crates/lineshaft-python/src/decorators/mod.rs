//! What `lineshaft.logged`, `retry`, `timed`, `limited`, `deprecated` and decorators of one's own are made of.
//!
//! [`wrapper::Wrapper`] stands for a function of any decorator: a gate decides, without a line of Python, whether the
//! call goes straight to the function, and Python's part is called only where there is something to do. The gates are
//! [`gates::Listening`] of `logged`, [`gates::OnError`] of `retry`, [`timing::Timing`] of `timed` and [`rate::Rate`] of
//! `limited`.
//!
//! Only functions that are written with `def` and have no `yield` come here. The wrappers of the others are functions of
//! their kind, so that `inspect` and frameworks take them for what they are.

mod gates;
mod rate;
mod timing;
mod wrapper;

use pyo3::prelude::*;

/// The classes, into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<gates::Listening>()?;
    module.add_class::<gates::OnError>()?;
    module.add_class::<rate::Rate>()?;
    module.add_class::<timing::Timing>()?;
    module.add_class::<wrapper::Wrapper>()
}
