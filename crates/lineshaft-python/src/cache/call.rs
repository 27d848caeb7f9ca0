//! A decorated function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::once::intern;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyException;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::binder::{Binder, with};
use super::bound::BoundCall;
use super::flight::{End, Flight, Turn};
use super::memory::{Memory, Stored};

/// A function whose results are kept. `python/lineshaft/_cached` gives it its face.
#[pyclass(frozen, subclass, module = "lineshaft._native")]
pub(crate) struct CachedCall {
    pub(crate) function: Py<PyAny>,
    binder: Py<Binder>,
    /// Of the arguments without the first, which is the instance.
    method_binder: Py<Binder>,
    memory: Py<Memory>,
    /// Tags by the arguments, and what has due values computed: Python's part.
    tags: Option<Py<PyAny>>,
    refresh: Option<Py<PyAny>>,
    /// The results of methods are kept with their instance, under this name.
    attribute: Option<Py<PyAny>>,
    /// Makes a memory for an instance.
    make_memory: Py<PyAny>,
    /// It stands in the body of a class: the first argument is an instance, however it is called.
    is_method: AtomicBool,
}

/// What a call is made with: everything but its key.
pub(crate) struct Call<'a, 'py> {
    pub(crate) front: &'a CachedCall,
    pub(crate) memory: &'a Memory,
    pub(crate) args: &'a Bound<'py, PyTuple>,
    pub(crate) kwargs: Option<&'a Bound<'py, PyDict>>,
}

#[pymethods]
impl CachedCall {
    #[new]
    #[pyo3(signature = (function, binder, method_binder, memory, tags, refresh, attribute, make_memory))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        function: Py<PyAny>,
        binder: Py<Binder>,
        method_binder: Py<Binder>,
        memory: Py<Memory>,
        tags: Option<Py<PyAny>>,
        refresh: Option<Py<PyAny>>,
        attribute: Option<Py<PyAny>>,
        make_memory: Py<PyAny>,
    ) -> Self {
        Self {
            function,
            binder,
            method_binder,
            memory,
            tags,
            refresh,
            attribute,
            make_memory,
            is_method: AtomicBool::new(false),
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        if self.is_method.load(Ordering::Relaxed)
            && let Ok(instance) = args.get_item(0)
            && let Some(memory) = self.memory_of(&instance)?
        {
            let args = PyTuple::new(py, args.iter().skip(1).collect::<Vec<_>>())?;
            let answer = self.answer(memory.get(), self.method_binder.get(), &args, kwargs, Some(&instance));
            return answer.map(|value| value.into_bound(py));
        }
        self.answer(self.memory.get(), self.binder.get(), args, kwargs, None)
            .map(|value| value.into_bound(py))
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if instance.is_none() {
            return Ok(slf.clone().into_any());
        }
        let own = slf.get().memory_of(instance)?;
        Ok(Bound::new(instance.py(), BoundCall::new(slf, instance, own))?.into_any())
    }

    /// It stands in the body of a class.
    fn _becomes_method(&self) {
        self.is_method.store(true, Ordering::Relaxed);
    }

    /// The memory of an instance; None if all share one.
    #[pyo3(name = "_memory_of")]
    fn python_memory_of<'py>(&self, instance: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Memory>>> {
        self.memory_of(instance)
    }

    /// Computes a call and stores what it gives, whatever there is.
    #[pyo3(name = "_compute")]
    fn python_compute<'py>(
        &self,
        memory: &Bound<'py, Memory>,
        key: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let hash = super::binder::fold(key.hash()?);
        Call { front: self, memory: memory.get(), args, kwargs }.compute(key, hash)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.memory)?;
        visit.call(&self.binder)?;
        visit.call(&self.method_binder)?;
        visit.call(&self.tags)?;
        visit.call(&self.refresh)?;
        visit.call(&self.make_memory)
    }

    #[expect(clippy::unused_self, reason = "Python calls it so")]
    fn __clear__(&self) {
        // Its memory is emptied by its own.
    }
}

