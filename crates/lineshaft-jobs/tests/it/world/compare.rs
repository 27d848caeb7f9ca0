//! Everything that can be seen of the machine, beside what the model says.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineshaft_jobs::{JobView, Live, Place, decode_error};
use lineshaft_testkit::model::{Job, Payload};
use lineshaft_wire::message::{Filter, QueueReport};
use lineshaft_wire::{JobId, JobState, Outcome};

use super::World;
use crate::steps::{QUEUES, TAGS, TASKS};

impl World {
    pub(super) fn compare(&self) {
        for job in self.model.jobs() {
            self.compare_job(job);
        }
        let in_memory: BTreeSet<JobId> = self.model.jobs().iter().map(|job| job.id).collect();
        for job in self.ids.iter().filter(|job| !in_memory.contains(job)) {
            assert_eq!(self.machine.state.slot_of(*job), None, "job {job} is archived");
        }
        self.compare_counts();
        self.compare_pages();
        self.compare_children();
        self.compare_sessions();
        self.compare_locks();
        self.compare_payloads();
        super::statistics::compare(&self.machine.state, &self.model);
    }

    fn compare_job(&self, job: &Job) {
        let state = &self.machine.state;
        let slot = state.slot_of(job.id).unwrap_or_else(|| panic!("job {} is lost", job.id));
        let view = state.view(slot);
        assert_eq!(view.record, self.model.record(job), "what is known of job {}", job.id);
        assert_eq!((state.job_id(slot), state.job_state(slot)), (job.id, job.state));
        assert_eq!(view.rules, job.rules);
        self.compare_stored(&view, job);
    }

    fn compare_stored(&self, view: &JobView, job: &Job) {
        self.compare_payload(view.arguments, &job.arguments);
        self.compare_payload(view.result, &job.result);
        let checkpoint =
            job.checkpoint.as_ref().map_or_else(Payload::default, |(payload, _)| payload.clone());
        self.compare_payload(view.checkpoint, &checkpoint);
        for (seen, attempt) in view.attempts.iter().zip(job.shown()) {
            self.compare_payload(seen.output, &attempt.output);
            let error = decode_error(&self.machine.read(seen.error));
            if attempt.outcome == Outcome::Lost {
                assert!(error.is_some_and(|error| !error.message.is_empty()), "a loss says why");
            } else {
                assert_eq!(error, attempt.error);
            }
        }
    }

    pub(super) fn compare_payload(&self, place: Place, payload: &Payload) {
        assert_eq!(self.machine.read(place), payload.bytes);
        assert_eq!(place.is_blob().then_some(place.lsn), payload.blob);
    }

    fn compare_counts(&self) {
        let state = &self.machine.state;
        let jobs = self.model.jobs();
        let finished = self.model.finished().len();
        assert_eq!((state.jobs(), state.unfinished()), (jobs.len() as u64, (jobs.len() - finished) as u64));
        assert_eq!((state.unarchived() as usize, state.archived()), (finished, self.model.archived()));
        let queues = state.queue_reports();
        assert_eq!(queues, self.model.queues());
        let sum = |count: fn(&QueueReport) -> u64| queues.iter().map(count).sum::<u64>();
        let all = sum(|it| it.scheduled + it.available + it.running + it.retryable + it.finished);
        assert_eq!(all, state.jobs(), "every job is counted in one state of one queue");
        assert_eq!(state.unknown_tasks(), self.model.unknown_tasks());
    }

    fn compare_pages(&self) {
        let state = &self.machine.state;
        let ids = |slots: Vec<u32>| slots.into_iter().map(|slot| state.job_id(slot)).collect::<Vec<_>>();
        let finished = self.model.finished();
        assert_eq!(ids(state.to_archive(0, usize::MAX)), finished);
        assert_eq!(ids(state.to_archive(2, 3)), finished.iter().copied().skip(2).take(3).collect::<Vec<_>>());
        let kept: Vec<JobId> = finished.into_iter().rev().filter(|job| !state.is_deleted(*job)).collect();
        assert_eq!(ids(state.finished_page(&Filter::default(), u64::MAX, usize::MAX)), kept);
        for filter in filters(self.machine.lsn()) {
            let page = state.page(&filter, 0, usize::MAX);
            assert_eq!((ids(page.slots), page.next), (self.model.unfinished(&filter), None), "{filter:?}");
        }
    }

