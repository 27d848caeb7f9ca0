//! The suite of [`Journal`].

use std::slice::from_ref;

use bytes::Bytes;
use lineshaft_store::{
    Append, Appended, ColdLocation, Error, Journal, JournalHandle, Location, NewSnapshot, PayloadRef,
    Recovery, journal,
};

/// Runs every check on homes of its own.
pub fn check<J: Journal, Open: FnMut() -> (J, Recovery)>(new_home: impl Fn() -> Open) {
    an_empty_journal_opens_again_and_again(new_home());
    commits_come_back_in_order(new_home());
    commits_that_do_not_follow_are_refused_and_change_nothing(new_home());
    payloads_are_read_by_location_from_memory_and_from_disk(new_home());
    locations_outside_a_body_are_refused(new_home());
    a_seal_is_written_once_and_covers_what_is_before(new_home());
    the_newest_snapshot_comes_back(new_home());
    unchanged_pages_are_those_of_the_snapshot_before(new_home());
    trimming_forgets_only_what_two_snapshots_cover(new_home());
    blobs_live_until_they_are_dropped(new_home());
    cold_files_give_every_payload_back_until_they_are_dropped(new_home());
    a_cold_file_that_could_not_be_filled_is_not_there(new_home());
    stretches_join_and_cover_every_commit(new_home());
    replay_stops_at_the_first_error_of_its_visitor(new_home());
}

/// Appends commits the way the engine does, remembering the head.
#[derive(Debug)]
pub struct Writer<J> {
    /// The journal.
    pub journal: J,
    /// The epoch of the next commits.
    pub epoch: u64,
}

impl<J: Journal> Writer<J> {
    /// A writer that goes on after what was found.
    pub fn new((journal, recovery): (J, Recovery)) -> Self {
        Self { journal, epoch: recovery.epoch + 1 }
    }

    /// Appends a commit after the head.
    pub fn append(&mut self, body: &[u8]) -> Result<Appended, Error> {
        let head = self.journal.head();
        self.journal.append(Append {
            epoch: self.epoch,
            nonce: 7,
            expected_lsn: head.lsn + 1,
            previous_crc: head.crc,
            body,
        })
    }

    /// Appends a commit of so many bytes, other ones for each LSN.
    pub fn append_bytes(&mut self, count: usize) -> (Appended, Vec<u8>) {
        let body = body(self.journal.head().lsn + 1, count);
        (self.append(&body).expect("the commit is appended"), body)
    }

    /// All commits above `after_lsn`.
    pub fn replay(&mut self, after_lsn: u64) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut commits = Vec::new();
        self.journal.replay(after_lsn, |lsn, body| {
            commits.push((lsn, body.to_vec()));
            Ok::<_, Error>(())
        })?;
        Ok(commits)
    }
}

/// A body that tells its LSN and its bytes apart.
pub fn body(lsn: u64, count: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(lsn);
    std::iter::repeat_with(|| rng.u8(..)).take(count).collect()
}

fn an_empty_journal_opens_again_and_again<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    for _ in 0..3 {
        let (mut journal, recovery) = open();
        assert_eq!((recovery.head, recovery.cut, recovery.snapshot), (Appended::default(), None, None));
        assert_eq!(journal.seal().unwrap(), Appended::default(), "there is nothing to seal");
    }
    let mut writer = Writer::new(open());
    assert_eq!(writer.append(b"first").unwrap().lsn, 1);
}

fn commits_come_back_in_order<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let mut expected = Vec::new();
    let mut head = Appended::default();
    for round in 0..4 {
        let (journal, recovery) = open();
        assert_eq!(recovery.head, head, "round {round}");
        assert_eq!(recovery.cut, None);
        let mut writer = Writer::new((journal, recovery));
        assert_eq!(writer.replay(0).unwrap(), expected);
        for count in [0, 1, 300, 5_000, 70_000] {
            let (appended, body) = writer.append_bytes(count);
            head = appended;
            expected.push((appended.lsn, body));
        }
        let half = head.lsn / 2;
        assert_eq!(writer.replay(half).unwrap(), expected[half as usize..]);
        assert_eq!(writer.replay(head.lsn).unwrap(), []);
    }
}

