//! The file that was read last: what is read after it is mostly in the same one.

use std::io;

use super::day::DayFile;
use crate::Error;
use crate::disk::{Disk, OpenMode, join};

/// A file of a day that stays open until another one is asked for.
pub(crate) struct OpenFile<D: Disk> {
    directory: &'static str,
    open: Option<(DayFile, D::File, String)>,
}

impl<D: Disk> OpenFile<D> {
    pub(crate) fn new(directory: &'static str) -> Self {
        Self { directory, open: None }
    }

    /// The file and its path; `None` if there is no such file any more.
    pub(crate) fn get(&mut self, disk: &D, wanted: DayFile) -> Result<Option<(&D::File, &str)>, Error> {
        if self.open.as_ref().is_none_or(|(open, ..)| *open != wanted) {
            let path = join(self.directory, &wanted.to_string());
            match disk.open(&path, OpenMode::Read) {
                Ok(file) => self.open = Some((wanted, file, path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io("open", &path, 0)(error)),
            }
        }
        Ok(self.open.as_ref().map(|(_, file, path)| (file, path.as_str())))
    }
}
