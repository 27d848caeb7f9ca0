//! What each request about locks and limiters comes to, and who waits for the answer to one.

use std::collections::BTreeMap;

use lineshaft_jobs::{Command, Deadlock, Now, Refusal, Reply};
use lineshaft_wire::message::{
    Acquire, Acquired, BreakLocks, ListLocks, Locks, LocksBroken, LocksLost, Message, RefusalCode,
    ReleaseLocks, RenewLocks,
};
use rustc_hash::FxHashMap;

use crate::core::{COMMIT_BYTES, Core};
use crate::handle::{ConnectionId, Outgoing};
use crate::requests::{Caller, refusal};
use crate::room::Room;

/// Locks of one page.
const PAGE_LOCKS_MAX: u32 = 100;

type Key = (ConnectionId, u64);
/// A session, and what its client calls a holder.
type Owner = (u64, u64);

/// Requests for locks that are not answered yet.
#[derive(Default)]
pub(crate) struct LockWaits {
    requests: FxHashMap<Owner, Key>,
    owners: BTreeMap<Key, Owner>,
}

impl LockWaits {
    fn insert(&mut self, owner: Owner, key: Key) {
        self.requests.insert(owner, key);
        self.owners.insert(key, owner);
    }

    /// The request that an owner waits with, which is answered now.
    fn take(&mut self, owner: Owner) -> Option<Key> {
        let key = self.requests.remove(&owner)?;
        self.owners.remove(&key);
        Some(key)
    }

    /// The owners of a session that wait.
    fn of(&self, session: u64) -> Vec<Owner> {
        let mut owners: Vec<Owner> =
            self.requests.keys().copied().filter(|owner| owner.0 == session).collect();
        owners.sort_unstable();
        owners
    }

    /// A connection is gone: the owners that waited over it.
    fn forget(&mut self, connection: ConnectionId) -> Vec<Owner> {
        let waits = self.owners.range((connection, 0)..=(connection, u64::MAX));
        let owners: Vec<Owner> = waits.map(|(_, owner)| *owner).collect();
        for owner in &owners {
            self.take(*owner);
        }
        owners
    }
}

