//! An attempt in a child: how long it takes, how it ends, and what must be said of that.

use bytes::Bytes;
use lineshaft_wire::message::{Checkpoint, End, Finish, Message, OtherEnd, Release};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures};

use super::ledger::{checkpoint_of, result_of};
use super::{MILLISECOND, SECOND, Time};

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) job: JobId,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Waiting,
    Running {
        began_ms: u64,
        until: Time,
        how: How,
    },
    /// Its end, or that it goes back, is to be confirmed.
    Over,
}

/// How an attempt is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Returns,
    Raises,
    IsRejected,
    IsGivenBack,
    IsCancelled,
    Crashes,
}

/// What must not be forgotten before it is confirmed.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Ends(Finish),
    Release(Vec<(JobId, Fence)>),
    /// From where later attempts of the job go on.
    Checkpoint(JobId, Fence),
}

impl Entry {
    pub(super) fn message(&self) -> (Message, Bytes) {
        match self {
            Self::Ends(finish) => {
                let results = finish.succeeded.iter().map(|end| result_of(end.job, end.fence));
                (finish.clone().into(), results.collect::<Vec<_>>().concat().into())
            }
            Self::Release(leases) => (Release { leases: leases.clone() }.into(), Bytes::new()),
            Self::Checkpoint(job, fence) => {
                let value = checkpoint_of(*job, *fence);
                let length = value.len() as u32;
                (Checkpoint { job: *job, fence: *fence, length }.into(), value)
            }
        }
    }

    pub(super) fn fences(&self) -> Vec<(JobId, Fence)> {
        match self {
            Self::Ends(finish) => {
                let succeeded = finish.succeeded.iter().map(|end| (end.job, end.fence));
                succeeded.chain(finish.others.iter().map(|end| (end.job, end.fence))).collect()
            }
            Self::Release(leases) => leases.clone(),
            Self::Checkpoint(job, fence) => vec![(*job, *fence)],
        }
    }

    /// Leaves out what is of other leases now. Says whether nothing is left.
    pub(super) fn forget(&mut self, stale: &[Fence]) -> bool {
        match self {
            Self::Ends(finish) => {
                finish.succeeded.retain(|end| !stale.contains(&end.fence));
                finish.others.retain(|end| !stale.contains(&end.fence));
            }
            Self::Release(leases) => leases.retain(|(_, fence)| !stale.contains(fence)),
            Self::Checkpoint(_, fence) => return stale.contains(fence),
        }
        self.fences().is_empty()
    }
}

impl How {
    /// `None` if it returned.
    pub(super) fn end(self) -> Option<End> {
        let error = || ErrorRecord { message: "no".into(), ..ErrorRecord::default() };
        match self {
            Self::Returns => None,
            Self::Raises => Some(End::Errored { error: error(), retry_after_ms: None }),
            Self::IsRejected => Some(End::Rejected { reason: "result_unencodable".into(), error: error() }),
            Self::IsGivenBack => Some(End::Released),
            Self::IsCancelled => Some(End::Cancelled),
            Self::Crashes => Some(End::Crashed { error: error() }),
        }
    }
}

pub(super) fn other_end(job: JobId, fence: Fence, started_at: u64, finished_at: u64, end: End) -> OtherEnd {
    OtherEnd { job, fence, started_at, finished_at, end, output_length: 0, measures: Measures::default() }
}

pub(super) fn how(rng: &mut fastrand::Rng) -> How {
    match rng.u32(..100) {
        0..10 => How::Raises,
        10..12 => How::IsRejected,
        12..14 => How::IsGivenBack,
        14..16 => How::Crashes,
        _ => How::Returns,
    }
}

/// Most attempts are short, some longer than a lease.
pub(super) fn duration(rng: &mut fastrand::Rng) -> Time {
    match rng.u32(..20) {
        0 => rng.u64(..30 * SECOND),
        1..=4 => rng.u64(..2 * SECOND),
        _ => rng.u64(..50 * MILLISECOND),
    }
}
