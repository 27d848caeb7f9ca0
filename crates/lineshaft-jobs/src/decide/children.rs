//! Children that come, come back and go.

use bytes::Bytes;
use lineshaft_wire::message::{AttachChild, OtherEnd};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures, Outcome};
use rustc_hash::FxHashSet;

use super::check_room;
use crate::change::{Change, Next, Stored};
use crate::command::{Decision, Entry, Now, Refusal, Reply};
use crate::state::State;

/// Tasks and queues that a child may name.
const NAMES_MAX: usize = 65_536;

/// What a dead child had taken up.
pub(super) struct Taken {
    pub(super) newest: Option<Fence>,
    pub(super) unbegun: FxHashSet<Fence>,
}

impl Taken {
    /// Whether the body of this lease began. A child takes its leases up in the order of their fences.
    fn ran(&self, fence: Fence) -> bool {
        self.newest.is_some_and(|newest| fence <= newest) && !self.unbegun.contains(&fence)
    }
}

impl State {
    pub(super) fn decide_attach(&self, attach: AttachChild) -> Result<Decision, Refusal> {
        super::enqueue::check_name("worker", &attach.worker_name)?;
        check_room("tasks and queues of a child", 0, attach.tasks.len() + attach.queues.len(), NAMES_MAX)?;
        attach.tasks.iter().try_for_each(|task| super::enqueue::check_runs(task))?;
        attach.queues.iter().try_for_each(|queue| super::enqueue::check_name("queue", queue))?;
        let held: FxHashSet<(JobId, Fence)> = attach.held.iter().copied().collect();
        let Some(child) = self.find_child(attach.worker, attach.number) else {
            check_room("known children", self.children.len(), 1, self.limits.children)?;
            let stale = attach.held.iter().map(|(_, fence)| *fence).collect();
            return Ok(self.attach_new(attach, stale));
        };
        let own = |(job, fence): &(JobId, Fence)| {
            self.lease_of(*job, *fence).is_some_and(|(_, lease)| lease.child == child)
        };
        let stale = attach.held.iter().filter(|held| !own(held)).map(|(_, fence)| *fence).collect();
        // Leases that the child does not know of never reached it: the connection or the engine ended before.
        let unknown = |slot: &u32| !held.contains(&(self.job_id(*slot), self.leases[slot].fence));
        let undelivered = self.leases_of(child).filter(unknown).collect();
        // Durable before the child hears that it is attached: its leases count from here then, also after a restart.
        let returned = self.absent.contains_key(&child).then(|| Change::ChildReturned { child }.into());
        let entries = returned.into_iter().chain(self.hand_back(undelivered)).collect();
        Ok(Decision::of(entries, Reply::Attached { child, stale }))
    }

    fn attach_new(&self, attach: AttachChild, stale: Vec<Fence>) -> Decision {
        let child = self.next_child;
        let AttachChild { worker, worker_name, number, process, .. } = attach;
        let name = format!("{worker_name}/{number}").into();
        let change = Change::ChildAttached { child, worker, name, number, process };
        Decision::of(vec![change.into()], Reply::Attached { child, stale })
    }

    pub(super) fn decide_release(&self, child: u32, leases: &[(JobId, Fence)]) -> Decision {
        let mut seen = FxHashSet::default();
        let own = leases.iter().filter_map(|(job, fence)| self.own_lease(child, *job, *fence));
        let slots = own.map(|(slot, _)| slot).filter(|slot| seen.insert(*slot)).collect();
        Decision::of(self.hand_back(slots), Reply::Finished { refused: Vec::new() })
    }

