//! What left the engine and what attempts did, noted outside of it, and whether that keeps what is promised.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lineshaft_jobs::State;
use lineshaft_store::ArchivedJob;
use lineshaft_wire::message::{End, Ended, Enqueue, Enqueued, Finish, Finished, Leases, Message};
use lineshaft_wire::{Fence, JobId, JobState};

use super::network::{Frame, Peer};

/// Tells a job by its arguments, whatever id it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) producer: u16,
    pub(super) call: u32,
    pub(super) place: u16,
}

impl Tag {
    pub(super) const BYTES: usize = 8;

    /// Arguments that say whose they are, so long.
    pub(super) fn payload(self, length: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(length.max(Self::BYTES));
        bytes.extend_from_slice(&self.producer.to_le_bytes());
        bytes.extend_from_slice(&self.call.to_le_bytes());
        bytes.extend_from_slice(&self.place.to_le_bytes());
        let fill = self.producer as u8 ^ self.call as u8 ^ self.place as u8;
        bytes.extend((Self::BYTES..length).map(|at| fill.wrapping_add(at as u8)));
        bytes.into()
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let (producer, rest) = payload.split_first_chunk::<2>()?;
        let (call, rest) = rest.split_first_chunk::<4>()?;
        let place = rest.first_chunk::<2>()?;
        Some(Self {
            producer: u16::from_le_bytes(*producer),
            call: u32::from_le_bytes(*call),
            place: u16::from_le_bytes(*place),
        })
    }
}

/// The jobs that a request asks for.
fn tags_of(call: &Frame) -> Vec<Tag> {
    let Message::Enqueue(Enqueue { groups, .. }) = &call.message else { return Vec::new() };
    let mut rest = &call.payload[..];
    let lengths = groups.iter().flat_map(|group| &group.lengths);
    let arguments = lengths.map(|length| rest.split_off(..*length as usize).unwrap_or_default());
    arguments.filter_map(Tag::of).collect()
}

/// What an attempt returns.
pub(super) fn result_of(job: JobId, fence: Fence) -> Bytes {
    let mut bytes = job.to_bytes().to_vec();
    bytes.extend_from_slice(&fence.epoch.to_le_bytes());
    bytes.extend_from_slice(&fence.counter.to_le_bytes());
    bytes.into()
}

/// A job that somebody asked for.
#[derive(Debug)]
struct Asked {
    bytes: usize,
    at_most_once: bool,
    id: Option<JobId>,
    acknowledged: bool,
}

/// A job with an id.
#[derive(Debug)]
struct Known {
    tag: Option<Tag>,
    newest: Option<Fence>,
    begun: u32,
    ended: Option<(JobState, Option<Bytes>)>,
}

/// Notes and judges.
#[derive(Default)]
pub(super) struct Ledger {
    asked: BTreeMap<Tag, Asked>,
    jobs: BTreeMap<JobId, Known>,
    fences: BTreeSet<Fence>,
    /// Leases that left and that nobody gave back.
    standing: BTreeMap<Fence, (JobId, Peer)>,
    /// Attempts whose body runs, and where.
    running: BTreeMap<JobId, (Fence, Peer)>,
    pub(super) begun: u64,
}

type Verdict = Result<(), String>;

impl Ledger {
    // ---- What others do.

    pub(super) fn asked_for(&mut self, tag: Tag, bytes: usize, at_most_once: bool) {
        self.asked.insert(tag, Asked { bytes, at_most_once, id: None, acknowledged: false });
    }

    /// A body begins.
    pub(super) fn begin(&mut self, job: JobId, fence: Fence, peer: Peer) -> Verdict {
        self.go_on(job, fence, peer)?;
        let Some(known) = self.jobs.get_mut(&job) else {
            return Err(format!("{job} begins at {peer:?}, but its lease never left the engine"));
        };
        known.begun += 1;
        self.begun += 1;
        let at_most_once =
            known.tag.and_then(|tag| self.asked.get(&tag)).is_some_and(|asked| asked.at_most_once);
        if at_most_once && known.begun > 1 {
            return Err(format!(
                "{job} must run at most once and begins for the {}. time, with {fence}",
                known.begun
            ));
        }
        Ok(())
    }

