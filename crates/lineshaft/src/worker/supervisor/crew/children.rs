//! The children: as many as are wanted, each with another one in its place when it is worn or dead.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Crew, Member};
use crate::worker::Error;
use crate::worker::supervisor::Phase;
use crate::worker::supervisor::messages::{Command, Ended, Event};
use crate::worker::supervisor::process::Process;
use crate::worker::supervisor::watch::Watch;
use crate::worker::supervisor::wear::Worn;

/// Children that may end in a row before the first one was ready.
const EARLY_DEATHS_MAX: u32 = 3;
/// Pause before a child takes the place of one that never got ready; doubles each time.
const HIRE_PAUSE_MIN: Duration = Duration::from_millis(100);
const HIRE_PAUSE_MAX: Duration = Duration::from_secs(10);

impl Crew {
    pub(super) fn missing(&self) -> usize {
        if self.wish.phase != Phase::Running {
            return 0;
        }
        let living = self.members.values().filter(|member| !member.dead && !member.leaves);
        // One that is to follow another is there beside it.
        let follow =
            living.clone().filter(|member| member.follows.is_some_and(|of| self.holds_place(of))).count();
        let living = living.count() - follow;
        (self.wish.processes as usize).saturating_sub(living)
    }

    pub(super) fn fill(&mut self) {
        while self.missing() > 0 && Instant::now() >= self.hire_at {
            if let Err(error) = self.hire(None) {
                return self.cannot_hire(error);
            }
        }
        if let Some(worn) = self.to_follow().filter(|_| Instant::now() >= self.hire_at)
            && let Err(error) = self.hire(Some(worn))
        {
            self.cannot_hire(error);
        }
    }

    /// Whether this child takes jobs still.
    fn holds_place(&self, number: u32) -> bool {
        self.members.get(&number).is_some_and(|member| !member.dead && !member.leaves)
    }

    /// The child whose successor is to be started now: one at a time, or all of them would be there twice.
    pub(super) fn to_follow(&self) -> Option<u32> {
        let is_followed =
            |member: &Member| !member.dead && member.follows.is_some_and(|of| self.holds_place(of));
        if self.wish.phase != Phase::Running || self.members.values().any(is_followed) {
            return None;
        }
        let worn =
            self.members.iter().find(|(number, member)| member.worn.is_some() && self.holds_place(**number));
        worn.map(|(number, _)| *number)
    }

    fn hire(&mut self, follows: Option<u32>) -> Result<(), Error> {
        self.last_number += 1;
        let number = self.last_number;
        let process = Process::spawn(&self.worker, number)?;
        let (commands, obeyed) = mpsc::unbounded_channel();
        if let Some(lease) = self.lease {
            let _ = commands.send(Command::Lease(lease));
        }
        let _ = commands.send(Command::Server(self.lease.is_some() && self.away_since.is_none()));
        let (pid, page) = (process.pid, Arc::clone(&process.page));
        let (worn, leaves, ready, dead) = Default::default();
        self.members.insert(number, Member { commands, pid, page, ready, worn, leaves, follows, dead });
        self.show_pids();
        let options = Arc::clone(&self.worker.options);
        tokio::spawn(Watch::new(options, process, obeyed, self.tell.clone()).run());
        Ok(())
    }

    /// The first children must start; a replacement may find the host short of memory or processes for a while.
    fn cannot_hire(&mut self, error: Error) {
        if !self.proven {
            return self.fail(error);
        }
        self.say(&format!("a child cannot be started: {error}"));
        self.pause_hiring();
    }

    fn pause_hiring(&mut self) {
        self.early_deaths += 1;
        let pause = HIRE_PAUSE_MIN * 2u32.saturating_pow(self.early_deaths.min(16) - 1);
        self.hire_at = Instant::now() + pause.min(HIRE_PAUSE_MAX);
    }

    fn show_pids(&self) {
        let living = self.members.iter().filter(|(_, member)| !member.dead);
        let pids = living.map(|(number, member)| (*number, member.pid)).collect();
        *self.pids.lock().unwrap_or_else(PoisonError::into_inner) = pids;
    }

    pub(super) fn hear(&mut self, number: u32, event: Event) {
        match event {
            Event::Ready => {
                self.proven = true;
                self.early_deaths = 0;
                if let Some(member) = self.members.get_mut(&number) {
                    member.ready = true;
                }
            }
            Event::Working => self.works(number),
            Event::Worn(worn) => self.worn(number, worn),
            Event::Failed(report) => self.app_failed(report),
            Event::Died => self.died(number),
            Event::Ended(ended) => self.ended(number, *ended),
        }
    }

    /// Who was to be replaced by it takes no more jobs from here on.
    fn works(&mut self, number: u32) {
        let followed = self.members.get_mut(&number).and_then(|member| member.follows.take());
        let Some(old) = followed.filter(|old| self.holds_place(*old)) else { return };
        if let Some(member) = self.members.get_mut(&old)
            && let Some(why) = member.worn
        {
            member.leaves = true;
            let _ = member.commands.send(Command::Retire(why));
        }
    }

    fn worn(&mut self, number: u32, worn: Worn) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let is_news = member.worn.is_none();
        member.worn = Some(worn.why);
        member.leaves |= worn.leaves;
        let pid = member.pid;
        if is_news && self.wish.phase == Phase::Running {
            tracing::info!(child = number, pid, why = %worn.why, "a child is replaced");
            self.tell(&format!("child {number} (pid {pid}) is replaced: {}", worn.why));
        }
    }

    fn app_failed(&mut self, report: String) {
        if !self.proven {
            return self.fail(Error::AppFailed { report });
        }
        self.say(&format!("the app cannot be loaded any more; the other children go on\n{report}"));
    }

    fn died(&mut self, number: u32) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.dead = true;
        if !member.ready {
            self.pause_hiring();
        }
        self.show_pids();
    }

    fn ended(&mut self, number: u32, ended: Ended) {
        let Some(member) = self.members.remove(&number) else { return };
        ended.logs.into_iter().for_each(|logs| self.reports.push_logs(logs));
        if let Some(report) = ended.report {
            self.reports.push(report, ended.output);
        }
        tracing::debug!(child = number, pid = member.pid, how = ended.how, "a child is gone");
        if !self.proven && !member.ready && self.early_deaths >= EARLY_DEATHS_MAX {
            self.fail(Error::ChildrenDie { deaths: self.early_deaths, how: ended.how });
        }
    }
}
