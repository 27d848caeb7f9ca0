//! Files that are full.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use lineshaft_log::handler::{Compression, File, Rotation};
use lineshaft_log::{Handler, Level};
use proptest::prelude::*;

use crate::{file_options, lines_of, record};

fn rotation(size_bytes: u64, keep: u32, compression: Compression) -> Rotation {
    Rotation { size_bytes: Some(size_bytes), every: None, keep, compression }
}

/// All lines, the oldest first.
fn all_lines(path: &Path, keep: u32) -> Vec<String> {
    let mut lines = Vec::new();
    for number in (1..=keep).rev() {
        let plain = format!("{}.{number}", path.display());
        lines.extend(lines_of(Path::new(&plain)));
        if let Ok(file) = std::fs::File::open(format!("{plain}.gz")) {
            let mut text = String::new();
            GzDecoder::new(file).read_to_string(&mut text).expect("a whole file");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.extend(lines_of(path));
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_kept_is_the_last_of_what_was_written(
        lengths in prop::collection::vec(1_usize..40, 1..40),
        size_bytes in 1_u64..120,
        keep in 0_u32..4,
        is_compressed: bool,
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let compression = if is_compressed { Compression::Gzip } else { Compression::None };
        let rotation = rotation(size_bytes, keep, compression);
        let mut file = File::open(file_options(&path, Some(rotation)), &Arc::default()).expect("a file");
        let lines: Vec<String> =
            lengths.iter().enumerate().map(|(number, length)| format!("{number:0length$}")).collect();
        for line in &lines {
            file.handle(&[&record(Level::INFO, line)]).expect("written");
        }
        // As many files as are kept hold as many of the last lines as fit, one at the least.
        let (mut files, mut bytes, mut kept) = (0, 0, 0);
        let mut sizes = vec![];
        for line in &lines {
            let more = line.len() as u64 + 1;
            if bytes > 0 && bytes + more > size_bytes {
                sizes.push(std::mem::take(&mut kept));
                bytes = 0;
            }
            bytes += more;
            kept += 1;
        }
        for size in sizes.iter().rev() {
            if files < keep {
                kept += size;
                files += 1;
            }
        }
        prop_assert_eq!(all_lines(&path, keep + 1), &lines[lines.len() - kept..]);
    }
}

#[test]
fn several_who_rotate_one_file_lose_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let path = path.clone();
            std::thread::spawn(move || {
                let options = file_options(&path, Some(rotation(4_000, 200, Compression::Gzip)));
                let mut file = File::open(options, &Arc::default()).expect("a file");
                for number in 0..500 {
                    let message = format!("{writer} {number:0100}");
                    file.handle(&[&record(Level::INFO, &message)]).expect("written");
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    let lines = all_lines(&path, 200);
    assert!(path.with_file_name("app.log.40.gz").exists());
    for writer in 0..4 {
        let found = lines.iter().filter_map(|line| line.strip_prefix(&format!("{writer} "))?.parse().ok());
        assert_eq!(found.collect::<Vec<u32>>(), (0..500).collect::<Vec<u32>>());
    }
}

#[test]
fn a_lock_that_stays_with_a_dead_process_delays_the_rotation_and_holds_up_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    std::fs::write(&path, "x".repeat(100)).expect("a file");
    let left = std::fs::File::open(&path).expect("a file");
    rustix::fs::flock(&left, rustix::fs::FlockOperation::LockShared).expect("a lock");
    let rotation = Rotation { size_bytes: Some(50), every: None, keep: 1, compression: Compression::None };
    let mut file = File::open(file_options(&path, Some(rotation)), &Arc::default()).expect("it opens");
    file.handle(&[&record(Level::INFO, "beyond")]).expect("written");
    assert!(std::fs::read_to_string(&path).expect("a file").ends_with("beyond\n"));
    drop(left);
    file.handle(&[&record(Level::INFO, "new")]).expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "new\n");
}

/// A batch was written to one file, however long it was.
#[test]
fn a_batch_is_divided_among_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let rotation = rotation(100, 9, Compression::None);
    let mut file = File::open(file_options(&path, Some(rotation)), &Arc::default()).expect("a file");
    let records: Vec<_> = (0..50).map(|number| record(Level::INFO, &format!("{number:09}"))).collect();
    file.handle(&records.iter().collect::<Vec<_>>()).expect("written");
    assert_eq!(all_lines(&path, 9).len(), 50);
    for found in std::fs::read_dir(&directory).expect("a directory") {
        assert!(found.expect("a file").metadata().expect("its size").len() <= 100);
    }
}

/// Each try moved the files that are kept, and deleted the oldest of them; and nothing was written meanwhile.
#[test]
fn a_rotation_that_fails_costs_nothing_and_is_tried_again() {
    for (compression, ending, in_the_way) in
        [(Compression::Gzip, ".gz", "app.log.1.gz.part"), (Compression::None, "", "app.log.3")]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let kept = |number: u32| directory.path().join(format!("app.log.{number}{ending}"));
        let in_the_way = directory.path().join(in_the_way);
        std::fs::create_dir_all(in_the_way.join("x")).expect("a directory");
        let numbers: Vec<u32> = (1..=3).filter(|number| !kept(*number).exists()).collect();
        numbers.iter().for_each(|number| std::fs::write(kept(*number), number.to_string()).expect("a file"));
        let mut file = File::open(file_options(&path, Some(rotation(20, 3, compression))), &Arc::default())
            .expect("a file");
        let began = Instant::now();
        for _ in 0..20 {
            file.handle(&[&record(Level::INFO, "123456789")]).expect("written");
        }
        if began.elapsed() < Duration::from_millis(900) {
            assert_eq!(lines_of(&path).len(), 20);
        }
        for number in &numbers {
            assert_eq!(std::fs::read_to_string(kept(*number)).expect("it is kept"), number.to_string());
        }
        std::fs::remove_dir_all(&in_the_way).expect("removed");
        let until = Instant::now() + Duration::from_secs(20);
        while lines_of(&path).len() != 1 {
            assert!(Instant::now() < until, "it is never rotated");
            std::thread::sleep(Duration::from_millis(20));
            file.handle(&[&record(Level::INFO, "123456789")]).expect("written");
        }
        assert_eq!(std::fs::read_to_string(kept(2)).expect("it was moved"), "1");
        assert!(!in_the_way.exists() || compression == Compression::None);
    }
}
