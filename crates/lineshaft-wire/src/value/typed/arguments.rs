//! Calls on their way in: arguments are bound to parameters, and each is read as its parameter's type.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::de::Source;
use super::{Error, shared};
use crate::payload::{PAYLOAD_BYTES_MAX, Payload};
use crate::value::{Reader, ValueError};

/// The payload of a call.
#[derive(Debug)]
pub struct Arguments<'a> {
    plain: Cow<'a, [u8]>,
}

/// A call taken apart: where the argument of each of `N` parameters stands.
#[derive(Debug)]
pub struct Bound<'p, const N: usize> {
    task: &'p str,
    parameters: &'p [&'p str; N],
    places: [Option<Reader<'p>>; N],
    payload: &'p Payload<'p>,
}

impl<'a> Arguments<'a> {
    /// Opens the payload of a call.
    #[inline]
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { plain: shared::unshare(bytes)? })
    }

    /// Its envelope, for [`Bound::new`].
    #[inline]
    pub fn payload(&self) -> Result<Payload<'_>, Error> {
        Ok(Payload::open(&self.plain, PAYLOAD_BYTES_MAX)?)
    }
}

impl<'p, const N: usize> Bound<'p, N> {
    /// Binds the arguments of a call of `task` to its `parameters`, by position and by name. Refuses a call of a version
    /// of the task after this one.
    pub fn new(
        task: &'p str,
        version: u32,
        parameters: &'p [&'p str; N],
        payload: &'p Payload<'p>,
    ) -> Result<Self, Error> {
        let mut bound = Self { task, parameters, places: [const { None }; N], payload };
        let mut reader = Reader::new(payload.value());
        let parts = reader.plain_list().map_err(|_| no_call())?;
        if !(2..=3).contains(&parts) {
            return Err(no_call());
        }
        if parts == 3
            && let Some(missing) = missing_version(task, version, reader.clone()).map_err(|_| no_call())?
        {
            return Err(Error::newer(missing));
        }
        bound.read_positional(&mut reader)?;
        bound.read_keywords(&mut reader)?;
        if parts == 3 {
            reader.skip()?;
        }
        reader.end();
        reader.finish()?;
        Ok(bound)
    }

    fn read_positional(&mut self, reader: &mut Reader<'p>) -> Result<(), Error> {
        let count = reader.plain_list().map_err(|_| no_call())?;
        if count > N {
            let s = if N == 1 { "" } else { "s" };
            return Err(Error::said(format_args!(
                "{}() takes {N} argument{s}, {count} were given",
                self.task
            )));
        }
        for place in &mut self.places[..count] {
            *place = Some(reader.clone());
            reader.skip()?;
        }
        reader.end();
        Ok(())
    }

    fn read_keywords(&mut self, reader: &mut Reader<'p>) -> Result<(), Error> {
        let count = reader.plain_dict().map_err(|_| no_call())?;
        for _ in 0..count {
            let name = reader.str().map_err(|_| no_call())?;
            let Some(index) = self.parameters.iter().position(|parameter| *parameter == name) else {
                let known = if self.parameters.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has `{}`", self.parameters.join("`, `"))
                };
                return Err(Error::said(format_args!("{}() has no argument `{name}`; {known}", self.task)));
            };
            if self.places[index].replace(reader.clone()).is_some() {
                return Err(Error::said(format_args!("{}() got its argument `{name}` twice", self.task)));
            }
            reader.skip()?;
        }
        reader.end();
        Ok(())
    }

    /// The argument of the parameter at `index`, if there is one.
    pub fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, Error> {
        let Some(reader) = &self.places[index] else { return Ok(None) };
        let mut source = Source { reader: reader.clone(), payload: self.payload };
        let value = T::deserialize(source.value());
        value.map(Some).map_err(|error| error.inside(self.parameters[index]))
    }

    /// The argument of the parameter at `index`, which has to be there.
    pub fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, Error> {
        let missing =
            || Error::said(format_args!("{}() misses its argument `{}`", self.task, self.parameters[index]));
        self.optional(index)?.ok_or_else(missing)
    }
}

/// What a worker lacks that has version `here` of `task`, if a call of three parts, at whose first `parts` stands, is
/// made for a later one. Asked before anything else: what a later version means by its arguments is nothing that this one
/// can judge.
pub fn missing_version(task: &str, here: u32, mut parts: Reader<'_>) -> Result<Option<String>, ValueError> {
    parts.skip()?;
    parts.skip()?;
    let asked = parts.int()?;
    Ok((asked > i64::from(here)).then(|| format!("version {asked} of {task}, not just {here}")))
}

fn no_call() -> Error {
    ValueError::Invalid { offset: 0, what: "call", reason: "it is not a list and a dict" }.into()
}
