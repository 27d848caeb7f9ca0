//! From Python objects to payloads.
//!
//! The class of an object decides exactly: a subclass that nobody registered is an error, not a silent base class.
//! [`Encoder::value`] asks for the common builtins first, by pointer; everything else takes the longer way through
//! the registry and the standard library's classes.

mod arrays;
mod leaves;
mod memo;
mod models;
mod objects;
mod refusal;

use crate::once::intern;
use lineshaft_wire::payload::{Envelope, compressed};
use lineshaft_wire::value::{Writer, ext};
use pyo3::prelude::*;
use pyo3::types::{
    IntoPyDict, PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};

use self::memo::Memo;
use super::arrow::Stream;
use super::classes::Classes;
use super::failure::{Converted, Failure, Step};
use super::native::{entries, exactly, small_integer};
use super::registry::Known;

/// The newest that every supported Python reads.
const PICKLE_PROTOCOL: u8 = 5;

/// Writes one payload.
pub(super) struct Encoder<'a, 'py> {
    py: Python<'py>,
    writer: Writer,
    known: &'a Known,
    memo: Memo<'py>,
    /// Numbers of the objects that are made of what is being written: nothing in there can refer to them.
    unmade: Vec<u32>,
    buffers: Vec<Buffer<'py>>,
    buffer_bytes: Vec<usize>,
}

/// A payload that has not been given its place. The elements of its arrays are copied once, to there.
pub(super) struct Encoded<'py> {
    envelope: Envelope,
    buffers: Vec<Buffer<'py>>,
}

impl<'py> Encoded<'py> {
    /// In memory of its own.
    pub(super) fn into_vec(self) -> Converted<Vec<u8>> {
        let buffers = self.buffers;
        self.envelope.seal(|index, room| buffers[index].copy(room))
    }

    /// How long it is without compression.
    pub(super) fn size_bytes(&self) -> usize {
        self.envelope.size_bytes()
    }

    /// As it is, if it has no arrays.
    pub(super) fn plain(&self) -> Option<&[u8]> {
        self.envelope.without_buffers()
    }

    /// In memory of its own, not compressed.
    pub(super) fn to_vec(&self) -> Converted<Vec<u8>> {
        let mut plain = vec![0; self.envelope.size_bytes()];
        self.envelope.write(&mut plain, |index, room| self.buffers[index].copy(room))?;
        Ok(plain)
    }

    /// In a `bytes`.
    pub(super) fn into_bytes(self, py: Python<'py>) -> Converted<Bound<'py, PyBytes>> {
        let Some(plain) = self.envelope.without_buffers() else { return self.placed(py) };
        Ok(PyBytes::new(py, compressed(plain).as_deref().unwrap_or(plain)))
    }

    fn placed(self, py: Python<'py>) -> Converted<Bound<'py, PyBytes>> {
        let mut failure = None;
        let plain = PyBytes::new_with(py, self.envelope.size_bytes(), |room| {
            let written = self.envelope.write(room, |index, room| self.buffers[index].copy(room));
            failure = written.err();
            Ok(())
        })?;
        match (failure, compressed(plain.as_bytes())) {
            (Some(failure), _) => Err(failure),
            (None, Some(smaller)) => Ok(PyBytes::new(py, &smaller)),
            (None, None) => Ok(plain),
        }
    }
}

/// What goes out of band.
enum Buffer<'py> {
    /// The elements of a contiguous array.
    Array(Bound<'py, PyAny>),
    Stream(Stream<'py>),
}

impl Buffer<'_> {
    fn copy(&self, room: &mut [u8]) -> Converted<()> {
        match self {
            Self::Array(array) => arrays::copy(array, room),
            Self::Stream(stream) => Ok(stream.copy(room)?),
        }
    }
}

impl<'a, 'py> Encoder<'a, 'py> {
    pub(super) fn new(py: Python<'py>, known: &'a Known) -> Self {
        let (writer, memo) = (Writer::default(), Memo::default());
        let unmade = Vec::new();
        Self { py, writer, known, memo, unmade, buffers: Vec::new(), buffer_bytes: Vec::new() }
    }

    /// A call, of a version of its task.
    pub(super) fn call(
        mut self,
        positional: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
        version: u32,
    ) -> Converted<Encoded<'py>> {
        self.writer.begin_list(if version > 1 { 3 } else { 2 })?;
        self.writer.begin_list(positional.len())?;
        self.items(positional).map_err(|failure| failure.at(Step::Root("args")))?;
        self.writer.begin_dict(keywords.map_or(0, PyDictMethods::len))?;
        if let Some(keywords) = keywords {
            self.entries(keywords).map_err(|failure| failure.at(Step::Root("kwargs")))?;
        }
        self.writer.end();
        self.writer.end();
        if version > 1 {
            self.writer.int(i64::from(version));
        }
        self.writer.end();
        self.finish()
    }

    /// One value, called `name` in messages.
    pub(super) fn single(
        mut self,
        object: &Bound<'py, PyAny>,
        name: &'static str,
    ) -> Converted<Encoded<'py>> {
        // One reference more makes the memo keep the outermost object, which a cycle may lead back to.
        let object = object.clone();
        self.value(&object).map_err(|failure| failure.at(Step::Root(name)))?;
        self.finish()
    }

