//! Children: known, connected, with credit.

use std::sync::Arc;

use lineshaft_wire::message::{AttachChild, CREDIT_MAX, RefusalCode};
use lineshaft_wire::task;

use super::{Model, Told};

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) number: u32,
    pub(super) worker: u64,
    pub(super) in_worker: u32,
    pub(super) name: Arc<str>,
    pub(super) lease_ends_ms: u64,
    /// Since the first start that it has not attached after, if there was one.
    pub(super) absent_since_ms: Option<u64>,
    pub(super) connected: Option<Connected>,
}

#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) tasks: Vec<Arc<str>>,
    pub(super) queues: Vec<Arc<str>>,
    pub(super) credit: u32,
    /// It has not renewed for a lease.
    pub(super) is_silent: bool,
}

impl Connected {
    /// Leases that it may be given.
    pub(super) fn credit(&self) -> u32 {
        if self.is_silent { 0 } else { self.credit }
    }

    /// Whether it runs jobs of `task`, in its version.
    pub(super) fn runs(&self, task: &str) -> bool {
        let (name, version) = task::split(task);
        self.tasks.iter().any(|runs| {
            let (known, from, to) = task::split_runs(runs);
            known == name && from <= version && version <= to
        })
    }
}

impl Model {
    pub(super) fn know_child(&mut self, attach: &AttachChild) -> Result<Told, RefusalCode> {
        let mut names = [&attach.worker_name].into_iter().chain(&attach.queues);
        if !names.all(super::rules::is_name) || !attach.tasks.iter().all(|task| task::is_runs(task)) {
            return Err(RefusalCode::BadRequest);
        }
        let Some(child) = self.find_child(attach.worker, attach.number) else {
            return self.new_child(attach);
        };
        let leases = self.leases_of(child);
        let held = |at: &usize| {
            attach.held.iter().any(|(id, fence)| {
                let job = &self.jobs[*at];
                job.id == *id && job.holds(child, *fence)
            })
        };
        let unheld: Vec<usize> = leases.iter().copied().filter(|at| !held(at)).collect();
        let own =
            |id, fence| leases.iter().any(|at| self.jobs[*at].id == id && self.jobs[*at].holds(child, fence));
        let stale =
            attach.held.iter().filter(|(id, fence)| !own(*id, *fence)).map(|(_, fence)| *fence).collect();
        self.hand_back(&unheld);
        let known = self.child_mut(child).expect("it was found");
        if known.absent_since_ms.take().is_some() {
            self.renew(child);
        }
        Ok(Told::Attached { child, stale })
    }

    fn new_child(&mut self, attach: &AttachChild) -> Result<Told, RefusalCode> {
        if self.children.len() >= self.limits.children {
            return Err(RefusalCode::QueueFull);
        }
        self.children_known += 1;
        let child = Child {
            number: self.children_known,
            worker: attach.worker,
            in_worker: attach.number,
            name: format!("{}/{}", attach.worker_name, attach.number).into(),
            lease_ends_ms: self.logical_ms + self.limits.lease_ms,
            absent_since_ms: None,
            connected: None,
        };
        self.children.push(child);
        let stale = attach.held.iter().map(|(_, fence)| *fence).collect();
        Ok(Told::Attached { child: self.children_known, stale })
    }

    pub(super) fn find_child(&self, worker: u64, number: u32) -> Option<u32> {
        let same = |child: &&Child| child.worker == worker && child.in_worker == number;
        self.children.iter().find(same).map(|child| child.number)
    }

    pub(super) fn child(&self, number: u32) -> Option<&Child> {
        self.children.iter().find(|child| child.number == number)
    }

    pub(super) fn child_mut(&mut self, number: u32) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.number == number)
    }

    /// Jobs leased to a child, in the order in which it got them.
    pub(super) fn leases_of(&self, child: u32) -> Vec<usize> {
        let mut leases: Vec<_> = (0..self.jobs.len())
            .filter_map(|at| Some((self.jobs[at].lease.filter(|lease| lease.child == child)?.fence, at)))
            .collect();
        leases.sort_unstable();
        leases.into_iter().map(|(_, at)| at).collect()
    }

    /// A known child is connected: it can run these tasks, from these queues or from all.
    pub fn attach(&mut self, child: u32, tasks: &[Arc<str>], queues: &[Arc<str>]) {
        if let Some(child) = self.child_mut(child) {
            let (tasks, queues) = (tasks.to_vec(), queues.to_vec());
            child.connected = Some(Connected { tasks, queues, credit: 0, is_silent: false });
        }
        self.renew(child);
    }

    /// A child is no longer connected.
    pub fn detach(&mut self, child: u32) {
        if let Some(child) = self.child_mut(child) {
            child.connected = None;
        }
    }

    /// A connected child may hold more leases.
    pub fn grant(&mut self, child: u32, leases: u32, reset: bool) {
        if let Some(connected) = self.child_mut(child).and_then(|child| child.connected.as_mut()) {
            let before = if reset { 0 } else { connected.credit };
            connected.credit = (u64::from(before) + u64::from(leases)).min(u64::from(CREDIT_MAX)) as u32;
        }
    }

    /// A child's leases live on.
    pub fn renew(&mut self, child: u32) {
        self.begin_term(child, false);
    }

    pub(super) fn begin_term(&mut self, child: u32, is_silent: bool) {
        let lease_ends_ms = self.logical_ms + self.limits.lease_ms;
        if let Some(child) = self.child_mut(child) {
            child.lease_ends_ms = child.lease_ends_ms.max(lease_ends_ms);
            if let Some(connected) = &mut child.connected {
                connected.is_silent = is_silent;
            }
        }
    }

    /// The engine stood still: every lease lives as much longer.
    pub fn extend_leases(&mut self, gap_ms: u64) {
        let now_ms = self.logical_ms;
        for child in &mut self.children {
            child.lease_ends_ms += gap_ms;
            child.absent_since_ms = child.absent_since_ms.map(|since_ms| (since_ms + gap_ms).min(now_ms));
        }
        self.lock_holders.iter_mut().for_each(|holder| holder.ends_ms += gap_ms);
    }

    /// The engine started again: nobody is connected, and every session begins its time anew, as do the leases of those
    /// that were not absent already.
    pub fn restart(&mut self, epoch: u64) {
        (self.epoch, self.leases_given) = (epoch, 0);
        for child in &mut self.children {
            child.connected = None;
            let since_ms = *child.absent_since_ms.get_or_insert(self.logical_ms);
            child.lease_ends_ms = since_ms + self.limits.lease_ms;
        }
        self.sessions.values_mut().for_each(|session| session.used_ms = self.logical_ms);
        self.restart_locks();
        self.restart_cache();
    }
}
