//! Classes that are values everywhere, looked up once.

use crate::once::OnceMade;
use pyo3::prelude::*;
use pyo3::types::PyType;
use rustc_hash::FxHashMap;

/// The classes.
pub(super) struct Classes {
    pub(super) datetime: Py<PyType>,
    pub(super) date: Py<PyType>,
    pub(super) time: Py<PyType>,
    pub(super) timedelta: Py<PyType>,
    pub(super) timezone: Py<PyType>,
    pub(super) zone_info: Py<PyType>,
    pub(super) decimal: Py<PyType>,
    pub(super) uuid: Py<PyType>,
    pub(super) enum_: Py<PyType>,
    pub(super) flag: Py<PyType>,
    /// `object.__new__`
    pub(super) new_object: Py<PyAny>,
    /// `tuple.__new__`
    pub(super) new_tuple: Py<PyAny>,
    /// `dataclasses.MISSING`
    pub(super) missing: Py<PyAny>,
    /// `lineshaft.Pickled`
    pub(super) pickled: Py<PyType>,
    /// `lineshaft.Job`; its subclasses are jobs, too.
    pub(super) job: Py<PyType>,
    leaves: FxHashMap<usize, Leaf>,
}

/// What to do with an instance of one of the classes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaf {
    DateTime,
    Date,
    Time,
    TimeDelta,
    Decimal,
    Uuid,
}

impl Classes {
    /// The classes, imported on first use.
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static CLASSES: OnceMade<Classes> = OnceMade::new();
        CLASSES.get_or_try_init(py, || Self::import(py))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let find = |module: &str, name: &str| py.import(module)?.getattr(name);
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(find(module, name)?.cast_into::<PyType>()?.unbind())
        };
        let mut classes = Self {
            datetime: class("datetime", "datetime")?,
            date: class("datetime", "date")?,
            time: class("datetime", "time")?,
            timedelta: class("datetime", "timedelta")?,
            timezone: class("datetime", "timezone")?,
            zone_info: class("zoneinfo", "ZoneInfo")?,
            decimal: class("decimal", "Decimal")?,
            uuid: class("uuid", "UUID")?,
            enum_: class("enum", "Enum")?,
            flag: class("enum", "Flag")?,
            new_object: find("builtins", "object")?.getattr("__new__")?.unbind(),
            new_tuple: find("builtins", "tuple")?.getattr("__new__")?.unbind(),
            missing: find("dataclasses", "MISSING")?.unbind(),
            pickled: class("lineshaft._values", "Pickled")?,
            job: class("lineshaft._job", "Job")?,
            leaves: FxHashMap::default(),
        };
        classes.leaves = [
            (&classes.datetime, Leaf::DateTime),
            (&classes.date, Leaf::Date),
            (&classes.time, Leaf::Time),
            (&classes.timedelta, Leaf::TimeDelta),
            (&classes.decimal, Leaf::Decimal),
            (&classes.uuid, Leaf::Uuid),
        ]
        .map(|(class, leaf)| (class.as_ptr() as usize, leaf))
        .into_iter()
        .collect();
        Ok(classes)
    }

    /// What the object is, if its class is exactly one of the standard library's.
    pub(super) fn leaf(&self, object: &Bound<'_, PyAny>) -> Option<Leaf> {
        self.leaves.get(&(object.get_type_ptr() as usize)).copied()
    }
}
