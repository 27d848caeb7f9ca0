//! Values of the standard library without parts of their own.

use crate::once::intern;
use lineshaft_wire::value::ext;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyComplex, PyComplexMethods, PyEllipsis, PyInt, PyRange, PyString, PyTuple};

use super::super::classes::{Classes, Leaf};
use super::super::failure::{Converted, Failure, Step};
use super::super::native::exactly;
use super::Encoder;

/// Names of the attributes that are written in this order.
macro_rules! integers {
    ($encoder:expr, $object:expr, $($name:literal),*) => {
        $($encoder.attribute($object, intern!($encoder.py, $name))?;)*
    };
}

impl<'py> Encoder<'_, 'py> {
    /// Writes the object if it is of the standard library's simple classes.
    pub(super) fn leaf(&mut self, object: &Bound<'py, PyAny>) -> Converted<bool> {
        if let Some(leaf) = Classes::get(self.py)?.leaf(object) {
            self.imported(object, leaf)?;
        } else if let Some(complex) = exactly::<PyComplex>(object) {
            let (real, imaginary) = (complex.real(), complex.imag());
            self.list_ext(ext::COMPLEX, 2, |to| {
                to.writer.float(real);
                to.writer.float(imaginary);
                Ok(())
            })?;
        } else if exactly::<PyRange>(object).is_some() {
            self.list_ext(ext::RANGE, 3, |to| {
                integers!(to, object, "start", "stop", "step");
                Ok(())
            })?;
        } else if exactly::<PyEllipsis>(object).is_some() {
            self.writer.raw_ext(ext::ELLIPSIS, &[])?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// An extension type whose body is a list of `length`.
    pub(super) fn list_ext(
        &mut self,
        code: i8,
        length: usize,
        write: impl FnOnce(&mut Self) -> Converted<()>,
    ) -> Converted<()> {
        let open = self.writer.begin_ext(code);
        self.writer.begin_parts(length)?;
        write(self)?;
        self.writer.end();
        self.writer.end_ext(open);
        Ok(())
    }

    fn imported(&mut self, object: &Bound<'py, PyAny>, leaf: Leaf) -> Converted<()> {
        match leaf {
            Leaf::DateTime => self.list_ext(ext::DATE_TIME, 9, |to| {
                integers!(to, object, "year", "month", "day");
                to.time_parts(object)
            }),
            Leaf::Time => self.list_ext(ext::TIME, 6, |to| to.time_parts(object)),
            Leaf::Date => self.list_ext(ext::DATE, 3, |to| {
                integers!(to, object, "year", "month", "day");
                Ok(())
            }),
            Leaf::TimeDelta => self.list_ext(ext::TIME_DELTA, 3, |to| {
                integers!(to, object, "days", "seconds", "microseconds");
                Ok(())
            }),
            Leaf::Decimal => {
                let text = object.str()?;
                Ok(self.writer.raw_ext(ext::DECIMAL, text.to_str()?.as_bytes())?)
            }
            Leaf::Uuid => {
                let bytes = object.getattr(intern!(self.py, "bytes"))?;
                let bytes = bytes.cast::<PyBytes>().map_err(PyErr::from)?;
                Ok(self.writer.raw_ext(ext::UUID, bytes.as_bytes())?)
            }
        }
    }

    fn time_parts(&mut self, object: &Bound<'py, PyAny>) -> Converted<()> {
        integers!(self, object, "hour", "minute", "second", "microsecond", "fold");
        let zone = object.getattr(intern!(self.py, "tzinfo"))?;
        self.zone(&zone).map_err(|failure| failure.at(Step::Field("tzinfo".into())))
    }

    fn attribute(&mut self, object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Converted<()> {
        let value = object.getattr(name)?;
        self.integer(value.cast::<PyInt>().map_err(PyErr::from)?)
    }

    fn zone(&mut self, zone: &Bound<'py, PyAny>) -> Converted<()> {
        let classes = Classes::get(self.py)?;
        if zone.is_none() {
            self.writer.none();
            return Ok(());
        }
        let class = zone.get_type();
        if class.is(&classes.timezone) {
            return self.fixed_zone(zone);
        }
        if !class.is(&classes.zone_info) {
            let name = class.qualname()?;
            let failure = Failure::said(format!("{name} is not a value"));
            return Err(failure.with_hint("use datetime.timezone or zoneinfo.ZoneInfo"));
        }
        let key = zone.getattr(intern!(self.py, "key"))?;
        match exactly::<PyString>(&key) {
            Some(key) => Ok(self.writer.name(key.to_str()?)?),
            None => Err(Failure::said("ZoneInfo without a key is not a value")),
        }
    }

    fn fixed_zone(&mut self, zone: &Bound<'py, PyAny>) -> Converted<()> {
        let parts = zone.call_method0(intern!(self.py, "__getinitargs__"))?;
        let parts = parts.cast::<PyTuple>().map_err(PyErr::from)?;
        let offset = parts.get_item(0)?;
        let part = |name: &Bound<'py, PyString>| offset.getattr(name)?.extract::<i64>();
        let (days, seconds) = (part(intern!(self.py, "days"))?, part(intern!(self.py, "seconds"))?);
        let microseconds = (days * 86_400 + seconds) * 1_000_000 + part(intern!(self.py, "microseconds"))?;
        let Ok(name) = parts.get_item(1) else {
            self.writer.int(microseconds);
            return Ok(());
        };
        self.writer.begin_plain_list(2)?;
        self.writer.int(microseconds);
        self.writer.str(name.cast::<PyString>().map_err(PyErr::from)?.to_str()?)?;
        self.writer.end();
        Ok(())
    }
}
