//! Cursors of lists, asked of an engine with jobs of every kind.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Options, Outbox, Outgoing, Retention, Stepped};
use lineshaft_store::Options as JournalOptions;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::JobState;
use lineshaft_wire::message::{Filter, List, Message, Page, RefusalCode};

use crate::bounded;
use crate::damage::overwrite;

/// A home that a version left: a few jobs of every kind, some of them in the archive.
const HOME: &[u8] = include_bytes!("../../crates/lineshaft-engine/tests/golden/2-pages.home");
/// Pages after which a list must have ended.
const PAGES_MAX: usize = 100;
/// An answer has a few jobs.
const MEMORY_MAX: usize = 4 << 20;

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::open());
}

/// The limit of a page, a state or none, then the cursor's text. It is refused, or the pages from there on end.
pub(crate) fn cursor(data: &[u8]) -> bool {
    let Some(([limit, state], text)) = data.split_first_chunk::<2>() else { return false };
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let states = JobState::ALL.get(usize::from(*state)).copied().into_iter().collect();
    let filter = Filter { states, ..Filter::default() };
    ENGINE.with_borrow_mut(|engine| {
        let mut cursor = text.to_owned();
        for page in 0..PAGES_MAX {
            let list = List { filter: filter.clone(), cursor: Some(cursor), limit: u32::from(*limit) };
            let answer = bounded(MEMORY_MAX, || engine.ask(list.into()));
            let found = match answer {
                Message::Page(found) => found,
                Message::Refused(refused) if page == 0 => {
                    assert_eq!(refused.code, RefusalCode::BadRequest);
                    return false;
                }
                other => panic!("{other:?}"),
            };
            let Page { jobs, cursor: next } = found;
            assert!(jobs.len() <= usize::from(*limit).max(1));
            assert!(jobs.iter().all(|job| filter.states.is_empty() || filter.states.contains(&job.state)));
            let Some(next) = next else { return true };
            cursor = next;
        }
        panic!("a list without an end");
    })
}

struct Engine {
    engine: Stepped<SimulatedDisk>,
    mailbox: Arc<Mailbox>,
    connection: ConnectionId,
    requests: u64,
}

impl Engine {
    fn open() -> Self {
        let disk = SimulatedDisk::new();
        unpack(HOME, &disk);
        let journal_options = JournalOptions {
            background: false,
            // A disk in memory counts as what an answer takes, when a seal needs the next segment.
            segment_bytes_first: 4 << 10,
            segment_bytes_max: 16 << 10,
            seed: 1,
            ..JournalOptions::default()
        };
        // The home is years old.
        let retention = Retention { age: std::time::Duration::from_secs(1 << 32), bytes: u64::MAX };
        let options = Options { retention, ..Options::default() };
        let (engine, _) = Stepped::open(disk, journal_options, options).expect("the home opens");
        let mailbox = Arc::new(Mailbox::default());
        let connection = engine.handle().connect(mailbox.clone());
        Self { engine, mailbox, connection, requests: 0 }
    }

    fn ask(&mut self, message: Message) -> Message {
        self.requests += 1;
        self.engine.handle().request(self.connection, self.requests, message, Bytes::new());
        loop {
            self.engine.turn().expect("the disk is well");
            let waiting: Vec<_> = self.engine.waiting().collect();
            waiting.into_iter().for_each(|aside| self.engine.work(aside));
            let mut arrived = self.mailbox.0.lock().expect("nobody panics with it");
            let answer = arrived.drain(..).find(|outgoing| outgoing.request_id == self.requests);
            if let Some(answer) = answer {
                return answer.message;
            }
        }
    }
}

#[derive(Default)]
struct Mailbox(Mutex<Vec<Outgoing>>);

impl Outbox for Mailbox {
    fn deliver(&self, messages: Vec<Outgoing>) {
        self.0.lock().expect("nobody panics with it").extend(messages);
    }

    fn close(&self) {}
}

/// The files of a golden home, as `crates/lineshaft-engine/tests/it/golden.rs` packs them.
pub fn unpack(packed: &[u8], disk: &SimulatedDisk) {
    let unpack =
        |bytes: &[u8]| lz4_flex::block::decompress_size_prepended(bytes).expect("the product packed it");
    let bytes = unpack(&unpack(packed));
    let mut rest = &bytes[..];
    while let Some((numbers, after)) = rest.split_first_chunk::<24>() {
        let number =
            |at: usize| u64::from_le_bytes(numbers[at..at + 8].try_into().expect("eight bytes")) as usize;
        let (path, after) = after.split_at(number(0));
        let (kept, after) = after.split_at(number(16));
        let mut content = kept.to_vec();
        content.resize(number(8), 0);
        overwrite(disk, std::str::from_utf8(path).expect("a path is text"), &content);
        rest = after;
    }
}
