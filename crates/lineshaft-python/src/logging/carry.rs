//! The fields of a context go along with the jobs that are made in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lineshaft_log::{Fields, carried, carry, overlaid};
use lineshaft_wire::message::CONTEXT_BYTES_MAX;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::making::context_of_block;
use super::values::{LogFields, fields_to_python};
use super::{state, work};

/// Whether there has been any context in this process, so that programs without one pay nothing.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// There is a context with fields.
pub(crate) fn is_used() {
    IS_USED.store(true, Ordering::Relaxed);
}

/// The fields of the blocks around, if there are any.
pub(crate) fn block(py: Python<'_>) -> PyResult<Option<Py<LogFields>>> {
    if !IS_USED.load(Ordering::Relaxed) {
        return Ok(None);
    }
    Ok(context_of_block(py)?.cast_into().ok().map(Bound::unbind))
}

/// What goes along with calls that are enqueued one after the other, mostly with the same.
#[derive(Default)]
pub(crate) struct Carrier {
    last: Option<(Blocks, Option<Arc<str>>)>,
}

/// Of here and now, and of where the call was made.
type Blocks = [Option<Py<LogFields>>; 2];

impl Carrier {
    /// The context of a job that is enqueued here and now, and whose call was made in that block, without secrets.
    pub(crate) fn text(
        &mut self,
        py: Python<'_>,
        made_in: Option<&Py<LogFields>>,
    ) -> PyResult<Option<Arc<str>>> {
        if !IS_USED.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let blocks = [block(py)?, made_in.map(|block| block.clone_ref(py))];
        if let Some((last, text)) = &self.last
            && are_same(last, &blocks)
        {
            return Ok(text.clone());
        }
        let text = text(py, &blocks)?;
        self.last = Some((blocks, text.clone()));
        Ok(text)
    }
}

fn are_same(some: &Blocks, others: &Blocks) -> bool {
    let is_same = |one: &Option<Py<LogFields>>, other: &Option<Py<LogFields>>| match (one, other) {
        (Some(one), Some(other)) => one.is(other),
        (one, other) => one.is_none() && other.is_none(),
    };
    some.iter().zip(others).all(|(one, other)| is_same(one, other))
}

fn text(py: Python<'_>, blocks: &Blocks) -> PyResult<Option<Arc<str>>> {
    let (inherited, mut fields) = work::context(py)?;
    if blocks.iter().all(Option::is_none) {
        return Ok(inherited);
    }
    for block in blocks.iter().flatten() {
        fields = overlaid(fields, &block.get().0);
    }
    let fields = state::current().plan.without_secrets(fields);
    Ok(carry(&fields, CONTEXT_BYTES_MAX).map(Into::into))
}

/// The fields of a job's context, as a dict.
pub(crate) fn context_to_python<'py>(py: Python<'py>, text: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
    fields_to_python(py, &text.map(carried).unwrap_or_default())
}

/// The fields that all records have which are logged here and now, as a dict.
#[pyfunction]
pub(super) fn log_context(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (_, inherited) = work::context(py)?;
    let block = context_of_block(py)?;
    let none = Fields::new();
    let own = block.cast::<LogFields>().map_or(&none, |fields| &fields.get().0);
    fields_to_python(py, &overlaid(inherited, own))
}
