//! From payloads to Python objects.
//!
//! Nothing on the wire is imported, called or evaluated: a name finds a registered class or nothing, and its instance
//! is built by setting fields on a bare object.

mod arrays;
mod leaves;
mod models;
mod objects;
mod raw;

use crate::once::intern;
use lineshaft_wire::JobId;
use lineshaft_wire::payload::{PAYLOAD_BYTES_MAX, Payload};
use lineshaft_wire::value::typed::missing_version;
use lineshaft_wire::value::{Reader, Token, ValueError, ext};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType};

use super::classes::Classes;
use super::failure::{Converted, Failure, Missing, Step};
use super::native::{new_list, new_tuple};
use super::registry::Known;

/// Reads one payload.
struct Decoder<'a, 'py> {
    py: Python<'py>,
    payload: &'a Payload<'a>,
    reader: Reader<'a>,
    known: &'a Known,
    /// `lineshaft.Record`, where types are wanted as data instead of instances.
    record_class: Option<Bound<'py, PyType>>,
    /// Numbered objects, as far as they exist; kept only where the payload says that it refers to them.
    numbered: Option<Vec<Option<Bound<'py, PyAny>>>>,
}

/// A numbered object that is being built.
#[derive(Clone, Copy)]
struct Place(u32);

/// The value in a payload.
pub(super) fn single<'py>(py: Python<'py>, bytes: &[u8], known: &Known) -> Converted<Bound<'py, PyAny>> {
    let payload = Payload::open(bytes, PAYLOAD_BYTES_MAX)?;
    Decoder::new(py, &payload, known).whole()
}

/// The value in a payload, instances of classes as `lineshaft.Record`s.
pub(super) fn raw<'py>(py: Python<'py>, bytes: &[u8]) -> Converted<Bound<'py, PyAny>> {
    let payload = Payload::open(bytes, PAYLOAD_BYTES_MAX)?;
    let nothing = Known::default();
    let mut decoder = Decoder::new(py, &payload, &nothing);
    let class = py.import("lineshaft._values")?.getattr("Record")?;
    decoder.record_class = Some(class.cast_into().map_err(PyErr::from)?);
    decoder.whole()
}

/// The arguments of the call in a payload; `here` is the task, and its version, that are about to be called.
pub(super) fn call<'py>(
    py: Python<'py>,
    bytes: &[u8],
    known: &Known,
    here: Option<(&str, u32)>,
) -> Converted<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let payload = Payload::open(bytes, PAYLOAD_BYTES_MAX)?;
    let mut decoder = Decoder::new(py, &payload, known);
    let Token::List(parts @ (2 | 3)) = decoder.next()? else { return Err(no_call()) };
    if parts == 3
        && let Some((task, version)) = here
        && let Some(missing) = missing_version(task, version, decoder.reader.clone())?
    {
        return Err(Failure::missing(Missing::Version(missing)));
    }
    let Token::List(length) = decoder.next()? else { return Err(no_call()) };
    let positional = decoder.items(length).map_err(|failure| failure.at(Step::Root("args")))?;
    let Token::Dict(length) = decoder.next()? else { return Err(no_call()) };
    let keywords = PyDict::new(py);
    for _ in 0..length {
        let name = PyString::intern(py, decoder.reader.str()?);
        let value =
            decoder.value().map_err(|failure| failure.at(Step::key(&name)).at(Step::Root("kwargs")))?;
        keywords.set_item(name, value)?;
    }
    decoder.reader.end();
    if parts == 3 {
        decoder.reader.int()?;
    }
    decoder.reader.end();
    decoder.reader.finish()?;
    Ok((positional, keywords))
}

fn no_call() -> Failure {
    Failure::said("the payload is not a call: a list of a list and a dict, and perhaps a version")
}

impl<'a, 'py> Decoder<'a, 'py> {
    fn new(py: Python<'py>, payload: &'a Payload<'a>, known: &'a Known) -> Self {
        let numbered = payload.has_references().then(Vec::new);
        Self { py, payload, reader: Reader::new(payload.value()), known, record_class: None, numbered }
    }

