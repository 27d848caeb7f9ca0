//! Messages through a ring, by threads and by a child; kills are in `kills`.

use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::fd::{adopt, inherit};
use lineshaft_ipc::ring::{Batch, Message, Options, Ring};
use lineshaft_ipc::segment::{Backing, Segment};

use crate::support::{Guard, child_value, this_binary};

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn small(messages_max: u32) -> Ring {
    Ring::create(Options { room_bytes: 4_096, messages_max }).unwrap()
}

fn text(bytes: &[u8]) -> Message<'_> {
    Message { tag: bytes.len() as u32, bytes }
}

/// The messages that are there, of which each has its length as its tag.
fn drain(ring: &Ring) -> Vec<Vec<u8>> {
    let (mut batch, mut found) = (Batch::default(), Vec::new());
    while ring.get_many(&mut batch, 7, NOW).is_ok() {
        found.extend(batch.iter().map(|message| {
            assert_eq!(message.tag as usize, message.bytes.len());
            message.bytes.to_vec()
        }));
    }
    found
}

#[test]
fn messages_come_as_they_were_put() {
    let ring = small(u32::MAX);
    let messages: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; usize::from(number)]).collect();
    for round in 0..20 {
        for message in &messages {
            ring.put(text(message), NOW).unwrap();
        }
        assert_eq!(ring.len(), messages.len(), "round {round}");
        assert_eq!(drain(&ring), messages, "round {round}");
    }
}

#[test]
fn many_at_a_time_are_in_order_also_through_a_small_room() {
    let ring = small(u32::MAX);
    let texts: Vec<Vec<u8>> = (0..3_000u32).map(|number| number.to_le_bytes().repeat(5)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let messages: Vec<Message<'_>> = texts.iter().map(|bytes| text(bytes)).collect();
            assert_eq!(ring.put_many(&messages, None).unwrap(), messages.len());
        });
        let (mut batch, mut found) = (Batch::default(), 0);
        while found < texts.len() {
            ring.get_many(&mut batch, 100, None).unwrap();
            for message in batch.iter() {
                assert_eq!(message.bytes, texts[found]);
                found += 1;
            }
        }
    });
    assert!(ring.is_empty());
}

#[test]
fn a_full_ring_refuses_and_an_empty_one_has_none() {
    let ring = small(2);
    let mut batch = Batch::default();
    assert!(matches!(ring.get(&mut batch, NOW), Err(Error::TimedOut)));
    assert_eq!(ring.put_many(&[text(b"a"), text(b"b"), text(b"c")], NOW).unwrap(), 2);
    assert!(matches!(ring.put(text(b"c"), Some(Duration::from_millis(2))), Err(Error::TimedOut)));
    ring.get(&mut batch, NOW).unwrap();
    ring.put(text(b"c"), NOW).unwrap();
    assert_eq!(drain(&ring), [b"b", b"c"]);
}

#[test]
fn the_largest_message_fits_and_a_larger_one_is_refused() {
    let ring = small(u32::MAX);
    let largest = vec![7; ring.message_bytes_max()];
    ring.put(text(b"before"), NOW).unwrap();
    assert!(matches!(ring.put(text(&largest), NOW), Err(Error::TimedOut)));
    assert_eq!(drain(&ring), [b"before"]);
    ring.put(text(&largest), NOW).unwrap();
    assert_eq!(drain(&ring), [&largest[..]]);
    let larger = vec![7; largest.len() + 1];
    let refused = ring.put_many(&[text(b"small"), text(&larger)], NOW);
    assert!(matches!(refused, Err(Error::MessageTooLarge { bytes: 4_081, limit: 4_080 })), "{refused:?}");
    assert!(ring.is_empty());
}

#[test]
fn a_ring_that_is_shut_down_gives_what_is_left_and_ends_every_wait() {
    let ring = small(3);
    ring.put(text(b"left"), NOW).unwrap();
    ring.shut_down(false).unwrap();
    assert!(matches!(ring.put(text(b"more"), LONG), Err(Error::ShutDown)));
    assert_eq!(drain(&ring), [b"left"]);
    assert!(matches!(ring.get(&mut Batch::default(), LONG), Err(Error::ShutDown)));
    let ring = small(1);
    thread::scope(|scope| {
        let getter = scope.spawn(|| ring.get(&mut Batch::default(), None));
        thread::sleep(Duration::from_millis(5));
        ring.shut_down(true).unwrap();
        assert!(matches!(getter.join().unwrap(), Err(Error::ShutDown)));
    });
}

