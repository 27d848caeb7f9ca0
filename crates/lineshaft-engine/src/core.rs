//! The engine without threads, clock or disk: requests in, commits and outputs out.
//!
//! [`Core`] collects the changes of one commit in a body and what must wait for it in a list. The driver writes the
//! body and then lets the outputs go; a simulation does the same with a disk of its own.

use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, RwLock};

use lineshaft_jobs::{
    Change, Command, Copied, Entry, Event, JobView, Now, Place, Refusal, Reply, SnapshotDraft, State, Stored,
};
use lineshaft_store::{PayloadRef, Shortage};
use lineshaft_wire::message::{
    self, Lease, Leases, Message, ProcessKey, REPLACED_MAX, Refused, Replaced, Stop, StopReason,
};
use lineshaft_wire::{Fence, JobId, Looks};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cache::CacheUse;
use crate::declarations::Declarations;
use crate::handle::{ConnectionId, Outbox, Outgoing, Payload};
use crate::holds::Holding;
use crate::lag::Lag;
use crate::locks::LockWaits;
use crate::next_profiles::NextProfiles;
use crate::options::Options;
use crate::query::Query;
use crate::repeats::Repeats;
use crate::room::Room;
use crate::waits::{Draft, Waits};

/// Bulk steps of one commit, so that a purge of millions lets others in between.
const TICKS_MAX: usize = 4;
/// Jobs handed to the archive at once.
pub(crate) const BLOCK_JOBS: usize = 1_000;
/// How long a dead child's supervisor has to say how it died, milliseconds: while it is connected, it may still be about
/// to end what the child started; one that is gone may come back, but is not waited for long, and one that is dead not at
/// all.
const WORD_MS: u64 = 5_000;
const LAST_WORD_MS: u64 = 1_000;
/// How long workers have to come back after a start before the dead are counted, milliseconds. Who did not come back
/// after one start has only the rest of it after the next one.
const RETURN_MS: u64 = 2_000;
/// How far the clock may be ahead of what was written of it while a child is absent, milliseconds: a server that is
/// killed again and again loses no more than this of each of its lives.
const CLOCK_EVERY_MS: u64 = 250;

/// Something that leaves the engine once its commit is durable.
pub enum Output {
    /// A message to a connection.
    Message(ConnectionId, Outgoing),
    /// Jobs that a wait is told of.
    Ended(ConnectionId, u64, Draft),
    /// Something to be read from disk.
    Query(ConnectionId, u64, Box<Query>),
    /// Finished jobs for the archive.
    Archive(Vec<JobView>),
    /// A blob that nobody needs any more.
    DropBlob(u64),
}

/// A commit ready to be written, with what waits for it.
pub struct Committed {
    /// Its changes; empty if nothing changed.
    pub body: Vec<u8>,
    /// What leaves when it is durable.
    pub outputs: Vec<Output>,
}

pub(crate) struct Connection {
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) session: Option<u64>,
    pub(crate) child: Option<u32>,
    pub(crate) worker: Option<u64>,
    /// Whether somebody counts on this server: not a client that would rather have its own, as long as it has asked for
    /// nothing else.
    pub(crate) is_used: bool,
    /// Files that it copies.
    pub(crate) holding: Holding,
}

/// What a supervisor says of a dead child.
pub(crate) struct LastWord {
    pub(crate) connection: ConnectionId,
    pub(crate) request_id: u64,
    pub(crate) worker: u64,
    pub(crate) ended: message::ChildEnded,
    pub(crate) outputs: bytes::Bytes,
}

pub(crate) struct Worker {
    pub(crate) connection: ConnectionId,
    /// Number of the attach that it came with.
    pub(crate) attach: u64,
    pub(crate) name: Arc<str>,
    pub(crate) process: ProcessKey,
    /// What its tasks take and give, if it said so.
    pub(crate) schema: Option<Arc<str>>,
    /// The children that were replaced last.
    pub(crate) replaced: Vec<Replaced>,
}