    pub(super) fn decide_child_ended(
        &self,
        (worker, number): (u64, u32),
        begun: &[OtherEnd],
        taken: &Taken,
        mut outputs: Bytes,
        now: Now,
    ) -> Decision {
        let Some(child) = self.find_child(worker, number) else {
            return Decision::of(Vec::new(), Reply::Done);
        };
        let mut entries = Vec::new();
        let mut ended = FxHashSet::default();
        let mut accounts = Vec::new();
        for end in begun {
            let output = outputs.split_to((end.output_length as usize).min(outputs.len()));
            if let Some((slot, _)) = self.own_lease(child, end.job, end.fence)
                && ended.insert(slot)
            {
                entries.extend(self.other_end(slot, end, Stored::Inline(output.len() as u32), output, now));
                accounts.extend(self.account_of(slot, end));
            }
        }
        entries.extend(super::finish::measured(accounts));
        let ran = |slot: &u32| taken.ran(self.leases[slot].fence);
        let others = self.leases_of(child).filter(|slot| !ended.contains(slot));
        let (lost, unbegun): (Vec<u32>, Vec<u32>) = others.partition(ran);
        entries.extend(self.lose(&lost, now, "its process died before anybody heard how it ended"));
        entries.extend(self.hand_back(unbegun));
        entries.push(Change::ChildGone { child }.into());
        Decision::of(entries, Reply::Done)
    }

    pub(super) fn decide_child_vanished(&self, child: u32, now: Now) -> Decision {
        self.child_gone(child, now, "the worker and its supervisor died together")
    }

    pub(super) fn decide_child_forgotten(&self, child: u32, now: Now) -> Decision {
        self.child_gone(child, now, "the home was restored from a backup that was made while it ran")
    }

    fn child_gone(&self, child: u32, now: Now, why: &str) -> Decision {
        if !self.children.contains_key(&child) {
            return Decision::of(Vec::new(), Reply::Done);
        }
        let mut entries = self.lose_leases(child, now, why);
        entries.push(Change::ChildGone { child }.into());
        Decision::of(entries, Reply::Done)
    }

    /// Every lease of a child ends as lost.
    pub(super) fn lose_leases(&self, child: u32, now: Now, why: &str) -> Vec<Entry> {
        self.lose(&self.leases_of(child).collect::<Vec<_>>(), now, why)
    }

    fn lose(&self, slots: &[u32], now: Now, why: &str) -> Vec<Entry> {
        let record = ErrorRecord { message: why.to_owned(), ..ErrorRecord::default() };
        let error = super::finish::encode_error(&record);
        let lost = |&slot: &u32| {
            let lease = self.leases[&slot];
            let change = Change::Ended {
                slot,
                outcome: Outcome::Lost,
                started_ms: lease.leased_ms,
                finished_ms: now.wall_ms,
                error: Stored::Inline(error.len() as u32),
                output: Stored::NONE,
                next: super::finish::in_time(self.slots.job(slot), self.after_loss(slot), now),
            };
            Entry { change, payload: vec![error.clone()] }
        };
        let account =
            |slot: &u32| (*slot, self.account(*slot, self.leases[slot].leased_ms, Measures::default()));
        let accounts = slots.iter().map(account).collect();
        slots.iter().map(lost).chain(super::finish::measured(accounts)).collect()
    }

    fn after_loss(&self, slot: u32) -> Next {
        let entry = self.slots.at(slot);
        if entry.is_cancelling() {
            Next::Cancel("cancelled".into())
        } else if self.rules.at(entry.rules).at_most_once {
            Next::Discard("maybe_ran".into())
        } else {
            Next::Available
        }
    }

    pub(crate) fn leases_of(&self, child: u32) -> impl Iterator<Item = u32> + '_ {
        self.children.get(&child).into_iter().flat_map(|entry| entry.leases.iter(&self.slots))
    }

    /// The engine's number of a worker's child.
    pub fn find_child(&self, worker: u64, number: u32) -> Option<u32> {
        let same =
            |(_, child): &(&u32, &crate::state::Child)| child.worker == worker && child.number == number;
        self.children.iter().find(same).map(|(child, _)| *child)
    }

    /// Jobs whose attempts never began go back; those that shall be cancelled end there.
    pub(super) fn hand_back(&self, slots: Vec<u32>) -> Vec<Entry> {
        let cancelled: Vec<u32> =
            slots.iter().copied().filter(|slot| self.slots.at(*slot).is_cancelling()).collect();
        let mut entries = Vec::new();
        if !slots.is_empty() {
            entries.push(Change::Released { slots }.into());
        }
        if !cancelled.is_empty() {
            entries.push(Change::Cancelled { slots: cancelled, reason: "cancelled".into() }.into());
        }
        entries
    }
}
