//! Profiles: a thread that looks now and then what Python does, and what it has seen.

mod data;
mod frames;
mod garbage;
mod native;
mod pauses;
mod sampler;
mod so_far;
mod tasks;
mod threads;

use pyo3::prelude::*;

pub(crate) use frames::Ends;
pub(crate) use garbage::GarbageWatch;
pub(crate) use sampler::{Plan, Sampler};
pub(crate) use so_far::SoFar;

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<data::ProfileData>()?;
    module.add_class::<garbage::GarbageWatch>()?;
    module.add_class::<sampler::Sampler>()
}