fn commits_that_do_not_follow_are_refused_and_change_nothing<J: Journal>(
    mut open: impl FnMut() -> (J, Recovery),
) {
    let mut writer = Writer::new(open());
    writer.epoch = 5;
    writer.append(b"one").unwrap();
    let head = writer.append(b"two").unwrap();
    let next = Append { epoch: 5, nonce: 1, expected_lsn: 3, previous_crc: head.crc, body: b"three" };
    for wrong in [
        Append { expected_lsn: 2, ..next },
        Append { expected_lsn: 4, ..next },
        Append { previous_crc: !head.crc, ..next },
    ] {
        assert!(matches!(writer.journal.append(wrong), Err(Error::NotNext { head_lsn: 2, .. })), "{wrong:?}");
    }
    let older = writer.journal.append(Append { epoch: 4, ..next });
    assert!(matches!(older, Err(Error::Fenced { epoch: 4, newest: 5 })));
    let huge = vec![0; journal::BODY_BYTES_MAX + 1];
    assert!(matches!(writer.journal.append(Append { body: &huge, ..next }), Err(Error::TooLarge { .. })));
    assert_eq!(writer.journal.head(), head);
    writer.journal.append(next).unwrap();
    drop(writer);
    let (_, recovery) = open();
    assert_eq!((recovery.head.lsn, recovery.epoch), (3, 5));
}

fn payloads_are_read_by_location_from_memory_and_from_disk<J: Journal>(
    mut open: impl FnMut() -> (J, Recovery),
) {
    let sizes = [10, 0, 65_535, 65_536, 65_537, 300_000, 40];
    let mut writer = Writer::new(open());
    let bodies: Vec<_> = sizes.map(|count| writer.append_bytes(count).1).into();
    check_locations(&writer.journal.handle(), &bodies);
    drop(writer);
    let mut writer = Writer::new(open());
    check_locations(&writer.journal.handle(), &bodies);
    let handle = writer.journal.handle();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (0..20).for_each(|_| check_locations(&handle, &bodies)));
        (0..50).for_each(|_| drop(writer.append_bytes(1_000)));
        reader.join().expect("reading goes on while commits are appended");
    });
}

fn check_locations(handle: &impl JournalHandle, bodies: &[Vec<u8>]) {
    for (lsn, body) in (1..).zip(bodies) {
        let edges = [0, 1, 65_535, 65_536, body.len() / 2, body.len().saturating_sub(1), body.len()];
        for (start, end) in edges.iter().flat_map(|start| edges.map(|end| (*start, end))) {
            if start <= end && end <= body.len() {
                let location = Location { lsn, offset: start as u32, length: (end - start) as u32 };
                assert_eq!(
                    handle.read(PayloadRef::inline(location)).unwrap(),
                    body[start..end],
                    "{location:?}"
                );
            }
        }
    }
}

fn locations_outside_a_body_are_refused<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let mut writer = Writer::new(open());
    writer.append_bytes(100);
    writer.append_bytes(200_000);
    for reopened in [false, true] {
        if reopened {
            drop(writer);
            writer = Writer::new(open());
        }
        let handle = writer.journal.handle();
        for (lsn, offset, length) in
            [(1, 0, 101), (1, 100, 1), (1, u32::MAX, u32::MAX), (2, 199_999, 2), (2, 0, 1 << 30)]
        {
            let result = handle.read_at(Location { lsn, offset, length });
            assert!(matches!(result, Err(Error::OutOfBody { .. })), "{lsn} {offset} {length}: {result:?}");
        }
        for lsn in [0, 3, u64::MAX] {
            let result = handle.read_at(Location { lsn, offset: 0, length: 1 });
            assert!(matches!(result, Err(Error::NoCommit { .. })), "{lsn}: {result:?}");
        }
    }
}

fn a_seal_is_written_once_and_covers_what_is_before<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let mut writer = Writer::new(open());
    writer.append(b"one").unwrap();
    let seal = writer.journal.seal().unwrap();
    assert_eq!(seal.lsn, 2);
    assert_eq!(writer.journal.seal().unwrap(), seal);
    drop(writer);
    let (journal, recovery) = open();
    assert_eq!((recovery.head, recovery.synced_lsn), (seal, 1));
    let mut writer = Writer::new((journal, recovery));
    assert_eq!(writer.journal.seal().unwrap(), seal, "a restart needs no second seal");
    assert_eq!(writer.replay(0).unwrap(), [(1, b"one".to_vec()), (2, vec![])]);
}

fn the_newest_snapshot_comes_back<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let mut writer = Writer::new(open());
    for _ in 0..4 {
        let (appended, _) = writer.append_bytes(10);
        let bytes = body(appended.lsn, 100_000);
        writer
            .journal
            .handle()
            .put_snapshot(NewSnapshot::of_tables(appended.lsn, appended.crc, &bytes))
            .unwrap();
    }
    let too_new = writer.journal.handle().put_snapshot(NewSnapshot::of_tables(5, 0, b""));
    assert!(matches!(too_new, Err(Error::SnapshotTooNew { lsn: 5, durable_lsn: 4 })));
    let (newer, _) = writer.append_bytes(10);
    drop(writer);
    let (journal, recovery) = open();
    let snapshot = recovery.snapshot.clone().expect("a snapshot was published");
    assert_eq!((snapshot.lsn, &snapshot.tables[..]), (4, &body(4, 100_000)[..]));
    let mut writer = Writer::new((journal, recovery));
    assert_eq!(writer.replay(snapshot.lsn).unwrap(), [(newer.lsn, body(5, 10))]);
}

