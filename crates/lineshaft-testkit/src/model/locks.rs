//! Locks: who holds them, who waits, and who is next.

use std::sync::Arc;

use lineshaft_wire::message::{Acquire, LockHolder, LockKind, LockReport, RefusalCode};

use super::{Happened, Model, Told};

#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) fence: u64,
    pub(super) session: u64,
    pub(super) asked: Acquire,
    pub(super) place: u32,
    pub(super) since_ms: u64,
    pub(super) ends_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Waiter {
    session: u64,
    asked: Acquire,
    /// Since when it waits, and the number of its arrival.
    place: (i64, u64),
}

impl Waiter {
    fn wants(&self, kind: LockKind, key: &str) -> bool {
        (self.asked.kind, &*self.asked.key) == (kind, key)
    }
}

impl Model {
    pub(super) fn acquire(&mut self, session: u64, asked: &Acquire) -> Result<Told, RefusalCode> {
        let most = match asked.kind {
            LockKind::Mutex | LockKind::Leader => 1,
            LockKind::Semaphore | LockKind::ReadWrite => 1 << 20,
            LockKind::Barrier => 1_024,
        };
        let makes_sense = (1..=255).contains(&asked.key.len())
            && !asked.key.chars().any(char::is_control)
            && (2_000..=86_400_000).contains(&asked.ttl_ms)
            && (1..=most).contains(&asked.permits)
            && (asked.kind != LockKind::ReadWrite || [1, most].contains(&asked.permits))
            && asked.program.len() <= 255;
        if !makes_sense {
            return Err(RefusalCode::BadRequest);
        }
        if !self.sessions.contains_key(&session) {
            return Err(RefusalCode::OutcomeUnknown);
        }
        if let Some(holder) = self.holder_of(session, asked.token) {
            let is_same = (holder.asked.kind, &holder.asked.key) == (asked.kind, &asked.key);
            return if is_same { Ok(Told::Locked(holder.fence)) } else { Err(RefusalCode::BadRequest) };
        }
        let has_line = self.lock_line.iter().any(|waiter| waiter.wants(asked.kind, &asked.key));
        let is_free =
            if asked.kind == LockKind::Barrier { asked.permits == 1 } else { self.has_room_for(asked) };
        if !has_line && is_free {
            if self.lock_holders.len() >= self.limits.locks {
                return Err(RefusalCode::QueueFull);
            }
            return Ok(Told::Locked(self.lock(session, asked.clone(), 0)));
        }
        let waits = self.lock_line.iter().any(|it| (it.session, it.asked.token) == (session, asked.token));
        if asked.wait && !waits && self.lock_line.len() >= self.limits.lock_waiters {
            return Err(RefusalCode::QueueFull);
        }
        Ok(Told::LockTaken)
    }

    fn holder_of(&self, session: u64, token: u64) -> Option<&Holder> {
        self.lock_holders.iter().find(|it| (it.session, it.asked.token) == (session, token))
    }

    fn has_room_for(&self, asked: &Acquire) -> bool {
        self.leaves_room(asked, |_| true)
    }

    /// Whether those of the holders for whom that is true leave room for one more.
    fn leaves_room(&self, asked: &Acquire, counts: impl Fn(&Holder) -> bool) -> bool {
        let same = |it: &&Holder| (it.asked.kind, &it.asked.key) == (asked.kind, &asked.key);
        let mut held = self.lock_holders.iter().filter(same).filter(|it| counts(it));
        match asked.kind {
            LockKind::Barrier => {
                let wants = |it: &&Waiter| it.wants(asked.kind, &asked.key);
                self.lock_line.iter().filter(wants).count() >= asked.permits as usize
            }
            LockKind::ReadWrite if asked.permits > 1 => held.all(|it| it.asked.permits > 1),
            _ => held.count() < asked.permits as usize,
        }
    }

    fn lock(&mut self, session: u64, asked: Acquire, place: u32) -> u64 {
        self.leave_line(session, asked.token);
        let fence = (self.lock_fence + 1).max(self.epoch * 1_048_576);
        self.lock_fence = fence;
        self.happened.push(Happened::Locked(session, asked.token, fence));
        let (since_ms, ends_ms) = (self.wall_ms, self.logical_ms + asked.ttl_ms);
        self.lock_holders.push(Holder { fence, session, asked, place, since_ms, ends_ms });
        fence
    }

    pub(super) fn release_locks(&mut self, session: u64, tokens: &[u64]) -> Result<Told, RefusalCode> {
        if tokens.len() > 1_024 {
            return Err(RefusalCode::BadRequest);
        }
        let lost = tokens.iter().copied().filter(|token| self.holder_of(session, *token).is_none()).collect();
        self.lock_holders.retain(|it| it.session != session || !tokens.contains(&it.asked.token));
        Ok(Told::LocksLost(lost))
    }

