//! What a home holds and how large it is: of a stopped one everything, of a served one what its files say.

use std::fs;
use std::path::Path;

use lineshaft_engine::inspect::{Stats, stats};
use lineshaft_engine::{Clock, open};
use lineshaft_wire::JobState;

use crate::golden::{HOMES, options, unpack};
use crate::live::{Client, stop};

/// Names, numbers of files and bytes of the directories of a home, as a directory listing has them.
fn listed(home: &Path, stats: &Stats) -> Vec<(&'static str, u64, u64)> {
    let files = |name: &str| {
        let entries = fs::read_dir(home.join(name)).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        entries.filter(fs::Metadata::is_file).map(|file| file.len()).collect::<Vec<_>>()
    };
    let sizes = stats.directories.iter().map(|directory| (directory.name, files(directory.name)));
    sizes.map(|(name, files)| (name, files.len() as u64, files.iter().sum())).collect()
}

#[test]
fn a_stopped_home_says_what_it_holds_and_a_served_one_who_knows() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path(), options(&Clock::default())).unwrap().0;
    Client::connect(&engine).enqueue(&[b"one", b"three", &[7; 100]]);
    let served = stats(home.path()).unwrap();
    assert!(served.holder.is_some() && served.memory.is_none(), "{served:?}");
    stop(&engine);

    let stopped = stats(home.path()).unwrap();
    assert!(stopped.holder.is_none(), "{stopped:?}");
    let memory = stopped.memory.unwrap();
    let jobs: Vec<_> = memory.jobs.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(jobs, [(JobState::Available, 3)]);
    assert_eq!(memory.live_bytes, 3 + 5 + 100);
    assert!(memory.head_lsn > 0 && stopped.free_bytes > 0);
}

#[test]
fn files_are_counted_with_those_that_a_doctor_put_aside() {
    let home = tempfile::tempdir().unwrap();
    unpack(HOMES[0].1, home.path());
    fs::create_dir_all(home.path().join("lost/then/snap")).unwrap();
    fs::write(home.path().join("lost/report"), b"12345").unwrap();
    fs::write(home.path().join("lost/then/snap/7"), b"123").unwrap();
    let found = stats(home.path()).unwrap();

    let lost = found.directories.last().unwrap();
    assert_eq!((lost.name, lost.files, lost.bytes), ("lost", 2, 8));
    let sizes: Vec<_> = found.directories.iter().map(|it| (it.name, it.files, it.bytes)).collect();
    assert_eq!(sizes[..sizes.len() - 1], listed(home.path(), &found)[..sizes.len() - 1]);

    let snapshots = fs::read_dir(home.path().join("snap")).unwrap().map(|file| file.unwrap());
    let mut snapshots: Vec<(u64, u64)> = snapshots
        .map(|file| (file.file_name().to_str().unwrap().parse().unwrap(), file.metadata().unwrap().len()))
        .collect();
    snapshots.sort_unstable();
    let newest: Vec<_> = found.snapshots.iter().map(|it| (it.lsn, it.bytes)).collect();
    assert_eq!(newest, snapshots[snapshots.len().saturating_sub(2)..]);
    assert!(!newest.is_empty() && !found.days.is_empty());
    assert!(found.journal.segments > 0 && found.journal.oldest_lsn.is_some());
}