impl Worker {
    /// A child is gone in whose place there is another one.
    pub(crate) fn note_replaced(&mut self, replaced: Replaced) {
        if self.replaced.len() >= REPLACED_MAX {
            self.replaced.remove(0);
        }
        self.replaced.push(replaced);
    }
}

/// A child whose process is dead, until its supervisor says how that came, or for as long as that is waited for.
struct Death {
    child: u32,
    worker: u64,
    /// The supervisor, if it was connected: dead too, it is not waited for.
    supervisor: Option<ProcessKey>,
    /// When the wait is over on the logical clock: with its supervisor connected, and without.
    supervised_ms: u64,
    alone_ms: u64,
}

impl Death {
    fn due_ms(&self, workers: &FxHashMap<u64, Worker>) -> u64 {
        if workers.contains_key(&self.worker) { self.supervised_ms } else { self.alone_ms }
    }
}

/// The engine's inside.
pub struct Core {
    pub(crate) state: State,
    pub(crate) options: Options,
    pub(crate) connections: FxHashMap<ConnectionId, Connection>,
    /// The newest connection that changed something in each session, or wanted to, also when it has ended. What comes in late
    /// over an older one must not be carried out: a refusal is not remembered, and after the one that came over the newer
    /// connection the client may have made the same jobs again under another number. A greeting alone takes no session over:
    /// it may be one that its client gave up waiting for.
    pub(crate) session_holders: FxHashMap<u64, ConnectionId>,
    pub(crate) children: FxHashMap<u32, ConnectionId>,
    /// The newest attach of each child that is known, by its number, also when its connection has ended.
    pub(crate) attaches: FxHashMap<u32, u64>,
    pub(crate) workers: FxHashMap<u64, Worker>,
    pub(crate) declarations: Declarations,
    /// Whose next attempts are profiled.
    pub(crate) next_profiles: NextProfiles,
    pub(crate) waits: Waits,
    pub(crate) lock_waits: LockWaits,
    pub(crate) cache: CacheUse,
    pub(crate) repeats: Repeats,
    pub(crate) progress: FxHashMap<u32, serde_bytes::ByteBuf>,
    /// What supervisors said of dead children whose own last words are still in their sockets, and until when.
    last_words: Vec<(u64, LastWord)>,
    /// Children whose process is dead, and until when their supervisor may say how.
    deaths: Vec<Death>,
    pub(crate) deleted: Arc<RwLock<FxHashSet<JobId>>>,
    pub(crate) started_ms: (u64, u64),
    /// Milliseconds of stalls since the last commit began.
    credited_ms: u64,
    pub(crate) lsn: u64,
    body: Vec<u8>,
    outputs: Vec<Output>,
    /// Blobs that changes of the open request name.
    named_blobs: FxHashSet<u64>,
    archiving: usize,
    archive_asked_ms: u64,
    /// Not before this logical time, because the last try failed.
    archive_not_before_ms: u64,
    archive_fails: bool,
    pub(crate) lag: Lag,
    /// Connections that files are held for.
    pub(crate) holders: Vec<ConnectionId>,
    pub(crate) room: Room,
    /// The disk is nearly full.
    pub(crate) is_tight: bool,
    /// What it lacks, as far as that is known.
    pub(crate) shortage: Option<Shortage>,
    pub(crate) stopping: bool,
}

