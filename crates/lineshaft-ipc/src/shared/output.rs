//! What the present attempt printed: its head and its tail.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::atomics::{AtomicU8, AtomicU64, fence};
use super::landing::Landing;

/// First bytes of an attempt's output that are kept.
pub const HEAD_BYTES: usize = if cfg!(model) { 2 } else { 16 * 1024 };
/// Last bytes of an attempt's output that are kept: what the limit leaves beside the head and the line between.
pub const TAIL_BYTES: usize = OUTPUT_BYTES_MAX - HEAD_BYTES - GAP_BYTES_MAX;
/// The longest output that is ever read.
pub const OUTPUT_BYTES_MAX: usize = if cfg!(model) { 4 + GAP_BYTES_MAX } else { 64 * 1024 };

/// The longest line that says what is left out.
pub(super) const GAP_BYTES_MAX: usize = 64;
/// Bytes written before the total is raised: what a death in the middle may cost.
const STEP_BYTES: usize = if cfg!(model) { 1 } else { 4 * 1024 };
/// How often a reader looks again when the output was reset meanwhile.
const LOOKS: usize = if cfg!(model) { 1 } else { 16 };

/// The bytes and how many there were. One writer, which may die at any instruction.
#[repr(C, align(64))]
pub(super) struct Output {
    /// Odd while a reset is under way, and for good if the writer died there: then there is no output.
    resets: AtomicU64,
    /// The total that the writer is about to reach: older bytes of the tail may be overwritten.
    claimed: AtomicU64,
    /// Bytes appended so far.
    total: AtomicU64,
    head: [AtomicU8; HEAD_BYTES],
    tail: [AtomicU8; TAIL_BYTES],
    /// What is about to be appended.
    pub(super) landing: Landing,
}

impl Output {
    pub(super) fn total(&self) -> u64 {
        self.total.load(Acquire)
    }

    pub(super) fn reset(&self) {
        let resets = self.resets.load(Relaxed) | 1;
        self.resets.store(resets, Relaxed);
        fence(Release);
        self.total.store(0, Relaxed);
        self.claimed.store(0, Relaxed);
        self.resets.store(resets.wrapping_add(1), Release);
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        for step in bytes.chunks(STEP_BYTES) {
            let start = self.total.load(Relaxed);
            let end = start.wrapping_add(step.len() as u64);
            self.claimed.store(end, Relaxed);
            // A reader that sees a byte of this step must also see the claim.
            fence(Release);
            self.write(start, step);
            self.total.store(end, Release);
        }
    }

    /// Appends what a dead writer had taken and not appended; gives it.
    pub(super) fn recover(&self) -> Vec<u8> {
        let rest = self.landing.rest(self.total());
        self.append(&rest);
        rest
    }

    /// Stores at most one step at position `start`.
    fn write(&self, start: u64, bytes: &[u8]) {
        let head_offset = start.min(HEAD_BYTES as u64) as usize;
        let room = HEAD_BYTES - head_offset;
        let (head, tail) = bytes.split_at(room.min(bytes.len()));
        store(&self.head[head_offset..], head);
        let (newer, older) = self.tail.split_at(tail_offset(start.wrapping_add(head.len() as u64)));
        let (before_end, wrapped) = tail.split_at(older.len().min(tail.len()));
        store(older, before_end);
        store(newer, wrapped);
    }

    pub(super) fn read(&self) -> Vec<u8> {
        (0..LOOKS).find_map(|_| self.look()).unwrap_or_default()
    }

    /// The output, unless it was being reset.
    fn look(&self) -> Option<Vec<u8>> {
        let resets = self.resets.load(Acquire);
        let total = self.total.load(Acquire);
        let head = copy(&self.head[..total.min(HEAD_BYTES as u64) as usize]);
        let tail_start = total.saturating_sub(TAIL_BYTES as u64).max(head.len() as u64);
        let tail = self.copy_tail(tail_start, total);
        fence(Acquire);
        let overwritten = self.claimed.load(Relaxed).saturating_sub(TAIL_BYTES as u64);
        let calm = resets.is_multiple_of(2) && self.resets.load(Relaxed) == resets;
        calm.then(|| join(head, &tail, overwritten.saturating_sub(tail_start), total))
    }

    fn copy_tail(&self, start: u64, end: u64) -> Vec<u8> {
        let first = tail_offset(start);
        let length = (end - start) as usize;
        let (older, newer) = (&self.tail[first..], &self.tail[..first]);
        let mut tail = copy(&older[..length.min(older.len())]);
        tail.extend(copy(&newer[..length - tail.len()]));
        tail
    }
}

/// Where the byte of this position lies in the tail.
fn tail_offset(position: u64) -> usize {
    (position % TAIL_BYTES as u64) as usize
}

fn store(places: &[AtomicU8], bytes: &[u8]) {
    for (place, byte) in places.iter().zip(bytes) {
        place.store(*byte, Relaxed);
    }
}

fn copy(bytes: &[AtomicU8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.load(Relaxed)).collect()
}

