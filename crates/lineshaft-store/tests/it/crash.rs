//! Short histories crashed at every operation of the disk: whatever was acknowledged is there afterwards.

use lineshaft_store::{
    Appended, Archive, BlockArchive, Error, Home, Journal, JournalHandle, NewSnapshot, Options, Recovery,
    Snapshot,
};
use lineshaft_testkit::conformance::{
    archive::job,
    journal::{Writer, body},
};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use std::collections::BTreeMap;

use crate::support::{SimulatedJournal, open, small, small_os};

/// What a history was told before the crash.
#[derive(Debug, Default)]
struct Told {
    /// Bodies of all commits given to the journal, acknowledged or not.
    bodies: Vec<Vec<u8>>,
    /// The newest commit acknowledged as durable.
    durable_lsn: u64,
    /// The snapshots known to exist, ascending.
    snapshots: Vec<u64>,
    /// The pages now, those of the snapshot that the next one builds upon, and those of each snapshot ever tried.
    pages: Pages,
    kept: Pages,
    tried: BTreeMap<u64, Pages>,
    /// The greatest LSN below which trimming was allowed.
    trimmed_below: u64,
    /// The newest blob acknowledged, and which were dropped.
    blobs: Vec<u64>,
}

type Pages = BTreeMap<u64, Vec<u8>>;

type History = fn(&mut Writer<SimulatedJournal>, &mut Told) -> Result<(), Error>;

impl Told {
    fn append(&mut self, writer: &mut Writer<SimulatedJournal>, count: usize) -> Result<Appended, Error> {
        let lsn = writer.journal.head().lsn + 1;
        self.bodies.truncate(lsn as usize - 1);
        self.bodies.push(body(lsn, count));
        let appended = writer.append(&self.bodies[lsn as usize - 1])?;
        self.durable_lsn = self.durable_lsn.max(writer.journal.handle().durable_lsn());
        Ok(appended)
    }

    fn snapshot(&mut self, writer: &Writer<SimulatedJournal>) -> Result<(), Error> {
        let Appended { lsn, crc } = writer.journal.head();
        if self.snapshots.last() == Some(&lsn) {
            return Ok(());
        }
        self.change_pages(lsn);
        self.tried.insert(lsn, self.pages.clone());
        let (kept, now) = (&self.kept, &self.pages);
        let changed = now.iter().filter(|(number, bytes)| kept.get(number) != Some(bytes));
        let changed = Box::new(changed.map(|(number, bytes)| (*number, bytes.clone())));
        let pages: Vec<_> = now.keys().map(|number| *number..number + 1).collect();
        let snapshot = NewSnapshot { lsn, crc, tables: &body(lsn, 700), pages: &pages, changed };
        writer.journal.handle().put_snapshot(snapshot)?;
        self.kept = self.pages.clone();
        self.note_snapshot(lsn);
        Ok(())
    }

    /// A large page that changes every time, a small one of seven with it, one that never changes, and a row of pages
    /// that grows at one end and is eaten at the other.
    fn change_pages(&mut self, lsn: u64) {
        self.pages.insert(0, body(lsn, 900));
        self.pages.insert(1, body(1, 100));
        self.pages.insert(20 + lsn % 7, body(lsn, 60));
        self.pages.insert(1_000 + lsn / 5, body(lsn, 30));
        self.pages.retain(|number, _| *number < 1_000 || *number + 3 > 1_000 + lsn / 5);
    }

    fn check_snapshot(&self, snapshot: &Snapshot, context: &str) {
        assert_eq!(snapshot.tables, body(snapshot.lsn, 700), "{context}");
        let found: Pages = snapshot.pages.iter().map(|(number, bytes)| (*number, bytes.to_vec())).collect();
        assert!(self.tried.get(&snapshot.lsn) == Some(&found), "{context}: other pages");
    }

    fn note_snapshot(&mut self, lsn: u64) {
        if self.newest_snapshot() < lsn {
            self.snapshots.push(lsn);
        }
    }

    fn newest_snapshot(&self) -> u64 {
        self.snapshots.last().copied().unwrap_or(0)
    }

