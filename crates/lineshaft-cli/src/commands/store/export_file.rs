//! Where an export goes: standard output, or a file that has its name only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::backup::{cannot, is_within};
use crate::exit::{Failure, USAGE};

/// The file that is written, and the name that it gets at the end.
pub(super) struct ExportFile {
    file: Option<BufWriter<File>>,
    path: PathBuf,
    /// What exists and is no plain file (a pipe, `/dev/stdout`) is written as it is.
    part: Option<PathBuf>,
}

impl ExportFile {
    /// Nothing has the name `path` changed before [`ExportFile::finish`]. It may not be a file of `home`.
    pub(super) fn create(path: &Path, home: &Path) -> Result<Self, Failure> {
        let absolute = std::path::absolute(path).map_err(|error| cannot("use", path, &error))?;
        if is_within(&absolute, home) {
            let message = format!("{} is in the home itself", path.display());
            return Err(Failure::new(USAGE, message).hint("choose a place outside of it"));
        }
        // Links are followed, so that what they point to is replaced and not they.
        let target = path.canonicalize().unwrap_or(absolute);
        let is_plain = fs::metadata(&target).map_or(true, |found| found.is_file());
        let part = is_plain.then(|| {
            let mut name = target.clone().into_os_string();
            name.push(".part");
            PathBuf::from(name)
        });
        let written = part.as_ref().unwrap_or(&target);
        let file = File::create(written).map_err(|error| cannot("write", written, &error))?;
        Ok(Self { file: Some(BufWriter::new(file)), path: target, part })
    }

    /// Gives the file its name, once all of it is written.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let finish = |file: BufWriter<File>| {
            drop(file.into_inner().map_err(io::IntoInnerError::into_error)?);
            self.part.as_ref().map_or(Ok(()), |part| fs::rename(part, &self.path))
        };
        let finished = self.file.take().map_or(Ok(()), finish);
        let finished = finished.map_err(|error| cannot("write", &self.path, &error));
        if finished.is_ok() {
            self.part = None;
        }
        finished
    }

    /// What failed, with the name of the file.
    pub(super) fn failed(&self, error: io::Error) -> Failure {
        cannot("write", &self.path, &error)
    }
}

impl Write for ExportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(bytes.len()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for ExportFile {
    /// A part of an export looks like all of it.
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}
