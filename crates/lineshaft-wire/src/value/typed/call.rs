//! Calls on their way out.

use serde::Serialize;

use super::Error;
use super::ser::Serializer;
use crate::value::Open;
use crate::value::codec::write::Encoder;

/// Writes a call, argument by argument: first those by position, then those by name.
#[derive(Debug)]
pub struct CallWriter {
    encoder: Encoder<'static>,
    /// The list or the dict that is being written, and how many arguments it has.
    part: Option<Open>,
    count: usize,
    by_name: bool,
    version: u32,
}

impl CallWriter {
    /// A call without arguments, of a version of its task.
    pub fn new(version: u32) -> Result<Self, Error> {
        let mut call = Self { encoder: Encoder::default(), part: None, count: 0, by_name: false, version };
        call.begin()?;
        Ok(call)
    }

    /// Begins anew as [`Self::new`], in the same room: who makes many calls need not allocate each.
    #[inline]
    pub fn reset(&mut self, version: u32) -> Result<(), Error> {
        self.encoder.reset();
        (self.count, self.by_name, self.version) = (0, false, version);
        self.begin()
    }

    #[inline]
    fn begin(&mut self) -> Result<(), Error> {
        self.encoder.writer.begin_list(if self.version > 1 { 3 } else { 2 })?;
        self.part = Some(self.encoder.writer.begin_counted_list()?);
        Ok(())
    }

    /// The next argument by position; `name` is what errors call it, and `args[N]` if there is none. None may follow an
    /// argument by name.
    pub fn positional<T: Serialize + ?Sized>(&mut self, name: Option<&str>, value: &T) -> Result<(), Error> {
        if self.by_name {
            return Err(Error::said("an argument by position follows one by name"));
        }
        let index = self.count;
        self.argument(value, false).map_err(|error| match name {
            Some(name) => error.inside(name),
            None => error.inside(format_args!("args[{index}]")),
        })
    }

    /// An argument by name.
    pub fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.begin_keywords()?;
        self.encoder.writer.count(true)?;
        self.encoder.writer.str(name)?;
        self.argument(value, true).map_err(|error| error.inside(name))
    }

    /// The payload.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.end()?;
        Ok(self.encoder.finish()?)
    }

    /// The payload, never compressed: for a reader on the same host, whom that would only cost time. It may be taken away.
    /// Once only: then [`Self::reset`] is due.
    #[inline]
    pub fn plain(&mut self) -> Result<&mut Vec<u8>, Error> {
        self.end()?;
        Ok(self.encoder.plain()?)
    }

    #[inline]
    fn end(&mut self) -> Result<(), Error> {
        self.begin_keywords()?;
        self.end_part();
        if self.version > 1 {
            self.encoder.writer.int(i64::from(self.version));
        }
        self.encoder.writer.end();
        Ok(())
    }

    fn argument<T: Serialize + ?Sized>(&mut self, value: &T, in_dict: bool) -> Result<(), Error> {
        self.count += 1;
        self.encoder.writer.count(in_dict)?;
        value.serialize(Serializer::new(&mut self.encoder))
    }

    #[inline]
    fn begin_keywords(&mut self) -> Result<(), Error> {
        if !self.by_name {
            self.end_part();
            self.part = Some(self.encoder.writer.begin_counted_dict()?);
            self.by_name = true;
        }
        Ok(())
    }

    #[inline]
    fn end_part(&mut self) {
        if let Some(part) = self.part.take() {
            self.encoder.writer.end_counted(part, self.count);
            self.count = 0;
        }
    }
}
