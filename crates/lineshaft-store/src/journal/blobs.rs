//! Payloads too large for a commit: one file each in `blob/`, named by id.

use bytes::Bytes;

use crate::Error;
use crate::disk::{self, Disk, join};
use crate::sealed::{self, Seal};

/// The directory of blobs.
pub(crate) const DIRECTORY: &str = "blob";

const MAGIC: [u8; 4] = *b"LSb1";

/// Removes what unfinished puts left, and makes what is found durable.
pub(crate) fn open<D: Disk>(disk: &D) -> Result<(), Error> {
    disk::settle(disk, DIRECTORY).map_err(Error::io("settle", DIRECTORY, 0))
}

pub(crate) fn put<D: Disk>(disk: &D, id: u64, bytes: &[u8]) -> Result<(), Error> {
    sealed::write(disk, DIRECTORY, &name(id), Seal { magic: MAGIC, id, crc: 0 }, bytes)
}

pub(crate) fn get<D: Disk>(disk: &D, id: u64) -> Result<Bytes, Error> {
    match sealed::read(disk, DIRECTORY, &name(id), MAGIC)? {
        Some((seal, bytes)) if seal.id == id => Ok(bytes),
        Some((seal, _)) => {
            let path = join(DIRECTORY, &name(id));
            Err(Error::damaged(&path, 0, format!("it holds blob {:016x}", seal.id)))
        }
        None => Err(Error::NoBlob { id }),
    }
}

/// A blob that checks, and is not the one that was stored.
pub(crate) fn of_other_length(id: u64, found: usize, wanted: u32) -> Error {
    Error::damaged(&join(DIRECTORY, &name(id)), 0, format!("it holds {found} bytes instead of {wanted}"))
}

/// Reads a blob and checks it; one that goes meanwhile is fine.
pub(crate) fn check<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let Some(id) = id_of(name) else {
        return Err(Error::damaged(&join(DIRECTORY, name), 0, "its name is no blob's"));
    };
    match get(disk, id) {
        Err(Error::NoBlob { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(crate) fn drop_blob<D: Disk>(disk: &D, id: u64) -> Result<(), Error> {
    let path = join(DIRECTORY, &name(id));
    disk::remove(disk, &path).map_err(Error::io("remove", &path, 0))
}

pub(crate) fn list<D: Disk>(disk: &D) -> Result<Vec<u64>, Error> {
    let entries = disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
    Ok(entries.iter().filter_map(|entry| id_of(&entry.name)).collect())
}

fn id_of(name: &str) -> Option<u64> {
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

fn name(id: u64) -> String {
    format!("{id:016x}")
}
