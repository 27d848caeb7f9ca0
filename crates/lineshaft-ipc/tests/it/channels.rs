//! Large messages through a channel.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::arena::{Arena, GRAIN_BYTES};
use lineshaft_ipc::channel::{Channel, Part, Payload, Received};
use lineshaft_ipc::ring::{Message, Options, Ring};
use lineshaft_ipc::segment::Segment;

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn channel(grains: usize) -> Channel {
    let ring = Ring::create(Options { room_bytes: 4_096, messages_max: u32::MAX }).unwrap();
    Channel::new(ring, Arena::create(grains * GRAIN_BYTES).unwrap())
}

fn put_large(channel: &Channel, byte: u8, length: usize) {
    let mut block = channel.allocate(length, NOW).unwrap();
    block.fill(byte);
    channel.put_block(1, block, NOW).unwrap();
}

#[test]
fn small_and_large_come_in_their_order() {
    let channel = channel(16);
    put_large(&channel, 1, 300_000);
    channel.put(Message { tag: 2, bytes: b"small" }, NOW).unwrap();
    put_large(&channel, 3, 70_000);
    let Ok((1, Payload::Large(first))) = channel.get(NOW) else { panic!() };
    assert!(matches!(channel.get(NOW), Ok((2, Payload::Small(bytes))) if bytes == b"small"));
    let Ok((1, Payload::Large(last))) = channel.get(NOW) else { panic!() };
    assert!(first.len() == 300_000 && first.iter().all(|byte| *byte == 1));
    assert!(last.len() == 70_000 && last.iter().all(|byte| *byte == 3));
    assert_eq!(channel.arena().blocks(), 2);
    drop((first, last));
    assert_eq!(channel.arena().blocks(), 0);
}

#[test]
fn another_mapping_sees_the_same_bytes() {
    let channel = channel(16);
    let ring = Ring::from_fd(channel.ring().as_fd().try_clone_to_owned().unwrap()).unwrap();
    let segment = Segment::from_fd(channel.arena().segment().as_fd().try_clone_to_owned().unwrap()).unwrap();
    let other = Channel::new(ring, Arena::open(segment).unwrap());
    put_large(&channel, 7, 100_000);
    let Ok((1, Payload::Large(block))) = other.get(NOW) else { panic!() };
    assert!(block.len() == 100_000 && block.iter().all(|byte| *byte == 7));
}

#[test]
fn blocks_are_used_again_and_more_than_there_is_waits() {
    let channel = channel(4);
    let whole = channel.allocate(4 * GRAIN_BYTES, NOW).unwrap();
    assert!(matches!(channel.allocate(1, Some(Duration::from_millis(2))), Err(Error::TimedOut)));
    assert!(matches!(channel.allocate(4 * GRAIN_BYTES + 1, NOW), Err(Error::MessageTooLarge { .. })));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| channel.allocate(2 * GRAIN_BYTES, None).unwrap().len());
        thread::sleep(Duration::from_millis(5));
        drop(whole);
        assert_eq!(waiting.join().unwrap(), 2 * GRAIN_BYTES);
    });
    let halves = [(); 2].map(|()| channel.allocate(2 * GRAIN_BYTES, NOW).unwrap());
    drop(halves);
    assert_eq!(channel.arena().blocks(), 0);
}

#[test]
fn many_come_at_once_small_and_large() {
    let channel = channel(16);
    let small = |byte: &'static [u8]| Message { tag: 2, bytes: byte };
    assert_eq!(channel.put_many(&[small(b"a"), small(b"b")], NOW).unwrap(), 2);
    put_large(&channel, 3, 100_000);
    channel.put(small(b"d"), NOW).unwrap();
    put_large(&channel, 5, 70_000);
    let mut received = Received::default();
    assert_eq!(channel.get_many(&mut received, 4, NOW).unwrap(), 4);
    let said = |part: Part<'_>| match part {
        Part::Small(bytes) => (bytes[0], bytes.len()),
        Part::Large(block) => (block[0], block.len()),
    };
    let found: Vec<_> = received.drain().map(|(tag, part)| (tag, said(part))).collect();
    assert_eq!(found, [(2, (b'a', 1)), (2, (b'b', 1)), (1, (3, 100_000)), (2, (b'd', 1))]);
    assert_eq!(channel.get_many(&mut received, 4, NOW).unwrap(), 1);
    assert_eq!(channel.arena().blocks(), 1);
    drop(received);
    assert_eq!(channel.arena().blocks(), 0);
}

#[test]
fn a_kept_block_is_put_later() {
    let ring = Ring::create(Options { room_bytes: 4_096, messages_max: 1 }).unwrap();
    let channel = Channel::new(ring, Arena::create(2 * GRAIN_BYTES).unwrap());
    put_large(&channel, 1, 10);
    let mut block = Some(channel.allocate(10, NOW).unwrap());
    assert!(matches!(channel.put_kept_block(1, &mut block, NOW), Err(Error::TimedOut)));
    assert!(block.is_some() && !channel.wait_for_room(16, Some(Duration::from_millis(2))));
    drop(channel.get(NOW).unwrap());
    assert!(channel.wait_for_room(16, LONG));
    channel.put_kept_block(1, &mut block, NOW).unwrap();
    assert!(block.is_none() && channel.wait_for_messages(LONG));
    drop(channel.get(NOW).unwrap());
    assert!(!channel.wait_for_messages(Some(Duration::from_millis(2))));
    channel.ring().shut_down(false).unwrap();
    assert!(channel.wait_for_messages(LONG) && channel.wait_for_room(1 << 20, LONG));
}

#[test]
fn a_block_that_could_not_be_put_is_free() {
    let channel = channel(4);
    channel.ring().shut_down(false).unwrap();
    let block = channel.allocate(10, NOW).unwrap();
    assert!(matches!(channel.put_block(1, block, NOW), Err(Error::ShutDown)));
    assert_eq!(channel.arena().blocks(), 0);
}

#[test]
fn what_is_no_arena_is_refused() {
    for bytes in [64, 200_000] {
        let segment = Segment::create(bytes, 0).unwrap();
        assert!(matches!(Arena::open(segment), Err(Error::BadSegment { .. })), "{bytes}");
    }
    for grains in [1, 2, 100, 5_000, 100_000] {
        let arena = Arena::create(grains * GRAIN_BYTES).unwrap();
        assert_eq!(arena.block_bytes_max(), grains * GRAIN_BYTES);
    }
}
