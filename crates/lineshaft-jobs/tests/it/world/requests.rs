//! Requests made from the small numbers of steps.

use std::sync::Arc;

use lineshaft_jobs::Payloads;
use lineshaft_wire::message::{
    End, Enqueue, JobGroup, OnFailure, OtherEnd, Rules, RunAfter, Sequence, Succeeded, Unique, UniqueWhile,
};
use lineshaft_wire::{ErrorRecord, Fence, JobId, Measures};

use crate::steps::{After, Defect, Ending, Group, How, QUEUES, TAGS, TASKS, While};

pub(super) fn enqueue(sequence: Sequence, groups: &[Group], wall_ms: u64) -> Enqueue {
    let groups = groups.iter().map(|group| job_group(group, wall_ms)).collect();
    Enqueue { sequence, groups }
}

fn job_group(group: &Group, wall_ms: u64) -> JobGroup {
    let time = |after| match after {
        After::In(delay) => RunAfter::In(u64::from(delay)),
        After::At(from_now) => RunAfter::At(wall_ms.saturating_add_signed(i64::from(from_now))),
        After::Never => RunAfter::At(253_402_300_799_999),
    };
    let unique = group.unique.map(|(key, while_, period)| unique(key, while_, period));
    let anew = matches!(group.unique, Some((_, While::Cached { anew: true }, _)));
    let mut tags: Vec<u8> = group.tags.clone();
    tags.sort_unstable();
    tags.dedup();
    JobGroup {
        task: TASKS[usize::from(group.task)].into(),
        queue: QUEUES[usize::from(group.queue)].into(),
        priority: group.priority,
        rules: Arc::new(rules(group.rules)),
        run_after: group.run_after.map(time),
        expires: group.expires.map(time),
        deadline: group.deadline.map(time),
        unique,
        anew,
        idempotency_key: group.idempotency_key.map(|key| format!("key-{key}").into()),
        tags: tags.into_iter().map(|tag| TAGS[usize::from(tag)].into()).collect(),
        metadata: group.metadata.then(|| "{\"a\": 1}".into()),
        context: group.context.then(|| "{\"request\": 7}".into()),
        lengths: group.lengths.iter().map(|length| u32::from(*length)).collect(),
    }
}

fn unique(key: u8, while_: While, period: Option<u16>) -> Unique {
    let (while_, period) = match while_ {
        While::Unfinished => (UniqueWhile::Unfinished, period),
        While::Queued => (UniqueWhile::Queued, period),
        While::Cached { .. } => (UniqueWhile::Cached, period.or(Some(20_000))),
    };
    Unique { key: unique_key(key), while_, period_ms: period.map(u64::from) }
}

pub(super) fn unique_key(key: u8) -> Arc<str> {
    format!("unique-{key}").into()
}

fn cached_for(period_ms: Option<u64>) -> Unique {
    Unique { key: unique_key(0), while_: UniqueWhile::Cached, period_ms }
}

fn rules(number: u8) -> Rules {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    match number {
        0 => Rules::default(),
        1 => Rules { max_attempts: 3, backoff_first_ms: 100, backoff_max_ms: 1_000, ..Rules::default() },
        2 => Rules { at_most_once: true, max_attempts: 5, ..Rules::default() },
        3 => Rules {
            max_attempts: 4,
            timeout_ms: Some(5_000),
            backoff_first_ms: 0,
            retry_on: names(&["x.Temporary", "x.Busy"]),
            retry_never: names(&["x.Gone"]),
            ..Rules::default()
        },
        4 => Rules { max_attempts: 100, max_crashes: 1, backoff_first_ms: 1 << 40, ..Rules::default() },
        5 => Rules { max_crashes: 1, on_failure: Some(Arc::new(handler(0))), ..Rules::default() },
        _ => Rules { at_most_once: true, on_failure: Some(Arc::new(handler(5))), ..Rules::default() },
    }
}

/// A handler of failures, run by these rules.
fn handler(number: u8) -> OnFailure {
    let has_limits = number == 5;
    OnFailure {
        task: TASKS[usize::from(number % 2)].into(),
        queue: QUEUES[1].into(),
        priority: 4,
        expires_ms: has_limits.then_some(20_000),
        deadline_ms: has_limits.then_some(30_000),
        tags: if has_limits { vec![TAGS[0].into()] } else { Vec::new() },
        rules: Arc::new(rules(number)),
        version: if has_limits { 7 } else { 1 },
    }
}

/// So many handlers, one after the other.
fn handlers(count: usize) -> Rules {
    let wrap = |rules: Rules, _| {
        let handler = OnFailure { rules: Arc::new(rules), ..handler(0) };
        Rules { on_failure: Some(Arc::new(handler)), ..Rules::default() }
    };
    (0..count).fold(Rules::default(), wrap)
}