fn unchanged_pages_are_those_of_the_snapshot_before<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let put = |writer: &mut Writer<J>, pages: &[std::ops::Range<u64>], changed: &[(u64, &[u8])]| {
        let Appended { lsn, crc } = writer.append_bytes(10).0;
        let changed = Box::new(changed.iter().map(|(number, bytes)| (*number, bytes.to_vec())));
        writer.journal.handle().put_snapshot(NewSnapshot { lsn, crc, tables: b"tables", pages, changed })
    };
    let (one, two) = (body(1, 100_000), body(2, 5));
    let mut writer = Writer::new(open());
    let without = put(&mut writer, from_ref(&(0..1)), &[]);
    assert!(matches!(without, Err(Error::PageMissing { lsn: 1, page: 0 })), "{without:?}");
    put(&mut writer, &[0..2, 700..701], &[(0, &one), (1, &two), (700, b"old")]).unwrap();
    let bytes = put(&mut writer, &[0..2, 701..702], &[(701, b"new"), (1, b"")]).unwrap();
    assert!(bytes < 1_000, "{bytes} bytes for the little that changed");
    let lost = put(&mut writer, from_ref(&(0..3)), &[(0, b"never")]);
    assert!(matches!(lost, Err(Error::PageMissing { page: 2, .. })), "{lost:?}");
    for _ in 0..2 {
        drop(writer);
        let (journal, recovery) = open();
        let snapshot = recovery.snapshot.clone().expect("a snapshot was published");
        let pages: Vec<_> = snapshot.pages.iter().map(|(number, bytes)| (*number, &bytes[..])).collect();
        assert_eq!(pages, [(0, &one[..]), (1, b""), (701, b"new")]);
        writer = Writer::new((journal, recovery));
        put(&mut writer, &[0..2, 701..702], &[]).unwrap();
    }
    let head = writer.journal.head();
    let again = writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"other"));
    assert_eq!(again.unwrap(), 0, "there is one of this commit");
}

fn trimming_forgets_only_what_two_snapshots_cover<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    const COMMITS: u64 = 400;
    let mut writer = Writer::new(open());
    let heads: Vec<_> = (0..COMMITS).map(|_| writer.append_bytes(1_000).0).collect();
    let handle = writer.journal.handle();
    let mut trim = |below: u64| {
        writer.journal.trim(below).unwrap();
        writer.append_bytes(10);
        writer.replay(0).is_ok()
    };
    assert!(trim(COMMITS), "without snapshots everything stays");
    let snapshot = |lsn: u64| {
        handle.put_snapshot(NewSnapshot::of_tables(lsn, heads[lsn as usize - 1].crc, b"state")).unwrap()
    };
    snapshot(300);
    assert!(trim(COMMITS), "one snapshot may turn out to be damaged");
    snapshot(350);
    trim(COMMITS);
    assert_eq!(writer.replay(300).unwrap().len(), 103, "the older snapshot can still be replayed from");
    drop(handle);
    drop(writer);
    let (journal, recovery) = open();
    assert!(recovery.oldest_lsn <= 301);
    let mut writer = Writer::new((journal, recovery.clone()));
    assert_eq!(writer.replay(350).unwrap().len(), 53);
    if recovery.oldest_lsn > 1 {
        let trimmed = writer.journal.handle().read_at(Location { lsn: 1, offset: 0, length: 1 });
        assert!(matches!(trimmed, Err(Error::NoCommit { lsn: 1, .. })));
        assert!(writer.replay(0).is_err());
    }
}

fn blobs_live_until_they_are_dropped<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let (journal, _) = open();
    let handle = journal.handle();
    let large = body(1, 3 << 20);
    handle.put_blob(9, &large).unwrap();
    handle.put_blob(u64::MAX, b"").unwrap();
    assert_eq!(handle.get_blob(9).unwrap(), large);
    assert_eq!(handle.read(PayloadRef::Blob { id: 9, length: large.len() as u32 }).unwrap(), large);
    assert!(matches!(handle.get_blob(8), Err(Error::NoBlob { id: 8 })));
    drop((journal, handle));
    let (journal, _) = open();
    let handle = journal.handle();
    assert_eq!(handle.blobs().unwrap(), [9, u64::MAX]);
    assert_eq!(handle.get_blob(9).unwrap(), large);
    handle.drop_blob(9).unwrap();
    handle.drop_blob(9).unwrap();
    assert!(matches!(handle.get_blob(9), Err(Error::NoBlob { id: 9 })));
    assert_eq!(handle.blobs().unwrap(), [u64::MAX]);
}

