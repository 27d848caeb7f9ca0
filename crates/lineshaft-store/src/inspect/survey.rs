//! What can still be read of a journal that does not open.

use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};
use crate::journal::commit::{HEADER_BYTES, Header};
use crate::journal::scan::{Window, headers_from};
use crate::journal::segment::{self, COMMITS_START, DIRECTORY, SegmentHeader};

/// Traces of commits: every header in a segment that checks, whether the row reaches it or not.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// LSNs, ascending, each once.
    pub lsns: Vec<u64>,
    /// The greatest of them; 0 if there is none.
    pub last_lsn: u64,
    /// The greatest epoch of a writer.
    pub epoch: u64,
    /// The greatest number of a segment.
    pub number: u64,
}

impl Survey {
    /// The first commit above `lsn` of which there is a trace.
    pub fn next_after(&self, lsn: u64) -> Option<u64> {
        self.lsns.get(self.lsns.partition_point(|found| *found <= lsn)).copied()
    }
}

/// Looks at every byte of every segment.
pub fn survey<D: Disk>(disk: &D) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for (number, path) in segments(disk)? {
        survey.number = survey.number.max(number);
        let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
        let Ok(header) = SegmentHeader::read(&file, number) else { continue };
        let found = headers_from(&mut Window::new(&file), &header, COMMITS_START);
        for found in found.map_err(Error::io("read", &path, 0))? {
            survey.lsns.push(found.header.lsn);
            survey.last_lsn = survey.last_lsn.max(found.header.lsn);
            survey.epoch = survey.epoch.max(found.header.epoch);
        }
    }
    survey.lsns.sort_unstable();
    survey.lsns.dedup();
    Ok(survey)
}

/// Numbers and paths of the segments, in order.
pub(super) fn segments<D: Disk>(disk: &D) -> Result<Vec<(u64, String)>, Error> {
    let entries = disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
    let numbers = entries.iter().filter_map(|entry| segment::number_of(&entry.name));
    Ok(numbers.map(|number| (number, segment::path(number))).collect())
}

/// The salt that the commits of a segment have, where its own header is damaged: that of the first one.
pub(super) fn salt_of<D: Disk>(disk: &D, name: &str) -> Result<Option<u64>, Error> {
    let path = join("", name);
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(COMMITS_START, &mut bytes).map_err(Error::io("read", &path, 0))?;
    Ok(Header::decode(&bytes).map(|header| header.salt))
}