    /// Trims all that the journal lets go: what the two newest snapshots cover.
    fn trim(&mut self, writer: &mut Writer<SimulatedJournal>) -> Result<(), Error> {
        if let [.., older, _] = self.snapshots[..] {
            self.trimmed_below = older + 1;
        }
        writer.journal.trim(u64::MAX)
    }
}

/// Runs a history once for every operation, crashing there, and checks several images of each crash.
fn crash_everywhere(options: &Options, history: History) {
    let whole = SimulatedDisk::new();
    run(&whole, options, history, &mut Told::default()).expect("the history runs without a crash");
    let operations = whole.operations();
    assert!(operations > 20, "the history does something");
    for operation in 1..=operations {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let mut told = Told::default();
        let _ = run(&disk, options, history, &mut told);
        check_image(&disk.restart(), options, &told, &format!("operation {operation}, process died"));
        check_image(
            &disk.power_loss(Loss::Everything),
            options,
            &told,
            &format!("operation {operation}, all lost"),
        );
        for seed in 0..16 {
            let context = format!("operation {operation}, seed {seed}");
            check_image(&disk.power_loss(Loss::Some(seed)), options, &told, &context);
        }
    }
}

fn run(disk: &SimulatedDisk, options: &Options, history: History, told: &mut Told) -> Result<(), Error> {
    let mut writer = Writer::new(open(disk, options.clone())?);
    history(&mut writer, told)
}

/// Opens the image, checks what is in it, goes on, and opens it again.
fn check_image(image: &SimulatedDisk, options: &Options, told: &Told, context: &str) {
    let (writer, _) = check_recovery(image, options, told, context);
    go_on(writer, image, options, context);
}

/// Opens the image and checks what is in it.
fn check_recovery(
    image: &SimulatedDisk,
    options: &Options,
    told: &Told,
    context: &str,
) -> (Writer<SimulatedJournal>, Recovery) {
    let opened = open(image, options.clone());
    let (journal, recovery) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(recovery.head.lsn >= told.durable_lsn, "{context}: lost acknowledged commits: {recovery:?}");
    assert!(recovery.head.lsn <= told.bodies.len() as u64, "{context}: made up commits: {recovery:?}");
    let snapshot_lsn = recovery.snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn);
    assert!(snapshot_lsn >= told.newest_snapshot(), "{context}: lost a snapshot");
    if let Some(snapshot) = &recovery.snapshot {
        told.check_snapshot(snapshot, context);
    }
    let oldest_needed = told.trimmed_below.max(1);
    assert!(
        recovery.oldest_lsn <= oldest_needed.max(recovery.head.lsn.min(1)),
        "{context}: trimmed too much"
    );
    let mut writer = Writer::new((journal, recovery.clone()));
    check_commits(&mut writer, recovery.oldest_lsn, told, context);
    check_blobs(&writer, told, context);
    (writer, recovery)
}

fn check_commits(writer: &mut Writer<SimulatedJournal>, oldest_lsn: u64, told: &Told, context: &str) {
    let commits =
        writer.replay(oldest_lsn.saturating_sub(1)).unwrap_or_else(|error| panic!("{context}: {error}"));
    for (lsn, commit) in &commits {
        assert_eq!(commit, &told.bodies[*lsn as usize - 1], "{context}: commit {lsn}");
    }
    let expected = (writer.journal.head().lsn + 1).saturating_sub(oldest_lsn.max(1));
    assert_eq!(commits.len() as u64, expected, "{context}: every commit is there once");
}

fn check_blobs(writer: &Writer<SimulatedJournal>, told: &Told, context: &str) {
    let handle = writer.journal.handle();
    for id in &told.blobs {
        assert_eq!(handle.get_blob(*id).unwrap(), body(*id, 1_500), "{context}: blob {id}");
    }
}

