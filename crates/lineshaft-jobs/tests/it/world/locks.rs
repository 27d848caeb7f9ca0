//! Locks, on the machine and on the model.

use lineshaft_jobs::Command;
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{Acquire, BARRIER_PARTIES_MAX, LOCK_PERMITS_MAX, LockKind};

use super::World;
use crate::steps::{LOCKS, Step};

impl World {
    fn session(&self, number: u8) -> u64 {
        self.clients[usize::from(number) % self.clients.len()].session
    }

    /// A token that was used so many locks ago.
    fn token(&self, back: u8) -> u64 {
        self.tokens.saturating_sub(u64::from(back % 8))
    }

    pub(super) fn acquire(&mut self, step: &Step) {
        let Step::Acquire { session, key, form, party, old, wait, waited_ms, defect } = step else { return };
        let session = self.session(*session);
        self.tokens += 1;
        let (kind, permits) = match form % 16 {
            0..6 => (LockKind::Mutex, 1),
            6 => (LockKind::Leader, 1),
            few @ 7..10 => (LockKind::Semaphore, u32::from(few - 6)),
            few @ 10..12 => (LockKind::Barrier, u32::from(few - 8)),
            12 => (LockKind::Barrier, 1),
            13 => (LockKind::ReadWrite, 1),
            _ => (LockKind::ReadWrite, LOCK_PERMITS_MAX),
        };
        let mut request = Acquire {
            kind,
            key: LOCKS[usize::from(*key)].into(),
            permits,
            party: u64::from(*party),
            token: old.map_or(self.tokens, |back| self.token(back)),
            ttl_ms: 2_000 + 4_000 * u64::from(*key),
            wait: *wait,
            waited_ms: u64::from(*waited_ms),
            program: "works.py".into(),
            pid: 4_242,
        };
        match defect.map(|defect| defect % 6) {
            Some(0) => request.key = "".into(),
            Some(1) => request.key = "a\nb".into(),
            Some(2) => request.ttl_ms = 1_999,
            Some(3) => request.ttl_ms = u64::MAX,
            Some(4) => {
                request.permits = match kind {
                    LockKind::Mutex | LockKind::Leader | LockKind::ReadWrite => 2,
                    LockKind::Semaphore => 0,
                    LockKind::Barrier => BARRIER_PARTIES_MAX + 1,
                }
            }
            Some(_) => request.program = "p".repeat(256).into(),
            None => {}
        }
        if self.model.party_waits(session, request.party, request.token) {
            // A thread waits for one lock at a time.
            request.party = 0;
        }
        let told = self.command(Command::Acquire { session, request: request.clone() });
        if told == Ok(Told::LockTaken) && request.wait {
            self.machine.state.await_lock(session, &request, self.machine.now);
            self.model.await_lock(session, &request);
            self.end_deadlocks(session, request.token);
        }
    }

    /// Whoever waits in vain gives up, as in the engine.
    fn end_deadlocks(&mut self, session: u64, token: u64) {
        loop {
            let found = self.machine.state.deadlock(session, token);
            let youngest = found.map(|found| found.youngest);
            if let Err(wrong) = self.model.check_deadlock(youngest) {
                panic!("{wrong}");
            }
            let Some((session, token)) = youngest else { return };
            assert!(self.machine.state.leave_line(session, token), "it waits");
            self.model.leave_line(session, token);
            self.deadlocks += 1;
        }
    }

    pub(super) fn unlock(&mut self, session: u8, tokens: &[u8]) {
        let session = self.session(session);
        let tokens: Vec<u64> = tokens.iter().map(|back| self.token(*back)).collect();
        for token in &tokens {
            let left = self.machine.state.leave_line(session, *token);
            assert_eq!(left, self.model.leave_line(session, *token));
        }
        self.command(Command::ReleaseLocks { session, tokens }).expect("they are few");
    }

    pub(super) fn renew_locks(&mut self, session: u8, tokens: &[u8]) {
        let session = self.session(session);
        let tokens: Vec<u64> = tokens.iter().map(|back| self.token(*back)).collect();
        let lost = self.machine.state.renew_locks(session, &tokens, self.machine.now.logical_ms);
        assert_eq!(lost, self.model.renew_locks(session, &tokens));
    }

    pub(super) fn break_locks(&mut self, backs: &[u8]) {
        let fence = |back: &u8| self.fences.iter().rev().nth(usize::from(back % 8)).copied();
        let fences = backs.iter().map(|back| fence(back).unwrap_or(7)).collect();
        self.command(Command::BreakLocks { fences }).expect("they are few");
    }

    pub(super) fn leave_lines(&mut self, number: u8) {
        for (session, token) in self.model.lock_waiters() {
            if token % 2 == u64::from(number % 2) {
                self.machine.state.leave_line(session, token);
                self.model.leave_line(session, token);
            }
        }
    }

    /// Gives whatever locks can be given.
    pub(super) fn give_locks(&mut self) {
        while let Some(change) = self.machine.state.next_lock() {
            let choice = self.choice(&change).expect("a lock");
            self.check(&choice);
            let happened = self.machine.record(change.into());
            self.same(happened);
        }
        assert!(!self.model.has_idle_lock(), "a lock is free and somebody waits for it");
    }

    pub(super) fn compare_locks(&self) {
        let (mut reports, more) = self.machine.state.lock_reports(None, None, usize::MAX);
        reports.retain(|report| report.held > 0);
        assert_eq!((reports, more), (self.model.locks(), false));
        for (session, token) in self.model.lock_waiters() {
            assert!(self.machine.state.waits_for_lock(session, token), "one is not in line");
        }
        for back in 0..8 {
            for session in [0, 1].map(|number| self.session(number)) {
                let acquired = self.machine.state.acquired(session, self.token(back));
                let known = self.model.lock_of(session, self.token(back));
                assert_eq!(acquired.fence.map(|fence| (fence, acquired.place)), known);
            }
        }
    }
}
