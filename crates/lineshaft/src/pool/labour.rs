//! The life of a worker: it calls tasks with the items of shares, some at a time, and reports what they gave.

use std::ops::Range;
use std::process;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_ipc::channel::{Channel, Received};
use lineshaft_ipc::claims::Claims;
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::End;
use lineshaft_wire::value::typed;
use tokio::runtime::Runtime;

use super::message::{ENDING, FAILED, Held, ITEMS, READY, RESULTS, Report, Share, send};
use super::registry::Registry;
use crate::task::{Context, Outcome, notice_panics, spare};

/// About so long are the items that are claimed at a time.
const CLAIM: Duration = Duration::from_millis(1);
/// After so long results are sent, though the share is not done; of items that take long, those of each.
const FLUSH: Duration = Duration::from_millis(5);
/// Of results that are sent at a time, unless one has more.
const BYTES_MAX: usize = 4_000_000;
const MESSAGES: usize = 16;
/// Of a context that claimed items were entered with: the worker, who entered it, and the scope.
const SCOPED_OWNERS: usize = 3;
/// So many bytes of a result are copied rather than kept in the buffer in which they were encoded.
const COPIED_MAX: usize = 16 << 10;

/// Works until the pool says that it is over.
pub(super) fn work(worker: u32, tasks: &Channel, results: Channel, claims: Claims) -> ! {
    notice_panics();
    let mut labour =
        Labour { worker, results, claims, runtime: None, context: None, owners: 1, pace: Pace::default() };
    labour.say_ready();
    let (mut received, held) = (Received::default(), Held::default());
    loop {
        tasks.get_many(&mut received, MESSAGES, None).expect("the pool is there as long as its workers");
        for (tag, part) in received.drain() {
            match tag {
                ITEMS => {
                    let share = Share::read(held.bytes_of(part)).expect("a share as its pool wrote it");
                    labour.work_off(share);
                }
                ENDING => process::exit(0),
                _ => {}
            }
        }
    }
}

struct Labour {
    worker: u32,
    results: Channel,
    claims: Claims,
    /// For tasks that are an `async fn`.
    runtime: Option<Runtime>,
    /// Of the last item, with the number of its task: the next one's too, if that leaves no trace in it.
    context: Option<(u32, Context)>,
    /// How many have it when no item is under way.
    owners: usize,
    pace: Pace,
}

/// How long items take, and how much they give.
#[derive(Default)]
struct Pace {
    task: Option<u32>,
    item: Duration,
    result_bytes: usize,
}

impl Pace {
    /// How many items are claimed: one, of those that nothing is known of.
    fn claim_items(&self) -> u32 {
        if self.task.is_none() {
            return 1;
        }
        let by_time = CLAIM.as_nanos() / self.item.as_nanos().max(1);
        let by_bytes = (BYTES_MAX / self.result_bytes.max(1)) as u128;
        by_time.min(by_bytes).clamp(1, 1_000_000) as u32
    }
}

/// Results that are not sent yet.
#[derive(Default)]
struct Results {
    table: Vec<u8>,
    /// One after the other, up to the last large one.
    pieces: Vec<Vec<u8>>,
    /// The small ones behind that.
    small: Vec<u8>,
    bytes: usize,
    took: Duration,
}

impl Results {
    fn push(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Returned(payload) => self.push_payload(payload, 0),
            Outcome::Other(end) => self.push_failure(&record_of(*end)),
        }
    }

    fn push_failure(&mut self, record: &ErrorRecord) {
        // A record of texts has no value that does not encode.
        self.push_payload(typed::to_plain_payload(record).unwrap_or_default(), FAILED);
    }

    fn push_payload(&mut self, payload: Vec<u8>, mark: u32) {
        self.table.extend_from_slice(&(payload.len() as u32 | mark).to_le_bytes());
        self.bytes += payload.len();
        if payload.len() > COPIED_MAX {
            self.pieces.extend([std::mem::take(&mut self.small), payload]);
        } else {
            self.small.extend_from_slice(&payload);
            spare::give_buffer_back(payload);
        }
    }

    fn count(&self) -> u32 {
        (self.table.len() / Report::ENTRY_BYTES) as u32
    }

    /// Behind a head, what is sent.
    fn after<'r>(&'r self, head: &'r [u8]) -> Vec<&'r [u8]> {
        let payloads = self.pieces.iter().chain([&self.small]).map(Vec::as_slice);
        [head, &self.table].into_iter().chain(payloads).collect()
    }

    fn clear(&mut self) {
        self.table.clear();
        self.pieces.clear();
        self.small.clear();
        (self.bytes, self.took) = (0, Duration::ZERO);
    }
}