impl CachedCall {
    /// The answer to a call of the function, or of the method `instance` if there is one, whose results are in
    /// `memory`.
    pub(crate) fn answer<'py>(
        &self,
        memory: &Memory,
        binder: &Binder,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        instance: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = args.py();
        let Some((key, hash)) = binder.key(args, kwargs, instance)? else {
            // The function says best what is wrong with the arguments.
            return self.function.bind(py).call(with(instance, args)?, kwargs).map(Bound::unbind);
        };
        if let Some(found) = memory.look(&key, hash, true)? {
            if found.is_due && !memory.flights.is_busy(hash) {
                self.ask_refresh(&key, &with(instance, args)?, kwargs, instance)?;
            }
            return if found.is_error { Err(raised(found.value.into_bound(py))) } else { Ok(found.value) };
        }
        let args = with(instance, args)?;
        Call { front: self, memory, args: &args, kwargs }.compute(&key, hash)
    }

    pub(crate) fn binders(&self) -> (&Binder, &Binder) {
        (self.binder.get(), self.method_binder.get())
    }

    pub(crate) fn shared(&self) -> &Memory {
        self.memory.get()
    }

    /// The memory of an instance; None if all share one.
    pub(crate) fn memory_of<'py>(
        &self,
        instance: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, Memory>>> {
        let py = instance.py();
        // A class method's instance is the class.
        let Some(attribute) = self.attribute.as_ref().filter(|_| !instance.is_instance_of::<PyType>()) else {
            return Ok(None);
        };
        if let Ok(attributes) = instance.getattr(intern!(py, "__dict__"))
            && let Ok(attributes) = attributes.cast_into::<PyDict>()
            && let Some(memory) = attributes.get_item(attribute)?
            && let Ok(memory) = memory.cast_into::<Memory>()
            && memory.get().is_of(instance)
        {
            return Ok(Some(memory));
        }
        Ok(Some(self.make_memory.bind(py).call1((instance,))?.cast_into()?))
    }

    fn ask_refresh<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        instance: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        if let Some(refresh) = &self.refresh {
            refresh.bind(args.py()).call1((instance, key, args, kwargs))?;
        }
        Ok(())
    }
}

impl<'py> Call<'_, 'py> {
    /// Computes it, or waits for who does.
    fn compute(&self, key: &Bound<'py, PyAny>, hash: u32) -> PyResult<Py<PyAny>> {
        let py = key.py();
        loop {
            let flight = match self.memory.flights.join(key, hash)? {
                Turn::Mine(flight) => flight,
                Turn::Alone => return self.run(),
                Turn::Wait(flight) => match flight.wait(py)? {
                    End::Value(value) => return Ok(value),
                    End::Error(error) => return Err(PyErr::from_value(error.into_bound(py))),
                    End::Left => continue,
                },
            };
            let made = self.run_and_store(key, hash, &flight);
            let end = match &made {
                Ok(value) => End::Value(value.clone_ref(py)),
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    End::Error(error.value(py).clone().into_any().unbind())
                }
                Err(_) => End::Left,
            };
            self.memory.flights.land(&flight, end);
            return made;
        }
    }

    fn run(&self) -> PyResult<Py<PyAny>> {
        self.front.function.bind(self.args.py()).call(self.args, self.kwargs).map(Bound::unbind)
    }

    fn run_and_store(&self, key: &Bound<'py, PyAny>, hash: u32, flight: &Flight) -> PyResult<Py<PyAny>> {
        let py = key.py();
        self.memory.tell(intern!(py, "begins"), key, self.args, self.kwargs)?;
        let made = self.run_and_put(key, hash, flight);
        if !matches!(made, Ok((_, true))) {
            self.memory.tell_failed(key)?;
        }
        made.map(|(value, _)| value)
    }

    /// What it gives, and whether that is stored.
    fn run_and_put(
        &self,
        key: &Bound<'py, PyAny>,
        hash: u32,
        flight: &Flight,
    ) -> PyResult<(Py<PyAny>, bool)> {
        let py = key.py();
        let since = self.memory.stamp_now();
        let began = Instant::now();
        let made = self.run();
        let (value, is_error) = match &made {
            Ok(value) => (value.bind(py).clone(), false),
            Err(error) if self.memory.keeps_errors() && error.is_instance_of::<PyException>(py) => {
                (error.value(py).clone().into_any(), true)
            }
            Err(_) => return made.map(|value| (value, false)),
        };
        let is_stored = !flight.is_doomed();
        if is_stored {
            let cost_ms = began.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
            let tags = self.tags()?;
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            self.memory.put(key, hash, &value, &Stored { is_error, cost_ms, tags: &tags, since })?;
            self.memory.tell(intern!(py, "came"), key, self.args, self.kwargs)?;
        }
        made.map(|value| (value, is_stored))
    }

    fn tags(&self) -> PyResult<Vec<String>> {
        match &self.front.tags {
            Some(tags) => tags.bind(self.args.py()).call(self.args, self.kwargs)?.extract(),
            None => Ok(Vec::new()),
        }
    }
}

/// The stored exception to be raised again, without the frames of the times before, which would grow for ever.
fn raised(error: Bound<'_, PyAny>) -> PyErr {
    let py = error.py();
    let error = PyErr::from_value(error);
    error.set_traceback(py, None);
    error
}
