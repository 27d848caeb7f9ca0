//! The disk of the home: what kind it is, how long a sync takes, how much room it has.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use lineshaft::home::Home;
use lineshaft_ipc::home_fs::{FileSystem, file_system_kind};

use super::finding::Finding;
use crate::context::Context;
use crate::show::bytes;

/// Syncs that are measured, unless they take longer than this together.
const SYNCS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of one write, and of the file that is written over and over: as the journal does.
const BLOCK: usize = 4 << 10;
const BLOCKS: usize = 64;
/// A sync that takes longer is slow: each answer waits for one.
const SLOW: Duration = Duration::from_millis(20);
const STALLS: Duration = Duration::from_millis(250);
/// Free bytes below which new jobs are about to be refused, and below which that may come soon.
const FREE_LEAST: u64 = 64 << 20;
const FREE_LITTLE: u64 = 1 << 30;

pub(super) fn check(home: &Home, _: &mut Context) -> Vec<Finding> {
    let Some(place) = home.path().ancestors().find(|place| place.is_dir()) else { return Vec::new() };
    vec![kind(place), latency(place), space(place)]
}

fn kind(place: &Path) -> Finding {
    judge_kind(file_system_kind(place).ok())
}

fn judge_kind(kind: Option<FileSystem>) -> Finding {
    const MOVE: &str = "put the home on a local disk: LINESHAFT_URL names the directory";
    match kind {
        None => Finding::fine("storage", "the kind of file system is not known"),
        Some(kind @ FileSystem::Memory) => {
            Finding::warning("storage", format!("{kind}: jobs are gone after a reboot"), MOVE)
        }
        Some(kind @ FileSystem::Overlay) => Finding::warning(
            "storage",
            format!("{kind}: jobs go with the container"),
            "mount a volume for the home",
        ),
        Some(kind @ (FileSystem::Network(_) | FileSystem::Fuse)) => {
            Finding::problem("storage", format!("{kind}: its locks and syncs cannot be relied on"), MOVE)
        }
        Some(kind) => Finding::fine("storage", kind.to_string()),
    }
}

fn latency(place: &Path) -> Finding {
    match measure(place) {
        Ok(times) => judge_latency(times),
        Err(error) => Finding::problem(
            "latency",
            format!("{} cannot be written to: {error}", place.display()),
            "see the findings on the home and on the space",
        ),
    }
}

/// How long writes take that are synced one by one, ascending.
fn measure(place: &Path) -> io::Result<Vec<Duration>> {
    let path = place.join(format!(".lineshaft-doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let measured = (|| {
        file.write_all_at(&vec![0; BLOCK * BLOCKS], 0)?;
        file.sync_all()?;
        let (began, mut times) = (Instant::now(), Vec::with_capacity(SYNCS));
        while times.len() < SYNCS && began.elapsed() < PATIENCE {
            let start = Instant::now();
            file.write_all_at(&[1; BLOCK], (times.len() % BLOCKS * BLOCK) as u64)?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    })();
    fs::remove_file(&path)?;
    measured
}

fn judge_latency(times: Vec<Duration>) -> Finding {
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (half, most) = (at(50), at(99));
    let message = format!("fdatasync takes {} (p50), {} (p99)", milliseconds(half), milliseconds(most));
    if half < SLOW && most < STALLS {
        return Finding::fine("latency", message);
    }
    let message = format!("{message}: every answer waits for one");
    Finding::warning(
        "latency",
        message,
        "a local SSD; where a power cut may cost the last jobs: `serve --durability os`",
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

fn space(place: &Path) -> Finding {
    match rustix::fs::statvfs(place) {
        Ok(stat) => judge_space(stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_files, stat.f_favail),
        Err(error) => Finding::warning("space", format!("the space is not known: {error}"), "look at `df`"),
    }
}

fn judge_space(free: u64, files: u64, files_free: u64) -> Finding {
    const FIX: &str = "free some space, or keep less history: `serve --history-days`, `--history-bytes`";
    let message = format!("{} free", bytes(free));
    // File systems without a fixed number of files say 0.
    if files > 0 && files_free < 100 {
        return Finding::problem("space", "the file system has no room for more files", "remove some files");
    }
    match free {
        ..FREE_LEAST => {
            Finding::problem("space", format!("{message}: new jobs are refused when it is full"), FIX)
        }
        FREE_LEAST..FREE_LITTLE => Finding::warning("space", message, FIX),
        _ => Finding::fine("space", message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Problem, Warning};
    use super::*;

    #[test]
    fn kinds_of_storage_are_judged_by_what_they_keep() {
        let check = |kind, severity, message: &str| {
            let found = judge_kind(kind);
            assert!(found.severity == severity && found.message.contains(message), "{found:?}");
        };
        check(Some(FileSystem::Local("ext4")), Fine, "ext4");
        check(Some(FileSystem::Memory), Warning, "after a reboot");
        check(Some(FileSystem::Overlay), Warning, "with the container");
        check(Some(FileSystem::Network("nfs")), Problem, "nfs");
        check(Some(FileSystem::Fuse), Problem, "cannot be relied on");
        check(None, Fine, "not known");
    }

    #[test]
    fn slow_syncs_and_stalls_are_warned_of() {
        let times = |half: u64, most: u64| {
            let mut times = vec![Duration::from_millis(half); 98];
            times.extend([Duration::from_millis(most); 2]);
            judge_latency(times)
        };
        assert_eq!(times(1, 9).message, "fdatasync takes 1.00 ms (p50), 9.00 ms (p99)");
        assert_eq!(
            [times(1, 9), times(30, 40), times(1, 300)].map(|found| found.severity),
            [Fine, Warning, Warning]
        );
    }

    #[test]
    fn little_space_is_told_before_there_is_none() {
        let severity = |free, files_free| judge_space(free, 1_000_000, files_free).severity;
        assert_eq!(
            [severity(1 << 20, 9_000), severity(1 << 29, 9_000), severity(1 << 40, 9_000)],
            [Problem, Warning, Fine]
        );
        assert_eq!(severity(1 << 40, 3), Problem);
        assert_eq!(judge_space(1 << 40, 0, 0).severity, Fine, "btrfs counts no files");
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!measure(directory.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(latency(&directory.path().join("none")).severity, Problem);
    }
}
