//! Why an object is not a value, or bytes not an object, and where in the whole it stands.

use std::fmt::Write;

use lineshaft_wire::value::ValueError;
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyType};

/// Steps shown at each end of a long path.
const STEPS_SHOWN: usize = 12;
/// Characters of a dict key shown in a path.
const KEY_CHARS_MAX: usize = 60;

/// The outcome of converting a part.
pub(super) type Converted<T> = Result<T, Failure>;

/// What went wrong and where. One pointer, so that success stays cheap.
#[derive(Debug)]
pub(super) struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    reason: Reason,
    hint: Option<String>,
    /// Innermost first.
    path: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Reason {
    /// Said in words that follow the path.
    Said(String),
    /// The format's limits or bytes that do not read.
    Format(ValueError),
    /// Python raised.
    Raised(PyErr),
    /// A type that the registry does not know.
    UnknownType(String),
}

/// One step from a whole to its part.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// What the path starts from.
    Root(&'static str),
    /// `[3]`
    Index(usize),
    /// `['key']`, already as Python writes it.
    Key(String),
    /// The so-many-th key of a dict itself.
    KeyItself(usize),
    /// An element of a set.
    Element,
    /// `.name`
    Field(String),
}

impl Failure {
    pub(super) fn new(reason: Reason) -> Self {
        Self(Box::new(Parts { reason, hint: None, path: Vec::new() }))
    }

    pub(super) fn said(words: impl Into<String>) -> Self {
        Self::new(Reason::Said(words.into()))
    }

    /// The same failure with what to do about it.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same failure, seen from one step further out.
    #[cold]
    pub(super) fn at(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// The exception to raise.
    #[cold]
    pub(super) fn into_error(self, py: Python<'_>) -> PyErr {
        let parts = *self.0;
        if let Reason::Raised(error) = &parts.reason
            && (error.is_instance_of::<PyMemoryError>(py) || !error.is_instance_of::<PyException>(py))
        {
            return error.clone_ref(py);
        }
        let path = parts.path_text();
        let separator = if path.is_empty() { "" } else { ": " };
        let error = error(py, &format!("{path}{separator}{}", parts.reason.text(py)), parts.hint.as_deref());
        match parts.reason {
            Reason::Raised(cause) => error.set_cause(py, Some(cause)),
            // Who decodes for a worker parks the job by this attribute.
            Reason::UnknownType(name) => drop(error.value(py).setattr("type_name", name)),
            Reason::Said(_) | Reason::Format(_) => {}
        }
        error
    }
}

impl Parts {
    fn path_text(&self) -> String {
        let mut text = String::new();
        let steps = self.path.len();
        for (index, step) in self.path.iter().rev().enumerate() {
            if index == STEPS_SHOWN && steps > 2 * STEPS_SHOWN {
                text.push('…');
            }
            if steps <= 2 * STEPS_SHOWN || index < STEPS_SHOWN || index >= steps - STEPS_SHOWN {
                step.show(&mut text);
            }
        }
        text
    }
}

impl Reason {
    fn text(&self, py: Python<'_>) -> String {
        match self {
            Self::Said(words) => words.clone(),
            Self::Format(error) => error.to_string(),
            Self::UnknownType(name) => format!("type {name} is not registered here"),
            Self::Raised(error) => {
                let class = error.get_type(py);
                let class =
                    class.qualname().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
                format!("{class}: {}", error.value(py))
            }
        }
    }
}

impl Step {
    /// The step to the value of a key.
    #[cold]
    pub(super) fn key(key: &Bound<'_, PyAny>) -> Self {
        let text = key.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned());
        match text.char_indices().nth(KEY_CHARS_MAX) {
            None => Self::Key(text),
            Some((end, _)) => Self::Key(format!("{}…", &text[..end])),
        }
    }

    fn show(&self, text: &mut String) {
        let _ = match self {
            Self::Root(name) => write!(text, "{name}"),
            Self::Index(index) => write!(text, "[{index}]"),
            Self::Key(key) => write!(text, "[{key}]"),
            Self::KeyItself(index) => write!(text, ".keys()[{index}]"),
            Self::Element => write!(text, "{{…}}"),
            Self::Field(name) => write!(text, ".{name}"),
        };
    }
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        Self::new(Reason::Format(error))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::new(Reason::Raised(error))
    }
}

/// A `lineshaft.SerializationError`, or a `ValueError` where the package around this extension is missing.
fn error(py: Python<'_>, message: &str, hint: Option<&str>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let made = CLASS.import(py, "lineshaft._errors", "SerializationError").and_then(|class| {
        let keywords = [(intern!(py, "hint"), hint)].into_py_dict(py)?;
        class.call((message,), Some(&keywords))
    });
    made.map_or_else(|_| PyValueError::new_err(message.to_owned()), PyErr::from_value)
}