    /// A body is able to do something, at the beginning or after it was stopped for a while.
    pub(super) fn go_on(&mut self, job: JobId, fence: Fence, peer: Peer) -> Verdict {
        match self.running.insert(job, (fence, peer)) {
            None => Ok(()),
            Some((other, elsewhere)) => Err(format!(
                "{job} runs twice: with {fence} at {peer:?}, while it runs with {other} at {elsewhere:?}"
            )),
        }
    }

    /// A body does not run any more, or is not able to do anything.
    pub(super) fn stop(&mut self, job: JobId, fence: Fence) {
        if self.running.get(&job).is_some_and(|(running, _)| *running == fence) {
            self.running.remove(&job);
        }
    }

    /// A child gives back what never began, or may have.
    pub(super) fn let_go(&mut self, fence: Fence) {
        self.standing.remove(&fence);
    }

    /// A child has these leases and no others.
    pub(super) fn holds(&mut self, peer: Peer, held: &[(JobId, Fence)]) {
        self.standing
            .retain(|fence, (_, holder)| *holder != peer || held.iter().any(|(_, other)| other == fence));
    }

    // ---- What leaves the engine.

    /// A message left; `payload` is what follows it, if that could be read. It `arrives` unless its peer has died or has
    /// another connection by now.
    pub(super) fn left(
        &mut self,
        peer: Peer,
        arrives: bool,
        asked: Option<&Frame>,
        message: &Message,
        payload: Option<&Bytes>,
    ) -> Verdict {
        match (message, asked.map(|asked| (asked, &asked.message))) {
            (Message::Enqueued(enqueued), Some((call, _))) => self.acknowledged(call, enqueued),
            (Message::Finished(finished), Some((_, Message::Finish(finish)))) => {
                self.finished(finish, finished)
            }
            (Message::Leases(leases), _) => self.leased(arrives.then_some(peer), leases, payload),
            (Message::Ended(ended), _) => self.ended(ended, payload),
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, call: &Frame, enqueued: &Enqueued) -> Verdict {
        let (tags, ids) = (tags_of(call), enqueued.ids.as_chunks::<16>().0);
        if tags.len() != ids.len() {
            return Err(format!(
                "{} jobs of {:?} are acknowledged, {} were asked for",
                ids.len(),
                tags.first(),
                tags.len()
            ));
        }
        for (tag, id) in tags.into_iter().zip(ids) {
            let id = JobId::from_bytes(*id)
                .ok_or_else(|| format!("{tag:?} is acknowledged with {id:?}, which is no id"))?;
            self.identify(tag, id)?;
            self.asked.get_mut(&tag).expect("it was identified").acknowledged = true;
        }
        Ok(())
    }

    /// A job was seen with its arguments: it has one id, and no other job has it.
    fn identify(&mut self, tag: Tag, id: JobId) -> Verdict {
        let Some(asked) = self.asked.get_mut(&tag) else {
            return Err(format!("{id} has arguments that nobody sent: {tag:?}"));
        };
        if let Some(other) = asked.id.replace(id).filter(|other| *other != id) {
            return Err(format!("{tag:?} was asked for once, and is there as {other} and as {id}"));
        }
        let known =
            self.jobs.entry(id).or_insert(Known { tag: Some(tag), newest: None, begun: 0, ended: None });
        match known.tag {
            Some(other) if other != tag => Err(format!("{id} is the job of {other:?} and of {tag:?}")),
            _ => Ok(()),
        }
    }

    fn leased(&mut self, peer: Option<Peer>, leases: &Leases, payload: Option<&Bytes>) -> Verdict {
        let mut rest = payload.cloned();
        for lease in &leases.jobs {
            let fence = Fence { epoch: leases.epoch, counter: lease.counter };
            if let Some(rest) = &mut rest {
                let arguments = rest.split_to((lease.length as usize).min(rest.len()));
                self.check_arguments(lease.job, &arguments)?;
            }
            if !self.fences.insert(fence) {
                return Err(format!("{fence} is given a second time, for {}", lease.job));
            }
            if let Some(peer) = peer {
                self.standing.insert(fence, (lease.job, peer));
            }
            let Some(known) = self.jobs.get_mut(&lease.job) else { continue };
            if let Some(ended) = &known.ended {
                return Err(format!("{} is {} and is leased again, with {fence}", lease.job, ended.0));
            }
            if let Some(newest) = known.newest.replace(fence).filter(|newest| *newest >= fence) {
                return Err(format!("the fences of {} do not grow: {fence} after {newest}", lease.job));
            }
        }
        Ok(())
    }

    fn check_arguments(&mut self, job: JobId, arguments: &Bytes) -> Verdict {
        let tag = Tag::of(arguments);
        let asked = tag.and_then(|tag| Some((tag, self.asked.get(&tag)?.bytes)));
        match asked.filter(|(tag, bytes)| tag.payload(*bytes) == arguments) {
            Some((tag, _)) => self.identify(tag, job),
            None => Err(format!(
                "{job} is leased with other arguments than were sent: {} bytes, {tag:?}",
                arguments.len()
            )),
        }
    }

    fn finished(&mut self, finish: &Finish, finished: &Finished) -> Verdict {
        let accepted = |job: JobId, fence: Fence| !finished.refused.contains(&(job, fence));
        for end in finish.succeeded.iter().filter(|end| accepted(end.job, end.fence)) {
            self.note_end(end.job, JobState::Completed, Some(result_of(end.job, end.fence)))?;
        }
        for end in finish.others.iter().filter(|end| accepted(end.job, end.fence)) {
            if let End::Rejected { .. } = end.end {
                self.note_end(end.job, JobState::Discarded, None)?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: &Ended, payload: Option<&Bytes>) -> Verdict {
        let mut rest = payload.cloned();
        for (job, length) in &ended.completed {
            let result = rest.as_mut().and_then(|rest| {
                let length = usize::try_from(*length).ok().filter(|length| *length <= rest.len())?;
                Some(rest.split_to(length))
            });
            self.note_end(*job, JobState::Completed, result)?;
        }
        for failed in &ended.failed {
            self.note_end(failed.id, failed.state, None)?;
        }
        match ended.missing.first() {
            Some(job) if self.jobs.contains_key(job) => Err(format!("{job} was acknowledged and is missing")),
            _ => Ok(()),
        }
    }

    /// Somebody was told that the job ended like this.
    fn note_end(&mut self, job: JobId, state: JobState, result: Option<Bytes>) -> Verdict {
        let Some(known) = self.jobs.get_mut(&job) else { return Ok(()) };
        match &mut known.ended {
            None => known.ended = Some((state, result)),
            Some((other, _)) if *other != state => {
                return Err(format!("{job} is {other}, as was said, and now it is {state}"));
            }
            Some((_, Some(other))) => {
                if let Some(result) = result.filter(|result| result != other) {
                    return Err(format!("{job} has another result than was said: {result:?}, not {other:?}"));
                }
            }
            Some((_, known)) => *known = result,
        }
        Ok(())
    }

    // ---- What the engine holds.

    /// Jobs that are not in memory.
    pub(super) fn elsewhere(&self, state: &State) -> Vec<JobId> {
        self.jobs.keys().copied().filter(|job| state.slot_of(*job).is_none()).collect()
    }

    /// Everything that left is there; `archived` are those of the jobs elsewhere that the archive has.
    pub(super) fn check(&self, state: &State, archived: &[ArchivedJob]) -> Verdict {
        let archived: BTreeMap<JobId, &ArchivedJob> =
            archived.iter().map(|job| (job.record.id, job)).collect();
        for (job, known) in &self.jobs {
            let view;
            let record = match (state.slot_of(*job), archived.get(job)) {
                (Some(slot), _) => {
                    view = state.view(slot).record;
                    &view
                }
                (None, Some(job)) => &job.record,
                (None, None) => return Err(format!("{job} left the engine and is gone: {known:?}")),
            };
            if let Some((ended, result)) = &known.ended {
                if record.state != *ended {
                    return Err(format!("{job} was said to be {ended} and is {}", record.state));
                }
                let kept = archived.get(job).map(|job| &job.result);
                if let (Some(kept), Some(result)) = (kept, result)
                    && kept != result
                {
                    return Err(format!("the archive has another result of {job}: {kept:?}, not {result:?}"));
                }
            }
            let standing = self.standing.iter().filter(|(_, (leased, _))| leased == job);
            for (fence, (_, peer)) in standing {
                if !record.attempts.iter().any(|attempt| attempt.fence == *fence) {
                    return Err(format!(
                        "the lease {fence} of {job} left for {peer:?}, and the engine does not know it"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Number of the jobs that were acknowledged.
    pub(super) fn acknowledged_count(&self) -> u64 {
        self.asked.values().filter(|asked| asked.acknowledged).count() as u64
    }
}
