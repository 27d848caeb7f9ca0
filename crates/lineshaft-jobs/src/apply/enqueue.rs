//! New jobs.

use std::sync::Arc;

use lineshaft_wire::message::Enqueued;
use lineshaft_wire::{JobId, JobState};

use super::Cursor;
use crate::change::{NewJobs, Place, Request, RulesRef};
use crate::extra::Extra;
use crate::notes::Notes;
use crate::slot::{Slot, Times};
use crate::slot_page::Row;
use crate::state::{Answer, Key, State};

impl State {
    pub(super) fn enqueue(
        &mut self,
        request: Request,
        groups: &[NewJobs],
        existing: &[(u32, JobId)],
        cursor: &mut Cursor,
    ) {
        let count = groups.iter().map(|group| group.arguments.len()).sum::<usize>() + existing.len();
        let mut ids = Vec::with_capacity(count * 16);
        let mut existing_ids = existing.iter().peekable();
        let mut place_existing = |ids: &mut Vec<u8>| {
            while let Some((_, id)) = existing_ids.next_if(|(at, _)| *at as usize == ids.len() / 16) {
                ids.extend_from_slice(&id.to_bytes());
            }
        };
        for group in groups {
            let template = self.template(group);
            for stored in &group.arguments {
                place_existing(&mut ids);
                let slot = self.admit(&template, group, cursor.take(*stored));
                ids.extend_from_slice(&self.job_id(slot).to_bytes());
            }
            self.finish_group(&template, group);
        }
        place_existing(&mut ids);
        let existing = existing.iter().map(|(at, _)| *at).collect();
        self.remember(
            request,
            Answer::Enqueued(Enqueued { ids: ids.into(), existing, ..Enqueued::default() }),
        );
    }

    /// Jobs that handle the failures of others, one each.
    pub(super) fn spawn(&mut self, group: &NewJobs, failed: &[u32], cursor: &mut Cursor) {
        let template = self.template(group);
        for (stored, failed) in group.arguments.iter().zip(failed) {
            let slot = self.admit(&template, group, cursor.take(*stored));
            let (job, failed_job) = (self.job_id(slot), self.job_id(*failed));
            self.slots.extra_mut(slot).failure_mut().of = Some(failed_job);
            self.slots.extra_mut(*failed).failure_mut().handled_by = Some(job);
            // It is about the same request or user.
            let context = self.slots.job(*failed).extra.and_then(|extra| extra.notes.context().cloned());
            if context.is_some() {
                self.slots.extra_mut(slot).notes = Notes::new(group.notes.metadata().cloned(), context);
            }
        }
        self.finish_group(&template, group);
    }

    /// A slot as every job of the group has it, its names and rules acquired for all of them.
    fn template(&mut self, group: &NewJobs) -> Row {
        let jobs = group.arguments.len() as u64;
        let (task, queue) = (self.acquire(&group.task, jobs), self.acquire(&group.queue, jobs));
        let rules = match &group.rules {
            RulesRef::Known(number) => {
                self.rules.reuse(*number, jobs);
                *number
            }
            RulesRef::New(rules) | RulesRef::Handled(rules) | RulesRef::Versioned(rules) => {
                self.rules.acquire(rules, jobs)
            }
        };
        let state = if group.run_at.is_some() { JobState::Scheduled } else { JobState::Available };
        let mut slot = Slot { task, queue, rules, priority: group.priority, ..Slot::free(0) };
        slot.created_ms = self.wall_ms;
        slot.set_state(state);
        let extra = self.template_extra(group, jobs).map(Box::new);
        let paused = self.queues.entry(queue).or_default().paused;
        let (queue_name, task_name) = (Arc::clone(self.names.at(queue)), Arc::clone(self.names.at(task)));
        let lane = self.lanes.enter((queue, &queue_name), (task, &task_name), paused, jobs);
        let entry = self.queue_mut(queue);
        entry.lanes.insert(task, lane);
        entry.counts[state as usize] += jobs;
        Row { slot, times: Times::new(group.run_at, group.expires_ms, group.deadline_ms), extra }
    }

    fn template_extra(&mut self, group: &NewJobs, jobs: u64) -> Option<Extra> {
        let NewJobs { unique, tags, notes, retry_of, .. } = group;
        let plain = unique.is_none() && notes.is_none() && retry_of.is_none();
        if plain && tags.is_empty() {
            return None;
        }
        let tags = tags.iter().map(|tag| self.acquire(tag, jobs)).collect();
        let (unique, notes) = (unique.clone(), notes.clone());
        Some(Extra { tags, notes, unique, retry_of: *retry_of, ..Extra::default() })
    }

    fn admit(&mut self, template: &Row, group: &NewJobs, arguments: Place) -> u32 {
        let index = self.free.take().unwrap_or_else(|| self.slots.push(Slot::free(0)));
        let generation = self.slots.at(index).generation;
        let order = self.take_order();
        let slot = Slot { generation, order, arguments, ..template.slot };
        self.slots.replace(index, Row { slot, ..template.clone() });
        self.keep(arguments);
        self.set_limit(index);
        let lane = self.lane_of(index);
        if let Some(run_at) = group.run_at {
            self.start_timer(index, run_at);
            self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index);
        } else {
            let line = &mut self.lanes.at_mut(lane).available[usize::from(template.slot.priority) - 1];
            line.insert(&mut self.slots, index);
        }
        if let Some(unique) = &group.unique {
            self.hold_unique(unique, index);
        }
        if let Some(key) = &group.idempotency_key {
            let expires_ms = self.logical_ms + self.limits.idempotency_ms;
            self.remember_key(Key { expires_ms, text: Arc::clone(key), job: self.job_id(index) });
        }
        index
    }

    fn finish_group(&mut self, template: &Row, group: &NewJobs) {
        if group.run_at.is_none() && !group.arguments.is_empty() {
            let lane =
                self.lanes.find(template.slot.queue, template.slot.task).expect("the group's lane is open");
            self.lanes.refresh(lane, &self.slots);
        }
    }
}
