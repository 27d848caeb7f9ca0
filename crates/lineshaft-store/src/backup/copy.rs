//! Copying single files, checked and durable.

use std::io;

use crc32c::crc32c_append;

use super::{FileEntry, Watch};
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode};

/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes written between two syncs, so that the commits of a server on the same disk never wait behind much of them.
const SYNC_BYTES: u64 = 8 << 20;

/// A file to be copied.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    pub(super) path: String,
    /// How much of it; what follows may be anything.
    pub(super) bytes: u64,
    /// Whether it is never written over: then the copy may share its space where the file system can do that. Otherwise
    /// each write to it would have to find new space, which makes commits slow.
    pub(super) is_immutable: bool,
}

/// Copies files from one disk to another.
pub(super) struct Copier<'a, S, D> {
    from: &'a S,
    to: &'a D,
    watch: &'a mut dyn Watch,
    piece: Vec<u8>,
}

impl<'a, S: Disk, D: Disk> Copier<'a, S, D> {
    pub(super) fn new(from: &'a S, to: &'a D, watch: &'a mut dyn Watch) -> Self {
        Self { from, to, watch, piece: vec![0; PIECE_BYTES] }
    }

    /// Copies a file, durable on return but for its name.
    pub(super) fn copy(&mut self, wanted: &Copied) -> Result<FileEntry, Error> {
        let Copied { path, bytes, is_immutable } = wanted;
        let from = self.from.open(path, OpenMode::Read).map_err(Error::io("read", path, 0))?;
        let to = self.to.open(path, OpenMode::Create).map_err(Error::io("create", path, *bytes))?;
        let is_shared =
            *is_immutable && share(&from, &to, *bytes).map_err(Error::io("write", path, *bytes))?;
        let crc = if is_shared {
            self.pieces(&to, path, *bytes, |_, _| Ok(()))?
        } else {
            self.pieces(&from, path, *bytes, |offset, piece| write(&to, offset, piece))?
        };
        to.sync_data().map_err(Error::io("sync", path, *bytes))?;
        Ok(FileEntry { path: path.clone(), bytes: *bytes, crc })
    }

    /// Writes a file with this content, durable on return but for its name.
    pub(super) fn put(&mut self, path: &str, content: &[u8]) -> Result<FileEntry, Error> {
        let bytes = content.len() as u64;
        let to = self.to.open(path, OpenMode::Create).map_err(Error::io("create", path, bytes))?;
        let written = to.write_all_at(0, content).and_then(|()| to.sync_data());
        written.map_err(Error::io("write", path, bytes))?;
        Ok(FileEntry { path: path.to_owned(), bytes, crc: crc32c_append(0, content) })
    }

    /// Makes the names of the copies in a directory durable.
    pub(super) fn sync_dir(&self, directory: &str) -> Result<(), Error> {
        self.to.sync_dir(directory).map_err(Error::io("sync", directory, 0))
    }

    /// Gives the file to `take` piece by piece, and its CRC in the end.
    fn pieces<F: DiskFile>(
        &mut self,
        file: &F,
        path: &str,
        bytes: u64,
        mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<u32, Error> {
        let (mut offset, mut crc) = (0, 0);
        while offset < bytes {
            let wanted = (bytes - offset).min(PIECE_BYTES as u64) as usize;
            let piece = &mut self.piece[..wanted];
            let count = file.read_at(offset, piece).map_err(Error::io("read", path, 0))?;
            if count < wanted {
                return Err(Error::damaged(path, offset + count as u64, "it ends too early"));
            }
            crc = crc32c_append(crc, piece);
            take(offset, piece).map_err(Error::io("write", path, bytes - offset))?;
            offset += wanted as u64;
            self.watch.advanced(wanted as u64)?;
        }
        Ok(crc)
    }
}

/// Reads a file of a backup to its end; gives its CRC, or `None` if it does not have that size.
pub(super) fn crc_of<D: Disk>(
    disk: &D,
    entry: &FileEntry,
    watch: &mut dyn Watch,
) -> Result<Option<u32>, Error> {
    let FileEntry { path, bytes, .. } = entry;
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("read", path, 0))?,
    };
    if file.length().map_err(Error::io("read", path, 0))? != *bytes {
        return Ok(None);
    }
    Copier::new(disk, disk, watch).pieces(&file, path, *bytes, |_, _| Ok(())).map(Some)
}

/// Shares the space of a file with its copy, if that can be done.
fn share<F: DiskFile, T: DiskFile>(from: &F, to: &T, bytes: u64) -> io::Result<bool> {
    let Some(descriptor) = from.descriptor() else { return Ok(false) };
    if to.share(descriptor).is_err() {
        return Ok(false);
    }
    // It may have grown meanwhile.
    to.set_len(bytes)?;
    Ok(true)
}

fn write<F: DiskFile>(file: &F, offset: u64, piece: &[u8]) -> io::Result<()> {
    file.write_all_at(offset, piece)?;
    let end = offset + piece.len() as u64;
    if end / SYNC_BYTES > offset / SYNC_BYTES { file.sync_data() } else { Ok(()) }
}
