//! A decorated method of an instance.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::binder::with;
use super::call::CachedCall;
use super::memory::Memory;

/// What `instance.method` is: made for each use, as Python's own methods are.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct BoundCall {
    front: Py<CachedCall>,
    instance: Py<PyAny>,
    /// The instance's own; None if all share one.
    memory: Option<Py<Memory>>,
}

impl BoundCall {
    pub(crate) fn new(
        front: &Bound<'_, CachedCall>,
        instance: &Bound<'_, PyAny>,
        memory: Option<Bound<'_, Memory>>,
    ) -> Self {
        let memory = memory.map(Bound::unbind);
        Self { front: front.clone().unbind(), instance: instance.clone().unbind(), memory }
    }
}

#[pymethods]
impl BoundCall {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let front = self.front.get();
        let (binder, method_binder) = front.binders();
        let instance = self.instance.bind(py);
        let answer = if let Some(memory) = &self.memory {
            front.answer(memory.get(), method_binder, args, kwargs, Some(instance))
        } else {
            let args = with(Some(instance), args)?;
            front.answer(front.shared(), binder, &args, kwargs, None)
        };
        answer.map(|value| value.into_bound(py))
    }

    /// The cache, as seen from the instance.
    #[getter]
    fn cache<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.front.bind(py).call_method1("_cache_of", (self.instance.bind(py), self.memory.as_ref()))
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<PyAny> {
        self.instance.clone_ref(py)
    }

    #[getter]
    fn __func__(&self, py: Python<'_>) -> Py<CachedCall> {
        self.front.clone_ref(py)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.front.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.front.bind(py).getattr("__qualname__")?;
        Ok(format!("<bound method {name} of {}, cached>", self.instance.bind(py).repr()?))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>();
        other.is_ok_and(|other| other.get().front.is(&self.front) && other.get().instance.is(&self.instance))
    }

    fn __hash__(&self) -> isize {
        self.front.as_ptr() as isize ^ self.instance.as_ptr() as isize
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.front)?;
        visit.call(&self.instance)?;
        visit.call(&self.memory)
    }
}