pub(super) fn spoil(request: &mut Enqueue, arguments: &mut Payloads, defect: Defect) {
    let Some(group) = request.groups.last_mut() else { return };
    match defect {
        Defect::Priority(priority) => group.priority = priority,
        Defect::NoJobs => group.lengths.clear(),
        Defect::NoGroups => request.groups.clear(),
        Defect::ExtraByte => arguments.bytes = [&arguments.bytes[..], b"!"].concat().into(),
        Defect::TooManyTags => group.tags = (0..17).map(|tag| format!("tag-{tag}").into()).collect(),
        Defect::LongMetadata => group.metadata = Some("m".repeat(4_097).into()),
        Defect::BadTask => group.task = "shop send".into(),
        Defect::LongQueue => group.queue = "q".repeat(256).into(),
        Defect::EmptyTag => group.tags = vec!["".into()],
        Defect::TooManyHandlers => group.rules = Arc::new(handlers(5)),
        Defect::BadHandler => {
            let handler = OnFailure { priority: 0, ..handler(0) };
            group.rules = Arc::new(Rules { on_failure: Some(Arc::new(handler)), ..Rules::default() });
        }
        Defect::NoAttempts => group.rules = Arc::new(Rules { max_attempts: 0, ..Rules::default() }),
        Defect::KeyForTwo => {
            group.idempotency_key = Some("two".into());
            group.lengths.push(0);
        }
        Defect::CachedForNoTime => group.unique = Some(cached_for(None)),
        Defect::CachedTooLong => {
            (group.unique, group.rules) = (Some(cached_for(Some(86_400_001))), Arc::default());
        }
        Defect::CachedAndNotKept => {
            group.unique = Some(cached_for(Some(1)));
            group.rules = Arc::new(Rules { keep_result: false, ..Rules::default() });
        }
        Defect::AnewOfNothing => (group.unique, group.anew) = (None, true),
        Defect::TooLate => group.run_after = Some(RunAfter::At(u64::MAX)),
        Defect::TooLong => group.run_after = Some(RunAfter::In(u64::MAX)),
        Defect::TooManyClasses => {
            group.rules = Arc::new(Rules { retry_on: vec!["x.Busy".to_owned(); 65], ..Rules::default() });
        }
    }
}

/// Bytes that differ from place to place.
pub(super) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|at| (seed.wrapping_mul(31).wrapping_add(at * 7)) as u8).collect()
}

/// What an attempt took: not all of it is always known.
pub(super) fn measures(ending: &Ending) -> Measures {
    let known = |bit: u8, value: u64| (ending.lease >> bit & 1 == 1).then_some(value);
    Measures {
        ran_us: known(0, 1u64 << ending.lease.min(40)),
        cpu_us: known(1, u64::from(ending.lease)),
        children_cpu_us: known(2, u64::from(ending.result) * 1_000),
        collected_us: known(3, u64::from(ending.output)),
        peak_growth_bytes: known(4, u64::from(ending.result) << 20),
        cache_hits: known(5, 0),
        gil_us: known(6, u64::from(ending.lease) / 2),
    }
}

pub(super) fn succeeded(job: JobId, fence: Fence, ending: &Ending, wall_ms: u64) -> Succeeded {
    Succeeded {
        job,
        fence,
        started_at: wall_ms - 5,
        finished_at: wall_ms - u64::from(ending.lease % 10),
        result_length: u64::from(ending.result),
        output_length: u32::from(ending.output),
    }
}

pub(super) fn other_end(job: JobId, fence: Fence, ending: &Ending, wall_ms: u64) -> OtherEnd {
    let error = |types: &[&str]| ErrorRecord {
        types: types.iter().map(ToString::to_string).collect(),
        message: format!("lease {}", ending.lease),
        ..ErrorRecord::default()
    };
    let end = match ending.how {
        How::Errored { types, retry_after_ms } => {
            let raised: [&[&str]; 4] = [&["x.Temporary"], &["x.Gone", "x.Temporary"], &["y.Other"], &[]];
            End::Errored { error: error(raised[usize::from(types)]), retry_after_ms }
        }
        How::Rejected => End::Rejected { reason: "arguments_undecodable".into(), error: error(&[]) },
        How::Snoozed(delay_ms) => End::Snoozed { delay_ms },
        How::CancelledItself => End::CancelledItself { reason: "enough".into() },
        How::TimedOut => End::TimedOut { error: error(&["x.Gone"]) },
        How::Cancelled => End::Cancelled,
        How::Released => End::Released,
        How::Lost => End::Lost { error: error(&[]) },
        How::PutOff(delay_ms) => {
            End::PutOff { delay_ms, reason: format!("resource {} is down", ending.lease % 3).into() }
        }
        How::Parked => End::Parked { missing: format!("type shop.Order{}", ending.lease % 3).into() },
        How::Succeeded | How::Crashed => End::Crashed { error: error(&[]) },
    };
    let (started_at, finished_at) = (wall_ms - 5, wall_ms);
    OtherEnd {
        job,
        fence,
        started_at,
        finished_at,
        end,
        output_length: u32::from(ending.output),
        measures: measures(ending),
    }
}
