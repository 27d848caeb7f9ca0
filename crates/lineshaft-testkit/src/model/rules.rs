//! Which requests make sense: the limits that the messages document, checked one by one.

use std::sync::Arc;

use lineshaft_jobs::Payloads;
use lineshaft_wire::message::{
    BATCH_JOBS_MAX, CONTEXT_BYTES_MAX, Enqueue, JobGroup, METADATA_BYTES_MAX, NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX, RefusalCode, Rules, RunAfter, TAGS_MAX, UniqueWhile,
};
use lineshaft_wire::task;

const HUNDRED_YEARS_MS: u64 = 100 * 366 * 24 * 3_600_000;
const END_OF_9999_MS: u64 = 253_402_300_799_999;

pub(super) fn check_enqueue(request: &Enqueue, arguments: &Payloads) -> Result<(), RefusalCode> {
    let lengths: Vec<u32> = request.groups.iter().flat_map(|group| group.lengths.clone()).collect();
    let bytes: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    if lengths.is_empty() || lengths.len() > BATCH_JOBS_MAX || bytes != arguments.bytes.len() as u64 {
        return Err(RefusalCode::BadRequest);
    }
    request.groups.iter().try_for_each(check_group)
}

pub(super) fn check_group(group: &JobGroup) -> Result<(), RefusalCode> {
    let has_key = group.unique.is_some() || group.idempotency_key.is_some();
    let unique = group.unique.iter().map(|unique| &unique.key);
    let mut texts = group.tags.iter().chain(unique).chain(&group.idempotency_key);
    let too_late = [group.run_after, group.expires, group.deadline].iter().any(|time| match time {
        Some(RunAfter::In(delay)) => *delay > HUNDRED_YEARS_MS,
        Some(RunAfter::At(at)) => *at > END_OF_9999_MS,
        None => false,
    });
    let senseless = !task::is_task(&group.task)
        || !is_name(&group.queue)
        || group.priority == 0
        || group.priority > 9
        || group.lengths.is_empty()
        || (has_key && group.lengths.len() != 1)
        || !texts.all(is_text)
        || too_late
        || group.unique.as_ref().is_some_and(|unique| unique.period_ms == Some(0))
        || !are_rules(&group.rules)
        || !is_cached_as_it_can_be(group);
    let too_large = group.tags.len() > TAGS_MAX
        || group.metadata.as_ref().is_some_and(|text| text.len() > METADATA_BYTES_MAX)
        || group.context.as_ref().is_some_and(|text| text.len() > CONTEXT_BYTES_MAX)
        || group.lengths.iter().any(|length| u64::from(*length) > PAYLOAD_BYTES_MAX)
        || has_too_many_classes(&group.rules);
    match (senseless, too_large) {
        (true, _) => Err(RefusalCode::BadRequest),
        (_, true) => Err(RefusalCode::TooLarge),
        _ => super::failures::check(&group.rules),
    }
}

pub(super) fn is_name(name: &Arc<str>) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    fits && name
        .chars()
        .all(|char| char.is_alphanumeric() || matches!(char, '_' | '.' | ':' | '/' | '@' | '+' | '#' | '-'))
}

pub(super) fn is_text(text: &Arc<str>) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

/// A result is cached for some time, and no longer than it is kept.
fn is_cached_as_it_can_be(group: &JobGroup) -> bool {
    let unique = group.unique.as_ref().filter(|unique| unique.while_ == UniqueWhile::Cached);
    let rules = &group.rules;
    match unique {
        Some(unique) => unique.period_ms.is_some_and(|it| rules.keep_result && it <= rules.result_ttl_ms),
        None => !group.anew,
    }
}

fn are_rules(rules: &Rules) -> bool {
    (1..=10_000).contains(&rules.max_attempts)
        && (1..=100).contains(&rules.max_crashes)
        && rules.timeout_ms.is_none_or(|timeout| (1..=HUNDRED_YEARS_MS).contains(&timeout))
        && rules.backoff_first_ms <= HUNDRED_YEARS_MS
        && rules.backoff_max_ms <= HUNDRED_YEARS_MS
        && rules.result_ttl_ms <= HUNDRED_YEARS_MS
}

fn has_too_many_classes(rules: &Rules) -> bool {
    let classes: Vec<&String> = rules.retry_on.iter().chain(&rules.retry_never).collect();
    classes.len() > 64 || classes.iter().any(|class| class.len() > NAME_BYTES_MAX)
}