impl Labour {
    fn say_ready(&self) {
        let tasks = Registry::get().len().to_le_bytes();
        send(&self.results, READY, &[&self.worker.to_le_bytes(), &tasks], None).expect("a pool that listens");
    }

    fn work_off(&mut self, mut share: Share) {
        let mut results = Results::default();
        loop {
            let claimed = self.claims.claim(share.slot.into(), share.number, self.pace.claim_items());
            if claimed.is_empty() {
                break;
            }
            let end = claimed.end;
            let is_one = claimed.len() == 1;
            self.do_claimed(&mut share, claimed, &mut results);
            if end >= share.count {
                break;
            }
            if results.took >= if is_one { CLAIM } else { FLUSH } {
                self.report(share.slot, &mut results, false);
            }
        }
        self.report(share.slot, &mut results, true);
    }

    /// In the context of the item before them, which they mostly have too.
    fn do_claimed(&mut self, share: &mut Share, claimed: Range<u32>, results: &mut Results) {
        let Some((_, context)) = self.context.clone() else { return self.do_items(share, claimed, results) };
        context.around(|| {
            self.owners = SCOPED_OWNERS;
            self.do_items(share, claimed, results);
        });
        self.owners = 1;
    }

    fn do_items(&mut self, share: &mut Share, claimed: Range<u32>, results: &mut Results) {
        let (mut began, mut done, mut bytes) = (Instant::now(), 0, 0);
        let mut task = None;
        for _ in claimed {
            let (number, place) = share.next_item().expect("a share as its pool wrote it");
            task = Some(number);
            let before = results.bytes;
            results.push(self.call(number, &share.payloads, place));
            (done, bytes) = (done + 1, bytes + results.bytes - before);
            if results.bytes >= BYTES_MAX {
                let now = Instant::now();
                results.took += now - began;
                self.pace = Pace { task, item: (now - began) / done, result_bytes: bytes / done as usize };
                began = now;
                (done, bytes) = (0, 0);
                self.report(share.slot, results, false);
            }
        }
        if done > 0 {
            let took = began.elapsed();
            results.took += took;
            self.pace = Pace { task, item: took / done, result_bytes: bytes / done as usize };
        }
    }

    fn call(&mut self, number: u32, payloads: &Bytes, place: Range<usize>) -> Outcome {
        let task = Registry::get().task(number).expect("parent and worker have the same tasks");
        let owners = self.owners;
        let is_good = |(its, context): &(u32, Context)| *its == number && context.is_as_made(owners);
        if !self.context.as_ref().is_some_and(is_good) {
            (self.context, self.owners) = (None, 1);
        }
        let (_, context) = self.context.get_or_insert_with(|| (number, Context::of_pool(task.name())));
        let runtime = &mut self.runtime;
        let block_on = |body| {
            let runtime = runtime.get_or_insert_with(|| {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                builder.enable_all().build().expect("a runtime for coroutines")
            });
            runtime.block_on(body)
        };
        task.run_here(context, (payloads, place), block_on)
    }

    fn report(&self, slot: u16, results: &mut Results, is_last: bool) {
        let head = Report::head(self.worker, slot, is_last, results.count(), results.took);
        if let Err(error) = send(&self.results, RESULTS, &results.after(&head), None) {
            // The system has no memory for them, but for so few words it may have.
            let mut failures = Results::default();
            let record = ErrorRecord {
                types: vec!["lineshaft.value.Error".to_owned()],
                message: format!("the result cannot be sent: {error}"),
                ..ErrorRecord::default()
            };
            (0..results.count()).for_each(|_| failures.push_failure(&record));
            send(&self.results, RESULTS, &failures.after(&head), None).expect("a pool that listens");
        }
        results.clear();
    }
}

/// Why a body gave nothing. What it says of a next attempt is nothing to a pool.
fn record_of(end: End) -> ErrorRecord {
    let said = |message: &str| ErrorRecord { message: message.to_owned(), ..ErrorRecord::default() };
    match end {
        End::Errored { error, .. } | End::Rejected { error, .. } => error,
        End::CancelledItself { reason } => said(&reason),
        End::Parked { missing } => said(&format!("the arguments need {missing}")),
        End::Snoozed { .. } => said("the task puts itself off, for which a pool does not wait"),
        other => said(&format!("{other:?}")),
    }
}
