//! Functions that start processes, wrapped so that the attempt in whose context they are called gets to know.
//!
//! In Rust, because an interruption of a thread's body comes between two steps of Python: one that came between the start
//! of a process and the note of it would leave it to itself.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::child::RunningAttempt;

/// Helpers that `multiprocessing` starts once for a whole process, on behalf of whoever comes first.
const SHARED: [&str; 2] = ["multiprocessing.resource_tracker", "multiprocessing.forkserver"];

/// Where a function has the pid.
#[derive(Clone, Copy, Debug)]
enum Gives {
    /// It is what it returns.
    Pid,
    /// It comes first in what it returns.
    Pair,
    /// It is what it returns, unless the command in its first argument is one of the [`SHARED`].
    PidOfCommand,
}

/// A function that starts processes.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Starter {
    function: Py<PyAny>,
    running: Py<PyAny>,
    gives: Gives,
}

#[pymethods]
impl Starter {
    /// `running` is the context variable that holds the attempt; `gives` is "pid", "pair" or "pid of command".
    #[new]
    fn new(function: Py<PyAny>, running: Py<PyAny>, gives: &str) -> PyResult<Self> {
        let gives = match gives {
            "pid" => Gives::Pid,
            "pair" => Gives::Pair,
            "pid of command" => Gives::PidOfCommand,
            other => return Err(PyValueError::new_err(format!("no function gives a {other:?}"))),
        };
        Ok(Self { function, running, gives })
    }

    #[pyo3(signature = (*arguments, **keywords))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = self.function.bind(py).call(arguments, keywords)?;
        let running = self.running.bind(py).call_method0("get")?;
        if let Ok(attempt) = running.cast::<RunningAttempt>()
            && let Some(pid) = self.pid(arguments, &made)
        {
            attempt.get().note_process(pid);
        }
        Ok(made)
    }

    /// Name, documentation and the like are those of the function.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.function.bind(py).getattr(name)
    }
}

impl Starter {
    /// The process that was started; `None` in a copy that a fork made.
    fn pid(&self, arguments: &Bound<'_, PyTuple>, made: &Bound<'_, PyAny>) -> Option<u32> {
        if matches!(self.gives, Gives::PidOfCommand) && is_shared(&arguments.get_item(0).ok()?) {
            return None;
        }
        let pid = match self.gives {
            Gives::Pair => made.get_item(0).and_then(|pid| pid.extract()),
            Gives::Pid | Gives::PidOfCommand => made.extract(),
        };
        pid.ok().filter(|pid| *pid > 0)
    }
}

fn is_shared(command: &Bound<'_, PyAny>) -> bool {
    let Ok(words) = command.try_iter() else { return false };
    words.filter_map(Result::ok).any(|word| {
        let text = match word.cast::<PyBytes>() {
            Ok(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
            Err(_) => {
                word.cast::<PyString>().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
            }
        };
        SHARED.iter().any(|name| text.contains(name))
    })
}
