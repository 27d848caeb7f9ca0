//! What an attempt comes to that was asked to stop, or whose result nobody can take.

use std::time::Duration;

use bytes::Bytes;
use lineshaft_ipc::group::end_group;
use lineshaft_ipc::shared::{Begun, Note, StopReason};
use lineshaft_wire::message::{End, PAYLOAD_BYTES_MAX};
use lineshaft_wire::{ErrorRecord, JobId};

use super::guard::die;
use super::job::{Ended, Ending};

/// Bytes of each text in the end of an attempt whose real end nobody takes.
const REASON_BYTES: usize = 4 << 10;
/// Time for what a stopped attempt left running to end by itself.
pub(super) const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// What a supervisor reads beside an attempt in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct Noted {
    /// `None` where a child scribbled over its page.
    pub(in crate::worker) job: Option<JobId>,
    pub(in crate::worker) started_at: u64,
    pub(in crate::worker) at_most_once: bool,
    /// Bytes of memory that it may take, 0 for as many as it likes.
    pub(in crate::worker) memory: u64,
}

impl Noted {
    /// As the page has it.
    pub(in crate::worker) fn words(self) -> Note {
        let id = self.job.map_or(0, |job| u128::from_be_bytes(job.to_bytes()));
        [(id >> 64) as u64, id as u64, self.started_at, (self.memory << 1) | u64::from(self.at_most_once)]
    }

    /// What was noted beside this attempt.
    pub(in crate::worker) fn of(begun: &Begun) -> Self {
        let [high, low, started_at, rules] = begun.note;
        let id = (u128::from(high) << 64) | u128::from(low);
        let job = JobId::from_bytes(id.to_be_bytes());
        Self { job, started_at, at_most_once: rules & 1 == 1, memory: rules >> 1 }
    }
}

/// How an attempt that was asked to stop ended. One that the worker itself stopped was not at fault: its job runs again,
/// unless that could run it twice. A lease that is somebody else's by then is for the server to see.
pub(in crate::worker) fn end_after(reason: StopReason, at_most_once: bool, error: ErrorRecord) -> End {
    match reason {
        StopReason::TimedOut => End::TimedOut { error },
        StopReason::LeaseLost => End::Lost { error },
        StopReason::Shutdown if at_most_once => End::Lost { error },
        StopReason::Shutdown => End::Released,
        _ => End::Cancelled,
    }
}

/// What an attempt said of itself, if it did.
pub(super) fn error_of(end: End) -> ErrorRecord {
    match end {
        End::Errored { error, .. }
        | End::Rejected { error, .. }
        | End::TimedOut { error }
        | End::Crashed { error }
        | End::Lost { error } => error,
        _ => ErrorRecord::default(),
    }
}

/// Refuses a result that no frame carries.
pub(super) fn limited(ending: Ending) -> Ending {
    let Ending::Returned(result) = &ending else { return ending };
    let bytes = result.len() as u64;
    if bytes <= PAYLOAD_BYTES_MAX {
        return ending;
    }
    let message = format!("the result has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are kept");
    let error = ErrorRecord { message, ..ErrorRecord::default() };
    Ending::Other(End::Rejected { reason: "result_unencodable".into(), error })
}

/// An end that the server does not take, without what may be too much of it. What becomes of the job stays the same,
/// but for a result: there is none.
pub(super) fn slimmed(ended: Ended, why: &str) -> Ended {
    let ending = match ended.ending {
        Ending::Returned(_) => {
            let error = slim_error(ErrorRecord::default(), why);
            Ending::Other(End::Rejected { reason: "result_unencodable".into(), error })
        }
        Ending::Other(end) => Ending::Other(slim_end(end, why)),
    };
    Ended { ending, output: Bytes::new(), ..ended }
}

