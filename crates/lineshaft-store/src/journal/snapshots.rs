//! The two newest snapshots, one file each in `snap/`, named by LSN.

use crate::disk::{Disk, join};
use crate::holds::Holds;
use crate::sealed::{self, Seal};
use crate::{Error, Snapshot};

const DIRECTORY: &str = "snap";
pub(crate) const MAGIC: [u8; 4] = *b"LSn1";
const KEPT: usize = 2;

/// The snapshots of a home.
#[derive(Debug)]
pub(crate) struct Snapshots<D> {
    disk: D,
    /// LSNs of the files, ascending; at most [`KEPT`] after a put.
    lsns: Vec<u64>,
    /// Size of the newest one.
    bytes: u64,
}

impl<D: Disk> Snapshots<D> {
    /// Finds the snapshots, removes what an unfinished put left, and makes what is found durable.
    pub(crate) fn open(disk: D) -> Result<Self, Error> {
        let (mut lsns, mut bytes) = (Vec::new(), 0);
        // Sorted by name, and so by LSN.
        for entry in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
            match entry.name.parse() {
                Ok(lsn) => {
                    lsns.push(lsn);
                    bytes = entry.bytes;
                }
                Err(_) => remove(&disk, &entry.name)?,
            }
        }
        // What a dead process renamed may not be durable yet, but is going to be built upon.
        disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        lsns.sort_unstable();
        Ok(Self { disk, lsns, bytes })
    }

    /// Finds the snapshots and changes nothing.
    pub(crate) fn look(disk: D) -> Result<Self, Error> {
        let listed = disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
        let mut lsns: Vec<u64> = listed.iter().filter_map(|entry| entry.name.parse().ok()).collect();
        lsns.sort_unstable();
        Ok(Self { disk, lsns, bytes: 0 })
    }

    /// The LSNs of all, ascending.
    pub(crate) fn lsns(&self) -> &[u64] {
        &self.lsns
    }

    /// The directory, to be created before.
    pub(crate) const fn directory() -> &'static str {
        DIRECTORY
    }

    /// The LSN of the newest snapshot, readable or not.
    pub(crate) fn newest_lsn(&self) -> u64 {
        self.lsns.last().copied().unwrap_or(0)
    }

    /// Size of the newest snapshot: what the next one may need.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What trimming must leave: commits above this LSN. 0 before there are two snapshots.
    pub(crate) fn both_past(&self) -> u64 {
        if self.lsns.len() < KEPT { 0 } else { self.lsns[self.lsns.len() - KEPT] }
    }

    /// The newest snapshot that can be read. A damaged one is skipped with a warning; the one before replaces it.
    pub(crate) fn load(&self) -> Result<Option<Snapshot>, Error> {
        for lsn in self.lsns.iter().rev() {
            match sealed::read(&self.disk, DIRECTORY, &name(*lsn), MAGIC) {
                Ok(Some((seal, bytes))) if seal.id == *lsn => {
                    return Ok(Some(Snapshot { lsn: seal.id, crc: seal.crc, bytes }));
                }
                Ok(_) => tracing::warn!(lsn, "snapshot is not the one its name says, trying the one before"),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(lsn, %error, "trying the snapshot before");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Publishes a snapshot and removes all but the two newest, or leaves that to a later one while files are held.
    pub(crate) fn put(&mut self, lsn: u64, crc: u32, bytes: &[u8], holds: &Holds) -> Result<(), Error> {
        sealed::write(&self.disk, DIRECTORY, &name(lsn), Seal { magic: MAGIC, id: lsn, crc }, bytes)?;
        self.bytes = bytes.len() as u64;
        if let Err(place) = self.lsns.binary_search(&lsn) {
            self.lsns.insert(place, lsn);
        }
        while self.lsns.len() > KEPT
            && let Some(_removing) = holds.removing()
        {
            remove(&self.disk, &name(self.lsns[0]))?;
            self.lsns.remove(0);
        }
        Ok(())
    }
}

fn name(lsn: u64) -> String {
    format!("{lsn:020}")
}

fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let path = join(DIRECTORY, name);
    disk.remove_file(&path).map_err(Error::io("remove", &path, 0))
}
