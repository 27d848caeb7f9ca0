//! Workers for Python: the [supervisor] for programs that start children, and the [child]'s loop, which is Rust down
//! to the call of the body, because a microsecond of Python per job is a twentieth of all there is.

mod bodies;
mod body;
mod checkpoint;
pub(crate) mod child;
mod collector;
mod control;
mod garbage;
mod gil;
mod logged;
mod profiled;
mod shield;
mod slots;
mod started;
mod supervisor;

use pyo3::prelude::*;

/// Adds the classes of workers to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PROFILE_TAG", lineshaft_wire::message::PROFILE_TAG)?;
    module.add("PROFILE_MEMORY_TAG", lineshaft_wire::message::PROFILE_MEMORY_TAG)?;
    module.add("PROFILE_NATIVE_TAG", lineshaft_wire::message::PROFILE_NATIVE_TAG)?;
    module.add("CHILD_VARIABLE", lineshaft::worker::Child::variable())?;
    module.add_class::<supervisor::Supervisor>()?;
    module.add_class::<child::Child>()?;
    module.add_class::<child::RunningAttempt>()?;
    module.add_class::<checkpoint::Checkpoint>()?;
    module.add_class::<shield::Shield>()?;
    module.add_class::<slots::Slots>()?;
    module.add_class::<slots::Work>()?;
    module.add_class::<started::Starter>()
}
