//! When each change happens: one file per kind of command.

mod cache;
mod cached;
mod checkpoints;
mod children;
mod enqueue;
mod failures;
mod finish;
mod limiters;
mod locks;
mod moves;
mod queues;
mod tick;
mod verbs;

pub use cache::CacheView;
pub use moves::{Copied, Movable, PayloadOwner, Wanted};
pub(crate) use verbs::not_found;

use std::sync::Arc;

use lineshaft_wire::message::{RefusalCode, Sequence, WINDOW};

use self::children::Taken;
use crate::change::{Change, Name, Request};
use crate::command::{Command, Decision, Entry, Now, Refusal, Reply};
use crate::state::State;

/// Whether a request must be carried out, or was already.
enum Turn {
    Fresh(Request),
    Answered(Decision),
}

impl State {
    /// What `command` comes to at `now`. Nothing changes until the decision's entries are applied.
    ///
    /// Errors with a [`Refusal`] if the command cannot be carried out.
    pub fn decide(&self, command: Command, now: Now) -> Result<Decision, Refusal> {
        let Decision { entries, reply } = self.decide_alone(command, now)?;
        Ok(Decision { entries: self.with_handlers(entries, now), reply })
    }

    /// What the command comes to by itself, without the handlers of the jobs that give up by it.
    fn decide_alone(&self, command: Command, now: Now) -> Result<Decision, Refusal> {
        match command {
            Command::OpenSession => self.open_session_decision(),
            Command::Enqueue { session, request, arguments } => {
                self.decide_enqueue(session, request, arguments, now)
            }
            Command::Cancel { session, request } => self.decide_cancel(session, &request),
            Command::Retry { session, request } => self.decide_retry(session, &request),
            Command::RetryArchived { session, sequence, archived } => {
                self.decide_retry_archived(session, sequence, archived)
            }
            Command::Delete { session, request, archived } => self.decide_delete(session, &request, archived),
            Command::ChangeQueue { session, sequence, queue, verb } => {
                self.decide_queue(session, sequence, &queue, verb)
            }
            Command::Invalidate { session, request } => self.decide_invalidate(session, &request),
            Command::AttachChild(attach) => self.decide_attach(attach),
            Command::Finish { child, finish, payloads } => self.decide_finish(child, &finish, &payloads, now),
            Command::Checkpoint { child, checkpoint, value } => {
                self.decide_checkpoint(child, &checkpoint, value)
            }
            Command::Release { child, leases } => Ok(self.decide_release(child, &leases)),
            Command::ChildEnded { worker, number, begun, newest, unbegun, outputs } => {
                let taken = Taken { newest, unbegun: unbegun.into_iter().collect() };
                Ok(self.decide_child_ended((worker, number), &begun, &taken, outputs, now))
            }
            Command::ChildVanished { child } => Ok(self.decide_child_vanished(child, now)),
            Command::ChildForgotten { child } => Ok(self.decide_child_forgotten(child, now)),
            Command::Restored { sessions_from } => Ok(self.decide_restored(sessions_from)),
            Command::Archived { count } => {
                Ok(Decision::of(vec![Change::Archived { count }.into()], Reply::Done))
            }
            Command::Move { file, copied } => Ok(self.decide_move(file, &copied, now)),
            Command::Acquire { session, request } => self.decide_acquire(session, &request),
            Command::ReleaseLocks { session, tokens } => self.decide_release_locks(session, &tokens),
            Command::BreakLocks { fences } => self.decide_break_locks(&fences),
            Command::Pass(pass) => self.decide_pass(&pass, now),
            Command::CacheSet { session, request, values } => {
                self.decide_cache_set(session, &request, &values, now)
            }
            Command::CacheInvalidate { session, request } => self.decide_cache_invalidate(session, request),
            Command::CacheEvict { keys } => {
                let entries =
                    if keys.is_empty() { vec![] } else { vec![Change::EntriesGone { keys }.into()] };
                Ok(Decision::of(entries, Reply::Done))
            }
            Command::ArchiveDropped { finalized_before_ms } => {
                let change = Change::DeletedDropped { finalized_before_ms };
                Ok(Decision::of(vec![change.into()], Reply::Done))
            }
        }
    }

    fn open_session_decision(&self) -> Result<Decision, Refusal> {
        check_room("open sessions", self.sessions.len(), 1, self.limits.sessions)?;
        Ok(Decision::of(vec![Change::SessionOpened.into()], Reply::Session))
    }

    fn decide_restored(&self, sessions_from: u64) -> Decision {
        let mut sessions: Vec<u64> = self.sessions.keys().copied().collect();
        sessions.sort_unstable();
        let closed = sessions.into_iter().map(|session| Change::SessionClosed { session });
        let entries = closed.chain([Change::SessionsFrom { next: sessions_from }]).map(Entry::from).collect();
        Decision::of(entries, Reply::Done)
    }

    /// Checks a request's place in its session.
    fn turn(&self, session: u64, sequence: Sequence) -> Result<Turn, Refusal> {
        let unknown = |why: String| {
            Refusal::new(RefusalCode::OutcomeUnknown, why)
                .hint("look at the jobs before sending the request again as a new one")
        };
        let Some(entry) = self.sessions.get(&session) else {
            return Err(unknown(format!(
                "session {session} is not open: it ended 10 minutes after its last request"
            )));
        };
        let Sequence { number, lowest } = sequence;
        if number == 0 || lowest > number || number - lowest >= WINDOW {
            let why = format!("sequence {number} with lowest {lowest} is outside the window of {WINDOW}");
            return Err(Refusal::new(RefusalCode::BadRequest, why));
        }
        let reply = Reply::Answer { session, number };
        if entry.answers.contains_key(&number) {
            return Ok(Turn::Answered(Decision::of(Vec::new(), reply)));
        }
        if number < entry.lowest {
            return Err(unknown(format!("request {number} of session {session} was answered and forgotten")));
        }
        Ok(Turn::Fresh(Request { session, number, lowest }))
    }

    fn name(&self, text: &Arc<str>) -> Name {
        self.names.number(text).map_or_else(|| Name::Text(Arc::clone(text)), Name::Known)
    }
}

impl Decision {
    fn of(entries: Vec<Entry>, reply: Reply) -> Self {
        Self { entries, reply }
    }

    /// A request carried out: its changes, and the change that answers it.
    fn answered(mut entries: Vec<Entry>, request: Request, answer: Answered) -> Self {
        let Answered { state, cancelling, jobs } = answer;
        let state = state.map(|state| state as u8);
        entries.push(Change::Answered { request, state, cancelling, jobs }.into());
        Self::of(entries, Reply::Answer { session: request.session, number: request.number })
    }
}

/// What [`Change::Answered`] says.
#[derive(Default)]
struct Answered {
    state: Option<lineshaft_wire::JobState>,
    cancelling: bool,
    jobs: u64,
}

/// A table may be beyond its limit, since handlers of failures are made whatever is full; who needs nothing more of it is
/// none the worse.
fn check_room(table: &str, used: usize, more: usize, limit: usize) -> Result<(), Refusal> {
    if more == 0 || used + more <= limit {
        return Ok(());
    }
    let message = format!("{table}: {used} of {limit} used, no room for {more} more");
    Err(Refusal::new(RefusalCode::QueueFull, message)
        .hint("wait until some are finished, or raise the limit"))
}