#[test]
fn join_waits_for_what_was_put_to_be_done() {
    let ring = small(10);
    assert!(ring.join(NOW) && !ring.task_done(1));
    ring.put_many(&[text(b"a"), text(b"b"), text(b"c")], NOW).unwrap();
    assert_eq!(drain(&ring).len(), 3);
    assert!(!ring.join(Some(Duration::from_millis(2))));
    assert!(ring.task_done(2) && !ring.task_done(2));
    assert_eq!(ring.unfinished(), 1);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| ring.join(None));
        assert!(ring.task_done(1));
        assert!(joiner.join().unwrap());
    });
    ring.put(text(b"never done"), NOW).unwrap();
    ring.shut_down(true).unwrap();
    assert!(ring.join(LONG));
}

#[test]
fn a_child_answers_through_a_ring_of_memory_or_of_a_file() {
    let in_file = |bytes, reserved| Segment::in_file(&std::env::temp_dir(), bytes, reserved);
    let of_a_file = Ring::create_in(Options::default(), in_file).unwrap();
    assert_eq!(of_a_file.segment().backing(), Backing::File);
    for ring in [Ring::create(Options::default()).unwrap(), of_a_file] {
        let mut command = this_binary("rings::child_answers", "");
        let number = inherit(&mut command, ring.as_fd()).unwrap();
        let mut child = Guard(command.env("LINESHAFT_IPC_TEST_CHILD", number.to_string()).spawn().unwrap());
        ring.put(text(b"question"), NOW).unwrap();
        assert!(ring.join(LONG));
        assert_eq!(drain(&ring), [b"noitseuq"]);
        assert!(child.0.wait().unwrap().success());
    }
}

#[test]
fn child_answers() {
    let Some(number) = child_value() else { return };
    let ring = Ring::from_fd(adopt(number.parse().unwrap()).unwrap()).unwrap();
    let mut batch = Batch::default();
    ring.get(&mut batch, LONG).unwrap();
    let answer: Vec<u8> = batch.iter().next().unwrap().bytes.iter().rev().copied().collect();
    ring.put(text(&answer), NOW).unwrap();
    assert!(ring.task_done(2));
}

#[test]
fn what_is_not_a_ring_of_this_version_is_refused() {
    for (bytes, said) in [(64, "too small"), (8_192, "begins with")] {
        let segment = Segment::create(bytes, 0).unwrap();
        let refused = Ring::from_fd(segment.as_fd().try_clone_to_owned().unwrap()).unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
    let ring = small(1);
    let file = std::fs::File::from(ring.as_fd().try_clone_to_owned().unwrap());
    file.write_at(&[0xff], 8).unwrap();
    assert!(matches!(Ring::from_fd(file.into()), Err(Error::BadSegment { .. })));
}

/// One message is lost if only its bytes are wrong, and all if it cannot be known where the next one begins.
#[test]
fn a_message_that_was_changed_is_told_and_the_ring_goes_on() {
    for (at, lost) in [(4_096 + 16, 1), (4_096 + 12, 1), (4_096 + 4, 3), (4_096 + 3, 3)] {
        let ring = small(u32::MAX);
        ring.put_many(&[text(b"one"), text(b"two"), text(b"three")], NOW).unwrap();
        let file = std::fs::File::from(ring.as_fd().try_clone_to_owned().unwrap());
        file.write_at(&[0xee], at).unwrap();
        let refused = ring.get_many(&mut Batch::default(), 3, NOW);
        assert!(
            matches!(refused, Err(Error::BadMessage { number: 0, lost: found }) if found == lost),
            "{refused:?}"
        );
        assert_eq!(drain(&ring).len(), 3 - lost as usize);
        ring.put(text(b"after"), NOW).unwrap();
        assert_eq!(drain(&ring), [b"after"]);
    }
}

#[test]
fn a_ring_full_of_rubbish_harms_nobody() {
    for byte in [0xff, 0x80, 0x01, 0x7f] {
        let ring = small(u32::MAX);
        let file = std::fs::File::from(ring.as_fd().try_clone_to_owned().unwrap());
        let length = file.metadata().unwrap().len() as usize;
        file.write_all_at(&vec![byte; length], 0).unwrap();
        let mut batch = Batch::default();
        for _ in 0..10 {
            let _ = ring.put(text(b"x"), NOW);
            let _ = ring.get_many(&mut batch, 1_000, NOW);
            let _ = (ring.task_done(1), ring.join(NOW), ring.len(), ring.unfinished(), ring.shut_down(false));
        }
    }
}