    fn finish(self) -> Converted<Encoded<'py>> {
        Ok(Encoded { envelope: self.writer.close(&self.buffer_bytes)?, buffers: self.buffers })
    }

    fn value(&mut self, object: &Bound<'py, PyAny>) -> Converted<()> {
        if let Some(text) = exactly::<PyString>(object) {
            self.text(text)
        } else if let Some(integer) = exactly::<PyInt>(object) {
            self.integer(integer)
        } else if let Some(float) = exactly::<PyFloat>(object) {
            self.writer.float(float.value());
            Ok(())
        } else if object.is_none() {
            self.writer.none();
            Ok(())
        } else if let Some(truth) = exactly::<PyBool>(object) {
            self.writer.bool(truth.is_true());
            Ok(())
        } else if let Some(dict) = exactly::<PyDict>(object) {
            self.once(dict, |to| to.dict(dict))
        } else if let Some(list) = exactly::<PyList>(object) {
            self.once(list, |to| to.list(list))
        } else if let Some(tuple) = exactly::<PyTuple>(object) {
            self.tuple(tuple)
        } else if let Some(bytes) = exactly::<PyBytes>(object) {
            Ok(self.writer.bytes(bytes.as_bytes())?)
        } else {
            self.uncommon(object)
        }
    }

    fn uncommon(&mut self, object: &Bound<'py, PyAny>) -> Converted<()> {
        if let Some(registered) = self.known.of_object(object) {
            self.registered(object, registered)
        } else if let Some(set) = exactly::<PySet>(object) {
            self.once(set, |to| to.set(ext::SET, set, set.len()))
        } else if let Some(set) = exactly::<PyFrozenSet>(object) {
            self.set(ext::FROZEN_SET, set, set.len())
        } else if let Some(bytes) = exactly::<PyByteArray>(object) {
            self.once(bytes, |to| Ok(to.writer.raw_ext(ext::BYTE_ARRAY, &bytes.to_vec())?))
        } else if object.get_type().is(&Classes::get(self.py)?.pickled) {
            self.pickle(object)
        } else if object.is_instance(Classes::get(self.py)?.job.bind(self.py))? {
            self.job(object)
        } else if self.leaf(object)? || self.array(object)? || self.builtin_exception(object)? {
            Ok(())
        } else {
            Err(refusal::explain(object))
        }
    }

    /// A job is its id. Where no app reads it nobody could make one of it.
    fn job(&mut self, object: &Bound<'py, PyAny>) -> Converted<()> {
        if self.known.make_job.is_none() {
            return Err(refusal::explain(object));
        }
        let key = object.getattr(intern!(self.py, "_key"))?;
        Ok(self.writer.raw_ext(ext::JOB, key.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes())?)
    }

    /// What `lineshaft.Pickled` holds, pickled.
    fn pickle(&mut self, object: &Bound<'py, PyAny>) -> Converted<()> {
        let value = object.getattr(intern!(self.py, "value"))?;
        let pickle = self.py.import(intern!(self.py, "pickle"))?;
        let bytes = pickle.call_method1(intern!(self.py, "dumps"), (value, PICKLE_PROTOCOL))?;
        Ok(self.writer.raw_ext(ext::PICKLE, bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes())?)
    }

    fn text(&mut self, text: &Bound<'py, PyString>) -> Converted<()> {
        if let Ok(utf8) = text.to_str() {
            return Ok(self.writer.str(utf8)?);
        }
        let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
        Ok(self
            .writer
            .raw_ext(ext::SURROGATE_TEXT, bytes.cast_into::<PyBytes>().map_err(PyErr::from)?.as_bytes())?)
    }

    fn integer(&mut self, integer: &Bound<'py, PyInt>) -> Converted<()> {
        if let Some(small) = small_integer(integer) {
            self.writer.int(small);
            return Ok(());
        }
        let bits: usize = integer.call_method0("bit_length")?.extract()?;
        let signed = [("signed", true)].into_py_dict(self.py)?;
        let bytes = integer.call_method("to_bytes", (bits / 8 + 1, "big"), Some(&signed))?;
        Ok(self.writer.big_int(bytes.cast_into::<PyBytes>().map_err(PyErr::from)?.as_bytes())?)
    }

    fn list(&mut self, list: &Bound<'py, PyList>) -> Converted<()> {
        let length = list.len();
        self.writer.begin_list(length)?;
        for index in 0..length {
            let item = list.get_item(index).map_err(|_| changed())?;
            self.value(&item).map_err(|failure| failure.at(Step::Index(index)))?;
        }
        self.writer.end();
        Ok(())
    }

    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>) -> Converted<()> {
        let open = self.writer.begin_ext(ext::TUPLE);
        self.writer.begin_plain_list(tuple.len())?;
        self.items(tuple)?;
        self.writer.end();
        self.writer.end_ext(open);
        Ok(())
    }

    fn items(&mut self, tuple: &Bound<'py, PyTuple>) -> Converted<()> {
        for (index, item) in tuple.iter().enumerate() {
            self.value(&item).map_err(|failure| failure.at(Step::Index(index)))?;
        }
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'py, PyDict>) -> Converted<()> {
        self.writer.begin_dict(dict.len())?;
        self.entries(dict)?;
        self.writer.end();
        Ok(())
    }

    /// As many entries as the dict has now; it may change while its values are looked at.
    fn entries(&mut self, dict: &Bound<'py, PyDict>) -> Converted<()> {
        let length = dict.len();
        let mut count = 0;
        for (key, value) in entries(dict).take(length) {
            self.value(&key).map_err(|failure| failure.at(Step::KeyItself(count)))?;
            self.value(&value).map_err(|failure| failure.at(Step::key(&key)))?;
            count += 1;
        }
        if count == length { Ok(()) } else { Err(changed()) }
    }

    fn set(&mut self, code: i8, set: &Bound<'py, PyAny>, length: usize) -> Converted<()> {
        let open = self.writer.begin_ext(code);
        self.writer.begin_set(length)?;
        let mut count = 0;
        for element in set.try_iter()? {
            self.value(&element?).map_err(|failure| failure.at(Step::Element))?;
            count += 1;
        }
        self.writer.end();
        self.writer.end_ext(open);
        if count == length { Ok(()) } else { Err(changed()) }
    }

    /// Writes an object that has a number, or a reference if it was written before.
    fn once<T>(
        &mut self,
        object: &Bound<'py, T>,
        write: impl FnOnce(&mut Self) -> Converted<()>,
    ) -> Converted<()> {
        match self.memo.number(object.as_any(), self.writer.next_number()) {
            Some(number) if self.unmade.contains(&number) => {
                let name = object.as_any().get_type().qualname()?;
                let failure = Failure::said(format!("{name} is among its own arguments"));
                Err(failure.with_hint("an attribute may refer to it: it is made before they are set"))
            }
            Some(number) => {
                self.writer.reference(number);
                Ok(())
            }
            None => write(self),
        }
    }
}

fn changed() -> Failure {
    Failure::said("it changed while it was converted")
}