impl Core {
    /// An engine whose newest commit is `lsn`.
    pub fn new(state: State, lsn: u64, options: Options, now: Now) -> Self {
        let deleted = Arc::new(RwLock::new(state.deleted().collect()));
        let lag = Lag::new(options.unarchived_max);
        let cache = CacheUse::of(&state, now.logical_ms);
        Self {
            state,
            options,
            lag,
            connections: FxHashMap::default(),
            session_holders: FxHashMap::default(),
            children: FxHashMap::default(),
            attaches: FxHashMap::default(),
            workers: FxHashMap::default(),
            declarations: Declarations::default(),
            next_profiles: NextProfiles::default(),
            waits: Waits::default(),
            lock_waits: LockWaits::default(),
            cache,
            repeats: Repeats::default(),
            progress: FxHashMap::default(),
            last_words: Vec::new(),
            deaths: Vec::new(),
            deleted,
            started_ms: (now.wall_ms, now.logical_ms),
            credited_ms: 0,
            lsn,
            body: Vec::new(),
            outputs: Vec::new(),
            named_blobs: FxHashSet::default(),
            archiving: 0,
            archive_asked_ms: now.logical_ms,
            archive_not_before_ms: 0,
            archive_fails: false,
            holders: Vec::new(),
            room: Room::Plenty,
            is_tight: false,
            shortage: None,
            stopping: false,
        }
    }

    /// The state machine, to look at.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state machine by itself, when nothing else is left to do.
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// Begins a snapshot of the state: of the newest commit, while none is open.
    pub fn begin_snapshot(&mut self) -> SnapshotDraft {
        self.state.begin_snapshot()
    }

    /// The snapshot that was begun is safe, or not.
    pub fn end_snapshot(&mut self, kept: bool) {
        self.state.end_snapshot(kept);
    }

    /// The newest commit, the open one not counted.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// Bytes of the open commit.
    pub fn open_bytes(&self) -> usize {
        self.body.len()
    }

    /// How much may be written until this is called again.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Whether the disk is nearly full: what is not needed goes.
    pub fn set_tight(&mut self, is_tight: bool) {
        self.is_tight = is_tight;
    }

