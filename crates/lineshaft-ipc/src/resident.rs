//! For tests: what of a range is memory of this process.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::param::page_size;

/// Pages of memory within a range of addresses that are there, whatever else the process does meanwhile.
pub(crate) fn resident_pages(start: *const u8, length: usize) -> usize {
    const PRESENT: u64 = 1 << 63;
    let first = start as usize / page_size();
    let mut entries = vec![0; length.div_ceil(page_size()) * 8];
    let pages = File::open("/proc/self/pagemap").unwrap();
    pages.read_exact_at(&mut entries, first as u64 * 8).unwrap();
    let (entries, _) = entries.as_chunks::<8>();
    entries.iter().filter(|entry| u64::from_ne_bytes(**entry) & PRESENT > 0).count()
}
