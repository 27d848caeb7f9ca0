//! A day of the archive, damaged or forged.

use std::sync::OnceLock;

use crc32c::crc32c;
use lineshaft_store::{Archive, Block, BlockArchive, Error, Filter, Home, PageRequest};
use lineshaft_testkit::conformance::archive::job;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::JobState;

use crate::bounded;
use crate::damage::{damage, overwrite};

/// The day of the first jobs of the conformance suite.
const DAY: &str = "archive/2024-10-04";
const JOBS_PER_BLOCK: u64 = 10;
const BLOCKS: u64 = 3;
/// Bytes of a block's header, the CRC at its end included; `docs/format.md`.
const HEADER_BYTES: usize = 192;
/// Beside the bytes there are headers, an index of a thousand jobs, and what LZ4 makes of the rest.
const BESIDE: usize = 4 << 20;

/// Damages a day as the orders in `data` say: every job is as it was, or it is said what is wrong. With an odd first byte
/// the rest of `data` are the parts of a block whose checksums are right: two bytes each for the number of jobs, the length
/// of the index, that of the rows and how many times 16 KiB they are longer unpacked, then index, rows and payloads.
pub(crate) fn block(data: &[u8]) -> bool {
    let Some((mode, rest)) = data.split_first() else { return false };
    if mode % 2 == 1 {
        forged(rest).is_some_and(|disk| read_forged(&disk, data.len()))
    } else {
        damaged(rest)
    }
}

fn original() -> &'static SimulatedDisk {
    static ORIGINAL: OnceLock<SimulatedDisk> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let archive = open(&disk).expect("an empty archive opens");
        for block in 0..BLOCKS {
            let first = block * JOBS_PER_BLOCK + 1;
            let jobs = (first..first + JOBS_PER_BLOCK).map(job).collect();
            archive.put(&Block { lsn: first, jobs }).expect("the disk takes it");
        }
        disk
    })
}

fn open(disk: &SimulatedDisk) -> Result<BlockArchive<SimulatedDisk>, Error> {
    BlockArchive::open(&Home::open(disk.clone())?)
}

fn damaged(orders: &[u8]) -> bool {
    let disk = original().restart();
    let done = damage(&disk, &[DAY.to_owned()], orders);
    let archive = match open(&disk) {
        Ok(archive) => archive,
        Err(error) => return names_the_file(&error),
    };
    let last = archive.head().last_finish_number;
    // What is cut is the last block at most, if nothing but bytes changed.
    assert!(done.lost > 0 || done.changed > 1 || last >= (BLOCKS - 1) * JOBS_PER_BLOCK, "{done:?}");
    let mut is_whole = true;
    for number in 1..=BLOCKS * JOBS_PER_BLOCK {
        match archive.get(job(number).record.id) {
            Ok(Some(found)) => assert_eq!(found, job(number)),
            Ok(None) => assert!(number > last, "job {number} is gone and nobody says so"),
            Err(error) => is_whole = names_the_file(&error),
        }
    }
    for request in requests() {
        let expected = (1..=last).rev().map(job).filter(|job| request.filter.matches(&job.record));
        match archive.page(&request) {
            Ok(page) => assert!(
                page.jobs
                    .iter()
                    .map(|listed| &listed.record)
                    .eq(expected.map(|job| job.record).collect::<Vec<_>>().iter()),
                "other jobs than were put"
            ),
            Err(error) => is_whole = names_the_file(&error),
        }
    }
    is_whole
}

/// Says that something is wrong, which it always does by saying where.
fn names_the_file(error: &Error) -> bool {
    let is_said = matches!(error, Error::Damaged { .. } | Error::HistoryMissing { .. });
    assert!(is_said && error.to_string().contains(DAY), "{error}");
    false
}

fn requests() -> [PageRequest; 3] {
    let filters = [
        Filter::default(),
        Filter { states: vec![JobState::Completed], tags: vec!["red".to_owned()], ..Filter::default() },
        Filter { queue: Some("mail".to_owned()), task: Some("shop.task3".to_owned()), ..Filter::default() },
    ];
    // A page that ran out of time would be short.
    let budget = std::time::Duration::from_secs(60);
    filters.map(|filter| PageRequest { filter, budget, ..PageRequest::default() })
}

/// A day with one block of these parts.
fn forged(data: &[u8]) -> Option<SimulatedDisk> {
    let (numbers, parts) = data.split_first_chunk::<8>()?;
    let number = |at: usize| u32::from(u16::from_le_bytes([numbers[at], numbers[at + 1]]));
    let (jobs, longer) = (number(0), number(6));
    let (index, rest) = parts.split_at_checked(number(2) as usize)?;
    let (rows, payloads) = rest.split_at_checked(number(4) as usize)?;
    let disk = original().restart();
    let mut block = disk.content(DAY)[..HEADER_BYTES].to_vec();
    block[64..72].copy_from_slice(&(payloads.len() as u64).to_le_bytes());
    let ints = [
        (0, jobs),
        (4, index.len() as u32),
        (5, crc32c(index)),
        (6, rows.len() as u32),
        (7, rows.len() as u32 + (longer << 14)),
        (8, crc32c(rows)),
    ];
    for (place, value) in ints {
        block[104 + 4 * place..][..4].copy_from_slice(&value.to_le_bytes());
    }
    let crc = crc32c(&block[..HEADER_BYTES - 4]);
    block[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    block.extend(parts);
    block.resize(block.len().next_multiple_of(512), 0);
    overwrite(&disk, DAY, &block);
    Some(disk)
}

/// Whatever is in it, it is read or refused, within bounds.
fn read_forged(disk: &SimulatedDisk, length: usize) -> bool {
    bounded(BESIDE + 1024 * length, || {
        let Ok(archive) = open(disk) else { return false };
        let ids: Vec<_> = (1..=JOBS_PER_BLOCK).map(|number| job(number).record.id).collect();
        let pages = requests().map(|request| archive.page(&request).is_ok());
        archive.get_many(&ids).is_ok() && pages == [true; 3]
    })
}

/// What [`block`] takes for the first block as it was put.
pub fn forged_seed() -> Vec<u8> {
    let content = original().content(DAY);
    let int = |place: usize| {
        let bytes = content[104 + 4 * place..][..4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let payload_bytes = u64::from_le_bytes(content[64..72].try_into().expect("eight bytes")) as usize;
    let (index_end, rows_end) = (HEADER_BYTES + int(4), HEADER_BYTES + int(4) + int(6));
    let (index, packed) = (&content[HEADER_BYTES..index_end], &content[index_end..rows_end]);
    let rows = match int(7) {
        unpacked if unpacked == packed.len() => packed.to_vec(),
        unpacked => lz4_flex::block::decompress(packed, unpacked).expect("the product packed it"),
    };
    let mut seed = vec![1];
    for number in [int(0), index.len(), rows.len(), 0] {
        seed.extend((number as u16).to_le_bytes());
    }
    [&seed[..], index, &rows, &content[rows_end..rows_end + payload_bytes]].concat()
}
