//! Reading segments from front to back: which commits are there, and what follows the last good one.

use std::io;

use super::commit::{ALIGNMENT, HEADER_BYTES, Header};
use super::segment::{COMMITS_START, SegmentHeader};
use crate::disk::DiskFile;
use crate::gaps::Gaps;

const BUFFER_BYTES: usize = 1 << 20;

/// A buffer over a file that is read forwards.
pub(crate) struct Window<'a, F> {
    file: &'a F,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'a, F: DiskFile> Window<'a, F> {
    pub(crate) fn new(file: &'a F) -> Self {
        Self { file, buffer: Vec::new(), start: 0, filled: 0 }
    }

    /// `length` bytes at `offset`, fewer where the file ends.
    pub(crate) fn get(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let inside = offset >= self.start && offset + length as u64 <= self.start + self.filled as u64;
        if !inside {
            // No more than there is: most segments that a start looks at are smaller than the buffer.
            let left = self.file.length()?.saturating_sub(offset);
            self.buffer.resize(left.min(length.max(BUFFER_BYTES) as u64) as usize, 0);
            self.start = offset;
            self.filled = self.file.read_at(offset, &mut self.buffer)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..(from + length).min(self.filled)])
    }
}

/// A commit found in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) offset: u64,
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Good commits in an unbroken row from the start.
    pub(crate) commits: Vec<Found>,
    /// Why the row ends, if it is not simply the end.
    pub(crate) broken: Option<String>,
    /// Headers of this segment beyond the break: traces of commits that cannot be used.
    pub(crate) beyond: Vec<Found>,
}

impl Scanned {
    /// Greatest synced LSN that any header tells of.
    pub(crate) fn synced_lsn(&self) -> u64 {
        self.headers().map(|header| header.synced_lsn).max().unwrap_or(0)
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = &Header> {
        self.commits.iter().chain(&self.beyond).map(|found| &found.header)
    }
}

/// Finds the commits of a segment.
///
/// Bodies are checked above `verify_after` only: what a snapshot covers is checked when a payload is read.
/// Over a gap the row goes on with the commit behind it. With `to_the_end`, the space after the last good commit is searched for headers too.
pub(crate) fn scan<F: DiskFile>(
    file: &F,
    segment: &SegmentHeader,
    verify_after: u64,
    to_the_end: bool,
    gaps: &Gaps,
) -> io::Result<Scanned> {
    let mut window = Window::new(file);
    let mut scanned = Scanned::default();
    let mut offset = COMMITS_START;
    let verify = Verify { after: verify_after, gaps };
    loop {
        if let Some(header) = next_commit(&mut window, segment, offset, &mut scanned, verify)? {
            scanned.commits.push(Found { header, offset });
            offset += header.stored_bytes();
        } else if let Some(behind) = behind_gap(&mut window, segment, offset, &scanned, gaps)? {
            scanned.broken = None;
            offset = behind;
        } else {
            break;
        }
    }
    if to_the_end || scanned.commits.is_empty() {
        scanned.beyond = headers_from(&mut window, segment, offset)?;
    }
    if scanned.broken.is_none() && !scanned.beyond.is_empty() {
        scanned.broken = Some(format!("no valid commit header at byte {offset}"));
    }
    Ok(scanned)
}

/// What a commit must be to count.
#[derive(Clone, Copy)]
struct Verify<'a> {
    /// Bodies are checked above this LSN.
    after: u64,
    gaps: &'a Gaps,
}

/// Where the commit behind a gap stands, if one begins where the row ends.
fn behind_gap<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: &SegmentHeader,
    offset: u64,
    scanned: &Scanned,
    gaps: &Gaps,
) -> io::Result<Option<u64>> {
    let is_behind = |lsn: u64| match scanned.commits.last() {
        Some(last) => lsn > last.header.lsn + 1 && lsn == gaps.after(last.header.lsn),
        None => gaps.end_before(lsn),
    };
    let none_begins = match scanned.commits.last() {
        Some(last) => gaps.after(last.header.lsn) == last.header.lsn + 1,
        None => *gaps == Gaps::default(),
    };
    if none_begins {
        return Ok(None);
    }
    let headers = headers_from(window, segment, offset + ALIGNMENT)?;
    Ok(headers.iter().find(|found| is_behind(found.header.lsn)).map(|found| found.offset))
}

/// The commit at `offset`, if it is whole and continues the row.
fn next_commit<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: &SegmentHeader,
    offset: u64,
    scanned: &mut Scanned,
    verify: Verify<'_>,
) -> io::Result<Option<Header>> {
    let Some(header) = header_at(window, segment, offset)? else { return Ok(None) };
    let last = scanned.commits.last().map(|found| found.header.appended());
    if last.is_some_and(|last| !verify.gaps.join(last, &header)) {
        scanned.broken = Some(format!("the commit at byte {offset} does not follow the one before"));
        return Ok(None);
    }
    let size = header.body_start() + header.body_bytes as usize;
    if header.lsn > verify.after && !header.body_matches(window.get(offset, size)?) {
        scanned.broken = Some(format!("the body of the commit at byte {offset} fails its check"));
        return Ok(None);
    }
    Ok(Some(header))
}

fn header_at<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: &SegmentHeader,
    offset: u64,
) -> io::Result<Option<Header>> {
    let header = Header::decode(window.get(offset, HEADER_BYTES)?);
    Ok(header.filter(|header| header.salt == segment.salt))
}

/// Every header of the segment that checks, from `from` on.
pub(crate) fn headers_from<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: &SegmentHeader,
    from: u64,
) -> io::Result<Vec<Found>> {
    let end = window.file.length()?;
    let mut headers = Vec::new();
    let mut offset = from;
    while offset + HEADER_BYTES as u64 <= end {
        headers.extend(header_at(window, segment, offset)?.map(|header| Found { header, offset }));
        offset += ALIGNMENT;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, FileDisk, OpenMode};

    /// Every start cleared a megabyte for each segment, however small.
    #[test]
    fn a_window_has_no_more_than_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = FileDisk::new(directory.path()).open("a", OpenMode::Create).unwrap();
        file.write_all_at(0, b"abcde").unwrap();
        let mut window = Window::new(&file);
        assert_eq!(window.get(1, 2).unwrap(), b"bc");
        assert_eq!(window.buffer.len(), 4);
        assert_eq!(window.get(0, 10).unwrap(), b"abcde");
        assert_eq!(window.get(7, 2).unwrap(), b"");
    }
}
