//! What attempts logged: kept and looked through by a thread of its own, so that neither holds up a commit.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use lineshaft_jobs::Refusal;
use lineshaft_store::logs::{self, LogCursor, LogPageRequest, LogStore};
use lineshaft_store::{Disk, Error, Home};
use lineshaft_wire::message::{
    AddLogs, Done, LOG_BATCH_MAX, LOG_PAGE_MAX, ListLogs, Logs, Message, RefusalCode, Refused,
};
use lineshaft_wire::{JobId, LogFilter, LogRecord};
use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::handle::Outgoing;
use crate::options::Retention;
use crate::query::Asked;

/// Bytes of all records; the oldest go first.
const LOGS_BYTES_MAX: u64 = 1 << 30;
/// How long a page may be looked for.
const PAGE_TIME: Duration = Duration::from_millis(20);
/// After how long records are durable at the latest.
const SYNC_AFTER: Duration = Duration::from_secs(1);
const RETENTION_EVERY: Duration = Duration::from_secs(600);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Children of which it is known which records they have sent.
const CHILDREN_MAX: usize = 16_384;

/// What is asked of the one who keeps records.
pub enum LogsAsked {
    /// To keep some.
    Add(AddLogs),
    /// To find some.
    List(ListLogs),
}

/// Keeps records, and finds them.
pub(crate) struct LogKeeper<D: Disk> {
    home: Home<D>,
    /// Opened when there is something to keep or to find: most homes have no records.
    store: Option<LogStore<D>>,
    retention: Retention,
    clock: Clock,
    children: Children,
    /// Unix microseconds at which this engine began: what is older may have come to the one before it.
    began_us: u64,
    /// Since when there are records that are not durable.
    unsynced_since: Option<Instant>,
    looked: Option<Looked>,
}

/// When records were looked for whose time is over.
struct Looked {
    at: Instant,
    /// The UTC day of that, counted from 1970.
    day: u64,
}

/// The numbers of the records that children have sent, so that those which come again are not kept twice.
#[derive(Debug, Default)]
struct Children {
    next: FxHashMap<(u64, u32), u64>,
    /// The oldest first.
    order: VecDeque<(u64, u32)>,
}

impl<D: Disk> LogKeeper<D> {
    pub(crate) fn new(home: Home<D>, retention: Retention, clock: Clock) -> Self {
        let (children, began_us) = (Children::default(), clock.wall_ms() * 1_000);
        Self { home, store: None, retention, clock, children, began_us, unsynced_since: None, looked: None }
    }

    fn store(&mut self) -> Result<LogStore<D>, Error> {
        if self.store.is_none() {
            self.store = Some(LogStore::open(&self.home)?);
        }
        Ok(self.store.clone().expect("it was opened"))
    }

