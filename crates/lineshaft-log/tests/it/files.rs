//! Files that others write, move, delete and fill.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_log::handler::File;
use lineshaft_log::{Handler, Level, Record};

use crate::{file_options, file_spec, lines_of, options, record, started};

fn write(file: &mut File, messages: &[&str]) -> Result<(), lineshaft_log::Failure> {
    let records: Vec<Record> = messages.iter().map(|message| record(Level::INFO, message)).collect();
    file.handle(&records.iter().collect::<Vec<_>>())
}

#[test]
fn a_file_that_is_deleted_or_moved_is_made_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/app.log");
    let mut file = File::open(file_options(&path, None), &Arc::default()).expect("a file");
    write(&mut file, &["one"]).expect("written");
    std::fs::rename(&path, directory.path().join("moved")).expect("moved");
    write(&mut file, &["two"]).expect("written");
    std::fs::remove_dir_all(path.parent().expect("a parent")).expect("removed");
    write(&mut file, &["three"]).expect("written");
    assert_eq!(lines_of(&directory.path().join("moved")), ["one"]);
    assert_eq!(lines_of(&path), ["three"]);
}

#[test]
fn a_full_disk_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
    let pipeline = started(options(vec![file_spec(&path)]));
    pipeline.push(record(Level::INFO, "kept"));
    assert!(!pipeline.flush(Some(Duration::from_millis(200))));
    assert!(!pipeline.counts().handlers[0].is_healthy);
    std::fs::remove_file(&path).expect("removed");
    assert!(pipeline.flush(Some(Duration::from_secs(10))));
    assert_eq!(lines_of(&path), ["kept"]);
    assert!(pipeline.counts().handlers[0].retries > 0);
}

/// They were counted as written.
#[test]
fn lines_that_are_lost_with_their_file_are_not_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let held = std::fs::File::create(&path).expect("a file");
    // A path that leads to the file when it is deleted, too.
    let held = std::path::PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held)));
    let mut file = File::open(file_options(&held, None), &Arc::default()).expect("a file");
    std::fs::remove_file(&path).expect("removed");
    let failure = write(&mut file, &["one", "two"]).expect_err("it is gone");
    assert_eq!(failure.done, 0);
}

#[test]
fn several_who_write_one_file_do_not_mix_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let path = path.clone();
            std::thread::spawn(move || {
                let pipeline = started(options(vec![file_spec(&path)]));
                let line = number.to_string().repeat(300);
                for _ in 0..2_000 {
                    pipeline.push_waiting(record(Level::INFO, &line));
                }
                assert!(pipeline.close(Duration::from_secs(30)));
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    let lines = lines_of(&path);
    assert_eq!(lines.len(), 8_000);
    for number in 0..4 {
        let whole = number.to_string().repeat(300);
        assert_eq!(lines.iter().filter(|line| **line == whole).count(), 2_000);
    }
}

#[test]
fn a_line_that_somebody_died_amid_swallows_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    std::fs::write(&path, "half of a li").expect("written");
    let mut file = File::open(file_options(&path, None), &Arc::default()).expect("a file");
    write(&mut file, &["one"]).expect("written");
    write(&mut file, &["two"]).expect("written");
    // And one that dies while this one has it open.
    let mut other = std::fs::OpenOptions::new().append(true).open(&path).expect("a file");
    std::io::Write::write_all(&mut other, b"anoth").expect("written");
    write(&mut file, &["three"]).expect("written");
    assert_eq!(lines_of(&path), ["half of a lione", "one", "two", "anoththree", "three"]);
}

#[test]
fn a_pipe_is_refused_while_nobody_reads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let error = File::open(file_options(&path, None), &Arc::default()).expect_err("nobody reads it");
    assert!(error.to_string().contains("pipe"), "{error}");
    let reader = std::thread::spawn({
        let path = path.clone();
        move || std::fs::read_to_string(path).expect("a text")
    });
    let mut file = loop {
        // Until it reads.
        match File::open(file_options(&path, None), &Arc::default()) {
            Ok(file) => break file,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    write(&mut file, &["through it"]).expect("written");
    drop(file);
    assert_eq!(reader.join().expect("no panic"), "through it\n");
}
