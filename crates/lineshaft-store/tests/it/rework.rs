//! Many files are changed as a whole or not at all, wherever that is interrupted.

use lineshaft_store::disk::{DiskFile, Locking, OpenMode, Overlay};
use lineshaft_store::inspect::rework;
use lineshaft_store::{Disk, Error, Home};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

const BEFORE: [(&str, &str); 3] = [("seg/a", "old a"), ("seg/b", "old b"), ("snap/c", "old c")];
const AFTER: [(&str, &str); 3] = [("seg/a", "new a"), ("seg/d", "new d"), ("snap/c", "old c")];

fn write<D: Disk>(disk: &D, path: &str, text: &str) {
    let file = disk.open(path, OpenMode::Create).unwrap();
    file.write_all_at(0, text.as_bytes()).unwrap();
    file.sync_data().unwrap();
}

fn read(disk: &SimulatedDisk, path: &str) -> Option<String> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

fn home() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    drop(Home::open(disk.clone()).unwrap());
    for directory in ["seg", "snap"] {
        disk.create_dir_all(directory).unwrap();
        disk.sync_dir("").unwrap();
    }
    for (path, text) in BEFORE {
        write(&disk, path, text);
    }
    disk.sync_dir("seg").unwrap();
    disk.sync_dir("snap").unwrap();
    disk
}

/// Changes one file, makes another, removes a third, and writes one as it was.
fn change(disk: &SimulatedDisk) -> Result<Vec<String>, Error> {
    let home = Home::open(Overlay::new(disk.clone(), Locking::Real))?;
    for (path, text) in AFTER {
        write(home.disk(), path, text);
    }
    home.disk().remove_file("seg/b").unwrap();
    rework(&home, "lost/then")
}

fn is(disk: &SimulatedDisk, files: &[(&str, &str)]) -> bool {
    ["seg/a", "seg/b", "seg/d", "snap/c"].iter().all(|path| {
        let expected = files.iter().find(|(other, _)| other == path).map(|(_, text)| (*text).to_owned());
        read(disk, path) == expected
    })
}

#[test]
fn what_changed_is_replaced_and_what_was_there_is_kept() {
    let disk = home();
    assert_eq!(change(&disk).unwrap(), ["seg/a", "seg/b"]);
    assert!(is(&disk, &AFTER));
    assert_eq!(read(&disk, "lost/then/seg/a").as_deref(), Some("old a"));
    assert_eq!(read(&disk, "lost/then/seg/b").as_deref(), Some("old b"));
    assert_eq!((read(&disk, "lost/then/snap/c"), read(&disk, "REWORK")), (None, None));
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    let operations = {
        let disk = home();
        let before = disk.operations();
        change(&disk).unwrap();
        before..=disk.operations()
    };
    let mut seen = [0; 2];
    for operation in operations {
        for loss in [Loss::Everything, Loss::Some(operation), Loss::Some(!operation)] {
            let disk = home();
            disk.crash_at(operation);
            let _ = change(&disk);
            let disk = disk.power_loss(loss);
            drop(Home::open(disk.clone()).unwrap());
            let (old, new) = (is(&disk, &BEFORE), is(&disk, &AFTER));
            assert!(old || new, "crash at {operation} with {loss:?}");
            if new {
                assert_eq!(read(&disk, "lost/then/seg/b").as_deref(), Some("old b"), "{operation} {loss:?}");
            }
            seen[usize::from(new)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 3), "{seen:?}");
}

#[test]
fn a_full_disk_changes_nothing() {
    let disk = home();
    disk.set_capacity(Some(64));
    assert!(matches!(change(&disk), Err(Error::Full { .. })));
    assert!(is(&disk, &BEFORE));
}
