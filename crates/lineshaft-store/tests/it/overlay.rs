//! A disk that keeps changes in memory: it reads like one that was changed, and what is below stays as it is.

use lineshaft_store::Disk;
use lineshaft_store::disk::{DiskFile, LockAttempt, Locking, OpenMode, Overlay};
use lineshaft_testkit::disk::SimulatedDisk;

const PATHS: [&str; 3] = ["d/a", "d/b", "d/c"];

/// One random change of a file; both disks must answer alike.
fn change<D: Disk>(disk: &D, random: &mut fastrand::Rng) -> Result<(), std::io::ErrorKind> {
    let path = *random.choice(&PATHS).unwrap();
    let (offset, length, byte) = (random.u64(..20_000), random.usize(..10_000), random.u8(..));
    let result = match random.u8(..6) {
        0 => disk.open(path, OpenMode::Create).map(drop),
        1 => disk.remove_file(path),
        2 => disk.rename(path, "d/c"),
        3 => disk.open(path, OpenMode::Write).and_then(|file| file.set_len(offset)),
        _ => disk.open(path, OpenMode::Write).and_then(|file| file.write_all_at(offset, &vec![byte; length])),
    };
    result.map_err(|error| error.kind())
}

fn content<D: Disk>(disk: &D, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0xee; file.length().unwrap() as usize + 7];
    let count = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(count);
    let mut middle = vec![0xee; 5_000];
    let count = file.read_at(4_000, &mut middle).unwrap();
    let expected = bytes.iter().skip(4_000).take(5_000).copied().collect::<Vec<u8>>();
    assert_eq!(middle[..count], expected, "a part reads like the whole");
    Some(bytes)
}

fn start(random: &mut fastrand::Rng) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all("d").unwrap();
    for path in &PATHS[..2] {
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.write_all_at(random.u64(..3) * 3_000, &[random.u8(..); 9_000]).unwrap();
    }
    disk
}

#[test]
fn an_overlay_reads_like_a_disk_that_was_changed_and_changes_nothing() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let below = start(&mut random);
        let changed = below.restart();
        let before: Vec<_> = PATHS.iter().map(|path| content(&below, path)).collect();
        let overlay = Overlay::new(below.clone(), Locking::Real);
        for step in 0..20 {
            let mut same = random.clone();
            assert_eq!(change(&changed, &mut random), change(&overlay, &mut same), "seed {seed} step {step}");
            for path in PATHS {
                assert!(content(&changed, path) == content(&overlay, path), "seed {seed} step {step} {path}");
            }
            assert_eq!(changed.list("d").unwrap(), overlay.list("d").unwrap(), "seed {seed} step {step}");
        }
        let after: Vec<_> = PATHS.iter().map(|path| content(&below, path)).collect();
        assert!(before == after, "seed {seed}");
    }
}

#[test]
fn an_overlay_locks_what_is_below_unless_it_stands_beside() {
    let below = SimulatedDisk::new();
    let held = below.lock("LOCK", "pid=7\n").unwrap();
    let real = Overlay::new(below.clone(), Locking::Real);
    assert!(matches!(real.lock("LOCK", "").unwrap(), LockAttempt::HeldBy(owner) if owner == "pid=7\n"));
    let beside = Overlay::new(below.clone(), Locking::Beside);
    assert!(matches!(beside.lock("LOCK", "").unwrap(), LockAttempt::Taken(None)));
    drop(held);
    let LockAttempt::Taken(taken) = real.lock("LOCK", "").unwrap() else { panic!("nobody has it") };
    assert!(matches!(below.lock("LOCK", "").unwrap(), LockAttempt::HeldBy(_)));
    drop(taken);
}
