//! Homes of other formats.

use lineshaft_store::disk::{DiskFile, OpenMode, Overlay};
use lineshaft_store::inspect::{Step, Upgraded, steps, upgrade};
use lineshaft_store::{Disk, Error, Home};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

fn write<D: Disk>(disk: &D, path: &str, text: &str) {
    disk.open(path, OpenMode::Create).unwrap().write_all_at(0, text.as_bytes()).unwrap();
}

fn read<D: Disk>(disk: &D, path: &str) -> String {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A home of format 0, which never was: a table that format 1 has elsewhere.
fn older() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    drop(Home::open(disk.clone()).unwrap());
    disk.create_dir_all("snap").unwrap();
    write(&disk, "FORMAT", "lineshaft home 0\n");
    write(&disk, "table", "content");
    disk.open("table", OpenMode::Write).unwrap().sync_data().unwrap();
    disk.open("FORMAT", OpenMode::Write).unwrap().sync_data().unwrap();
    disk.sync_dir("").unwrap();
    disk
}

fn move_table(disk: &Overlay<SimulatedDisk>) -> Result<(), Error> {
    let content = read(disk, "table");
    write(disk, "snap/table", &format!("new {content}"));
    lineshaft_store::inspect::repair::put_aside(disk, "table")
}

const STEPS: [Step<SimulatedDisk>; 1] = [Step { from: 0, run: move_table }];

#[test]
fn an_older_home_is_refused_with_the_way_on_and_upgraded_with_the_way_back() {
    let disk = older();
    let error = Home::open(disk.clone()).map(drop).unwrap_err();
    assert!(error.to_string().contains("store upgrade"), "{error}");
    let upgraded = upgrade(disk.clone(), "lost/format-0", &STEPS).unwrap();
    assert_eq!(upgraded, Upgraded { from: 0, to: 1, kept: vec!["FORMAT".into(), "table".into()] });
    assert_eq!(read(&disk, "snap/table"), "new content");
    assert_eq!(read(&disk, "lost/format-0/table"), "content");
    assert_eq!(read(&disk, "lost/format-0/FORMAT"), "lineshaft home 0\n");
    assert!(Home::open(disk).is_ok());
}

#[test]
fn an_upgrade_that_is_interrupted_leaves_one_format_or_the_other() {
    let operations = {
        let disk = older();
        let before = disk.operations();
        upgrade(disk.clone(), "lost/format-0", &STEPS).unwrap();
        before..=disk.operations()
    };
    for operation in operations {
        let disk = older();
        disk.crash_at(operation);
        let _ = upgrade(disk.clone(), "lost/format-0", &STEPS);
        let disk = disk.power_loss(Loss::Some(operation));
        match Home::open(disk.clone()) {
            Ok(_) => assert_eq!(read(&disk, "snap/table"), "new content", "{operation}"),
            Err(_) => assert_eq!(read(&disk, "table"), "content", "{operation}"),
        }
        // Again, to the end.
        upgrade(disk.clone(), "lost/again", &STEPS).unwrap();
        assert_eq!(read(&disk, "snap/table"), "new content", "{operation}");
    }
}

#[test]
fn other_formats_are_left_as_they_are() {
    let check = |format: &str, words: &str| {
        let disk = older();
        write(&disk, "FORMAT", format);
        let before = disk.operations();
        let error = upgrade(disk.clone(), "lost", &steps()).unwrap_err();
        assert_eq!(error.code().unwrap().to_string(), "LS0003", "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((read(&disk, "FORMAT").as_str(), disk.operations()), (format, before));
    };
    check("lineshaft home 2\n", "newer version");
    check("lineshaft home 0\n", "no version of Lineshaft");
    check("lineshaft gone 0\n", "store doctor");
}

#[test]
fn a_home_of_this_format_has_nothing_to_do() {
    let disk = SimulatedDisk::new();
    let served = Home::open(disk.clone()).unwrap();
    let upgraded = upgrade(disk.clone(), "lost", &steps()).unwrap();
    assert_eq!(upgraded, Upgraded { from: 1, to: 1, kept: Vec::new() });
    drop(served);
}