fn cold_files_give_every_payload_back_until_they_are_dropped<J: Journal>(
    mut open: impl FnMut() -> (J, Recovery),
) {
    let (journal, _) = open();
    let handle = journal.handle();
    let payloads: Vec<Bytes> = [1, 7, 65_536, 3, 3 << 20, 512, 2]
        .iter()
        .zip(1..)
        .map(|(count, at)| body(at, *count).into())
        .collect();
    let put = |file| handle.put_cold(file, &mut payloads.iter().cloned().map(Ok)).unwrap();
    let (first, second) = (put(3), put(u64::MAX >> 1));
    let check = |handle: &J::Handle, file, offsets: &[u32]| {
        for (payload, offset) in payloads.iter().zip(offsets).rev() {
            let location = ColdLocation { file, offset: *offset, length: payload.len() as u32 };
            let reference = PayloadRef::unpack(PayloadRef::Cold(location).pack());
            assert_eq!(handle.read(reference).unwrap(), payload, "{location:?}");
            for wrong in [
                ColdLocation { offset: offset + 1, ..location },
                ColdLocation { offset: offset - 1, ..location },
                ColdLocation { length: location.length + 1, ..location },
                ColdLocation { offset: 0, ..location },
                ColdLocation { offset: u32::MAX >> 1, ..location },
            ] {
                assert!(matches!(handle.read_cold(wrong), Err(Error::Damaged { .. })), "{wrong:?}");
            }
        }
    };
    check(&handle, 3, &first);
    check(&handle, u64::MAX >> 1, &second);
    drop((journal, handle));

    let (journal, _) = open();
    let handle = journal.handle();
    check(&handle, 3, &first);
    let listed: Vec<u64> = handle.cold_files().unwrap().iter().map(|file| file.number).collect();
    assert_eq!(listed, [3, u64::MAX >> 1]);
    assert!(handle.cold_files().unwrap()[0].bytes > 3 << 20);
    handle.drop_cold(3).unwrap();
    handle.drop_cold(3).unwrap();
    let gone = handle.read_cold(ColdLocation { file: 3, offset: first[0], length: 1 });
    assert!(matches!(gone, Err(Error::NoCold { file: 3 })), "{gone:?}");
    check(&handle, u64::MAX >> 1, &second);
}

fn a_cold_file_that_could_not_be_filled_is_not_there<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let (journal, _) = open();
    let handle = journal.handle();
    let payloads =
        [Ok(Bytes::from_static(b"one")), Err(Error::NoBlob { id: 5 }), Ok(Bytes::from_static(b"two"))];
    let result = handle.put_cold(1, &mut payloads.into_iter());
    assert!(matches!(result, Err(Error::NoBlob { id: 5 })), "{result:?}");
    assert_eq!(handle.cold_files().unwrap(), []);
    handle.put_cold(1, &mut std::iter::empty()).unwrap();
    assert_eq!(handle.cold_files().unwrap().len(), 1);
}

fn stretches_join_and_cover_every_commit<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    for round in 1..4 {
        let mut writer = Writer::new(open());
        (0..100).for_each(|_| drop(writer.append_bytes(1_000)));
        let stretches = writer.journal.handle().stretches();
        let ends = stretches.iter().map(|stretch| stretch.end_lsn);
        let begins = stretches.iter().map(|stretch| stretch.first_lsn).chain([round * 100 + 1]);
        assert_eq!(begins.clone().next(), Some(1), "{stretches:?}");
        assert!(begins.skip(1).eq(ends), "{stretches:?}");
        let bytes: u64 = stretches.iter().map(|stretch| stretch.bytes).sum();
        assert!(bytes > round * 100_000, "{stretches:?}");
    }
}

fn replay_stops_at_the_first_error_of_its_visitor<J: Journal>(mut open: impl FnMut() -> (J, Recovery)) {
    let mut writer = Writer::new(open());
    (0..5).for_each(|_| drop(writer.append_bytes(10)));
    let mut seen = 0;
    let result = writer.journal.replay(0, |lsn, _| {
        seen = lsn;
        if lsn == 3 { Err(Error::NoBlob { id: 33 }) } else { Ok(()) }
    });
    assert!(matches!(result, Err(Error::NoBlob { id: 33 })));
    assert_eq!(seen, 3);
}