    /// Whether even what is due has to wait.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.room == Room::Nothing
    }

    /// Makes a commit that says what time it is, and nothing else.
    pub(crate) fn note_time(&mut self, now: Now) {
        self.begin_body(now);
    }

    /// The engine stood still for `still_ms`: every lease lives as much longer, and for `bonus_ms` more.
    ///
    /// Of the absent that is written down together with the clock that has moved on meanwhile, since they have nothing
    /// but the rest of their leases after the next start too.
    pub fn credit_gap(&mut self, still_ms: u64, bonus_ms: u64) {
        self.state.extend_leases(still_ms + bonus_ms);
        self.credited_ms += still_ms;
    }

    /// Begins an epoch: the first changes of every run.
    pub fn start(&mut self, epoch: u64, nonce: u64, now: Now) {
        self.state.begin(epoch, nonce).into_iter().for_each(|change| self.record(change.into(), now));
    }

    /// Whether nobody counts on this server and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.connections.values().all(|connection| !connection.is_used)
            && self.state.child_reports().all(|child| child.leases == 0)
    }

    /// A connection opened.
    pub fn connected(&mut self, connection: ConnectionId, outbox: Arc<dyn Outbox>) {
        let entry = Connection {
            outbox,
            session: None,
            child: None,
            worker: None,
            is_used: false,
            holding: Holding::Nothing,
        };
        self.connections.insert(connection, entry);
    }

    /// A connection closed.
    pub fn disconnected(&mut self, connection: ConnectionId) {
        let Some(entry) = self.connections.remove(&connection) else { return };
        self.waits.forget(connection);
        self.leave_lines(connection);
        self.holders.retain(|holder| *holder != connection);
        if let Some(child) = entry.child
            && let MapEntry::Occupied(current) = self.children.entry(child)
            && *current.get() == connection
        {
            current.remove();
            self.state.detach(child);
        }
        if let Some(worker) = entry.worker
            && self.workers.get(&worker).is_some_and(|worker| worker.connection == connection)
        {
            self.workers.remove(&worker);
        }
    }

    /// A process is dead: its leases end now, or when its supervisor had time to say how it died. All that it sent was
    /// heard.
    pub fn process_died(&mut self, process: ProcessKey, now: Now) {
        self.workers.retain(|_, worker| worker.process != process);
        for death in self.deaths.iter_mut().filter(|death| death.supervisor == Some(process)) {
            (death.supervised_ms, death.alone_ms) = (now.logical_ms, now.logical_ms);
        }
        let children = self.state.child_reports().filter(|child| child.process == process);
        let deaths: Vec<Death> = children.map(|child| self.death(child.child, child.worker, now)).collect();
        self.deaths.extend(deaths);
    }

    fn death(&self, child: u32, worker: u64, now: Now) -> Death {
        let supervisor = self.workers.get(&worker).map(|worker| worker.process);
        let patience = if supervisor.is_some() { LAST_WORD_MS } else { self.until_return(child, now) };
        let (supervised_ms, alone_ms) = (now.logical_ms + WORD_MS, now.logical_ms + patience);
        Death { child, worker, supervisor, supervised_ms, alone_ms }
    }

    /// Whether the child of an earlier run may still come back: it is known, and has no connection yet.
    pub(crate) fn may_return(&self, process: ProcessKey) -> bool {
        let child = self.state.child_reports().find(|child| child.process == process);
        child.is_some_and(|child| !self.children.contains_key(&child.child))
    }

    fn until_return(&self, child: u32, now: Now) -> u64 {
        let since_ms = self.state.absent_since(child).unwrap_or(self.started_ms.1);
        (since_ms + RETURN_MS).saturating_sub(now.logical_ms)
    }

    /// What time brings, and leases for whoever has credit: to be called before every commit.
    pub fn step(&mut self, now: Now) {
        self.end_holds(now);
        self.take_words(now);
        self.bury(now);
        for _ in 0..TICKS_MAX {
            if self.room == Room::Nothing || !self.state.is_due(now) || self.body.len() >= COMMIT_BYTES {
                break;
            }
            for entry in self.state.tick(now) {
                self.record(entry, now);
            }
        }
        self.lease(now);
        self.give_locks(now);
        self.make_room_in_cache(now);
        self.ask_archive(now);
        if self.clock_due_ms().is_some_and(|at| at <= now.logical_ms) && !self.is_out_of_room() {
            self.note_time(now);
        }
    }

    /// When the clock must be written down if nothing else is.
    fn clock_due_ms(&self) -> Option<u64> {
        self.state.has_absent().then(|| self.state.clock().1 + CLOCK_EVERY_MS)
    }

    fn lease(&mut self, now: Now) {
        while self.room <= Room::Reserve && self.body.len() < COMMIT_BYTES && !self.stopping {
            let allowed = self.lag.allowed(self.state.unarchived());
            let Some(change) = self.state.next_lease(allowed) else { break };
            if let Change::Leased { slots, .. } = &change {
                self.lag.leased(slots.len() as u32);
            }
            self.record(change.into(), now);
        }
    }

    /// Whether a dead child's connection is still open: ends that it sent may not have been read yet.
    pub(crate) fn is_heard(&self, worker: u64, number: u32) -> bool {
        self.state.find_child(worker, number).is_some_and(|child| self.children.contains_key(&child))
    }

    /// Keeps a supervisor's word on a child until the child's connection has ended.
    pub(crate) fn keep_word(&mut self, word: LastWord, now: Now) {
        self.last_words.push((now.logical_ms + LAST_WORD_MS, word));
    }

    /// Carries out what supervisors said of children that are not heard any more, if there is room for it.
    fn take_words(&mut self, now: Now) {
        let words = std::mem::take(&mut self.last_words);
        for (until, word) in words {
            let is_heard = until > now.logical_ms && self.is_heard(word.worker, word.ended.child);
            if is_heard || self.is_out_of_room() {
                self.last_words.push((until, word));
            } else {
                self.child_ended(word, now);
            }
        }
    }

    fn bury(&mut self, now: Now) {
        if self.is_out_of_room() {
            return;
        }
        let workers = &self.workers;
        let due = self.deaths.extract_if(.., |death| death.due_ms(workers) <= now.logical_ms);
        let due: Vec<u32> = due.map(|death| death.child).collect();
        for child in due {
            self.state.detach(child);
            self.children.remove(&child);
            self.run(Command::ChildVanished { child }, now).expect("a death is never refused");
        }
    }

    /// Hands the oldest finished jobs to the archive, if there is a block of them or they waited long enough.
    fn ask_archive(&mut self, now: Now) {
        let waiting = self.state.unarchived() as usize;
        if self.archiving > 0 || waiting == 0 || now.logical_ms < self.archive_not_before_ms {
            return;
        }
        // On a full disk a block need not be full either: what it takes frees the journal.
        let old = self.is_tight || now.logical_ms >= self.block_due_ms();
        if waiting < BLOCK_JOBS && !old {
            return;
        }
        self.archive_asked_ms = now.logical_ms;
        let slots = self.state.to_archive(0, BLOCK_JOBS);
        self.archiving = slots.len();
        let views = slots.into_iter().map(|slot| self.state.view(slot)).collect();
        self.outputs.push(Output::Archive(views));
    }

    /// When a block is asked for that is not full, on the logical clock.
    fn block_due_ms(&self) -> u64 {
        self.archive_asked_ms + self.options.upkeep.block_age.as_millis() as u64
    }

    /// The archive has taken the oldest `count` finished jobs.
    pub fn archived(&mut self, count: u32, now: Now) {
        self.archiving = 0;
        self.archive_fails = false;
        self.lag.archived(count);
        self.run(Command::Archived { count }, now).expect("archiving is never refused");
    }

    /// Everything in the archive that ended before `finalized_before_ms` is gone.
    pub fn archive_dropped(&mut self, finalized_before_ms: u64, now: Now) {
        let marks = self.deleted.read().expect("nothing panics while it holds this lock").len();
        if marks > 0 {
            self.run(Command::ArchiveDropped { finalized_before_ms }, now)
                .expect("dropping is never refused");
        }
    }

    /// Payloads were copied into a cold file, which is durable: they are read there from this commit on.
    pub fn moved(&mut self, file: u64, copied: Vec<Copied>, now: Now) {
        self.run(Command::Move { file, copied }, now).expect("moving is never refused");
    }

    /// The archive could not take a block now; the jobs stay and are offered again in a second.
    /// Says whether that is news.
    pub fn archive_failed(&mut self, now: Now) -> bool {
        self.archiving = 0;
        self.archive_not_before_ms = now.logical_ms + 1_000;
        !std::mem::replace(&mut self.archive_fails, true)
    }

    /// When [`Core::step`] has something to do next: on the wall clock, on the logical clock.
    pub fn next_due(&self) -> (Option<u64>, Option<u64>) {
        let (wall, logical) = self.state.next_due();
        let deaths = self.deaths.iter().map(|death| death.due_ms(&self.workers));
        let words = self.last_words.iter().map(|word| word.0);
        let asks = self.archiving == 0 && self.state.unarchived() > 0;
        let full = self.state.unarchived() as usize >= BLOCK_JOBS;
        let ready_ms = if full || self.is_tight { 0 } else { self.block_due_ms() };
        let block = asks.then_some(ready_ms.max(self.archive_not_before_ms));
        let clock = self.clock_due_ms();
        let sweep = (self.cache.is_sweeping() && !self.is_out_of_room()).then_some(0);
        (wall, logical.into_iter().chain(sweep).chain(deaths).chain(words).chain(block).chain(clock).min())
    }

    /// Takes the open commit: the caller writes it, makes it durable, and then lets the outputs leave.
    pub fn take_commit(&mut self) -> Committed {
        for (connection, request_id, draft) in self.waits.take_drafts() {
            self.outputs.push(Output::Ended(connection, request_id, draft));
        }
        let body = std::mem::take(&mut self.body);
        self.lsn += u64::from(!body.is_empty());
        Committed { body, outputs: std::mem::take(&mut self.outputs) }
    }

    /// Carries a command out and gives its reply.
    pub(crate) fn run(&mut self, command: Command, now: Now) -> Result<Reply, Refusal> {
        let decision = self.state.decide(command, now)?;
        for entry in decision.entries {
            self.record(entry, now);
        }
        Ok(decision.reply)
    }

    /// Applies a change and puts it into the open commit.
    pub(crate) fn record(&mut self, entry: Entry, now: Now) {
        self.begin_body(now);
        let Entry { change, payload } = entry;
        change.encode(&mut self.body);
        let offset = self.body.len() as u32;
        for part in &payload {
            self.body.extend_from_slice(part);
        }
        debug_assert_eq!(self.body.len() as u64 - u64::from(offset), change.inline_length(), "{change:?}");
        self.state.apply(&change, self.lsn + 1, offset);
        self.note(&change);
        for event in self.state.take_events() {
            self.on_event(event, now);
        }
    }

    fn begin_body(&mut self, now: Now) {
        if self.body.is_empty() {
            let clock = Change::Clock { wall_ms: now.wall_ms, logical_ms: now.logical_ms };
            self.append(&clock);
            let still_ms = std::mem::take(&mut self.credited_ms);
            if still_ms > 0 && self.state.has_absent() {
                self.append(&Change::AbsencesCredited { still_ms });
            }
        }
    }

    fn append(&mut self, change: &Change) {
        change.encode(&mut self.body);
        self.state.apply(change, self.lsn + 1, 0);
    }

    fn note(&mut self, change: &Change) {
        self.named_blobs.extend(change.stored().filter_map(|stored| match stored {
            Stored::Blob { id, .. } => Some(id),
            Stored::Inline(_) => None,
        }));
        let deleted = || self.deleted.write().expect("nothing panics while it holds this lock");
        match change {
            Change::Deleted { job, .. } => drop(deleted().insert(*job)),
            Change::DeletedDropped { .. } => *deleted() = self.state.deleted().collect(),
            Change::ChildGone { child } => drop(self.attaches.remove(child)),
            Change::EntriesInvalidated { tags, all, .. } if *all || !tags.is_empty() => self.cache.sweep(),
            Change::SessionClosed { session } => {
                self.session_holders.remove(session);
                self.end_waits(*session);
            }
            _ => {}
        }
    }

    /// Blobs of a request that no change named go again: it was refused, or answered before.
    pub(crate) fn drop_unnamed(&mut self, blobs: &[(u32, u64)]) {
        let named = std::mem::take(&mut self.named_blobs);
        let unnamed = blobs.iter().map(|(_, id)| *id).filter(|id| !named.contains(id));
        self.outputs.extend(unnamed.map(Output::DropBlob));
    }

    fn on_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Finished { slot } => {
                self.progress.remove(&slot);
                self.waits.finished(&self.state, slot);
            }
            Event::Leased { child, slots, counter } => self.push_leases(child, &slots, counter, now),
            Event::Stop { child, fence } => self.push_stop(child, fence),
            Event::Locked { session, token, .. } => {
                let acquired = self.state.acquired(session, token);
                self.answer_wait((session, token), acquired);
            }
            Event::LockLost { session, token } => self.tell_lost((session, token)),
            Event::EntryStored { index } => self.cache.came(&self.state, index, now.logical_ms),
            Event::EntryGone { index } => self.cache.went(index),
            Event::BlobFreed { id } => self.outputs.push(Output::DropBlob(id)),
        }
    }

    fn push_leases(&mut self, child: u32, slots: &[u32], counter: u64, now: Now) {
        let Some(&connection) = self.children.get(&child) else { return };
        let jobs = Vec::with_capacity(slots.len());
        let mut leases = Leases { epoch: self.state.epoch(), jobs, ..Leases::default() };
        let (mut payloads, mut checkpoints) = (Vec::with_capacity(slots.len()), Vec::new());
        let mut retried = Vec::new();
        for (&slot, counter) in slots.iter().zip(counter..) {
            let view = self.state.lease_view(slot);
            if view.checkpoint.length > 0 {
                leases.checkpoints.push((leases.jobs.len() as u32, view.checkpoint.length));
                checkpoints.push(stored(view.checkpoint));
            }
            let at = leases.jobs.len() as u32;
            if view.has_retry {
                retried.push(at);
            }
            let looks = match view.looks {
                Looks::NONE => self.next_profiles.take(view.task, now.logical_ms),
                asked => asked,
            };
            leases.profiled.extend(looks.is_profiled().then_some(at));
            leases.looks.extend(looks.is_closer().then_some((at, looks)));
            leases.contexts.extend(view.context.map(|context| (at, Arc::clone(context))));
            leases.jobs.push(Lease {
                job: view.job,
                counter,
                task: self.state.task_position(child, slot).unwrap_or(u32::MAX),
                attempt: view.attempt,
                timeout_ms: view.timeout_ms.unwrap_or(0),
                keep_result: view.rules.keep_result,
                length: u64::from(view.arguments.length),
            });
            payloads.push(stored(view.arguments));
        }
        payloads.append(&mut checkpoints);
        leases.retried = Some(retried);
        let message = Message::Leases(leases);
        self.outputs.push(Output::Message(connection, Outgoing { request_id: 0, message, payloads }));
    }

    fn push_stop(&mut self, child: u32, fence: Fence) {
        let report = self.state.child_reports().find(|report| report.child == child);
        let Some((worker, number)) = report.map(|report| (report.worker, report.number)) else { return };
        let stop = Stop { child: number, fence, reason: StopReason::Cancelled };
        let supervisor = self.workers.get(&worker).map(|worker| worker.connection);
        let child = self.children.get(&child).copied();
        for connection in supervisor.into_iter().chain(child) {
            self.push(connection, Outgoing::new(0, stop));
        }
    }

    /// A worker came back: it may have missed what it was told to stop.
    pub(crate) fn repeat_stops(&mut self, worker: u64) {
        let children =
            self.state.child_reports().filter(|child| child.worker == worker).map(|child| child.child);
        children.collect::<Vec<_>>().into_iter().for_each(|child| self.repeat_child_stops(child));
    }

    /// A child came back: it may have missed what it was told to stop.
    pub(crate) fn repeat_child_stops(&mut self, child: u32) {
        for fence in self.state.cancelling_of(child) {
            self.push_stop(child, fence);
        }
    }

    /// A child is here, whatever was thought of its process.
    pub(crate) fn returned(&mut self, child: u32, connection: ConnectionId) {
        self.deaths.retain(|death| death.child != child);
        self.children.insert(child, connection);
    }

    pub(crate) fn push(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        self.outputs.push(Output::Message(connection, outgoing));
    }

    pub(crate) fn reply(&mut self, connection: ConnectionId, request_id: u64, message: impl Into<Message>) {
        self.push(connection, Outgoing::new(request_id, message));
    }

    pub(crate) fn refuse(&mut self, connection: ConnectionId, request_id: u64, refusal: Refusal) {
        let Refusal { code, message, hint } = refusal;
        self.reply(connection, request_id, Refused { code, message, hint });
    }

    pub(crate) fn query(&mut self, connection: ConnectionId, request_id: u64, query: Query) {
        self.outputs.push(Output::Query(connection, request_id, Box::new(query)));
    }
}

/// Changes beyond this many bytes go into the next commit.
pub(crate) const COMMIT_BYTES: usize = 8 << 20;

/// A place in the journal as the store names it.
pub(crate) const fn reference(place: Place) -> PayloadRef {
    PayloadRef::unpack((place.lsn, place.offset, place.length))
}

pub(crate) const fn stored(place: Place) -> Payload {
    Payload::Stored(reference(place))
}

/// Worker messages that get no answer.
pub(crate) const fn is_one_way(message: &Message) -> bool {
    use message::Message as M;
    matches!(message, M::Credit(_) | M::Progress(_) | M::Unwait(_))
}
