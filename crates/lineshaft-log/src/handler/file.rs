//! Records to a file that others may write, move and delete too.
//!
//! Whole lines go into one `write(2)` with `O_APPEND`, so that those of several processes do not mix. Before each, the
//! path is looked at: if it is another file by now, or none, that one is opened. After each, the file is: if it was
//! deleted meanwhile, the lines are written again. With a rotation, everybody who writes has a shared lock of the file
//! (`flock`), and who rotates it an exclusive one, so that nobody writes to a file that is being compressed.

mod lock;
mod rotation;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Failure, Handler};
use crate::error::Error;
use crate::format::{Format, Formatter, Zone};
use crate::level::LevelNames;
use crate::record::Record;
pub use rotation::{Compression, Rotation};

/// Where and how to write.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The file. Directories above it are made.
    pub path: PathBuf,
    /// The form of a record.
    pub format: Format,
    /// The zone of times.
    pub zone: Zone,
    /// Who may read it, as far as the mask of the process allows.
    pub mode: u32,
    /// When another file is begun, and what becomes of those before. Whoever writes the file has to say the same.
    pub rotation: Option<Rotation>,
}

/// Appends to a file.
#[derive(Debug)]
pub struct File {
    options: FileOptions,
    formatter: Formatter,
    file: std::fs::File,
    /// Device and inode of `file`.
    identity: (u64, u64),
    /// Whether what was written last is a part of a line.
    is_torn: bool,
    out: Vec<u8>,
    /// Where in `out` each record ends.
    ends: Vec<usize>,
    /// How many bytes of `out` are in the file.
    written: usize,
}

/// So much is written at once; a longer record all the same.
const WRITE_BYTES: usize = 1 << 20;
/// How often a file is opened again, for others that rotate or delete it as often, until that is a failure.
const TRIES: u32 = 256;
/// How long a rotation of somebody else is waited for: as long as compressing a gigabyte takes.
const WAIT: Duration = Duration::from_secs(60);

impl File {
    /// Opens a file, or makes it.
    pub fn open(options: FileOptions, levels: &Arc<LevelNames>) -> Result<Self, Error> {
        let formatter = Formatter::new(options.format.clone(), options.zone, levels.clone());
        let opened = open(&options.path, options.mode);
        let (file, identity) = opened.map_err(|source| Error::File { path: options.path.clone(), source })?;
        Ok(Self {
            options,
            formatter,
            file,
            identity,
            is_torn: false,
            out: Vec::new(),
            ends: Vec::new(),
            written: 0,
        })
    }

    /// Writes what is in `out`, wherever the path leads by now.
    fn write_out(&mut self) -> io::Result<()> {
        for _ in 0..TRIES {
            if let Some(rotation) = &self.options.rotation {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                rotation.rotate_if_due(&self.options.path, &self.file, self.out.len() as u64, now)?;
                if !lock::wait(&self.file, FlockOperation::NonBlockingLockShared, WAIT)? {
                    let reason = "somebody has kept it locked for as long as a rotation may take";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
                }
            }
            let written = self.append_at_path();
            if self.options.rotation.is_some() {
                // Not by letting go of the file: a process that was forked meanwhile has it open, too.
                flock(&self.file, FlockOperation::Unlock)?;
            }
            if written? {
                return Ok(());
            }
            self.reopen()?;
        }
        Err(io::Error::other("others rotate or delete it again and again"))
    }

    /// Appends, if this is the file at the path, and was when that was done.
    fn append_at_path(&mut self) -> io::Result<bool> {
        if !self.is_at_path() {
            return Ok(false);
        }
        self.append()?;
        // Asked before others may rotate it, after which it is gone and its lines are not.
        Ok(self.file.metadata()?.nlink() > 0)
    }

    fn append(&mut self) -> io::Result<()> {
        if self.is_torn {
            // What comes after the part of a line is a line again.
            write_all(&self.file, b"\n", &mut 0)?;
            self.is_torn = false;
        }
        self.written = 0;
        let appended = write_all(&self.file, &self.out, &mut self.written);
        self.is_torn = self.written > 0 && self.out[self.written - 1] != b'\n';
        appended
    }

    /// Begins anew with what has to be written.
    fn clear(&mut self) {
        self.out.clear();
        self.ends.clear();
        self.written = 0;
    }

    fn is_at_path(&self) -> bool {
        std::fs::metadata(&self.options.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.identity) = open(&self.options.path, self.options.mode)?;
        self.is_torn = false;
        Ok(())
    }
}

impl Handler for File {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        self.clear();
        let mut done = 0;
        for (number, record) in records.iter().enumerate() {
            self.formatter.push(&mut self.out, record);
            self.ends.push(self.out.len());
            if self.out.len() >= WRITE_BYTES || number + 1 == records.len() {
                if let Err(error) = self.write_out() {
                    done += self.ends.iter().take_while(|end| **end <= self.written).count();
                    return Err(Failure { done, refused: 0, reason: error.to_string() });
                }
                self.clear();
                done = number + 1;
            }
        }
        Ok(())
    }
}

/// Writes all of `bytes`, and says in `written` how many are.
fn write_all(file: &std::fs::File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match rustix::io::write(file, &bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn open(path: &Path, mode: u32) -> io::Result<(std::fs::File, (u64, u64))> {
    let open = || OpenOptions::new().append(true).create(true).mode(mode).open(path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            open()?
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    Ok((file, (found.dev(), found.ino())))
}
