//! A ring whose putter or getter is killed at each instruction.

use std::thread;
use std::time::Duration;

use lineshaft_ipc::ring::{Batch, Message, Options, Ring};

use super::{LONG, killed_after, over_all_instructions};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// What children say is long enough to go around the end of the room now and then.
fn message(text: &[u8]) -> Message<'_> {
    Message { tag: 7, bytes: text }
}

fn ring() -> Ring {
    Ring::create(Options { room_bytes: 4_096, messages_max: u32::MAX }).unwrap()
}

/// So that the child has done everything once that is only done once: it is about the ring, and not about that.
fn use_once() {
    let ring = ring();
    ring.put_many(&[message(b"warm")], NOW).unwrap();
    ring.get_many(&mut Batch::default(), 1, NOW).unwrap();
    let _ = ring.get_many(&mut Batch::default(), 1, Some(Duration::from_millis(1)));
}

fn drain(ring: &Ring) -> Vec<u8> {
    let (mut batch, mut found) = (Batch::default(), Vec::new());
    while ring.get_many(&mut batch, 3, NOW).is_ok() {
        assert!(batch.iter().all(|message| message.tag == 7 && message.bytes.len() == 100));
        found.extend(batch.iter().map(|message| message.bytes[0]));
    }
    found
}

#[test]
fn a_putter_has_put_its_message_or_not() {
    over_all_instructions(|steps| {
        let ring = ring();
        ring.put(message(&[b'a'; 100]), NOW).unwrap();
        let is_over = killed_after(steps, use_once, || ring.put(message(&[b'b'; 100]), LONG).unwrap())?;
        ring.put(message(&[b'c'; 100]), LONG).unwrap();
        let found = drain(&ring);
        assert!(found == b"abc" || found == b"ac" && !is_over, "after {steps}: {found:?}");
        Some(is_over)
    });
}

#[test]
fn a_putter_of_many_has_put_all_of_a_chunk_or_nothing() {
    over_all_instructions(|steps| {
        let ring = ring();
        let texts = [[b'a'; 100], [b'b'; 100], [b'c'; 100]];
        let messages = texts.each_ref().map(|text| message(text));
        let is_over =
            killed_after(steps, use_once, || assert_eq!(ring.put_many(&messages, LONG).unwrap(), 3))?;
        ring.put(message(&[b'd'; 100]), LONG).unwrap();
        let found = drain(&ring);
        assert!(found == b"abcd" || found == b"d" && !is_over, "after {steps}: {found:?}");
        Some(is_over)
    });
}

#[test]
fn a_getter_has_taken_what_it_got_or_left_it_there() {
    for (count, left) in [(1, &b"bcd"[..]), (2, b"cd")] {
        over_all_instructions(|steps| {
            let ring = ring();
            for letter in [b'a', b'b', b'c'] {
                ring.put(message(&[letter; 100]), NOW).unwrap();
            }
            let mut batch = Batch::default();
            let act = || assert_eq!(ring.get_many(&mut batch, count, LONG).unwrap(), count);
            let is_over = killed_after(steps, use_once, act)?;
            ring.put(message(&[b'd'; 100]), LONG).unwrap();
            let found = drain(&ring);
            assert!(found == left || found == b"abcd" && !is_over, "after {steps}: {found:?}");
            Some(is_over)
        });
    }
}

/// Wherever the child dies, the thread that sleeps in `get` has the message that another puts.
#[test]
fn a_sleeping_getter_is_woken_whoever_dies() {
    over_all_instructions(|steps| {
        let ring = ring();
        thread::scope(|scope| {
            let getter = scope.spawn(|| {
                let mut batch = Batch::default();
                ring.get(&mut batch, LONG).unwrap();
                batch.iter().next().unwrap().bytes[0]
            });
            let is_over = killed_after(steps, use_once, || ring.put(message(b"b"), LONG).unwrap())?;
            ring.put(message(b"c"), LONG).unwrap();
            assert!([b'b', b'c'].contains(&getter.join().unwrap()));
            Some(is_over)
        })
    });
}

/// The child sleeps for room, or for a message, and is killed on its way there or back.
#[test]
fn who_is_killed_while_it_waits_takes_nothing_away() {
    over_all_instructions(|steps| {
        let ring = ring();
        let act = || assert!(ring.get(&mut Batch::default(), Some(Duration::from_micros(50))).is_err());
        let is_over = killed_after(steps, use_once, act)?;
        ring.put(message(&[b'a'; 100]), LONG).unwrap();
        assert_eq!(drain(&ring), b"a");
        Some(is_over)
    });
}
