//! A leased job as the slot sees it, and how its attempt ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::message::{End, Leases};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Looks, Measures};

/// A job leased to this child.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// The attempt's token.
    pub fence: Fence,
    /// Position of its task in the list given to [`Child::start`](super::Child::start).
    pub task: u32,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Whether no other attempt follows if this one errors or times out. False where the server does not say.
    pub is_last: bool,
    /// How long the body may take.
    pub timeout: Option<Duration>,
    /// Whether its result is kept; if not, an empty one does.
    pub keep_result: bool,
    /// The encoded call.
    pub arguments: Bytes,
    /// The last checkpoint of an earlier attempt, an encoded value; empty if there is none.
    pub checkpoint: Bytes,
    /// How it was asked that this attempt is looked at.
    pub looks: Looks,
    /// Fields of all that the attempt logs, a JSON object.
    pub context: Option<Arc<str>>,
    /// The slot that took it up.
    pub(crate) place: u32,
}

/// An attempt in a slot of this child: what is asked and told about it while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The attempt's token.
    pub fence: Fence,
    /// The slot.
    pub(crate) place: u32,
}

impl Job {
    /// The attempt, to be passed around.
    pub fn ticket(&self) -> Ticket {
        Ticket { fence: self.fence, place: self.place }
    }

    /// The four hexadecimal digits of the id by which output is told apart: those of the slot, which differ between
    /// jobs that are unfinished at the same time, as the last digits of an id do not.
    pub fn digits(&self) -> u16 {
        self.id.digits()
    }
}

/// What [`Attempts::next`](super::Attempts::next) gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// A job to run.
    Job(Job),
    /// None came in time.
    TimedOut,
    /// None will come: the worker stops.
    Drained,
}

/// How a body ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It returned; the encoded result, empty if it is not kept.
    Returned(Bytes),
    /// It did not.
    Other(End),
}

/// An attempt that ended and whose end the server has not confirmed.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    pub(super) started_at: u64,
    pub(super) finished_at: u64,
    pub(super) ending: Ending,
    pub(super) output: Bytes,
    /// How often the server refused it for its own sake.
    pub(super) refusals: u32,
    /// What it took.
    pub(super) measures: Measures,
}

impl Ended {
    /// The end of `job`'s attempt that ran from the first to the second of `times`.
    pub(super) fn new(job: &Job, times: (u64, u64), ending: Ending, output: Bytes) -> Self {
        let (started_at, finished_at) = times;
        Self {
            job: job.id,
            fence: job.fence,
            started_at,
            finished_at,
            ending,
            output,
            refusals: 0,
            measures: Measures::default(),
        }
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let ending = match &self.ending {
            Ending::Returned(result) => result.len(),
            Ending::Other(end) => end_bytes(end),
        };
        ending + self.output.len()
    }
}

fn end_bytes(end: &End) -> usize {
    match end {
        End::Errored { error, .. }
        | End::TimedOut { error }
        | End::Crashed { error }
        | End::Lost { error } => error_bytes(error),
        End::Rejected { reason, error } => reason.len() + error_bytes(error),
        End::CancelledItself { reason } | End::PutOff { reason, .. } => reason.len(),
        End::Parked { missing } => missing.len(),
        End::Snoozed { .. } | End::Cancelled | End::Released => 0,
    }
}

fn error_bytes(error: &ErrorRecord) -> usize {
    let types: usize = error.types.iter().map(String::len).sum();
    let traceback = error.traceback.as_ref().map_or(0, String::len);
    types + error.message.len() + traceback + error.arguments.as_ref().map_or(0, Vec::len)
}