    /// Answers until the engine is gone.
    pub(crate) fn run(mut self, asked: &Receiver<(Asked, LogsAsked)>) {
        loop {
            match asked.recv_timeout(SYNC_AFTER.saturating_sub(self.unsynced_for())) {
                // However much is asked.
                Ok((asked, what)) => {
                    self.work(&asked, what);
                    if self.unsynced_for() >= SYNC_AFTER {
                        self.sync();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
            self.retain_if_due();
        }
    }

    fn unsynced_for(&self) -> Duration {
        self.unsynced_since.map_or(Duration::ZERO, |since| self.clock.instant() - since)
    }

    /// Looks now and then, and whenever a day has begun, for then another one may go: whether anybody logs or not.
    fn retain_if_due(&mut self) {
        let (at, day) = (self.clock.instant(), self.clock.wall_ms() / DAY_MS);
        let is_due = |looked: &Looked| looked.day != day || at - looked.at >= RETENTION_EVERY;
        if self.looked.as_ref().is_none_or(is_due) {
            self.looked = Some(Looked { at, day });
            self.retain();
        }
    }

    fn work(&mut self, asked: &Asked, what: LogsAsked) {
        let answer = match what {
            LogsAsked::Add(add) => self.add(add).map(|()| Message::from(Done {})),
            LogsAsked::List(list) => self.list(list).map(Message::from),
        };
        let message =
            answer.unwrap_or_else(|Refusal { code, message, hint }| Refused { code, message, hint }.into());
        asked.outbox.deliver(vec![Outgoing::new(asked.request_id, message)]);
    }

    fn add(&mut self, add: AddLogs) -> Result<(), Refusal> {
        let AddLogs { worker, child, first, mut records } = add;
        if records.len() > LOG_BATCH_MAX {
            let message = format!("{} records are too many, at most {LOG_BATCH_MAX}", records.len());
            return Err(Refusal { code: RefusalCode::BadRequest, message, hint: None });
        }
        let next = first.saturating_add(records.len() as u64);
        let known = self.children.next_of(worker, child);
        if known > 0 && first > known {
            // Kept now, they would stand for those between.
            let message = format!("records from {known} on are missing before {first}");
            return Err(Refusal { code: RefusalCode::WrongState, message, hint: None });
        }
        let again = usize::try_from(known.saturating_sub(first)).unwrap_or(usize::MAX).min(records.len());
        records.drain(..again);
        if !records.is_empty() {
            let now = self.clock.instant();
            self.unsynced_since.get_or_insert(now);
        }
        let store = self.keep(records).map_err(|error| {
            self.children.set(worker, child, first.max(known));
            refused(&error)
        })?;
        self.children.set(worker, child, next);
        if store.counts().bytes > LOGS_BYTES_MAX {
            let dropped = store.drop_oldest_until(LOGS_BYTES_MAX);
            self.look_after(dropped);
        }
        Ok(())
    }

    fn keep(&mut self, mut records: Vec<LogRecord>) -> Result<LogStore<D>, Error> {
        self.leave_out_known(&mut records)?;
        match self.append(&records) {
            Err(error) if is_for_a_moment(&error) => {
                self.look_after(Err::<(), _>(error));
                // Nothing of them was stored.
                self.append(&records)
            }
            kept => kept,
        }
    }

    fn append(&mut self, records: &[LogRecord]) -> Result<LogStore<D>, Error> {
        let store = self.store()?;
        store.append(records)?;
        Ok(store)
    }

    /// Leaves out what the engine before this one has stored, and could not confirm.
    fn leave_out_known(&mut self, records: &mut Vec<LogRecord>) -> Result<(), Error> {
        let old = records.iter().filter(|record| record.time_us < self.began_us);
        let jobs: BTreeSet<JobId> = old.clone().map(|record| record.job).collect();
        let Some(since_us) = old.map(|record| record.time_us).min() else { return Ok(()) };
        let mut known: FxHashMap<u64, Vec<LogRecord>> = FxHashMap::default();
        for job in jobs {
            let filter = LogFilter { job: Some(job), since_us: Some(since_us), ..LogFilter::default() };
            let mut request = LogPageRequest { filter, count: LOG_PAGE_MAX as usize, ..Default::default() };
            loop {
                let page = self.store()?.page(&request)?;
                page.records
                    .into_iter()
                    .for_each(|found| known.entry(found.time_us).or_default().push(found));
                request.after = page.next;
                if page.is_end {
                    break;
                }
            }
        }
        records.retain(|record| {
            let stored = known.get(&record.time_us);
            !stored.is_some_and(|found| found.contains(&record.without_attachment()))
        });
        Ok(())
    }

    fn list(&mut self, list: ListLogs) -> Result<Logs, Refusal> {
        let ListLogs { filter, after, count, newest_first } = list;
        let request = LogPageRequest {
            filter,
            after: after.map(LogCursor::from),
            count: count.clamp(1, LOG_PAGE_MAX) as usize,
            newest_first,
            budget: PAGE_TIME,
        };
        let page = self.store().and_then(|store| store.page(&request)).map_err(|error| refused(&error))?;
        Ok(Logs { records: page.records, next: page.next.map(u64::from), is_end: page.is_end })
    }

    fn sync(&mut self) {
        if self.unsynced_since.take().is_some()
            && let Some(synced) = self.store.as_ref().map(LogStore::sync)
        {
            self.look_after(synced);
        }
    }

    fn retain(&mut self) {
        let has_some = self.home.disk().list(logs::DIRECTORY).is_ok_and(|files| !files.is_empty());
        if self.store.is_none() && !has_some {
            return;
        }
        let store = match self.store() {
            Ok(store) => store,
            Err(error) => return self.look_after(Err::<(), _>(error)),
        };
        let age_us = u64::try_from(self.retention.age.as_micros()).unwrap_or(u64::MAX);
        let dropped = store.drop_before((self.clock.wall_ms() * 1_000).saturating_sub(age_us));
        self.look_after(dropped);
    }

    /// Logs are not jobs: what cannot be done with them holds up nothing else.
    fn look_after<T>(&mut self, result: Result<T, Error>) {
        if let Err(error) = result {
            tracing::warn!(%error, "what attempts logged cannot be looked after");
            if is_for_a_moment(&error) {
                self.store = None;
            }
        }
    }
}

impl Children {
    /// The number of the next record of a child.
    fn next_of(&self, worker: u64, child: u32) -> u64 {
        self.next.get(&(worker, child)).copied().unwrap_or(0)
    }

    fn set(&mut self, worker: u64, child: u32, next: u64) {
        let known = self.next.entry((worker, child)).or_insert_with(|| {
            self.order.push_back((worker, child));
            0
        });
        *known = next.max(*known);
        if self.order.len() > CHILDREN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.next.remove(&oldest);
        }
    }
}

/// After a failure a store writes nothing any more, since it does not know what is on disk. Opened again it does: that
/// somebody has removed a file, or all descriptors were used, need not be so the next time. Not after a failed sync, when
/// what is read may not be on disk.
fn is_for_a_moment(error: &Error) -> bool {
    matches!(error, Error::Io { action, .. } if *action != "sync")
}

fn refused(error: &Error) -> Refusal {
    let code = match error {
        Error::Full { .. } => RefusalCode::StoreFull,
        Error::TooLarge { .. } => RefusalCode::TooLarge,
        _ => RefusalCode::Internal,
    };
    Refusal { code, message: format!("what attempts logged: {error}"), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_known() {
        let mut children = Children::default();
        assert_eq!(children.next_of(7, 1), 0);
        children.set(7, 1, 11);
        children.set(7, 1, 5);
        assert_eq!((children.next_of(7, 1), children.next_of(7, 2)), (11, 0));
        (0..CHILDREN_MAX as u64).for_each(|worker| children.set(100 + worker, 1, 2));
        assert_eq!((children.next_of(7, 1), children.next.len()), (0, CHILDREN_MAX));
    }
}
