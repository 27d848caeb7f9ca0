//! From the arguments of a call to its key: the same for all ways to write the same call.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// The parameters of a function, and how its calls become keys.
///
/// The key of a call is a tuple: keywords that no parameter takes (in the order given, which the function sees),
/// keyword-only parameters, positional ones, and what is over. Defaults are applied.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Binder {
    positional: Vec<Parameter>,
    positional_only: usize,
    keyword_only: Vec<Parameter>,
    takes_more: bool,
    takes_keywords: bool,
    is_typed: bool,
    /// Calls the function `key=` instead.
    key: Option<Py<PyAny>>,
    /// Makes something hashable of an argument that is not.
    encode: Py<PyAny>,
}

struct Parameter {
    name: Py<PyString>,
    default: Option<Py<PyAny>>,
}

/// Name, whether there is a default, and the default.
type Given = (Py<PyString>, bool, Py<PyAny>);

fn parameters(given: Vec<Given>) -> Vec<Parameter> {
    let parameter =
        |(name, has_default, default): Given| Parameter { name, default: has_default.then_some(default) };
    given.into_iter().map(parameter).collect()
}

#[pymethods]
impl Binder {
    #[new]
    #[pyo3(signature = (positional, positional_only, keyword_only, *, takes_more, takes_keywords, is_typed, key, encode))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        positional: Vec<Given>,
        positional_only: usize,
        keyword_only: Vec<Given>,
        takes_more: bool,
        takes_keywords: bool,
        is_typed: bool,
        key: Option<Py<PyAny>>,
        encode: Py<PyAny>,
    ) -> Self {
        let (positional, keyword_only) = (parameters(positional), parameters(keyword_only));
        Self { positional, positional_only, keyword_only, takes_more, takes_keywords, is_typed, key, encode }
    }

    /// The key of a call, or None if the function would not take its arguments. `instance` is what they are a method's
    /// of whose results are its own.
    #[pyo3(name = "key", signature = (args, kwargs, instance=None))]
    fn python_key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        instance: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.key(args, kwargs, instance)?.map(|(key, _)| key))
    }

    /// Where in a key its first positional argument is, or what `key=` gave.
    #[getter]
    fn first_place(&self) -> usize {
        let before = self.keyword_only.len() + usize::from(self.takes_keywords);
        if self.key.is_some() { 0 } else { before }
    }
}

impl Binder {
    /// As [`Self::python_key`], with its hash.
    pub(crate) fn key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        instance: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u32)>> {
        let py = args.py();
        let key = if let Some(function) = &self.key {
            PyTuple::new(py, [function.bind(py).call(with(instance, args)?, kwargs)?])?
        } else {
            match self.bind(args, kwargs)? {
                Some(key) => key,
                None => return Ok(None),
            }
        };
        match key.hash() {
            Ok(hash) => Ok(Some((key.into_any(), fold(hash)))),
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                let items = key.iter().map(|item| self.hashable(item)).collect::<PyResult<Vec<_>>>()?;
                let key = PyTuple::new(py, items)?;
                let hash = key.hash()?;
                Ok(Some((key.into_any(), fold(hash))))
            }
            Err(error) => Err(error),
        }
    }

    fn hashable<'py>(&self, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match item.hash() {
            Ok(_) => Ok(item),
            Err(error) if error.is_instance_of::<PyTypeError>(item.py()) => {
                self.encode.bind(item.py()).call1((item,))
            }
            Err(error) => Err(error),
        }
    }

    fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let is_plain = kwargs.is_none() && self.keyword_only.is_empty() && !self.takes_keywords;
        let is_full =
            args.len() == self.positional.len() || (self.takes_more && args.len() > self.positional.len());
        if is_plain && is_full && !self.is_typed {
            return Ok(Some(args.clone()));
        }
        let Some(mut values) = self.values(args, kwargs)? else { return Ok(None) };
        if self.is_typed {
            let skipped = usize::from(self.takes_keywords);
            let mut types: Vec<_> =
                values.iter().skip(skipped).map(|value| value.get_type().into_any()).collect();
            if self.takes_keywords {
                types.push(types_of_pairs(&values[0])?);
            }
            values.extend(types);
        }
        PyTuple::new(args.py(), values).map(Some)
    }

    fn values<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let py = args.py();
        let named =
            |parameter: &Parameter| kwargs.map_or(Ok(None), |kwargs| kwargs.get_item(&parameter.name));
        let default =
            |parameter: &Parameter| parameter.default.as_ref().map(|default| default.bind(py).clone());
        let mut values = Vec::with_capacity(self.positional.len() + self.keyword_only.len() + 2);
        let mut used = 0;
        for parameter in &self.keyword_only {
            let given = named(parameter)?;
            used += usize::from(given.is_some());
            let Some(value) = given.or_else(|| default(parameter)) else { return Ok(None) };
            values.push(value);
        }
        for (index, parameter) in self.positional.iter().enumerate() {
            let given = if index < self.positional_only { None } else { named(parameter)? };
            used += usize::from(given.is_some());
            let positional = args.get_item(index).ok();
            if positional.is_some() && given.is_some() {
                return Ok(None);
            }
            let Some(value) = positional.or(given).or_else(|| default(parameter)) else { return Ok(None) };
            values.push(value);
        }
        if args.len() > self.positional.len() {
            if !self.takes_more {
                return Ok(None);
            }
            values.extend(args.iter().skip(self.positional.len()));
        }
        let given = kwargs.map_or(0, PyDictMethods::len);
        if self.takes_keywords {
            values.insert(0, self.others(py, kwargs)?.into_any());
        } else if used != given {
            return Ok(None);
        }
        Ok(Some(values))
    }

    /// Keywords that no parameter takes, with their values.
    fn others<'py>(
        &self,
        py: Python<'py>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let by_name = self.positional.iter().skip(self.positional_only).chain(&self.keyword_only);
        let names: Vec<&Py<PyString>> = by_name.map(|parameter| &parameter.name).collect();
        let mut others = Vec::new();
        for (name, value) in kwargs.into_iter().flatten() {
            let mut is_taken = false;
            for &taken in &names {
                is_taken = is_taken || name.eq(taken)?;
            }
            if !is_taken {
                others.push(PyTuple::new(py, [name, value])?);
            }
        }
        PyTuple::new(py, others)
    }
}

/// The types of the values in a tuple of names and values.
fn types_of_pairs<'py>(pairs: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let types = pairs.try_iter()?.map(|pair| Ok(pair?.get_item(1)?.get_type()));
    Ok(PyTuple::new(pairs.py(), types.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

/// The arguments of a function that is called as a method.
pub(crate) fn with<'py>(
    instance: Option<&Bound<'py, PyAny>>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    match instance {
        Some(instance) => {
            PyTuple::new(args.py(), std::iter::once(instance.clone()).chain(args.iter()).collect::<Vec<_>>())
        }
        None => Ok(args.clone()),
    }
}

/// The bits of Python's hash in 32, so that small integers differ in all of them.
pub(crate) fn fold(hash: isize) -> u32 {
    ((hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
