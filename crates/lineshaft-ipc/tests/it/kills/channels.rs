//! A channel whose users are killed at each instruction: no block is lost, and none is freed that a message has.

use std::time::Duration;

use lineshaft_ipc::arena::{Arena, GRAIN_BYTES};
use lineshaft_ipc::channel::{Channel, Payload};
use lineshaft_ipc::ring::{Options, Ring};

use super::{LONG, killed_after, over_all_instructions};

const NOW: Option<Duration> = Some(Duration::ZERO);

fn channel() -> Channel {
    let ring = Ring::create(Options { room_bytes: 4_096, messages_max: u32::MAX }).unwrap();
    Channel::new(ring, Arena::create(4 * GRAIN_BYTES).unwrap())
}

fn put(channel: &Channel, byte: u8) {
    let mut block = channel.allocate(64, LONG).unwrap();
    block.copy_from_slice(&[byte; 64]);
    channel.put_block(1, block, LONG).unwrap();
}

fn get(channel: &Channel) -> Option<u8> {
    let Ok((1, Payload::Large(block))) = channel.get(NOW) else { return None };
    assert!(block.len() == 64 && block.iter().all(|byte| *byte == block[0]), "{block:?}");
    Some(block[0])
}

fn use_once() {
    let channel = channel();
    put(&channel, 0);
    assert_eq!(get(&channel), Some(0));
}

/// Everything that is not in a message is free, and what is has its bytes.
fn check_room(channel: &Channel, in_messages: usize) {
    channel.sweep().unwrap();
    assert_eq!(channel.arena().blocks(), in_messages);
    let rest: Vec<_> = (in_messages..4).map(|_| channel.allocate(64, NOW).unwrap()).collect();
    drop(rest);
}

#[test]
fn the_block_of_a_putter_is_in_its_message_or_free() {
    over_all_instructions(|steps| {
        let channel = channel();
        let is_over = killed_after(steps, use_once, || put(&channel, b'a'))?;
        let is_put = !channel.ring().is_empty();
        check_room(&channel, usize::from(is_put));
        put(&channel, b'b');
        let found: Vec<u8> = std::iter::from_fn(|| get(&channel)).collect();
        assert!(found == b"ab" || found == b"b" && !is_over, "after {steps}: {found:?}");
        check_room(&channel, 0);
        Some(is_over)
    });
}

#[test]
fn the_block_of_a_getter_comes_to_another_or_is_free() {
    over_all_instructions(|steps| {
        let channel = channel();
        put(&channel, b'a');
        put(&channel, b'b');
        let is_over = killed_after(steps, use_once, || assert_eq!(get(&channel), Some(b'a')))?;
        check_room(&channel, channel.ring().len());
        let found: Vec<u8> = std::iter::from_fn(|| get(&channel)).collect();
        assert!(found == b"b" || found == b"ab" && !is_over, "after {steps}: {found:?}");
        check_room(&channel, 0);
        Some(is_over)
    });
}
