//! When it is worth copying payloads, and which.

use std::collections::BTreeSet;

use lineshaft_jobs::{Live, State, Wanted};
use lineshaft_store::Stretch;

use super::{ColdFiles, ROUND_PAYLOADS};
use crate::options::Upkeep;

/// Old segments may be this many times as large as the payloads needed of them, beside the slack.
const JOURNAL_FACTOR: u64 = 4;
/// The same of cold files.
const COLD_FACTOR: u64 = 2;
/// Small cold files beyond which they are joined.
const SMALL_FILES_MAX: usize = 16;

/// The payloads to copy now, if any.
pub(super) fn wanted(
    upkeep: &Upkeep,
    stretches: &[Stretch],
    past_lsn: u64,
    state: &State,
    files: &ColdFiles,
) -> Option<Wanted> {
    if let Some(below_lsn) = journal_cut(upkeep, stretches, past_lsn, state) {
        return Some(Wanted { below_lsn, files: BTreeSet::new() });
    }
    let files: Vec<File> = files
        .iter()
        .map(|(number, bytes)| File { number, bytes, live: state.live_in_file(number) })
        .filter(|file| file.live.payloads > 0)
        .collect();
    let files = sparse(upkeep, &files).or_else(|| small(upkeep, &files))?;
    Some(Wanted { below_lsn: 0, files })
}

/// The commit below which payloads leave the journal. Only segments count that both kept snapshots are past (others stay
/// anyway, and what is in them may soon be done) and that are kept for payloads alone.
fn journal_cut(upkeep: &Upkeep, stretches: &[Stretch], past_lsn: u64, state: &State) -> Option<u64> {
    let needed_lsn = state.oldest_kept_lsn()?;
    let is_old = |it: &&Stretch| it.end_lsn > needed_lsn && it.end_lsn <= past_lsn + 1;
    let old: Vec<&Stretch> = stretches.iter().filter(is_old).collect();
    let bytes: u64 = old.iter().map(|stretch| stretch.bytes).sum();
    if bytes <= upkeep.journal_slack_bytes {
        return None;
    }
    let end_lsn = old.last()?.end_lsn;
    let live = state.live_below(end_lsn);
    let is_worth_it = bytes > JOURNAL_FACTOR * live.bytes + upkeep.journal_slack_bytes;
    is_worth_it.then(|| state.cut_for(end_lsn, round(upkeep)))
}

const fn round(upkeep: &Upkeep) -> Live {
    Live { payloads: ROUND_PAYLOADS, bytes: upkeep.cold_file_bytes }
}

/// A cold file that is needed.
#[derive(Clone, Copy)]
struct File {
    number: u64,
    bytes: u64,
    live: Live,
}

/// The emptiest files, if all files together are too large for what is needed of them.
fn sparse(upkeep: &Upkeep, files: &[File]) -> Option<BTreeSet<u64>> {
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let live: u64 = files.iter().map(|file| file.live.bytes).sum();
    if bytes <= COLD_FACTOR * live + upkeep.cold_slack_bytes {
        return None;
    }
    let mut sparse: Vec<File> =
        files.iter().filter(|file| COLD_FACTOR * file.live.bytes <= file.bytes).copied().collect();
    sparse.sort_by_key(|file| (file.live.bytes * 1_000 / file.bytes.max(1), file.number));
    let chosen = fitting(upkeep, sparse);
    (!chosen.is_empty()).then_some(chosen)
}

/// Small files, if there are too many of them.
fn small(upkeep: &Upkeep, files: &[File]) -> Option<BTreeSet<u64>> {
    let is_small = |file: &&File| file.bytes < upkeep.cold_file_bytes / 2;
    let mut small: Vec<File> = files.iter().filter(is_small).copied().collect();
    if small.len() <= SMALL_FILES_MAX {
        return None;
    }
    small.sort_by_key(|file| (file.bytes, file.number));
    Some(fitting(upkeep, small))
}

/// As many of the files, from the first on, as fit into one.
fn fitting(upkeep: &Upkeep, files: Vec<File>) -> BTreeSet<u64> {
    let mut sum = Live::default();
    let fits = |file: &File| {
        sum = sum.and(file.live);
        sum.bytes <= upkeep.cold_file_bytes && sum.payloads <= ROUND_PAYLOADS
    };
    files.into_iter().take_while(fits).map(|file| file.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn file(number: u64, bytes: u64, live: u64) -> File {
        File { number, bytes, live: Live { payloads: 1, bytes: live } }
    }

    fn numbers(chosen: Option<BTreeSet<u64>>) -> Vec<u64> {
        chosen.into_iter().flatten().collect()
    }

    #[test]
    fn cold_files_are_left_alone_while_they_are_mostly_needed_or_few() {
        let upkeep = Upkeep::default();
        let half: Vec<File> = (0..100).map(|number| file(number, 64 * MIB, 32 * MIB)).collect();
        assert_eq!(numbers(sparse(&upkeep, &half)), [0; 0]);
        assert_eq!(numbers(sparse(&upkeep, &[file(1, 64 * MIB, 1)])), [0; 0], "one is within the slack");
    }

    #[test]
    fn the_emptiest_cold_files_are_copied_first_as_far_as_they_fit_into_one() {
        let files = [
            file(1, 64 * MIB, 30 * MIB),
            file(2, 64 * MIB, 60 * MIB),
            file(3, 64 * MIB, 25 * MIB),
            file(4, 64 * MIB, MIB),
            file(5, 64 * MIB, 20 * MIB),
            file(6, 64 * MIB, 1),
        ];
        assert_eq!(numbers(sparse(&Upkeep::default(), &files)), [3, 4, 5, 6]);
    }

    #[test]
    fn many_small_files_become_one() {
        let upkeep = Upkeep::default();
        let files: Vec<File> = (0..17).map(|number| file(number, 100, 90)).collect();
        assert_eq!(numbers(small(&upkeep, &files[..16])), [0; 0]);
        assert_eq!(numbers(small(&upkeep, &files)).len(), 17);
        let large: Vec<File> = (0..99).map(|number| file(number, 63 * MIB, 62 * MIB)).collect();
        assert_eq!(numbers(small(&upkeep, &large)), [0; 0]);
    }
}