/// A recovered journal is a good journal: it takes commits and keeps them through a power loss.
fn go_on(mut writer: Writer<SimulatedJournal>, image: &SimulatedDisk, options: &Options, context: &str) {
    let appended = (0..3).map(|_| writer.append_bytes(900).0).last().unwrap();
    writer.journal.sync().unwrap();
    drop(writer);
    let again = open(&image.power_loss(Loss::Everything), options.clone());
    let (_, recovery) = again.unwrap_or_else(|error| panic!("{context}, opened again: {error}"));
    assert_eq!(recovery.head, appended, "{context}, opened again");
}

#[test]
fn appends_across_segments() {
    crash_everywhere(&small(), |writer, told| {
        for count in [10, 1_000, 0, 3_000, 600, 9_000, 40, 2_000, 20_000, 5] {
            told.append(writer, count)?;
        }
        Ok(())
    });
}

#[test]
fn appends_that_are_synced_now_and_then() {
    crash_everywhere(&small_os(), |writer, told| {
        for (index, count) in
            [10, 1_000, 0, 3_000, 600, 9_000, 40, 2_000, 5, 700, 2_500].into_iter().enumerate()
        {
            told.append(writer, count)?;
            if index % 4 == 3 {
                writer.journal.sync()?;
                told.durable_lsn = writer.journal.head().lsn;
            }
        }
        Ok(())
    });
}

#[test]
fn snapshots_and_trimming() {
    crash_everywhere(&small(), |writer, told| {
        for _ in 0..5 {
            for _ in 0..5 {
                told.append(writer, 900)?;
            }
            told.snapshot(writer)?;
            told.trim(writer)?;
        }
        told.append(writer, 10).map(drop)
    });
}

/// Long enough that pages move out of old files.
#[test]
fn many_snapshots() {
    crash_everywhere(&small(), |writer, told| {
        for _ in 0..12 {
            told.append(writer, 10)?;
            told.snapshot(writer)?;
        }
        Ok(())
    });
}

#[test]
fn blobs_and_seals() {
    crash_everywhere(&small(), |writer, told| {
        for id in 1..4 {
            writer.journal.handle().put_blob(id, &body(id, 1_500))?;
            told.blobs.push(id);
            told.append(writer, 20)?;
            told.bodies.push(Vec::new());
            writer.journal.seal()?;
            told.durable_lsn = writer.journal.head().lsn;
        }
        told.blobs.retain(|id| *id != 2);
        writer.journal.handle().drop_blob(2)
    });
}

/// Recovery itself is crashed everywhere, twice in a row.
#[test]
fn crashes_during_recovery() {
    for options in [small(), small_os()] {
        let mut told = Told::default();
        let disk = SimulatedDisk::new();
        let crashed = {
            let mut writer = Writer::new(open(&disk, options.clone()).unwrap());
            (0..6).for_each(|_| _ = told.append(&mut writer, 1_200).unwrap());
            disk.crash_at(disk.operations() + 2);
            let _ = told.append(&mut writer, 2_000);
            disk.power_loss(Loss::Some(3))
        };
        let before = crashed.operations();
        drop(open(&crashed, options.clone()).unwrap());
        let used = crashed.operations() - before;
        for operation in 1..=used {
            let image = disk.power_loss(Loss::Some(3));
            image.crash_at(before + operation);
            // The last operations prepare the next segment, which is no reason not to open.
            let _ = open(&image, options.clone());
            for seed in 0..6 {
                check_image(
                    &image.power_loss(Loss::Some(seed)),
                    &options,
                    &told,
                    &format!("{operation}, {seed}"),
                );
            }
            check_image(&image.restart(), &options, &told, &format!("{operation}, process died"));
        }
    }
}

/// Long lives of one home: random work, a crash, recovery, more work. `LINESHAFT_SEED=n` runs one life alone.
#[test]
fn random_histories_through_many_crashes() {
    let seeds = match std::env::var("LINESHAFT_SEED") {
        Ok(seed) => vec![seed.parse().expect("LINESHAFT_SEED is a number")],
        // The last ones found something once.
        Err(_) => (0..60).chain([224, 455, 899]).collect(),
    };
    for seed in seeds {
        live(seed);
    }
}

