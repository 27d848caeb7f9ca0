//! What can be done so that a damaged home opens again. Each loses something, or has found it lost; they are meant for an
//! [`Overlay`](crate::Overlay), from which [`rework`](super::rework) carries out the result.

use std::io;

use super::survey::{salt_of, segments, survey};
use crate::Error;
use crate::archive::{DIRECTORY as ARCHIVE, first_header_from};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::gaps::Gaps;
use crate::home;
use crate::journal::cold::{self, Cold};
use crate::journal::commit::{self, Header};
use crate::journal::scan::scan;
use crate::journal::segment::{self, DIRECTORY as SEGMENTS, SegmentHeader};

/// Lets the commits `first..=last` be missing. Those behind them must be readable.
pub fn give_up_commits<D: Disk>(disk: &D, first: u64, last: u64) -> Result<(), Error> {
    add_gap(disk, SEGMENTS, first, last)
}

/// Lets the finished jobs with the numbers `first..=last` be missing from the archive.
pub fn give_up_history<D: Disk>(disk: &D, first: u64, last: u64) -> Result<(), Error> {
    add_gap(disk, ARCHIVE, first, last)
}

fn add_gap<D: Disk>(disk: &D, directory: &str, first: u64, last: u64) -> Result<(), Error> {
    let mut gaps = Gaps::load(disk, directory)?;
    gaps.add(first, last);
    gaps.save(disk, directory)
}

/// Ends the journal before commit `first`, and lets it go on behind `last`, so that no number is given twice: with an
/// empty commit of an epoch above every one that left a trace.
pub fn end_commits<D: Disk>(disk: &D, first: u64, last: u64) -> Result<(), Error> {
    let found = survey(disk)?;
    let last = last.max(found.last_lsn);
    let mut oldest_lsn = last + 1;
    for (number, path) in segments(disk)? {
        let kept = end_segment(disk, number, &path, first)?;
        oldest_lsn = oldest_lsn.min(kept.unwrap_or(u64::MAX));
    }
    give_up_commits(disk, first, last)?;
    let header = SegmentHeader::new(found.number + 1, fastrand::u64(..));
    let mut commit = Header {
        salt: header.salt,
        lsn: last + 1,
        synced_lsn: last,
        oldest_lsn,
        epoch: found.epoch + 1,
        nonce: fastrand::u64(..),
        body_bytes: 0,
        previous_crc: 0,
        body_crc: 0,
    };
    let bytes = [&header.encode()[..], &commit::encode(&mut commit, &[])].concat();
    let path = segment::path(header.number);
    let file = disk.open(&path, OpenMode::Create).map_err(Error::io("create", &path, 0))?;
    file.write_all_at(0, &bytes).map_err(Error::io("write", &path, bytes.len() as u64))
}

/// Cuts a segment before commit `first`, and removes it if nothing is left. Gives the oldest commit that is.
fn end_segment<D: Disk>(disk: &D, number: u64, path: &str, first: u64) -> Result<Option<u64>, Error> {
    let file = disk.open(path, OpenMode::Write).map_err(Error::io("open", path, 0))?;
    let Ok(header) = SegmentHeader::read(&file, number) else {
        return put_aside(disk, path).map(|()| None);
    };
    let gaps = Gaps::load(disk, SEGMENTS)?;
    // What lies in bodies below is checked by whoever reads it.
    let scanned = scan(&file, &header, first.saturating_sub(1), false, &gaps);
    let scanned = scanned.map_err(Error::io("read", path, 0))?;
    let kept = scanned.commits.partition_point(|found| found.header.lsn < first);
    let (Some(oldest), Some(newest)) = (scanned.commits[..kept].first(), scanned.commits[..kept].last())
    else {
        return put_aside(disk, path).map(|()| None);
    };
    let end = newest.offset + newest.header.stored_bytes();
    file.set_len(end).map_err(Error::io("cut", path, 0))?;
    Ok(Some(oldest.header.lsn))
}

/// Writes the header of a segment again, if a commit in it still says what it was. Loses nothing; says whether it could.
pub fn mend_segment<D: Disk>(disk: &D, path: &str) -> Result<bool, Error> {
    let number = path.rsplit('/').next().and_then(segment::number_of);
    let (Some(number), Some(salt)) = (number, salt_of(disk, path)?) else { return Ok(false) };
    let file = disk.open(path, OpenMode::Write).map_err(Error::io("open", path, 0))?;
    let bytes = SegmentHeader { number, salt }.encode();
    file.write_all_at(0, &bytes).map_err(Error::io("write", path, bytes.len() as u64))?;
    Ok(true)
}

/// Takes a block that cannot be read out of its day: what comes behind it moves there.
pub fn cut_block<D: Disk>(disk: &D, path: &str, offset: u64) -> Result<(), Error> {
    let read = || -> io::Result<()> {
        let file = disk.open(path, OpenMode::Write)?;
        let length = file.length()?;
        let Some(next) = first_header_from(&file, offset, length)? else {
            return file.set_len(offset);
        };
        let mut rest = vec![0; (length - next) as usize];
        let count = file.read_at(next, &mut rest)?;
        file.write_all_at(offset, &rest[..count])?;
        file.set_len(offset + count as u64)
    };
    read().map_err(Error::io("cut", path, 0))
}

/// Makes a cold file without payloads in the place of one that is missing: whoever needs one of them is told that it is
/// not there. Gives its path.
pub fn stand_in_for_cold_file<D: Disk>(disk: &D, number: u64) -> Result<String, Error> {
    Cold::new(disk.clone()).put(number, &mut std::iter::empty())?;
    Ok(cold::path(number))
}

/// Puts a file aside: it is damaged, and others do without it.
pub fn put_aside<D: Disk>(disk: &D, path: &str) -> Result<(), Error> {
    disk.remove_file(path).map_err(Error::io("remove", path, 0))
}

/// Writes `FORMAT` of this version again.
pub fn write_format<D: Disk>(disk: &D) -> Result<(), Error> {
    home::write_format(disk)
}