    fn compare_children(&self) {
        let row = |child: lineshaft_jobs::ChildView<'_>| {
            (child.child, Arc::clone(child.name), child.leases, child.lease_ends_ms, child.group.is_some())
        };
        let state = &self.machine.state;
        let seen: Vec<_> = state.child_reports().map(row).collect();
        assert_eq!(seen, self.model.children());
        let absent = state.child_reports().filter_map(|it| Some((it.child, state.absent_since(it.child)?)));
        assert_eq!(absent.collect::<Vec<_>>(), self.model.absent());
        assert_eq!(state.has_absent(), !self.model.absent().is_empty());
    }

    fn compare_sessions(&self) {
        let state = &self.machine.state;
        let known = self.model.answers();
        for client in &self.clients {
            let answers = known.get(&client.session);
            assert_eq!(state.has_session(client.session), answers.is_some());
            for number in client.next.saturating_sub(12)..client.next + 2 {
                let answer = answers.and_then(|answers| answers.get(&number));
                assert_eq!(state.answer(client.session, number), answer, "request {number}");
            }
        }
        assert_eq!(state.deleted().collect::<BTreeSet<_>>(), self.model.deleted());
    }

    fn compare_payloads(&self) {
        let state = &self.machine.state;
        assert_eq!(state.blobs().collect::<BTreeSet<_>>(), self.model.blobs());
        assert_eq!(state.oldest_kept_lsn(), self.model.oldest_lsn().map(|lsn| lsn / 16 * 16));
        let views = self.model.jobs().iter().filter_map(|job| Some(state.view(state.slot_of(job.id)?)));
        let places: Vec<Place> = views.flat_map(places_of).chain(self.cached_places()).collect();
        let live = |is_here: &dyn Fn(&Place) -> bool| {
            let here = places.iter().filter(|place| is_here(place));
            here.fold(Live::default(), |sum, place| {
                sum.and(Live { payloads: 1, bytes: u64::from(place.length) })
            })
        };
        let middle = self.machine.lsn() / 2;
        let below = |place: &Place| place.is_in_commit() && place.lsn / 16 * 16 < middle;
        assert_eq!(state.live_below(middle), live(&below));
        let files: BTreeSet<u64> =
            places.iter().filter(|place| place.is_cold()).map(|place| place.lsn).collect();
        let expected = files.iter().map(|file| (*file, live(&|place| place.is_cold() && place.lsn == *file)));
        assert!(state.cold_files().eq(expected), "what is needed of cold files");
    }
}

fn places_of(view: JobView) -> Vec<Place> {
    let attempts = view.attempts.iter().flat_map(|attempt| [attempt.error, attempt.output]);
    attempts.chain([view.arguments, view.result, view.checkpoint]).collect()
}

/// No filter, and one that changes from step to step.
fn filters(seed: u64) -> [Filter; 2] {
    let pick = |names: [&str; 3], at: u64| names.get((at % 4) as usize).map(|name| Arc::from(*name));
    let seed = seed / 100;
    let states = match seed % 3 {
        0 => vec![JobState::Available, JobState::Retryable],
        1 => vec![JobState::Running, JobState::Scheduled],
        _ => Vec::new(),
    };
    let tags = pick(TAGS, seed / 3).into_iter().collect();
    let filter = Filter {
        states,
        queue: pick(QUEUES, seed / 5),
        task: pick(TASKS, seed / 7),
        tags,
        ..Filter::default()
    };
    [Filter::default(), filter]
}