fn live(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let options = if rng.bool() { small() } else { small_os() };
    let mut disk = SimulatedDisk::new();
    let mut told = Told::default();
    for life in 0..8 {
        let context = format!("life {life} of LINESHAFT_SEED={seed}");
        let (mut writer, recovery) = check_recovery(&disk, &options, &told, &context);
        // What is there after recovery is durable, acknowledged or not, and the rest never happened.
        told.durable_lsn = recovery.head.lsn;
        told.bodies.truncate(told.durable_lsn as usize);
        told.note_snapshot(recovery.snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn));
        let pages = recovery.snapshot.map_or_else(Vec::new, |snapshot| snapshot.pages);
        told.kept = pages.into_iter().map(|(number, bytes)| (number, bytes.to_vec())).collect();
        disk.crash_at(disk.operations() + rng.u64(1..300));
        while work(&mut writer, &mut told, &mut rng).is_ok() {}
        disk = match rng.u8(..4) {
            0 => disk.restart(),
            1 => disk.power_loss(Loss::Everything),
            _ => disk.power_loss(Loss::Some(rng.u64(..))),
        };
    }
}

/// One random step.
fn work(
    writer: &mut Writer<SimulatedJournal>,
    told: &mut Told,
    rng: &mut fastrand::Rng,
) -> Result<(), Error> {
    match rng.u8(..20) {
        0 => {
            let sealed = writer.journal.head().lsn as usize;
            told.bodies.truncate(sealed);
            told.bodies.push(Vec::new());
            let head = writer.journal.seal()?;
            told.bodies.truncate(head.lsn as usize);
            told.durable_lsn = writer.journal.handle().durable_lsn();
        }
        1 | 2 => {
            writer.journal.sync()?;
            told.durable_lsn = told.durable_lsn.max(writer.journal.handle().durable_lsn());
        }
        3 | 4 if writer.journal.handle().durable_lsn() == writer.journal.head().lsn => {
            told.snapshot(writer)?;
            told.trim(writer)?;
        }
        5 => {
            let id = told.blobs.len() as u64;
            writer.journal.handle().put_blob(id, &body(id, 1_500))?;
            told.blobs.push(id);
        }
        _ => {
            let count = [0, 10, 400, 900, 3_000, 9_000][rng.usize(..6)];
            told.append(writer, count)?;
        }
    }
    Ok(())
}

#[test]
fn archive_blocks_that_were_acknowledged_survive() {
    let run = |disk: &SimulatedDisk, acknowledged: &mut u64| -> Result<(), Error> {
        let archive = BlockArchive::open(&Home::open(disk.clone())?)?;
        for first in [1, 21, 41, 61, 81] {
            let jobs = (first..first + 20).map(job).collect();
            archive.put(&lineshaft_store::Block { lsn: first, jobs })?;
            *acknowledged = first + 19;
        }
        Ok(())
    };
    let whole = SimulatedDisk::new();
    run(&whole, &mut 0).unwrap();
    for operation in 1..=whole.operations() {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let mut acknowledged = 0;
        let _ = run(&disk, &mut acknowledged);
        let images = (0..8).map(|seed| disk.power_loss(Loss::Some(seed)));
        for (index, image) in images.chain([disk.restart()]).enumerate() {
            let context = format!("operation {operation}, image {index}");
            let head = check_archive(&image, acknowledged, &context);
            let later = image.power_loss(Loss::Everything);
            check_archive(&later, head, &format!("{context}, power lost after it was opened"));
        }
    }
}

/// Opens the archive and checks what is in it; returns the newest finish number.
fn check_archive(image: &SimulatedDisk, acknowledged: u64, context: &str) -> u64 {
    let archive = BlockArchive::open(&Home::open(image.clone()).unwrap());
    let archive = archive.unwrap_or_else(|error| panic!("{context}: {error}"));
    let head = archive.head().last_finish_number;
    assert!(head >= acknowledged, "{context}: {head} of {acknowledged}");
    for number in (1..=head).step_by(7) {
        assert_eq!(archive.get(job(number).record.id).unwrap(), Some(job(number)), "{context}");
    }
    head
}
