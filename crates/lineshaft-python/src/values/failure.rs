//! Why an object is not a value, or bytes not an object, and where in the whole it stands.

use std::fmt::Write;

use crate::once::OnceMade;
use crate::once::intern;
use lineshaft_wire::value::ValueError;
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::prelude::*;
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
    /// Well-formed bytes that speak of something this process does not have.
    Missing(Missing),
}

/// What this process would need in order to read the bytes, though nothing is wrong with them: they were written by a
/// version before or after this one.
#[derive(Debug)]
pub(super) enum Missing {
    /// A type that the registry does not know.
    Type(String),
    /// A field that the bytes have and the class does not.
    Field { class: String, field: String },
    /// A field that the class has and the bytes do not.
    Default { class: String, field: String },
    /// A member of an enumeration.
    Member { class: String, member: String },
    /// Bits of a flag.
    Bits { class: String, bits: String },
    /// A version of the task, in words.
    Version(String),
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

    pub(super) fn missing(missing: Missing) -> Self {
        let hint = missing.hint();
        Self::new(Reason::Missing(missing)).with_hint(hint)
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
            Reason::Missing(missing) => {
                drop(error.value(py).setattr(intern!(py, "missing"), missing.name()));
            }
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
            Self::Missing(missing) => missing.text(),
            Self::Raised(error) => {
                let class = error.get_type(py);
                let class =
                    class.qualname().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
                format!("{class}: {}", error.value(py))
            }
        }
    }
}

impl Missing {
    /// What is missing, to follow "a worker that knows": `shop.Order`, `shop.Order.total`, `shop.Color.RED`.
    fn name(&self) -> String {
        match self {
            Self::Type(class) => class.clone(),
            Self::Version(version) => version.clone(),
            Self::Field { class, field } | Self::Default { class, field } => format!("{class}.{field}"),
            Self::Member { class, member } => format!("{class}.{member}"),
            Self::Bits { class, bits } => format!("{class}({bits})"),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Type(class) => format!("type {class} is not registered here"),
            Self::Field { class, field } => format!("{class} has no field {field:?} here"),
            Self::Default { class, field } => {
                format!("field {field:?} of {class} is not in the value and has no default here")
            }
            Self::Member { class, member } => format!("{class} has no member {member:?} here"),
            Self::Bits { class, bits } => format!("{class} has no members for all bits of {bits} here"),
            Self::Version(version) => format!("it needs {version}"),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Type(class) => format!(
                "if it was renamed, keep its old name: @lineshaft.value(aliases=[{class:?}]); else app.register it"
            ),
            Self::Field { field, .. } => format!(
                "keep {field:?} until no stored value has it, or say @lineshaft.value(removed=[{field:?}]), or renamed={{{field:?}: …}}"
            ),
            Self::Default { field, .. } => {
                format!("give {field:?} a default: stored values are older than it")
            }
            Self::Member { member, .. } => format!("keep {member:?} until no stored value has it"),
            Self::Bits { .. } => "keep a flag's members until no stored value has them".to_owned(),
            Self::Version(_) => "a worker that runs the later code takes it".to_owned(),
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
    static CLASS: OnceMade<Py<PyType>> = OnceMade::new();
    let made = CLASS.import(py, "lineshaft._errors", "SerializationError").and_then(|class| {
        let keywords = [(intern!(py, "hint"), hint)].into_py_dict(py)?;
        class.call((message,), Some(&keywords))
    });
    made.map_or_else(|_| PyValueError::new_err(message.to_owned()), PyErr::from_value)
}
