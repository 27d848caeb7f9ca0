//! Putters and getters at work, of which one after the other is killed at any instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft_ipc::ring::{Batch, Message, Options, Ring};

use super::{Forked, LONG, rounds};

/// Most messages of one putter; one that comes so far waits to be killed.
const MESSAGES: usize = 32_768;
/// Most messages that a getter takes at once, and so at most are lost with it.
const TAKEN_MAX: usize = 8;

/// A process at work.
struct Child {
    /// Its number, if it puts.
    putter: Option<usize>,
    process: Forked,
}

/// What putters and getters wrote down, in memory that forked children share and that outlives them.
struct Book {
    mapping: memmap2::MmapRaw,
}

/// What one putter said, and who heard it.
#[repr(C)]
struct Page {
    /// Messages that `put` had returned of.
    put: AtomicU32,
    /// Messages that it had begun to put.
    begun: AtomicU32,
    /// How often each was got.
    got: [AtomicU8; MESSAGES],
}

impl Book {
    fn new(pages: usize) -> Arc<Self> {
        let file = tempfile::tempfile().unwrap();
        file.set_len((pages * size_of::<Page>()) as u64).unwrap();
        Arc::new(Self { mapping: memmap2::MmapOptions::new().map_raw(&file).unwrap() })
    }

    #[allow(clippy::cast_ptr_alignment)] // A mapping starts at a memory page.
    fn pages(&self) -> &[Page] {
        let first = self.mapping.as_ptr().cast::<Page>();
        // SAFETY: the mapping has so many of them, which are atomics that are zero at first.
        unsafe { std::slice::from_raw_parts(first, self.mapping.len() / size_of::<Page>()) }
    }

    fn got(&self) -> usize {
        let pages = self.pages().iter();
        pages.map(|page| page.got.iter().filter(|got| got.load(SeqCst) > 0).count()).sum()
    }
}

fn put_for_ever(ring: &Ring, book: &Book, number: usize) {
    let page = &book.pages()[number];
    let text = |index: usize| [number.to_le_bytes(), index.to_le_bytes()].concat().repeat(1 + index % 9);
    let mut index = 0;
    while index < MESSAGES {
        let count = (1 + index % 5).min(MESSAGES - index);
        page.begun.store((index + count) as u32, SeqCst);
        let texts: Vec<Vec<u8>> = (index..index + count).map(text).collect();
        let messages: Vec<Message<'_>> = texts.iter().map(|bytes| Message { tag: 1, bytes }).collect();
        index += ring.put_many(&messages, None).unwrap();
        page.put.store(index as u32, SeqCst);
    }
    thread::sleep(LONG.unwrap());
}

/// Gets until nothing comes within `patience`, and writes down what. Of each putter the messages come in order.
fn get_until_none(ring: &Ring, book: &Book, patience: Option<Duration>) {
    let (mut batch, mut last) = (Batch::default(), vec![0; book.pages().len()]);
    while let Ok(count) = ring.get_many(&mut batch, TAKEN_MAX, patience) {
        assert!((1..=TAKEN_MAX).contains(&count) && count == batch.len());
        for message in batch.iter() {
            let word = |at: usize| usize::from_le_bytes(message.bytes[at..at + 8].try_into().unwrap());
            let (number, index) = (word(0), word(8));
            assert!(index + 1 > last[number], "message {index} of {number} after {}", last[number]);
            last[number] = index + 1;
            assert_eq!(book.pages()[number].got[index].fetch_add(1, SeqCst), 0, "got twice");
        }
    }
}

#[test]
fn nothing_is_lost_got_twice_or_stuck() {
    let rounds = rounds() as usize;
    let ring = Ring::create(Options { room_bytes: 4_096, messages_max: 40 }).unwrap();
    let book = Book::new(rounds + 2);
    let mut putters = 0;
    let mut fork = |is_putter: bool| {
        let (ring, book, number) = (ring.clone(), Arc::clone(&book), putters);
        putters += usize::from(is_putter);
        let process = Forked::run(|| {
            if is_putter {
                put_for_ever(&ring, &book, number);
            } else {
                get_until_none(&ring, &book, None);
            }
        });
        Child { putter: is_putter.then_some(number), process }
    };
    let mut children = [true, true, false, false].map(&mut fork).map(Some);
    let (mut random, mut getters_killed) = (random_numbers(rounds), 0);
    for _ in 0..rounds {
        wait_for_progress(&ring, &book, children.iter().flatten());
        thread::sleep(Duration::from_micros(random() % 1_000));
        let place = &mut children[random() as usize % 4];
        let child = place.take().unwrap();
        let is_putter = child.putter.is_some();
        assert!(child.process.kill(), "a child ended by itself");
        getters_killed += usize::from(!is_putter);
        *place = Some(fork(is_putter));
    }
    for child in children.into_iter().flatten() {
        getters_killed += usize::from(child.putter.is_none());
        assert!(child.process.kill(), "a child ended by itself");
    }
    check(&ring, &book, getters_killed);
}

/// Whoever was killed last, messages are got again.
fn wait_for_progress<'a>(ring: &Ring, book: &Book, children: impl Iterator<Item = &'a Child>) {
    let numbers: Vec<usize> = children.filter_map(|child| child.putter).collect();
    // Nobody tells that they are done, so all that was ever put counts.
    let got = || ring.unfinished().saturating_sub(ring.len() as u32);
    let are_through =
        || numbers.iter().all(|&number| book.pages()[number].put.load(SeqCst) as usize == MESSAGES);
    let (before, began) = (got(), Instant::now());
    while got() < before + 20 && !are_through() {
        assert!(began.elapsed() < LONG.unwrap(), "nothing is got any more: {ring:?} with {}", ring.len());
        thread::sleep(Duration::from_micros(100));
    }
}

/// All of them are dead: what is left is got here, and the ring is as good as new.
fn check(ring: &Ring, book: &Book, getters_killed: usize) {
    get_until_none(ring, book, Some(Duration::from_millis(20)));
    let mut missing = 0;
    for page in book.pages() {
        let (put, begun) = (page.put.load(SeqCst) as usize, page.begun.load(SeqCst) as usize);
        missing += page.got[..put].iter().filter(|got| got.load(SeqCst) == 0).count();
        assert!(page.got[begun..].iter().all(|got| got.load(SeqCst) == 0), "got what was never put");
    }
    let got = book.got();
    assert!(missing <= getters_killed * TAKEN_MAX, "{missing} of {got} lost with {getters_killed} getters");
    assert!(got > 0);
    ring.put(Message { tag: 1, bytes: b"last" }, LONG).unwrap();
    ring.get(&mut Batch::default(), LONG).unwrap();
    eprintln!("{got} messages, {missing} taken along by {getters_killed} getters");
}

/// Numbers that are the same every time, so that a failure can be tried again.
fn random_numbers(seed: usize) -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed as u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    }
}
