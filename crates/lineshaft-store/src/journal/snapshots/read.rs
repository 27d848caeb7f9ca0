//! Reading snapshots: the newest layout, and the first one, which is a sealed file without pages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use bytes::Bytes;
use crc32c::crc32c;

use super::layout::{HEADER_BYTES, Header, Manifest, PageAt, Part, decode_manifest};
use super::{DIRECTORY, Kept, name};
use crate::disk::{Disk, DiskFile, OpenMode, join};
use crate::sealed;
use crate::{Error, Snapshot};

/// Magic of the first layout.
const FIRST: [u8; 4] = *b"LSn1";

/// What a snapshot's file says of itself.
pub(super) struct Described {
    pub(super) kept: Kept,
    crc: u32,
    tables: Bytes,
}

/// Reads the file of a snapshot without its pages.
pub(super) fn describe<D: Disk>(disk: &D, lsn: u64) -> Result<Described, Error> {
    let path = join(DIRECTORY, &name(lsn));
    let file = open(disk, lsn)?;
    let mut start = [0; HEADER_BYTES];
    let count = file.read_at(0, &mut start).map_err(Error::io("read", &path, 0))?;
    if start.starts_with(&FIRST) {
        return describe_first(disk, lsn, &path);
    }
    let header = Header::decode(&start[..count]);
    let header = header.ok_or_else(|| Error::damaged(&path, 0, "its header fails its check"))?;
    if header.lsn != lsn {
        return Err(Error::damaged(&path, 4, format!("it holds snapshot {}", header.lsn)));
    }
    let tables = read_part(&file, &path, header.tables, "its tables fail their check")?;
    let manifest = read_part(&file, &path, header.manifest, "its manifest fails its check")?;
    let manifest = decode_manifest(&manifest);
    let manifest =
        manifest.ok_or_else(|| Error::damaged(&path, header.manifest.offset, "its manifest is cut short"))?;
    Ok(Described { kept: Kept { lsn, manifest }, crc: header.crc, tables: tables.into() })
}

fn describe_first<D: Disk>(disk: &D, lsn: u64, path: &str) -> Result<Described, Error> {
    match sealed::read(disk, DIRECTORY, &name(lsn), FIRST)? {
        Some((seal, tables)) if seal.id == lsn => {
            Ok(Described { kept: Kept { lsn, manifest: Manifest::new() }, crc: seal.crc, tables })
        }
        _ => Err(Error::damaged(path, 4, "it is not the snapshot that its name says")),
    }
}

/// Reads every page of a described snapshot.
pub(super) fn load<D: Disk>(disk: &D, described: &Described) -> Result<Snapshot, Error> {
    let mut files = BTreeMap::new();
    let mut pages = Vec::with_capacity(described.kept.manifest.len());
    for (number, page) in &described.kept.manifest {
        let file = match files.entry(page.file) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(place) => place.insert(open(disk, page.file)?),
        };
        pages.push((*number, read_page(file, *page)?.into()));
    }
    let Described { kept, crc, tables } = described;
    Ok(Snapshot { lsn: kept.lsn, crc: *crc, tables: tables.clone(), pages })
}

/// Opens a snapshot's file. That it is missing is damage: somebody needs it.
pub(super) fn open<D: Disk>(disk: &D, lsn: u64) -> Result<D::File, Error> {
    let path = join(DIRECTORY, &name(lsn));
    disk.open(&path, OpenMode::Read).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            Error::damaged(&path, 0, "it is missing, and a later snapshot has pages in it")
        }
        _ => Error::io("open", &path, 0)(source),
    })
}

pub(super) fn read_page<F: DiskFile>(file: &F, page: PageAt) -> Result<Vec<u8>, Error> {
    let path = join(DIRECTORY, &name(page.file));
    let part = Part { offset: page.offset, length: u64::from(page.length), crc: page.crc };
    read_part(file, &path, part, "a page fails its check")
}

fn read_part<F: DiskFile>(file: &F, path: &str, part: Part, reason: &'static str) -> Result<Vec<u8>, Error> {
    let end = part.offset.checked_add(part.length);
    let length = file.length().map_err(Error::io("read", path, 0))?;
    if end.is_none_or(|end| end > length) {
        return Err(Error::damaged(path, part.offset, "it is too short"));
    }
    let mut bytes = vec![0; part.length as usize];
    let count = file.read_at(part.offset, &mut bytes).map_err(Error::io("read", path, 0))?;
    let is_whole = count == bytes.len() && crc32c(&bytes) == part.crc;
    if is_whole { Ok(bytes) } else { Err(Error::damaged(path, part.offset, reason)) }
}
