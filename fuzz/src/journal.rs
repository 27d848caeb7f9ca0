//! A journal with a snapshot, damaged or forged.

use std::sync::OnceLock;

use crc32c::crc32c;
use lineshaft_store::{
    Disk, Error, Home, Journal, JournalHandle, NewSnapshot, Options, SegmentJournal, Snapshot,
};
use lineshaft_testkit::conformance::journal::{Writer, body};
use lineshaft_testkit::disk::SimulatedDisk;

use crate::bounded;
use crate::damage::{damage, overwrite};

const COMMITS: u64 = 6;
const BODY_BYTES: usize = 700;
/// Bytes of a commit's header, the CRC at its end included; `docs/format.md`.
const HEADER_BYTES: usize = 72;
const SECTOR: usize = 512;
const CHUNK_BYTES: usize = 64 << 10;
/// One commit may have as much as a payload has, and be read whole; beside it there are buffers.
const MEMORY_MAX: usize = 160 << 20;

/// Damages a journal as the orders in `data` say: it is as it was, lacks an end that nobody was promised, or says what is
/// wrong. With an odd first byte the checksums are made right afterwards, as somebody would who means harm; then it opens
/// or does not, within bounds.
pub(crate) fn journal(data: &[u8]) -> bool {
    let Some((mode, orders)) = data.split_first() else { return false };
    let original = original();
    let disk = original.disk.restart();
    let done = damage(&disk, &original.paths, orders);
    if mode % 2 == 1 {
        original.paths.iter().filter(|path| path.starts_with("seg/")).for_each(|path| reseal(&disk, path));
        return bounded(MEMORY_MAX, || read(&disk)).is_ok();
    }
    match bounded(MEMORY_MAX, || read(&disk)) {
        Ok(found) => {
            check(&found, &original.snapshot);
            // The seal promised all commits, and one change does not hide it.
            let is_whole = done.lost == 0 && done.changed <= 1;
            assert!(!is_whole || found.head >= COMMITS, "durable commits were cut: {done:?}");
            true
        }
        Err(
            Error::DamagedCommits { .. }
            | Error::Damaged { .. }
            | Error::SnapshotsLost { .. }
            | Error::Format { .. },
        ) => false,
        Err(error) => panic!("{error}"),
    }
}

struct Original {
    disk: SimulatedDisk,
    paths: Vec<String>,
    snapshot: Snapshot,
}

struct Found {
    snapshot: Option<Snapshot>,
    commits: Vec<(u64, Vec<u8>)>,
    head: u64,
}

/// Two segments, a snapshot with pages in the middle, and a seal at the end: it says that all commits were durable.
fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let mut writer = Writer::new(open(&disk).expect("an empty journal opens"));
        let mut middle = writer.journal.head();
        for number in 1..=COMMITS {
            let (appended, _) = writer.append_bytes(BODY_BYTES);
            middle = if number == COMMITS / 2 { appended } else { middle };
        }
        let pages: Vec<(u64, Vec<u8>)> = (0..3).map(|number| (number, body(100 + number, 300))).collect();
        let tables = body(99, 200);
        let snapshot = NewSnapshot {
            lsn: middle.lsn,
            crc: middle.crc,
            tables: &tables,
            pages: std::slice::from_ref(&(0..3)),
            changed: Box::new(pages.clone().into_iter()),
        };
        writer.journal.handle().put_snapshot(snapshot).expect("the commit is durable");
        writer.journal.seal().expect("the disk takes it");
        drop(writer);
        let files = |directory: &'static str| {
            let files = disk.list(directory).expect("the directory is there");
            files.into_iter().map(move |entry| format!("{directory}/{}", entry.name))
        };
        let paths = files("seg").chain(files("snap")).filter(|path| !path.contains("spare"));
        let pages = pages.into_iter().map(|(number, page)| (number, page.into())).collect();
        let snapshot = Snapshot { lsn: middle.lsn, crc: middle.crc, tables: tables.into(), pages };
        let paths = paths.chain(["FORMAT".to_owned()]).collect();
        Original { disk, paths, snapshot }
    })
}

fn open(disk: &SimulatedDisk) -> Result<(SegmentJournal<SimulatedDisk>, lineshaft_store::Recovery), Error> {
    let options = Options {
        segment_bytes_first: 4 << 10,
        segment_bytes_max: 4 << 10,
        background: false,
        cache_bytes: 1 << 10,
        seed: 1,
        ..Options::default()
    };
    SegmentJournal::open(&Home::open(disk.clone())?, options)
}

fn read(disk: &SimulatedDisk) -> Result<Found, Error> {
    let (journal, recovery) = open(disk)?;
    let after = recovery.snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn);
    let head = recovery.head.lsn;
    let mut writer = Writer { journal, epoch: 1 };
    Ok(Found { commits: writer.replay(after)?, snapshot: recovery.snapshot, head })
}

fn check(found: &Found, snapshot: &Snapshot) {
    assert!(found.snapshot.as_ref().is_none_or(|found| found == snapshot), "another snapshot than was put");
    let first = found.snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn) + 1;
    for (expected, (lsn, commit)) in (first..).zip(&found.commits) {
        assert_eq!(*lsn, expected, "a gap");
        let written = if *lsn <= COMMITS { body(*lsn, BODY_BYTES) } else { Vec::new() };
        assert_eq!(*commit, written, "commit {lsn} is another one");
    }
    assert_eq!(found.head + 1, first + found.commits.len() as u64);
}

/// Makes every checksum of the commits in a segment right again, but for those that tie one to the next.
fn reseal(disk: &SimulatedDisk, path: &str) {
    let mut content = disk.content(path);
    let starts = (0..content.len()).step_by(SECTOR);
    for start in starts.filter(|start| content[*start..].starts_with(b"LSc1")).collect::<Vec<_>>() {
        seal(&mut content[start..]);
    }
    overwrite(disk, path, &content);
}

fn seal(commit: &mut [u8]) {
    let Some(header) = commit.first_chunk::<HEADER_BYTES>() else { return };
    let length = u32::from_le_bytes([header[56], header[57], header[58], header[59]]) as usize;
    let body = HEADER_BYTES + 4 * length.div_ceil(CHUNK_BYTES);
    if let Some(bytes) = commit.get(body..body + length) {
        let crcs: Vec<u8> = bytes.chunks(CHUNK_BYTES).flat_map(|chunk| crc32c(chunk).to_le_bytes()).collect();
        commit[HEADER_BYTES..body].copy_from_slice(&crcs);
        commit[64..68].copy_from_slice(&crc32c(&crcs).to_le_bytes());
    }
    let crc = crc32c(&commit[..68]);
    commit[68..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}