impl Core {
    /// Carries out a request about locks; gives back what is none.
    pub(crate) fn lock_request(
        &mut self,
        caller: Caller,
        message: Message,
        now: Now,
    ) -> Result<Option<Message>, Refusal> {
        match message {
            Message::Acquire(acquire) => self.acquire(caller, &acquire, now)?,
            Message::RenewLocks(renew) => self.renew_locks(caller, &renew, now)?,
            Message::ReleaseLocks(release) => self.release_locks(caller, release, now)?,
            Message::ListLocks(list) => self.list_locks(caller, list),
            Message::BreakLocks(BreakLocks { fences }) => {
                if let Reply::LocksBroken { fences } = self.run(Command::BreakLocks { fences }, now)? {
                    self.reply(caller.connection, caller.request_id, LocksBroken { fences });
                }
            }
            Message::Pass(pass) => {
                if let Reply::Passed(passed) = self.run(Command::Pass(pass), now)? {
                    self.reply(caller.connection, caller.request_id, passed);
                }
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// A request that came over an older connection than the newest one of its session takes no lock: its client may have
    /// given up meanwhile, and nobody would hold it.
    fn acquire(&mut self, caller: Caller, acquire: &Acquire, now: Now) -> Result<(), Refusal> {
        self.take_session(caller)?;
        let session = self.session(caller)?;
        if self.stopping {
            return Err(refusal(RefusalCode::ShuttingDown, "the server is stopping"));
        }
        let owner = (session, acquire.token);
        let command = Command::Acquire { session, request: acquire.clone() };
        let reply = self.run(command, now)?;
        self.state.touch_session(session, now.logical_ms);
        self.answer_wait(owner, Acquired::default());
        match reply {
            Reply::LockTaken if acquire.wait => {
                self.state.await_lock(session, acquire, now);
                self.lock_waits.insert(owner, (caller.connection, caller.request_id));
                self.end_deadlocks(owner);
            }
            Reply::LockTaken => {
                self.state.leave_line(session, acquire.token);
                self.reply(caller.connection, caller.request_id, Acquired::default());
            }
            _ => {
                let acquired = self.state.acquired(session, acquire.token);
                self.reply(caller.connection, caller.request_id, acquired);
            }
        }
        Ok(())
    }

    /// One has begun to wait: of those who wait for each other with it, the one that came last gives up.
    fn end_deadlocks(&mut self, (session, token): Owner) {
        while let Some(Deadlock { youngest, circle }) = self.state.deadlock(session, token) {
            self.state.leave_line(youngest.0, youngest.1);
            if let Some((connection, request_id)) = self.lock_waits.take(youngest) {
                let hint = "take locks in the same order everywhere; this wait was given up, since it is the youngest";
                let refusal = refusal(RefusalCode::Deadlock, format!("deadlock: {circle}"));
                self.refuse(connection, request_id, Refusal { hint: Some(hint.to_owned()), ..refusal });
            }
        }
    }

    fn renew_locks(&mut self, caller: Caller, renew: &RenewLocks, now: Now) -> Result<(), Refusal> {
        let session = self.session(caller)?;
        let tokens = self.state.renew_locks(session, &renew.tokens, now.logical_ms);
        self.reply(caller.connection, caller.request_id, LocksLost { tokens });
        Ok(())
    }

    fn release_locks(&mut self, caller: Caller, release: ReleaseLocks, now: Now) -> Result<(), Refusal> {
        self.take_session(caller)?;
        let session = self.session(caller)?;
        let command = Command::ReleaseLocks { session, tokens: release.tokens };
        let Reply::LocksLost { mut tokens } = self.run(command, now)? else { return Ok(()) };
        self.state.touch_session(session, now.logical_ms);
        tokens.retain(|token| {
            self.answer_wait((session, *token), Acquired::default());
            !self.state.leave_line(session, *token)
        });
        self.reply(caller.connection, caller.request_id, LocksLost { tokens });
        Ok(())
    }

    fn list_locks(&mut self, caller: Caller, list: ListLocks) {
        let limit = list.limit.clamp(1, PAGE_LOCKS_MAX) as usize;
        let (locks, more) = self.state.lock_reports(list.key.as_deref(), list.after, limit);
        self.reply(caller.connection, caller.request_id, Locks { locks, more });
    }

    /// Lets lines move up where there is room for another holder.
    pub(crate) fn give_locks(&mut self, now: Now) {
        while self.room <= Room::Reserve && self.open_bytes() < COMMIT_BYTES && !self.stopping {
            let Some(change) = self.state.next_lock() else { break };
            self.record(change.into(), now);
        }
    }

    /// A lock was given: who waits for it is told with the commit.
    pub(crate) fn answer_wait(&mut self, owner: Owner, acquired: Acquired) {
        if let Some((connection, request_id)) = self.lock_waits.take(owner) {
            self.reply(connection, request_id, acquired);
        }
    }

    /// A session is over, and its place in every line with it: who waits hears so, and may ask as somebody else.
    pub(crate) fn end_waits(&mut self, session: u64) {
        for owner in self.lock_waits.of(session) {
            self.answer_wait(owner, Acquired::default());
        }
    }

    /// A lock was taken away: its holder is told, if it is there.
    pub(crate) fn tell_lost(&mut self, (session, token): Owner) {
        if let Some(connection) = self.session_holders.get(&session) {
            self.push(*connection, Outgoing::new(0, LocksLost { tokens: vec![token] }));
        }
    }

    /// Nobody waits for locks over this connection any more.
    pub(crate) fn leave_lines(&mut self, connection: ConnectionId) {
        for (session, token) in self.lock_waits.forget(connection) {
            self.state.leave_line(session, token);
        }
    }
}
