//! Resident memory of processes, looked at again and again: a few microseconds each time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use rustix::param::page_size;

use crate::group::members;
use crate::{Error, Result};

/// Longest `statm`: seven numbers.
const STATM_BYTES: usize = 160;
/// What a process writes into its `clear_refs` to begin with its peak anew.
const FORGET_PEAK: &[u8] = b"5";

/// The resident memory of one process.
#[derive(Debug)]
pub struct Rss {
    statm: File,
}

impl Rss {
    /// Of the process that has `pid` now, and of no other one later.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/statm");
        let statm = File::open(&path).map_err(Error::os(format!("open {path}")))?;
        Ok(Self { statm })
    }

    /// Bytes that it has now; `None` once it has ended.
    pub fn bytes(&self) -> Option<u64> {
        let mut buffer = [0; STATM_BYTES];
        let count = self.statm.read_at(&mut buffer, 0).ok()?;
        resident_in(&buffer[..count])
    }
}

/// Bytes that the members of a group have, each counted alone: what they share counts for each of them. Looks at every
/// process of the host.
pub fn group_bytes(pgid: u32) -> Result<u64> {
    Ok(members(pgid)?.into_iter().filter_map(|pid| Rss::of(pid).ok()?.bytes()).sum())
}

/// The same with what they share divided among those who share it: milliseconds per GiB. A member that cannot be looked at
/// so closely counts as in [`group_bytes`].
pub fn group_share_bytes(pgid: u32) -> Result<u64> {
    let share = |pid| share_of(pid).or_else(|| Rss::of(pid).ok()?.bytes());
    Ok(members(pgid)?.into_iter().filter_map(share).sum())
}

/// The peak of this process begins anew with what it has now. Nothing where the system does not allow it.
pub fn forget_own_peak(clear_refs: &File) {
    let _ = clear_refs.write_at(FORGET_PEAK, 0);
}

/// What [`forget_own_peak`] writes to; `None` where the system does not allow it.
pub fn own_peak() -> Option<File> {
    OpenOptions::new().write(true).open("/proc/self/clear_refs").ok()
}

fn resident_in(statm: &[u8]) -> Option<u64> {
    let pages: u64 = std::str::from_utf8(statm).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(page_size() as u64)
}

fn share_of(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::rss_peak_bytes;

    const BLOCK: usize = 64 << 20;

    #[test]
    fn memory_comes_and_goes_and_its_peak_can_be_forgotten() {
        let rss = Rss::of(std::process::id()).unwrap();
        let before = rss.bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; BLOCK]);
        let with_block = rss.bytes().unwrap();
        assert!(with_block >= before.max(block.len() as u64), "{before} -> {with_block}");
        drop(block);
        let Some(peak) = own_peak() else { return };
        forget_own_peak(&peak);
        let after = rss_peak_bytes(std::process::id()).unwrap().unwrap();
        assert!(after + (BLOCK as u64) / 2 < with_block, "{with_block} -> {after}");
    }

    #[test]
    fn a_process_that_has_ended_has_no_memory() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let rss = Rss::of(child.id()).unwrap();
        assert!(rss.bytes().is_some_and(|bytes| bytes > 0));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(rss.bytes(), None);
    }

    #[test]
    fn what_is_no_statm_has_no_number() {
        for (statm, pages) in [("10 3 2 1 0 4 0\n", Some(3)), ("10", None), ("a b c", None), ("", None)] {
            assert_eq!(
                resident_in(statm.as_bytes()),
                pages.map(|pages| pages * page_size() as u64),
                "{statm:?}"
            );
        }
    }
}
