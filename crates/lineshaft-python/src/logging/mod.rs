//! What `lineshaft.logging` is made of: see `lineshaft_log`.
//!
//! [`logger::Logger`] has the methods that log, called past the arguments of Python where a level is not heard
//! ([`methods`]). [`call`] has the parts of such a call, [`making`] makes a record of them, [`values`] its fields, [`hiding`]
//! what is put into texts, [`place`]
//! finds where it was logged. [`reading`] reads the configuration, [`opening`] its handlers, [`plan`] is what they make,
//! [`formatting`] calls functions of Python that are a handler's form,
//! [`helpers`] are functions of Python, [`state`] holds what is in force, [`signals`] has it written before
//! one of them ends the process, [`tap`] gives records to functions of Python, and [`work`] keeps those of attempts.
//!
//! All locks here are taken only by who holds the interpreter, and never kept while Python code can run, so none of them
//! is ever taken over a fork. The threads of a pipeline hold the interpreter for [`formatting`] alone.

mod call;
mod carry;
mod formatting;
mod helpers;
mod hiding;
mod logger;
mod making;
mod methods;
mod opening;
mod place;
mod plan;
mod reading;
mod record;
mod signals;
mod state;
mod tap;
mod values;
mod visit;
mod work;

use pyo3::prelude::*;

pub(crate) use carry::{Carrier, block as context_block, context_to_python, is_used as context_is_used};
pub(crate) use values::LogFields;
pub(crate) use work::LogsOfAttempts;

/// The classes and functions, into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<logger::Logger>()?;
    methods::add_to(&module.py().get_type::<logger::Logger>())?;
    module.add_class::<record::LogRecord>()?;
    module.add_class::<tap::LogTap>()?;
    module.add_class::<values::LogFields>()?;
    for function in [
        wrap_pyfunction!(hiding::log_hidden, module)?,
        wrap_pyfunction!(hiding::log_has_locals, module)?,
        wrap_pyfunction!(hiding::log_local, module)?,
        wrap_pyfunction!(hiding::log_without_secrets, module)?,
    ] {
        module.add_function(function)?;
    }
    module.add_function(wrap_pyfunction!(state::log_configure, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_counts, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_flush, module)?)?;
    module.add_function(wrap_pyfunction!(signals::log_flush_before_sigterm, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_forked, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_kept, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_late, module)?)?;
    module.add_function(wrap_pyfunction!(state::log_least, module)?)?;
    module.add_function(wrap_pyfunction!(work::log_attempts, module)?)?;
    module.add_function(wrap_pyfunction!(carry::log_context, module)?)?;
    module.add_function(wrap_pyfunction!(making::log_bridged, module)?)?;
    module.add_function(wrap_pyfunction!(making::log_mute, module)?)
}
