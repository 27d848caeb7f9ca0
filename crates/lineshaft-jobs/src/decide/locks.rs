//! Asking for locks, giving them back, and taking them away.

use lineshaft_wire::message::{
    Acquire, LOCK_TOKENS_MAX, LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN, LockKind, NAME_BYTES_MAX, RefusalCode,
};

use super::check_room;
use super::enqueue::{bad, check_text};
use crate::change::{Change, NewHolder};
use crate::command::{Decision, Entry, Now, Refusal, Reply};
use crate::state::State;

impl State {
    pub(super) fn decide_acquire(&self, session: u64, acquire: &Acquire) -> Result<Decision, Refusal> {
        check_acquire(acquire)?;
        if !self.sessions.contains_key(&session) {
            let why = format!("session {session} is not open: it ended 10 minutes after its last request");
            return Err(Refusal::new(RefusalCode::OutcomeUnknown, why));
        }
        let new = NewHolder::of(session, acquire);
        let (name, owner) = (new.name(), new.owner());
        let locked = Reply::Locked { session, token: acquire.token };
        if let Some(fence) = self.locks.fence_of(owner) {
            if self.locks.holders[&fence].new.name() == name {
                return Ok(Decision::of(Vec::new(), locked));
            }
            return Err(bad(format!("token {} holds another lock of session {session}", owner.1)));
        }
        if self.locks.is_free(&name, acquire.permits) {
            check_room("locks held", self.locks.holders.len(), 1, self.limits.locks)?;
            return Ok(Decision::of(vec![Change::Locked { holder: new }.into()], locked));
        }
        if acquire.wait && !self.locks.waits(owner) {
            check_room("waits for locks", self.locks.waiting(), 1, self.limits.lock_waiters)?;
        }
        Ok(Decision::of(Vec::new(), Reply::LockTaken))
    }

    pub(super) fn decide_release_locks(&self, session: u64, tokens: &[u64]) -> Result<Decision, Refusal> {
        check_count(tokens.len())?;
        let (mut fences, mut lost) = (Vec::new(), Vec::new());
        for token in tokens {
            match self.locks.fence_of((session, *token)) {
                Some(fence) if !fences.contains(&fence) => fences.push(fence),
                Some(_) => {}
                None => lost.push(*token),
            }
        }
        Ok(Decision::of(unlocked(fences, false), Reply::LocksLost { tokens: lost }))
    }

    pub(super) fn decide_break_locks(&self, fences: &[u64]) -> Result<Decision, Refusal> {
        check_count(fences.len())?;
        let mut held: Vec<u64> =
            fences.iter().copied().filter(|fence| self.locks.holders.contains_key(fence)).collect();
        held.sort_unstable();
        held.dedup();
        Ok(Decision::of(unlocked(held.clone(), true), Reply::LocksBroken { fences: held }))
    }

    /// A holder's time is over, unless it was renewed meanwhile.
    pub(super) fn lock_due(&mut self, fence: u64, now: Now, entries: &mut Vec<Entry>) {
        let Some(holder) = self.locks.holders.get_mut(&fence) else { return };
        if holder.ends_ms > now.logical_ms {
            self.start_lock_timer(fence);
        } else {
            entries.extend(unlocked(vec![fence], true));
        }
    }
}

fn unlocked(fences: Vec<u64>, taken: bool) -> Vec<Entry> {
    if fences.is_empty() { Vec::new() } else { vec![Change::Unlocked { fences, taken }.into()] }
}

fn check_acquire(acquire: &Acquire) -> Result<(), Refusal> {
    check_text("key of a lock", &acquire.key)?;
    let Acquire { kind, permits, ttl_ms, program, .. } = acquire;
    if !(LOCK_TTL_MS_MIN..=LOCK_TTL_MS_MAX).contains(ttl_ms) {
        return Err(bad(format!(
            "a lock that is held for {ttl_ms} ms: {LOCK_TTL_MS_MIN} to {LOCK_TTL_MS_MAX} are allowed"
        )));
    }
    let most = kind.permits_max();
    if !(1..=most).contains(permits) {
        return Err(bad(format!("{permits} holders of a {}: 1 to {most} are allowed", kind.as_str())));
    }
    if *kind == LockKind::ReadWrite && *permits != 1 && *permits != most {
        return Err(bad(format!("{permits} holders of an rwlock: 1 to write or {most} to read are allowed")));
    }
    if program.len() > NAME_BYTES_MAX {
        let bytes = program.len();
        return Err(bad(format!("a program's name of {bytes} bytes: {NAME_BYTES_MAX} are allowed")));
    }
    Ok(())
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count <= LOCK_TOKENS_MAX {
        return Ok(());
    }
    Err(bad(format!("{count} locks in one request: {LOCK_TOKENS_MAX} are allowed")))
}
