//! What the tests share: small journals on simulated disks.

use lineshaft_store::{Durability, Error, Home, Options, Recovery, SegmentJournal};
use lineshaft_testkit::conformance::journal::Writer;
use lineshaft_testkit::disk::SimulatedDisk;

pub(crate) type SimulatedJournal = SegmentJournal<SimulatedDisk>;

/// Segments of 4 KiB, no threads, no cache worth the name: everything happens, and happens again.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes_first: 4 << 10,
        segment_bytes_max: 16 << 10,
        background: false,
        cache_bytes: 1 << 10,
        seed: 1,
        ..Options::default()
    }
}

/// The same with threads off and syncs on request only.
pub(crate) fn small_os() -> Options {
    Options { durability: Durability::Os, ..small() }
}

pub(crate) fn open(disk: &SimulatedDisk, options: Options) -> Result<(SimulatedJournal, Recovery), Error> {
    SegmentJournal::open(&Home::open(disk.clone())?, options)
}

/// The error of an opening that must fail.
pub(crate) fn refusal<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

pub(crate) fn writer(disk: &SimulatedDisk) -> Writer<SimulatedJournal> {
    Writer::new(open(disk, small()).expect("the journal opens"))
}
