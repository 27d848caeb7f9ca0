//! What may be missing: ranges of numbers that somebody gave up, in a file `GAPS` of the directory concerned.
//!
//! In `seg/` the numbers are those of commits, in `archive/` finish numbers. Where a range is missing that is not
//! written here, it was lost, and opening refuses. A range of `archive/` that begins with 0 is what retention took: homes
//! of versions that did not write it down have none.

use std::io;

use crate::Error;
use crate::disk::{Disk, join, publish, read_all, remove};
use crate::journal::Appended;
use crate::journal::commit::Header;

/// The file, in a directory.
pub(crate) const NAME: &str = "GAPS";

/// Ranges of numbers, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    ranges: Vec<(u64, u64)>,
}

impl Gaps {
    /// Reads the gaps of a directory; none if it has no file of them.
    pub(crate) fn load<D: Disk>(disk: &D, directory: &str) -> Result<Self, Error> {
        let path = join(directory, NAME);
        let text = match read_all(disk, &path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("read", &path, 0)(error)),
        };
        let mut gaps = Self::default();
        for line in text.lines() {
            let range = line.split_once(' ').and_then(|(first, last)| {
                Some((first.parse().ok()?, last.parse().ok()?))
                    .filter(|(first, last): &(u64, u64)| first <= last)
            });
            let (first, last) =
                range.ok_or_else(|| Error::damaged(&path, 0, "a line is no range of numbers"))?;
            gaps.add(first, last);
        }
        Ok(gaps)
    }

    /// Writes them, durable on return.
    pub(crate) fn save<D: Disk>(&self, disk: &D, directory: &str) -> Result<(), Error> {
        let lines = self.ranges.iter().map(|(first, last)| format!("{first} {last}\n"));
        let text: String = lines.collect();
        publish(disk, directory, NAME, &[text.as_bytes()]).map_err(Error::io(
            "write",
            &join(directory, NAME),
            text.len() as u64,
        ))
    }

    /// Removes the file of a directory, durable on return: nothing is known of gaps then.
    pub(crate) fn remove<D: Disk>(disk: &D, directory: &str) -> Result<(), Error> {
        let path = join(directory, NAME);
        remove(disk, &path).and_then(|()| disk.sync_dir(directory)).map_err(Error::io("remove", &path, 0))
    }

    /// Adds a range, joining it with those that it touches.
    pub(crate) fn add(&mut self, mut first: u64, mut last: u64) {
        self.ranges.retain(|(from, to)| {
            let apart = *from > last.saturating_add(1) || first > to.saturating_add(1);
            if !apart {
                (first, last) = (first.min(*from), last.max(*to));
            }
            apart
        });
        let place = self.ranges.partition_point(|(from, _)| *from < first);
        self.ranges.insert(place, (first, last));
    }

    /// Forgets what lies beyond `number`. Says whether there was any.
    pub(crate) fn forget_beyond(&mut self, number: u64) -> bool {
        let before = self.ranges.len();
        self.ranges.retain(|(first, _)| *first <= number);
        self.ranges.len() < before
    }

    /// Whether nothing is in it but where the history begins.
    pub(crate) fn has_only_beginning(&self) -> bool {
        self.beginning().is_some() && self.ranges.len() == 1
    }

    /// Where the history begins, if that is written down.
    pub(crate) fn beginning(&self) -> Option<u64> {
        self.cover(0, 0).then(|| self.after(0))
    }

    /// Whether all of `first..=last` may be missing; true for an empty range.
    pub(crate) fn cover(&self, first: u64, last: u64) -> bool {
        first > last || self.ranges.iter().any(|(from, to)| *from <= first && last <= *to)
    }

    /// The number that comes after this one, over a gap if one begins there.
    pub(crate) fn after(&self, number: u64) -> u64 {
        let next = number + 1;
        self.ranges.iter().find(|(from, to)| *from <= next && next <= *to).map_or(next, |(_, to)| to + 1)
    }

    /// Whether a gap ends right before this number.
    pub(crate) fn end_before(&self, number: u64) -> bool {
        self.ranges.iter().any(|(_, to)| to + 1 == number)
    }

    /// Whether the commit follows `last`. The one before a gap is not there to be named by the one behind it.
    pub(crate) fn join(&self, last: Appended, header: &Header) -> bool {
        if header.lsn == last.lsn + 1 {
            return header.previous_crc == last.crc;
        }
        header.lsn == self.after(last.lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut gaps = Gaps::default();
        for (first, last) in [(10, 20), (40, 50), (21, 30), (5, 8), (45, 60)] {
            gaps.add(first, last);
        }
        assert_eq!(gaps.ranges, [(5, 8), (10, 30), (40, 60)]);
        assert!(gaps.cover(11, 29) && gaps.cover(3, 2) && !gaps.cover(9, 9) && !gaps.cover(29, 31));
        assert_eq!((gaps.after(9), gaps.after(8), gaps.after(60)), (31, 9, 61));
        assert!(gaps.end_before(31) && !gaps.end_before(30));
        assert_eq!(gaps.beginning(), None);
        gaps.add(0, 30);
        assert_eq!((&*gaps.ranges, gaps.beginning()), (&[(0, 30), (40, 60)][..], Some(31)));
    }
}
