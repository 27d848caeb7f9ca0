//! A decorated function.

use std::time::Instant;

use crate::once::OnceMade;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::gates::{Listening, OnError};
use super::rate::Rate;
use super::timing::Timing;

/// What is called in place of a function. `python/lineshaft/_decorators` gives it its face.
#[pyclass(frozen, subclass, module = "lineshaft._native")]
pub(crate) struct Wrapper {
    function: Py<PyAny>,
    /// Python's part. Takes what its gate found, if it has one, then the arguments as a tuple and a dict or None.
    handle: Py<PyAny>,
    gate: Gate,
}

/// Which calls Python's part is for.
enum Gate {
    /// All of them.
    Open,
    /// Those that somebody hears of.
    Listening(Py<Listening>),
    /// Those that raised what is to be caught, which it takes, with the seconds until then.
    OnError(Py<OnError>),
    /// Those that took long; it takes the seconds.
    Timing(Py<Timing>),
    /// Those that came too soon; it takes the seconds until their turn.
    Rate(Py<Rate>),
}

#[pymethods]
impl Wrapper {
    #[new]
    fn new(function: Py<PyAny>, handle: Py<PyAny>, gate: &Bound<'_, PyAny>) -> PyResult<Self> {
        let gate = if gate.is_none() {
            Gate::Open
        } else if let Ok(listening) = gate.cast::<Listening>() {
            Gate::Listening(listening.clone().unbind())
        } else if let Ok(on_error) = gate.cast::<OnError>() {
            Gate::OnError(on_error.clone().unbind())
        } else if let Ok(timing) = gate.cast::<Timing>() {
            Gate::Timing(timing.clone().unbind())
        } else if let Ok(rate) = gate.cast::<Rate>() {
            Gate::Rate(rate.clone().unbind())
        } else {
            return Err(PyTypeError::new_err(format!("{gate} is no gate")));
        };
        Ok(Self { function, handle, gate })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        match &self.gate {
            Gate::Open => self.handle.bind(py).call1((args, kwargs)),
            Gate::Listening(listening) if listening.get().is_heard(py)? => {
                self.handle.bind(py).call1((args, kwargs))
            }
            Gate::Listening(_) => self.pass(args, kwargs),
            Gate::OnError(on_error) => {
                let began = Instant::now();
                match self.pass(args, kwargs) {
                    Err(error) if on_error.get().catches(py, &error)? => {
                        let seconds = began.elapsed().as_secs_f64();
                        self.handle.bind(py).call1((error.into_value(py), seconds, args, kwargs))
                    }
                    end => end,
                }
            }
            Gate::Timing(timing) => {
                let began = Instant::now();
                let end = self.pass(args, kwargs);
                let took = began.elapsed();
                if timing.get().note(took) { self.report(took.as_secs_f64(), args, kwargs, end) } else { end }
            }
            Gate::Rate(rate) => match rate.get().reserve_now() {
                Some(seconds) => self.handle.bind(py).call1((seconds, args, kwargs)),
                None => self.pass(args, kwargs),
            },
        }
    }

    /// As Python's own functions: a method, if it is asked of an instance.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static METHOD: OnceMade<Py<PyType>> = OnceMade::new();
        if instance.is_none() {
            return Ok(slf.clone().into_any());
        }
        METHOD.import(slf.py(), "types", "MethodType")?.call1((slf, instance))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.handle)?;
        match &self.gate {
            Gate::Open => Ok(()),
            Gate::OnError(on_error) => visit.call(on_error),
            Gate::Listening(listening) => visit.call(listening),
            Gate::Timing(timing) => visit.call(timing),
            Gate::Rate(rate) => visit.call(rate),
        }
    }

    #[expect(clippy::unused_self, reason = "Python calls it so")]
    fn __clear__(&self) {
        // A cycle through it goes through its function too, which Python clears.
    }
}

impl Wrapper {
    fn pass<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.function.bind(args.py()).call(args, kwargs)
    }

    /// Says that a call took long. What it raised is raised, whatever becomes of the report.
    fn report<'py>(
        &self,
        seconds: f64,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        end: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let reported = self.handle.bind(args.py()).call1((seconds, args, kwargs));
        let value = end?;
        reported?;
        Ok(value)
    }
}