    pub(super) fn break_locks(&mut self, fences: &[u64]) -> Result<Told, RefusalCode> {
        if fences.len() > 1_024 {
            return Err(RefusalCode::BadRequest);
        }
        let broken: Vec<u64> =
            self.lock_holders.iter().map(|it| it.fence).filter(|fence| fences.contains(fence)).collect();
        broken.iter().for_each(|fence| self.take_away(*fence));
        Ok(Told::LocksBroken(broken))
    }

    fn take_away(&mut self, fence: u64) {
        let Some(at) = self.lock_holders.iter().position(|holder| holder.fence == fence) else { return };
        let holder = self.lock_holders.remove(at);
        self.happened.push(Happened::LockLost(holder.session, holder.asked.token));
    }

    /// Somebody waits for a lock.
    pub fn await_lock(&mut self, session: u64, asked: &Acquire) {
        self.leave_line(session, asked.token);
        self.lock_arrivals += 1;
        let since_ms = i128::from(self.logical_ms) - i128::from(asked.waited_ms);
        let place = (since_ms as i64, self.lock_arrivals);
        self.lock_line.push(Waiter { session, asked: asked.clone(), place });
    }

    /// Somebody waits no more; whether it did.
    pub fn leave_line(&mut self, session: u64, token: u64) -> bool {
        let before = self.lock_line.len();
        self.lock_line.retain(|it| (it.session, it.asked.token) != (session, token));
        self.lock_line.len() < before
    }

    /// A session is closed, or all of them are: nobody of it waits any more.
    pub(super) fn close_lines(&mut self, session: Option<u64>) {
        self.lock_line.retain(|it| session.is_some_and(|session| it.session != session));
    }

    /// Everybody who waits for a lock.
    pub fn lock_waiters(&self) -> Vec<(u64, u64)> {
        self.lock_line.iter().map(|it| (it.session, it.asked.token)).collect()
    }

    /// Holders say that they are there; the tokens that hold nothing.
    pub fn renew_locks(&mut self, session: u64, tokens: &[u64]) -> Vec<u64> {
        self.touch_session(session);
        let now_ms = self.logical_ms;
        let lost = tokens.iter().copied().filter(|token| self.holder_of(session, *token).is_none()).collect();
        for holder in &mut self.lock_holders {
            if holder.session == session && tokens.contains(&holder.asked.token) {
                holder.ends_ms = holder.ends_ms.max(now_ms + holder.asked.ttl_ms);
            }
        }
        lost
    }

    /// A start gives every holder its whole time again, and forgets who waits.
    pub(super) fn restart_locks(&mut self) {
        self.lock_line.clear();
        for holder in &mut self.lock_holders {
            holder.ends_ms = self.logical_ms + holder.asked.ttl_ms;
        }
    }

    /// The first in line, if there is room for it.
    pub(super) fn check_locked(&mut self, session: u64, token: u64) -> Result<(), String> {
        let given = self.lock_line.iter().find(|it| (it.session, it.asked.token) == (session, token));
        let given = given.ok_or("a lock goes to somebody who does not wait")?.clone();
        let line = self.lock_line.iter().filter(|it| it.wants(given.asked.kind, &given.asked.key));
        let first = line.min_by_key(|it| it.place);
        if first.is_none_or(|first| first.place != given.place) || !self.has_room_for(&given.asked) {
            return Err(format!("{given:?} gets a lock before {first:?}, or without room"));
        }
        self.lock(session, given.asked, 0);
        Ok(())
    }

    /// Those who were the first at a barrier, as many as the very first said.
    pub(super) fn check_barrier(&mut self, parties: &[(u64, u64)]) -> Result<(), String> {
        let is_first = |it: &&Waiter| Some(&(it.session, it.asked.token)) == parties.first();
        let first = self.lock_line.iter().find(is_first).ok_or("a barrier opens for nobody")?.asked.clone();
        let mut line: Vec<Waiter> =
            self.lock_line.iter().filter(|it| it.wants(LockKind::Barrier, &first.key)).cloned().collect();
        line.sort_by_key(|it| it.place);
        line.truncate(first.permits as usize);
        let due: Vec<(u64, u64)> = line.iter().map(|it| (it.session, it.asked.token)).collect();
        if due != parties || due.len() < first.permits as usize {
            return Err(format!("a barrier of {} opens for {parties:?}, where {due:?} wait", first.permits));
        }
        for (place, it) in (0..).zip(line) {
            self.lock(it.session, it.asked, place);
        }
        Ok(())
    }