/// Head, a line about what is missing between, and the tail less the bytes that were overwritten during the copy.
fn join(mut head: Vec<u8>, tail: &[u8], overwritten: u64, total: u64) -> Vec<u8> {
    let tail = &tail[overwritten.min(tail.len() as u64) as usize..];
    head.extend(gap(total - head.len() as u64 - tail.len() as u64));
    head.extend_from_slice(tail);
    head
}

/// The line that says how many bytes are left out, if some are.
pub(super) fn gap(missing: u64) -> Vec<u8> {
    if missing == 0 { Vec::new() } else { format!("\n[... {missing} bytes left out ...]\n").into_bytes() }
}

#[cfg(all(test, model))]
mod model;
#[cfg(all(test, not(model)))]
mod tests {
    use super::*;
    use crate::shared::race::while_writing;

    #[allow(clippy::large_stack_arrays)] // 48 KiB, once per test.
    fn output() -> Box<Output> {
        Box::new(Output {
            resets: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            total: AtomicU64::new(0),
            head: [const { AtomicU8::new(0) }; HEAD_BYTES],
            tail: [const { AtomicU8::new(0) }; TAIL_BYTES],
            landing: Landing::default(),
        })
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    /// What a reader should get of `bytes`.
    fn kept(bytes: &[u8]) -> Vec<u8> {
        let missing = bytes.len().saturating_sub(HEAD_BYTES + TAIL_BYTES);
        if missing == 0 {
            return bytes.to_vec();
        }
        let gap = format!("\n[... {missing} bytes left out ...]\n").into_bytes();
        [&bytes[..HEAD_BYTES], &gap, &bytes[HEAD_BYTES + missing..]].concat()
    }

    #[test]
    fn head_and_tail_are_kept_whatever_the_sizes() {
        let all = HEAD_BYTES + TAIL_BYTES;
        for length in [0, 1, HEAD_BYTES, HEAD_BYTES + 1, all, all + 1, 3 * all, 1_000_003] {
            for step in [1_000, 4_096, 5_001, 1 << 20] {
                let (output, bytes) = (output(), text(length));
                bytes.chunks(step).for_each(|chunk| output.append(chunk));
                assert!(output.read() == kept(&bytes), "{length} bytes in steps of {step}");
                assert_eq!(output.total(), length as u64);
                assert!(output.read().len() <= OUTPUT_BYTES_MAX);
            }
        }
    }

    #[test]
    fn a_reset_forgets_all() {
        let output = output();
        output.append(&text(100_000));
        output.reset();
        assert_eq!((output.read(), output.total()), (vec![], 0));
        output.append(b"new");
        assert_eq!(output.read(), b"new");
    }

    #[test]
    fn a_writer_that_died_in_a_reset_leaves_no_output_and_the_next_reset_heals_it() {
        let output = output();
        output.append(b"old");
        output.resets.store(1, Relaxed);
        assert_eq!(output.read(), b"");
        output.reset();
        output.append(b"new");
        assert_eq!(output.read(), b"new");
    }

    #[test]
    fn a_writer_that_died_in_an_append_costs_the_bytes_it_overwrote() {
        let output = output();
        let mut bytes = text(HEAD_BYTES + TAIL_BYTES);
        output.append(&bytes);
        output.claimed.store(bytes.len() as u64 + 100, Relaxed);
        output.write(bytes.len() as u64, &[0xff; 60]);
        let gap = b"\n[... 100 bytes left out ...]\n".to_vec();
        bytes.splice(HEAD_BYTES..HEAD_BYTES + 100, gap);
        assert!(output.read() == bytes);
    }

    #[test]
    fn scribbled_numbers_are_read_without_panic() {
        let output = output();
        for number in [u64::MAX, u64::MAX - 1, 1 << 63, TAIL_BYTES as u64 + 1] {
            for (claimed, total) in [(number, 0), (0, number), (number, number), (number, 5)] {
                output.claimed.store(claimed, Relaxed);
                output.total.store(total, Relaxed);
                assert!(output.read().len() <= OUTPUT_BYTES_MAX);
                output.append(b"more");
            }
        }
    }

    /// The writer appends a counting sequence and resets it now and then: each look must show one run of it.
    #[test]
    fn readers_see_one_moment_while_the_child_writes() {
        let (output, line) = (output(), text(251 * 40));
        let mut longest = 0;
        while_writing(
            |round| {
                output.append(&line);
                if round % 37 == 0 {
                    output.reset();
                }
            },
            || {
                let read = output.read();
                check_runs(&read);
                longest = longest.max(read.len());
            },
        );
        assert!(longest > HEAD_BYTES, "no look saw a tail");
    }

    fn check_runs(read: &[u8]) {
        let (head, tail) = read.split_at(read.len().min(HEAD_BYTES));
        let after_gap =
            tail.strip_prefix(b"\n[... ").and_then(|rest| rest.splitn(2, |&byte| byte == b']').nth(1));
        let tail = after_gap.map_or(tail, |rest| &rest[1..]);
        for run in [head, tail] {
            assert!(run.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 251), "a run is broken");
        }
        assert_eq!(head.first().copied().unwrap_or(0), 0);
    }
}