/// Cuts the jobs of a push out of its payload; `None` if the lengths do not fit it.
pub(super) fn jobs_of(leases: &Leases, mut payload: Bytes) -> Option<Vec<Job>> {
    let mut jobs = Vec::with_capacity(leases.jobs.len());
    for lease in &leases.jobs {
        let length = usize::try_from(lease.length).ok().filter(|&length| length <= payload.len())?;
        jobs.push(Job {
            id: lease.job,
            fence: Fence { epoch: leases.epoch, counter: lease.counter },
            task: lease.task,
            attempt: lease.attempt,
            is_last: leases.retried.is_some(),
            timeout: (lease.timeout_ms > 0).then(|| Duration::from_millis(lease.timeout_ms)),
            keep_result: lease.keep_result,
            arguments: payload.split_to(length),
            checkpoint: Bytes::new(),
            looks: Looks::NONE,
            context: None,
            place: 0,
        });
    }
    for (position, length) in &leases.checkpoints {
        let length = usize::try_from(*length).ok().filter(|&length| length <= payload.len())?;
        jobs.get_mut(*position as usize)?.checkpoint = payload.split_to(length);
    }
    for position in leases.retried.iter().flatten() {
        jobs.get_mut(*position as usize)?.is_last = false;
    }
    for position in &leases.profiled {
        jobs.get_mut(*position as usize)?.looks |= Looks::PLAIN;
    }
    for (position, looks) in &leases.looks {
        jobs.get_mut(*position as usize)?.looks |= *looks;
    }
    for (position, context) in &leases.contexts {
        jobs.get_mut(*position as usize)?.context = Some(Arc::clone(context));
    }
    payload.is_empty().then_some(jobs)
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::Lease;

    use super::*;

    fn lease(slot: u32, length: u64) -> Lease {
        let job = JobId::direct(1, 0, slot, 0);
        Lease { job, counter: 1, task: 0, attempt: 1, timeout_ms: 0, keep_result: true, length }
    }

    #[test]
    fn arguments_are_cut_in_order_and_wrong_lengths_are_refused() {
        let check = |lengths: &[u64], payload: &'static [u8], expected: Option<&[&[u8]]>| {
            let jobs = lengths.iter().map(|&length| lease(0, length)).collect();
            let leases = Leases { epoch: 1, jobs, ..Leases::default() };
            let cut = jobs_of(&leases, Bytes::from_static(payload));
            let cut = cut.map(|jobs| jobs.into_iter().map(|job| job.arguments.to_vec()).collect::<Vec<_>>());
            assert_eq!(cut, expected.map(|parts| parts.iter().map(|part| part.to_vec()).collect()));
        };
        check(&[2, 0, 1], b"abc", Some(&[b"ab", b"", b"c"]));
        check(&[2, 2], b"abc", None);
        check(&[1], b"abc", None);
        check(&[u64::MAX], b"abc", None);
    }

    #[test]
    fn checkpoints_follow_the_arguments_of_all() {
        let cut = |checkpoints: &[(u32, u32)], payload: &'static [u8]| {
            let jobs = vec![lease(0, 2), lease(1, 1), lease(2, 0)];
            let leases = Leases { epoch: 1, jobs, checkpoints: checkpoints.to_vec(), ..Leases::default() };
            let jobs = jobs_of(&leases, Bytes::from_static(payload))?;
            Some(jobs.into_iter().map(|job| job.checkpoint.to_vec()).collect::<Vec<_>>())
        };
        let expected = [b"xy".to_vec(), Vec::new(), b"z".to_vec()];
        assert_eq!(cut(&[(0, 2), (2, 1)], b"abcxyz"), Some(expected.to_vec()));
        assert_eq!(cut(&[(0, 2), (3, 1)], b"abcxyz"), None, "no such job");
        assert_eq!(cut(&[(0, 4)], b"abcxyz"), None, "too long");
        assert_eq!(cut(&[(0, 2)], b"abcxyz"), None, "too short");
    }

    /// Servers of before do not say which attempts are the last.
    #[test]
    fn an_attempt_is_the_last_if_the_server_says_so() {
        let last = |retried| {
            let leases = Leases { jobs: vec![lease(0, 0), lease(1, 0)], retried, ..Leases::default() };
            let jobs = jobs_of(&leases, Bytes::new())?;
            Some(jobs.into_iter().map(|job| job.is_last).collect::<Vec<_>>())
        };
        assert_eq!(last(None), Some(vec![false, false]));
        assert_eq!(last(Some(Vec::new())), Some(vec![true, true]));
        assert_eq!(last(Some(vec![1])), Some(vec![true, false]));
        assert_eq!(last(Some(vec![2])), None, "no such job");
    }

    #[test]
    fn attempts_are_profiled_that_the_server_names() {
        let all_looks = |profiled, looks| {
            let jobs = vec![lease(0, 0), lease(1, 0)];
            let leases = Leases { jobs, profiled, looks, ..Leases::default() };
            let jobs = jobs_of(&leases, Bytes::new())?;
            Some(jobs.into_iter().map(|job| job.looks).collect::<Vec<_>>())
        };
        let (none, plain, memory) = (Looks::NONE, Looks::PLAIN, Looks::MEMORY);
        assert_eq!(all_looks(vec![], vec![]), Some(vec![none, none]));
        assert_eq!(all_looks(vec![1], vec![]), Some(vec![none, plain]));
        assert_eq!(all_looks(vec![0, 1], vec![(1, memory)]), Some(vec![plain, memory]));
        assert_eq!(all_looks(vec![2], vec![]), None, "no such job");
        assert_eq!(all_looks(vec![], vec![(2, memory)]), None, "no such job");
    }

    #[test]
    fn digits_differ_between_slots_and_are_part_of_the_id() {
        let digits = |slot| {
            let leases = Leases { epoch: 1, jobs: vec![lease(slot, 0)], ..Leases::default() };
            let job = jobs_of(&leases, Bytes::new()).unwrap().remove(0);
            let digits = format!("{:04x}", job.digits());
            assert!(job.id.to_string().contains(&digits), "{digits} of {}", job.id);
            digits
        };
        let all: std::collections::BTreeSet<_> = (0..1_000).map(digits).collect();
        assert_eq!(all.len(), 1_000);
    }
}
