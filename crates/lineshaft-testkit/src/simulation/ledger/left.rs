//! What left the engine: whether it may have.

use bytes::Bytes;
use lineshaft_wire::message::{
    End, Ended, Enqueued, Fetch, Finish, Finished, Leases, Message, PayloadKind, QueueVerb, RefusalCode,
};
use lineshaft_wire::value::encode_failure_call;
use lineshaft_wire::{Fence, JobId, JobRecord, JobState};

use super::{Asked, Known, Ledger, Origin, Tag, Verdict, checkpoint_of, result_of, tags_of};
use crate::simulation::network::{Frame, Peer};

impl Ledger {
    /// A message left. It `arrives` unless its peer has died or has another connection by now.
    pub(in crate::simulation) fn left(
        &mut self,
        peer: Peer,
        arrives: bool,
        asked: Option<&Frame>,
        Frame { message, payload, .. }: &Frame,
    ) -> Verdict {
        match (message, asked.map(|asked| (asked, &asked.message))) {
            (Message::Enqueued(enqueued), Some((_, Message::Retry(retry)))) => {
                self.repeated(retry.job, enqueued)
            }
            (Message::Enqueued(enqueued), Some((call, _))) => self.acknowledged(call, enqueued),
            (Message::Finished(finished), Some((_, Message::Finish(finish)))) => {
                self.finished(finish, finished)
            }
            (Message::Finished(finished), Some((_, Message::Checkpoint(checkpoint)))) => {
                if finished.refused.is_empty() {
                    self.confirmed(checkpoint.job, checkpoint.fence);
                }
                Ok(())
            }
            (Message::Changed(_), Some((_, Message::ChangeQueue(request)))) => {
                self.queue_changed(peer, request);
                if request.verb == QueueVerb::Purge {
                    self.purged(peer, request);
                }
                Ok(())
            }
            (Message::Leases(leases), _) => self.leased(arrives.then_some(peer), leases, payload),
            (Message::Ended(ended), _) => self.ended(ended, payload),
            (Message::Shown(shown), _) => self.shown(&shown.record),
            (Message::Page(page), _) => page.jobs.iter().try_for_each(|record| self.shown(record)),
            (Message::Fetched(_), Some((_, Message::Fetch(fetch)))) => self.fetched(*fetch, payload),
            (Message::Refused(refused), Some((_, Message::Show(show)))) => match refused.code {
                RefusalCode::JobNotFound => self.missing(show.job),
                _ => Ok(()),
            },
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
        for (place, (tag, id)) in (0..).zip(tags.into_iter().zip(ids)) {
            let id = JobId::from_bytes(*id)
                .ok_or_else(|| format!("{tag:?} is acknowledged with {id:?}, which is no id"))?;
            if enqueued.existing.contains(&place) {
                self.found_instead(tag, id)?;
                continue;
            }
            self.identify(tag, id)?;
            let asked = self.asked.get_mut(&tag).expect("it was identified");
            asked.acknowledged.get_or_insert(self.purges.arrivals);
            if self.waited_for_room && asked.copies == 1 {
                return Err(format!(
                    "{tag:?} was taken on, though its commit had to wait for room on the disk"
                ));
            }
        }
        Ok(())
    }

    /// An equal job was there already, so none was made.
    fn found_instead(&mut self, tag: Tag, id: JobId) -> Verdict {
        let Some(asked) = self.asked.get_mut(&tag) else {
            return Err(format!("{id} is said to be there for {tag:?}, which nobody sent"));
        };
        if !asked.wanted.is_unique {
            return Err(format!("{tag:?} has no equals, and {id} is said to be one"));
        }
        if let Some(own) = asked.ids.first() {
            return Err(format!("{tag:?} is there as {own}, and was answered with {id} as one of before"));
        }
        let is_fixed = !asked.wanted.is_cached;
        match asked.instead.replace(id).filter(|other| *other != id && is_fixed) {
            Some(other) => Err(format!("{tag:?} was answered with {other}, and then with {id}")),
            None => Ok(()),
        }
    }

    /// A job that was asked for once more runs now, or there is another one.
    fn repeated(&mut self, job: JobId, enqueued: &Enqueued) -> Verdict {
        let id = enqueued.ids.as_chunks::<16>().0.first().and_then(|id| JobId::from_bytes(*id));
        let id = id.ok_or_else(|| format!("{job} is repeated by no job"))?;
        if id == job {
            return Ok(());
        }
        self.jobs.entry(id).or_default().repeats = Some(job);
        match self.jobs.get(&job).and_then(|known| known.origin) {
            Some(Origin::Asked(tag)) => self.identify(tag, id),
            Some(origin) => self.know(id, origin),
            None => Ok(()),
        }
    }

    /// A job was seen with its arguments: it has one id and those of its repeats, and no other job has them.
    fn identify(&mut self, tag: Tag, id: JobId) -> Verdict {
        let Some(asked) = self.asked.get_mut(&tag) else {
            return Err(format!("{id} has arguments that nobody sent: {tag:?}"));
        };
        if let Some(instead) = asked.instead.filter(|_| !asked.wanted.is_cached) {
            return Err(format!("{tag:?} was answered with {instead}, and is there as {id} all the same"));
        }
        if asked.ids.insert(id) && asked.ids.len() > 1 + asked.repeats {
            return Err(format!(
                "{tag:?} was asked for {} times, and is there as {:?}",
                1 + asked.repeats,
                asked.ids
            ));
        }
        if let Some(key) = asked.wanted.sole_of.filter(|_| asked.ids.len() == 1) {
            self.sole.entry(key).or_default().insert(id);
        }
        if asked.wanted.has_handler {
            self.failures.insert(encode_failure_call(id, 1).into(), id);
        }
        self.know(id, Origin::Asked(tag))
    }

    fn know(&mut self, id: JobId, origin: Origin) -> Verdict {
        let known = self.jobs.entry(id).or_default();
        match known.origin.replace(origin).filter(|other| *other != origin) {
            Some(other) => Err(format!("{id} is there for {other:?} and for {origin:?}")),
            None => Ok(()),
        }
    }

    fn leased(&mut self, peer: Option<Peer>, leases: &Leases, payload: &Bytes) -> Verdict {
        let mut rest = payload.clone();
        for lease in &leases.jobs {
            let fence = Fence { epoch: leases.epoch, counter: lease.counter };
            let arguments = rest.split_to((lease.length as usize).min(rest.len()));
            self.check_arguments(lease.job, &arguments)?;
            if !self.fences.insert(fence) {
                return Err(format!("{fence} is given a second time, for {}", lease.job));
            }
            if let Some(peer) = peer {
                self.standing.insert((lease.job, fence), peer);
            }
            self.leased_after_purge(lease.job)?;
            let Some(known) = self.jobs.get_mut(&lease.job) else { continue };
            if let Some(ended) = &known.ended {
                return Err(format!("{} is {} and is leased again, with {fence}", lease.job, ended.0));
            }
            if let Some(newest) = known.newest.replace(fence).filter(|newest| *newest >= fence) {
                return Err(format!("the fences of {} do not grow: {fence} after {newest}", lease.job));
            }
            let origin = known.origin;
            self.check_may_begin(lease.job, origin)?;
        }
        self.check_checkpoints(leases, rest)
    }

    /// Nothing of a paused queue begins, and nothing before its time, unless somebody asked for it once more.
    fn check_may_begin(&self, job: JobId, origin: Option<Origin>) -> Verdict {
        let Some(Origin::Asked(tag)) = origin else { return Ok(()) };
        let Some(Asked { wanted, repeats, .. }) = self.asked.get(&tag) else { return Ok(()) };
        if self.is_paused(wanted.queue) {
            return Err(format!("{job} is leased though its queue {} is paused", wanted.queue));
        }
        match wanted.not_before_ms.filter(|at| *repeats == 0 && *at > self.wall_max_ms) {
            Some(at) => Err(format!("{job} is leased {} ms before its time", at - self.wall_max_ms)),
            None => Ok(()),
        }
    }

    fn check_arguments(&mut self, job: JobId, arguments: &Bytes) -> Verdict {
        if let Some(failed) = self.failures.get(arguments) {
            return self.know(job, Origin::Failure(*failed));
        }
        let tag = Tag::of(arguments);
        let asked = tag.and_then(|tag| Some((tag, self.asked.get(&tag)?.wanted.bytes)));
        match asked.filter(|(tag, bytes)| tag.payload(*bytes) == arguments) {
            Some((tag, _)) => self.identify(tag, job),
            None => Err(format!(
                "{job} is leased with other arguments than were sent: {} bytes, {tag:?}",
                arguments.len()
            )),
        }
    }

    /// What was confirmed last, or something newer, comes with the lease. A job that repeats another one begins where that
    /// one would have gone on.
    fn check_checkpoints(&self, leases: &Leases, mut rest: Bytes) -> Verdict {
        for (place, lease) in (0..).zip(&leases.jobs) {
            let length = leases.checkpoints.iter().find(|(at, _)| *at == place).map(|(_, length)| *length);
            let value = length.map(|length| rest.split_to((length as usize).min(rest.len())));
            let Some(known) = self.jobs.get(&lease.job) else { continue };
            let is_one = |job: &JobId, value: &Bytes| {
                let known = self.jobs.get(job);
                let mut left = known.into_iter().flat_map(|known| &known.checkpoints);
                left.any(|fence| {
                    known.is_some_and(|it| it.confirmed <= Some(*fence))
                        && checkpoint_of(*job, *fence) == value
                })
            };
            let repeated = match known.origin {
                Some(Origin::Asked(tag)) => self.asked.get(&tag).map(|asked| &asked.ids),
                _ => None,
            };
            let is_right = match &value {
                None => !self.goes_on_from_somewhere(known),
                Some(value) => {
                    is_one(&lease.job, value)
                        || repeated
                            .into_iter()
                            .flatten()
                            .any(|job| known.confirmed.is_none() && is_one(job, value))
                }
            };
            if !is_right {
                return Err(format!(
                    "{} goes on from {value:?}, and left {:?}",
                    lease.job, known.checkpoints
                ));
            }
        }
        Ok(())
    }

    /// Whether a job that begins has a checkpoint to go on from for certain: one of its own, or of a job that it repeats and
    /// that gave up after that, as somebody was told.
    fn goes_on_from_somewhere(&self, known: &Known) -> bool {
        if known.confirmed.is_some() {
            return true;
        }
        let repeated = known.repeats.and_then(|job| self.jobs.get(&job));
        repeated.is_some_and(|repeated| {
            let gave_up = repeated.ended.as_ref().is_some_and(|(state, _)| *state != JobState::Completed);
            gave_up && self.goes_on_from_somewhere(repeated)
        })
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

    fn ended(&mut self, ended: &Ended, payload: &Bytes) -> Verdict {
        let mut rest = payload.clone();
        for (job, length) in &ended.completed {
            let length = usize::try_from(*length).ok().filter(|length| *length <= rest.len());
            let result = length.map(|length| rest.split_to(length));
            self.note_end(*job, JobState::Completed, result)?;
        }
        for failed in &ended.failed {
            self.note_end(failed.id, failed.state, None)?;
        }
        ended.missing.iter().try_for_each(|job| self.missing(*job))
    }

    fn missing(&self, job: JobId) -> Verdict {
        match self.jobs.get(&job) {
            Some(known) if !known.may_be_deleted => Err(format!("{job} was acknowledged and is missing")),
            _ => Ok(()),
        }
    }

    /// A record may be older than an end that was told meanwhile, but no other end.
    fn shown(&self, record: &JobRecord) -> Verdict {
        let ended = self.jobs.get(&record.id).and_then(|known| known.ended.as_ref());
        match ended {
            Some((ended, _)) if record.state.is_finished() && record.state != *ended => {
                Err(format!("{} was said to be {ended}, and is shown as {}", record.id, record.state))
            }
            _ => Ok(()),
        }
    }

    fn fetched(&self, Fetch { job, payload: kind }: Fetch, payload: &Bytes) -> Verdict {
        let Some(known) = self.jobs.get(&job) else { return Ok(()) };
        let right = match (kind, known.origin) {
            (PayloadKind::Arguments, Some(Origin::Asked(tag))) => {
                self.asked.get(&tag).map(|asked| tag.payload(asked.wanted.bytes))
            }
            (PayloadKind::Result, _) => known.ended.as_ref().and_then(|(_, result)| result.clone()),
            _ => None,
        };
        if right.is_some_and(|right| right != payload) {
            return Err(format!("{kind:?} of {job} is read as something else: {} bytes", payload.len()));
        }
        Ok(())
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
                if result.is_some_and(|result| result != *other) {
                    return Err(format!("{job} has another result than was said"));
                }
            }
            Some((_, known)) => *known = result,
        }
        Ok(())
    }
}
