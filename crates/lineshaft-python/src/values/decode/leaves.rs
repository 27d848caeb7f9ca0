//! Values of the standard library without parts of their own.

use crate::once::intern;
use lineshaft_wire::value::{Token, ValueError, ext};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyComplex, PyEllipsis, PyInt, PyRange, PyTuple};

use super::super::classes::Classes;
use super::super::failure::{Converted, Failure};
use super::super::native::new_tuple;
use super::Decoder;

impl<'py> Decoder<'_, 'py> {
    /// An extension type whose body is bytes.
    pub(super) fn raw(&mut self, code: i8, length: usize) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        let offset = self.reader.offset();
        let bytes = self.reader.raw_ext(code, length)?;
        let invalid = |reason| ValueError::Invalid { offset, what: ext::name(code), reason };
        match code {
            ext::INTEGER => self.big_integer(bytes),
            ext::DECIMAL => {
                let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is not text"))?;
                Ok(Classes::get(py)?.decimal.bind(py).call1((text,))?)
            }
            ext::UUID => {
                let uuid = <[u8; 16]>::try_from(bytes).map_err(|_| invalid("it is not 16 bytes"))?;
                let keywords = [(intern!(py, "int"), u128::from_be_bytes(uuid))].into_py_dict(py)?;
                Ok(Classes::get(py)?.uuid.bind(py).call((), Some(&keywords))?)
            }
            ext::SURROGATE_TEXT => {
                Ok(PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogatepass"))?)
            }
            _ if bytes.is_empty() => Ok(PyEllipsis::get(py).to_owned().into_any()),
            _ => Err(invalid("it is not empty").into()),
        }
    }

    fn big_integer(&self, bytes: &[u8]) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        let signed = [(intern!(py, "signed"), true)].into_py_dict(py)?;
        let class = py.get_type::<PyInt>();
        Ok(class.call_method(intern!(py, "from_bytes"), (PyBytes::new(py, bytes), "big"), Some(&signed))?)
    }

    /// An extension type whose body is a list that was begun; the caller ends it.
    pub(super) fn leaf(&mut self, code: i8, length: usize, offset: usize) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        let classes = Classes::get(py)?;
        match (code, length) {
            (ext::DATE_TIME, 9) => self.moment::<7>(classes.datetime.bind(py)),
            (ext::TIME, 6) => self.moment::<4>(classes.time.bind(py)),
            (ext::DATE, 3) => {
                let parts = self.integers(3)?;
                Ok(classes.date.bind(py).call1(parts)?)
            }
            (ext::TIME_DELTA, 3) => {
                let parts = self.integers(3)?;
                Ok(classes.timedelta.bind(py).call1(parts)?)
            }
            (ext::COMPLEX, 2) => {
                let (real, imaginary) = (self.reader.float()?, self.reader.float()?);
                Ok(PyComplex::from_doubles(py, real, imaginary).into_any())
            }
            (ext::RANGE, 3) => {
                let bounds = new_tuple(py, 3, |_| self.value())?;
                Ok(py.get_type::<PyRange>().call1(bounds)?)
            }
            _ if ext::has_parts(code) => {
                let reason = "it has the wrong number of parts";
                Err(ValueError::Invalid { offset, what: ext::name(code), reason }.into())
            }
            _ => Err(ValueError::UnknownExtension { offset, code }.into()),
        }
    }

    fn integers(&mut self, count: usize) -> Converted<Bound<'py, PyTuple>> {
        new_tuple(self.py, count, |_| Ok(self.reader.int()?.into_bound_py_any(self.py)?))
    }

    /// A datetime or time: N numbers, fold and zone.
    fn moment<const N: usize>(&mut self, class: &Bound<'py, PyAny>) -> Converted<Bound<'py, PyAny>> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.reader.int()?;
        }
        let fold = self.reader.int()?;
        let zone = self.zone()?;
        let last = numbers.len();
        let arguments = new_tuple(self.py, N + 1, |index| {
            let is_zone = index == last;
            Ok::<_, PyErr>(if is_zone { zone.clone() } else { numbers[index].into_bound_py_any(self.py)? })
        })?;
        if fold == 0 {
            return Ok(class.call1(arguments)?);
        }
        let keywords = [(intern!(self.py, "fold"), fold)].into_py_dict(self.py)?;
        Ok(class.call(arguments, Some(&keywords))?)
    }

    fn zone(&mut self) -> Converted<Bound<'py, PyAny>> {
        let (py, offset) = (self.py, self.reader.offset());
        match self.reader.plain_token()? {
            Token::None => Ok(py.None().into_bound(py)),
            Token::Int(microseconds) => self.fixed_zone(microseconds, None),
            Token::List(2) => {
                let (microseconds, name) = (self.reader.int()?, self.reader.str()?);
                self.reader.end();
                self.fixed_zone(microseconds, Some(name))
            }
            Token::Str(key) => Classes::get(py)?
                .zone_info
                .bind(py)
                .call1((key,))
                .map_err(|_| Failure::said(format!("time zone {key:?} is not known on this machine"))),
            token => Err(ValueError::Unexpected { offset, expected: "a zone", found: token.name() }.into()),
        }
    }

    fn fixed_zone(&self, microseconds: i64, name: Option<&str>) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        let classes = Classes::get(py)?;
        let timezone = classes.timezone.bind(py);
        if microseconds == 0 && name.is_none() {
            return Ok(timezone.getattr(intern!(py, "utc"))?);
        }
        let offset = classes.timedelta.bind(py).call1((0, 0, microseconds))?;
        Ok(match name {
            None => timezone.call1((offset,))?,
            Some(name) => timezone.call1((offset, name))?,
        })
    }
}