    /// Everybody who would wait for ever although all others give back what they hold.
    fn stuck(&self) -> Vec<&Waiter> {
        let mut stuck: Vec<&Waiter> =
            self.lock_line.iter().filter(|it| it.asked.kind != LockKind::Barrier).collect();
        loop {
            let is_of = |session, asked: &Acquire, it: &&&Waiter| {
                let is_same = asked.party != 0 && (it.session, it.asked.party) == (session, asked.party);
                is_same || (it.session, it.asked.token) == (session, asked.token)
            };
            let is_stuck = |session, asked: &Acquire| stuck.iter().any(|it| is_of(session, asked, &it));
            let goes_on = |it: &&Waiter| {
                let is_before =
                    |other: &&Waiter| other.wants(it.asked.kind, &it.asked.key) && other.place < it.place;
                !self.lock_line.iter().filter(is_before).any(|other| is_stuck(other.session, &other.asked))
                    && self.leaves_room(&it.asked, |holder| is_stuck(holder.session, &holder.asked))
            };
            let left: Vec<&Waiter> = stuck.iter().copied().filter(|it| !goes_on(it)).collect();
            if left.len() == stuck.len() {
                return stuck;
            }
            stuck = left;
        }
    }

    /// Whether this thread of the session waits already, under another token.
    pub fn party_waits(&self, session: u64, party: u64, token: u64) -> bool {
        let is_it = |it: &Waiter| (it.session, it.asked.party) == (session, party) && it.asked.token != token;
        party != 0 && self.lock_line.iter().any(is_it)
    }

    /// Whether it is true that this one, or nobody, waits in vain.
    pub fn check_deadlock(&self, youngest: Option<(u64, u64)>) -> Result<(), String> {
        let stuck: Vec<(u64, u64)> = self.stuck().iter().map(|it| (it.session, it.asked.token)).collect();
        if youngest.map_or(stuck.is_empty(), |youngest| stuck.contains(&youngest)) {
            return Ok(());
        }
        Err(format!("{youngest:?} is said to wait in vain, where {stuck:?} do"))
    }

    /// What a session holds under this token, and which of those it is who were given it together.
    pub fn lock_of(&self, session: u64, token: u64) -> Option<(u64, Option<u32>)> {
        let holder = self.holder_of(session, token)?;
        Some((holder.fence, (holder.asked.kind == LockKind::Barrier).then_some(holder.place)))
    }

    pub(super) fn check_lock_lost(&mut self, fence: u64) -> Result<(), String> {
        let holder = self.lock_holders.iter().find(|holder| holder.fence == fence);
        let ends_ms = holder.ok_or("a lock is lost that nobody holds")?.ends_ms;
        if ends_ms > self.logical_ms {
            return Err(format!("lock {fence} is held until {ends_ms}"));
        }
        self.take_away(fence);
        Ok(())
    }

    /// Whether somebody waits for a lock that could have it now.
    pub fn has_idle_lock(&self) -> bool {
        let is_first = |it: &Waiter| {
            let same = self.lock_line.iter().filter(|other| other.wants(it.asked.kind, &it.asked.key));
            same.map(|other| other.place).min() == Some(it.place)
        };
        let has_place = |it: &Waiter| {
            let count = if it.asked.kind == LockKind::Barrier { it.asked.permits as usize } else { 1 };
            self.lock_holders.len() + count <= self.limits.locks
        };
        self.lock_line.iter().any(|it| is_first(it) && self.has_room_for(&it.asked) && has_place(it))
    }

    /// All locks that are held, as the machine shows them.
    pub fn locks(&self) -> Vec<LockReport> {
        let mut locks: Vec<LockReport> = Vec::new();
        let mut names: Vec<(LockKind, Arc<str>)> =
            self.lock_holders.iter().map(|it| (it.asked.kind, Arc::clone(&it.asked.key))).collect();
        names.sort();
        names.dedup();
        for (kind, key) in names {
            let held: Vec<&Holder> =
                self.lock_holders.iter().filter(|it| it.asked.kind == kind && it.asked.key == key).collect();
            let shown = |it: &&Holder| LockHolder {
                fence: it.fence,
                program: Arc::clone(&it.asked.program),
                pid: it.asked.pid,
                permits: it.asked.permits,
                since: it.since_ms,
                ttl_ms: it.asked.ttl_ms,
            };
            let waiters = self.lock_line.iter().filter(|it| it.wants(kind, &key)).count() as u32;
            let (holders, held) = (held.iter().take(100).map(shown).collect(), held.len() as u32);
            locks.push(LockReport { kind, key, held, holders, waiters });
        }
        locks
    }
}