fn slim_end(end: End, why: &str) -> End {
    match end {
        End::Errored { error, retry_after_ms } => {
            End::Errored { error: slim_error(error, why), retry_after_ms }
        }
        End::Rejected { reason, error } => {
            End::Rejected { reason: cut(&reason, REASON_BYTES).into(), error: slim_error(error, why) }
        }
        End::TimedOut { error } => End::TimedOut { error: slim_error(error, why) },
        End::Crashed { error } => End::Crashed { error: slim_error(error, why) },
        End::Lost { error } => End::Lost { error: slim_error(error, why) },
        End::CancelledItself { reason } => End::CancelledItself { reason: cut(&reason, REASON_BYTES).into() },
        End::Parked { missing } => End::Parked { missing: cut(&missing, REASON_BYTES).into() },
        End::PutOff { delay_ms, reason } => {
            End::PutOff { delay_ms, reason: cut(&reason, REASON_BYTES).into() }
        }
        End::Snoozed { .. } | End::Cancelled | End::Released => end,
    }
}

/// The types stay where they fit: whether the job is tried again depends on them.
fn slim_error(error: ErrorRecord, why: &str) -> ErrorRecord {
    let ErrorRecord { types, signal, rss_peak_bytes, .. } = error;
    let fits = types.iter().map(String::len).sum::<usize>() <= REASON_BYTES;
    let types = if fits { types } else { Vec::new() };
    let message = format!("the server refuses the end of this attempt: {}", cut(why, REASON_BYTES));
    ErrorRecord { types, message, signal, rss_peak_bytes, ..ErrorRecord::default() }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// An attempt has stopped when all that it started has.
pub(super) fn end_leftovers() {
    let own = rustix::process::getpgrp().as_raw_nonzero().get() as u32;
    match end_group(own, Some(std::process::id()), LEFTOVER_GRACE) {
        Ok(ended) if ended.is_empty() => {}
        // The supervisor reports this process's death once the whole group is empty.
        other => {
            tracing::error!(?other, "what a stopped attempt left running does not end");
            die();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They were recorded as cancelled, though nobody had cancelled them, or as crashed, though nothing had.
    #[test]
    fn the_worker_s_own_reasons_do_not_count_against_a_job_unless_it_may_run_once() {
        let error = ErrorRecord { message: "unwound".into(), ..ErrorRecord::default() };
        let check = |reason, at_most_once, expected| {
            assert_eq!(end_after(reason, at_most_once, error.clone()), expected, "{reason:?} {at_most_once}");
        };
        check(StopReason::Cancelled, true, End::Cancelled);
        check(StopReason::TimedOut, false, End::TimedOut { error: error.clone() });
        check(StopReason::Shutdown, false, End::Released);
        check(StopReason::Shutdown, true, End::Lost { error: error.clone() });
        check(StopReason::LeaseLost, false, End::Lost { error: error.clone() });
        check(StopReason::LeaseLost, true, End::Lost { error: error.clone() });
    }

    #[test]
    fn a_slim_end_decides_the_same_and_its_texts_are_cut_between_characters() {
        let types = vec!["shop.Bounced".to_owned()];
        let error = ErrorRecord { types, traceback: Some("long".into()), ..ErrorRecord::default() };
        let slim = slim_end(End::Errored { error, retry_after_ms: Some(5) }, &"é".repeat(REASON_BYTES));
        let End::Errored { error, retry_after_ms: Some(5) } = slim else { panic!("{slim:?}") };
        assert_eq!((&error.types[..], error.traceback), (&["shop.Bounced".to_owned()][..], None));
        assert!(error.message.ends_with("é") && error.message.len() < 2 * REASON_BYTES);
        assert_eq!((cut("aé", 2), cut("aé", 3), cut("aé", 9)), ("a", "aé", "aé"));
    }

    #[test]
    fn a_result_above_the_limit_is_refused_with_both_sizes() {
        let fits = Ending::Returned(vec![0; 1_000].into());
        assert_eq!(limited(fits.clone()), fits);
        let bytes = PAYLOAD_BYTES_MAX as usize + 1;
        let Ending::Other(End::Rejected { reason, error }) = limited(Ending::Returned(vec![0; bytes].into()))
        else {
            panic!("a result of {bytes} bytes was taken");
        };
        assert_eq!(&*reason, "result_unencodable");
        assert_eq!(error.message, "the result has 67108865 bytes, at most 67108864 are kept");
    }
}