    fn whole(mut self) -> Converted<Bound<'py, PyAny>> {
        let value = self.value()?;
        self.reader.finish()?;
        Ok(value)
    }

    /// The next token where a value stands, its place reserved if it has a number.
    #[inline]
    fn next(&mut self) -> Converted<Token<'a>> {
        let token = self.reader.next_token()?;
        if let Some(numbered) = &mut self.numbered {
            let count = self.reader.last_number().wrapping_add(1) as usize;
            numbered.resize(count, None);
        }
        Ok(token)
    }

    fn value(&mut self) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match self.next()? {
            Token::Str(text) => PyString::new(py, text).into_any(),
            Token::Int(value) => value.into_bound_py_any(py)?,
            Token::Float(value) => value.into_bound_py_any(py)?,
            Token::None => py.None().into_bound(py),
            Token::Bool(value) => value.into_bound_py_any(py)?,
            Token::Dict(length) => self.dict(length)?,
            Token::List(length) => self.list(length)?,
            Token::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
            Token::Uint(value) => value.into_bound_py_any(py)?,
            Token::Ext(ext::TUPLE, length) => self.tuple(length)?,
            Token::Ext(code, length) => self.extension(code, length)?,
        })
    }

    fn extension(&mut self, code: i8, length: usize) -> Converted<Bound<'py, PyAny>> {
        let place = self.place();
        match code {
            ext::REFERENCE => self.reference(length),
            ext::BYTE_ARRAY => {
                let bytes = PyByteArray::new(self.py, self.reader.raw_ext(code, length)?).into_any();
                Ok(self.keep(place, bytes))
            }
            ext::PICKLE => self.pickle(length),
            ext::JOB => self.job(length),
            ext::INTEGER | ext::DECIMAL | ext::UUID | ext::ELLIPSIS | ext::SURROGATE_TEXT => {
                self.raw(code, length)
            }
            _ => {
                let enclosing = self.reader.open(length)?;
                let value = self.structure(code, place)?;
                self.reader.close(enclosing)?;
                Ok(value)
            }
        }
    }

    fn structure(&mut self, code: i8, place: Place) -> Converted<Bound<'py, PyAny>> {
        let offset = self.reader.offset();
        let length = match code {
            ext::SET | ext::FROZEN_SET => self.reader.set()?,
            _ => self.reader.parts()?,
        };
        let value = match (code, length) {
            (ext::SET, _) => return self.set(length, place),
            (ext::FROZEN_SET, _) => return self.frozen_set(length),
            (ext::ENUM, 2) => self.enum_member()?,
            (ext::RECORD, 2 | 3) => self.record(place, length == 3)?,
            (ext::EXCEPTION, 3) => self.exception(place)?,
            (ext::ARRAY, 4) => {
                let array = self.array()?;
                self.keep(place, array)
            }
            (ext::ARRAY_SCALAR, 2) => self.array_scalar()?,
            (ext::TABLE, 2) => {
                let table = self.table()?;
                self.keep(place, table)
            }
            _ => self.leaf(code, length, offset)?,
        };
        self.reader.end();
        Ok(value)
    }

    /// What a sender pickled, where the app accepts that; otherwise nobody looks into it.
    fn pickle(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let (py, bytes) = (self.py, self.reader.raw_ext(ext::PICKLE, length)?);
        if let Some(record_class) = &self.record_class {
            let fields = PyDict::new(py);
            fields.set_item("pickle", bytes)?;
            return Ok(record_class.call1(("lineshaft.Pickled", fields))?);
        }
        if !self.known.accepts_pickle {
            return Err(Failure::said("a pickle is not accepted here").with_hint(
                "App(accept_pickle=True) reads it, and lets whoever can write to this home run any code here",
            ));
        }
        let pickle = py.import(intern!(py, "pickle"))?;
        let value = pickle.call_method1(intern!(py, "loads"), (PyBytes::new(py, bytes),))?;
        Ok(Classes::get(py)?.pickled.bind(py).call1((value,))?)
    }

    /// A job, as one of the app that reads it.
    fn job(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let (py, offset) = (self.py, self.reader.offset());
        let id = self.reader.raw_ext(ext::JOB, length)?.try_into().ok().and_then(JobId::from_bytes);
        let reason = "it is not the id of a job";
        let id = id.ok_or(ValueError::Invalid { offset, what: "job", reason })?;
        if let Some(record_class) = &self.record_class {
            let fields = PyDict::new(py);
            fields.set_item("id", id.to_string())?;
            return Ok(record_class.call1(("lineshaft.Job", fields))?);
        }
        let make = self.known.make_job.as_ref();
        let make = make.ok_or_else(|| Failure::said("a job can only be read by an app"))?;
        Ok(make.bind(py).call1((PyBytes::new(py, &id.to_bytes()),))?)
    }

    fn list(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let list = if self.numbered.is_some() { self.open_list(length)? } else { self.closed_list(length)? };
        self.reader.end();
        Ok(list.into_any())
    }

    fn closed_list(&mut self, length: usize) -> Converted<Bound<'py, PyList>> {
        new_list(self.py, length, |index| self.value().map_err(|failure| failure.at(Step::Index(index))))
    }

    /// A list that its own items may refer to.
    fn open_list(&mut self, length: usize) -> Converted<Bound<'py, PyList>> {
        let list = PyList::empty(self.py);
        self.keep(self.place(), list.clone().into_any());
        for index in 0..length {
            list.append(self.value().map_err(|failure| failure.at(Step::Index(index)))?)?;
        }
        Ok(list)
    }

    fn dict(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.py);
        if self.numbered.is_some() {
            self.keep(self.place(), dict.clone().into_any());
        }
        for index in 0..length {
            let key = self.value().map_err(|failure| failure.at(Step::KeyItself(index)))?;
            let value = self.value().map_err(|failure| failure.at(Step::key(&key)))?;
            dict.set_item(key, value)?;
        }
        self.reader.end();
        Ok(dict.into_any())
    }

    fn tuple(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let enclosing = self.reader.open(length)?;
        let length = self.reader.plain_list()?;
        let tuple = self.items(length)?;
        self.reader.close(enclosing)?;
        Ok(tuple.into_any())
    }

    /// The items of a list that was begun, as a tuple.
    fn items(&mut self, length: usize) -> Converted<Bound<'py, PyTuple>> {
        let items = new_tuple(self.py, length, |index| {
            self.value().map_err(|failure| failure.at(Step::Index(index)))
        })?;
        self.reader.end();
        Ok(items)
    }

    fn set(&mut self, length: usize, place: Place) -> Converted<Bound<'py, PyAny>> {
        let set = PySet::empty(self.py)?;
        self.keep(place, set.clone().into_any());
        for _ in 0..length {
            set.add(self.value().map_err(|failure| failure.at(Step::Element))?)?;
        }
        self.reader.end();
        Ok(set.into_any())
    }

    fn frozen_set(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let elements = self.items(length)?;
        Ok(PyFrozenSet::new(self.py, elements.iter())?.into_any())
    }

    /// The place of the numbered value that began last. Ask before reading its parts.
    const fn place(&self) -> Place {
        Place(self.reader.last_number())
    }

    /// Makes an object known to references, which may come from its own parts.
    fn keep(&mut self, place: Place, object: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        if let Some(numbered) = &mut self.numbered {
            numbered[place.0 as usize] = Some(object.clone());
        }
        object
    }

    fn reference(&mut self, length: usize) -> Converted<Bound<'py, PyAny>> {
        let number = self.reader.reference(length)? as usize;
        let Some(numbered) = &self.numbered else {
            return Err(Failure::said("a reference in a payload that says it has none"));
        };
        let object = numbered.get(number).cloned().flatten();
        object
            .ok_or_else(|| Failure::said("it refers to something that cannot be built before its own parts"))
    }
}
