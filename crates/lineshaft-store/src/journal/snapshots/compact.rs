//! Moving pages out of files that hold little else any more.
//!
//! A page that never changes stays where it was first written, and its file with it. When the files that a snapshot
//! points into hold more dead bytes than live ones, it takes over the pages of the emptiest of them. Moving a page
//! costs its length, and emptiest first means that at least as much is freed for it, so all of this doubles the bytes
//! written at most.

use std::collections::BTreeMap;

use super::layout::{Manifest, PageAt};
use crate::disk::DirEntry;

/// A file that a snapshot points into.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    live: u64,
    pages: Vec<(u64, PageAt)>,
}

/// The pages to move: those of the emptiest files, at most about `bytes_max`.
///
/// `own` is the snapshot being written and `own_bytes` what it has by now.
pub(super) fn plan(
    manifest: &Manifest,
    entries: &[DirEntry],
    (own, own_bytes): (u64, u64),
    bytes_max: u64,
) -> Vec<(u64, PageAt)> {
    let live: u64 = manifest.values().map(|page| u64::from(page.length)).sum();
    let files = used(manifest, entries, own);
    let total = files.iter().map(|file| file.bytes).sum::<u64>() + own_bytes;
    let mut dead = total.saturating_sub(live);
    let (mut moved, mut pages) = (0, Vec::new());
    for file in files {
        if dead <= live || moved >= bytes_max {
            break;
        }
        for page in file.pages {
            if moved < bytes_max {
                moved += u64::from(page.1.length);
                pages.push(page);
            }
        }
        dead = dead.saturating_sub(file.bytes - file.live.min(file.bytes));
    }
    pages
}

/// The files of a manifest but its own, the emptiest first.
fn used(manifest: &Manifest, entries: &[DirEntry], own: u64) -> Vec<Used> {
    let sizes = entries.iter().filter_map(|entry| Some((entry.name.parse::<u64>().ok()?, entry.bytes)));
    let sizes: BTreeMap<u64, u64> = sizes.collect();
    let mut files: BTreeMap<u64, Used> = BTreeMap::new();
    for (number, page) in manifest.iter().filter(|(_, page)| page.file != own) {
        let file = files.entry(page.file).or_default();
        file.bytes = sizes.get(&page.file).copied().unwrap_or(0);
        file.live += u64::from(page.length);
        file.pages.push((*number, *page));
    }
    let mut files: Vec<Used> = files.into_values().collect();
    files.sort_by(|a, b| {
        (u128::from(a.live) * u128::from(b.bytes)).cmp(&(u128::from(b.live) * u128::from(a.bytes)))
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(lsn: u64, bytes: u64) -> DirEntry {
        DirEntry { name: format!("{lsn:020}"), bytes }
    }

    fn pages(manifest: &[(u64, u64, u32)]) -> Manifest {
        let page = |(number, file, length): &(u64, u64, u32)| {
            (*number, PageAt { file: *file, offset: 0, length: *length, crc: 0 })
        };
        manifest.iter().map(page).collect()
    }

    fn moved(manifest: &[(u64, u64, u32)], entries: &[DirEntry], bytes_max: u64) -> Vec<u64> {
        plan(&pages(manifest), entries, (9, 0), bytes_max).into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn nothing_moves_while_half_is_alive() {
        assert_eq!(moved(&[(0, 1, 50), (1, 2, 100)], &[entry(1, 200), entry(2, 100)], 1_000), [0; 0]);
    }

    #[test]
    fn the_emptiest_files_go_until_half_is_alive() {
        let entries = [entry(1, 1_000), entry(2, 400), entry(3, 500)];
        let manifest = [(0, 1, 700), (1, 2, 10), (2, 2, 10), (3, 3, 100)];
        assert_eq!(moved(&manifest, &entries, 1_000), [1, 2]);
    }

    #[test]
    fn no_more_moves_at_once_than_is_allowed() {
        let manifest = [(0, 1, 40), (1, 1, 40), (2, 1, 40)];
        assert_eq!(moved(&manifest, &[entry(1, 1_000)], 70), [0, 1]);
    }
}
