//! Making jobs.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::message::{
    BATCH_JOBS_MAX, CONTEXT_BYTES_MAX, Enqueue, Enqueued, JobGroup, METADATA_BYTES_MAX, NAME_BYTES_MAX,
    NAME_FORM, ON_FAILURE_DEPTH_MAX, OnFailure, PAYLOAD_BYTES_MAX, RefusalCode, Rules, RunAfter, TAGS_MAX,
    VERSION_MAX, is_name,
};
use lineshaft_wire::{JobId, task};
use rustc_hash::FxHashSet;

use super::cached::{check_cached, is_cached};
use super::{Turn, check_room};
use crate::change::{Change, NewJobs, Request, RulesRef, RunAt, Stored};
use crate::command::{Decision, Entry, Now, Payloads, Refusal, Reply};
use crate::notes::Notes;
use crate::state::State;

/// The farthest a job may be put off: a hundred years.
pub(super) const DELAY_MS_MAX: u64 = 100 * 366 * 86_400_000;
/// The latest wall time that a job may wait for: the end of the year 9999.
const RUN_AT_MS_MAX: u64 = 253_402_300_799_999;

impl State {
    pub(super) fn decide_enqueue(
        &self,
        session: u64,
        request: Enqueue,
        arguments: Payloads,
        now: Now,
    ) -> Result<Decision, Refusal> {
        let place = match self.turn(session, request.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        self.check_batch(&request, &arguments)?;
        let mut batch = Batch::new(&arguments);
        let mut keys = Keys::default();
        for group in request.groups {
            if keys.hold_one_of(&group) {
                return Err(
                    bad("two jobs of one request have the same unique or idempotency key".to_owned()),
                );
            }
            match self.existing(&group, now) {
                Some(job) => batch.skip(job, &group, self.is_cached(&group, job)),
                None => {
                    keys.add(&group);
                    batch.freed.extend(self.held_key(&group).cloned());
                    batch.push(self.new_jobs(&group, now), &group);
                }
            }
        }
        Ok(batch.decision(place))
    }

    fn check_batch(&self, request: &Enqueue, arguments: &Payloads) -> Result<(), Refusal> {
        let count = request.groups.iter().map(|group| group.lengths.len()).sum::<usize>();
        if count == 0 || count > BATCH_JOBS_MAX {
            return Err(bad(format!("a request makes 1 to {BATCH_JOBS_MAX} jobs, this one {count}")));
        }
        let bytes = request
            .groups
            .iter()
            .flat_map(|group| &group.lengths)
            .map(|length| u64::from(*length))
            .sum::<u64>();
        if bytes != arguments.bytes.len() as u64 {
            let got = arguments.bytes.len();
            return Err(bad(format!("the lengths of the arguments add up to {bytes} bytes, but {got} came")));
        }
        request.groups.iter().try_for_each(check_group)?;
        check_room("jobs in memory", self.jobs() as usize, count, self.limits.jobs as usize)?;
        let names = request.groups.iter().flat_map(|group| {
            let own = [&group.task, &group.queue].into_iter().chain(&group.tags);
            own.chain(handler_names(&group.rules))
        });
        check_room("distinct names", self.names.len(), self.count_new_names(names), self.limits.names)?;
        let new_rules = self.count_new_rules(request.groups.iter().map(|group| &group.rules));
        check_room("distinct sets of rules", self.rules.len(), new_rules, self.limits.rules)?;
        let keys = request.groups.iter().filter(|group| group.idempotency_key.is_some()).count();
        check_room("idempotency keys", self.keys.len(), keys, self.limits.idempotency_keys)?;
        let has_period = |group: &&JobGroup| group.unique.as_ref().is_some_and(|it| it.period_ms.is_some());
        let periods = request.groups.iter().filter(has_period).count();
        check_room(
            "unique keys with a period, and cached results",
            self.periods.len(),
            periods,
            self.limits.unique_periods,
        )
    }

    /// How many names the table lacks.
    pub(super) fn count_new_names<'a>(&self, names: impl Iterator<Item = &'a Arc<str>>) -> usize {
        let unknown: FxHashSet<_> = names.filter(|name| self.names.number(name).is_none()).collect();
        unknown.len()
    }

    /// How many sets of rules the table lacks, those of handlers included.
    pub(super) fn count_new_rules<'a>(&self, rules: impl Iterator<Item = &'a Arc<Rules>>) -> usize {
        let all = rules
            .flat_map(|rules| std::iter::once(rules).chain(rules.handlers().map(|handler| &handler.rules)));
        let unknown: FxHashSet<_> = all.filter(|rules| self.rules.number(rules).is_none()).collect();
        unknown.len()
    }

    /// The job that a key answers with.
    fn existing(&self, group: &JobGroup, now: Now) -> Option<JobId> {
        let unique = group.unique.as_ref().filter(|_| !group.anew);
        let by_key = || self.job_of_key(group.idempotency_key.as_ref()?);
        let by_unique = || self.unique.get(&unique?.key).map(|slot| self.job_id(*slot));
        let by_period = || self.held_for_period(unique?, now);
        by_key().or_else(by_unique).or_else(by_period)
    }

    fn new_jobs(&self, group: &JobGroup, now: Now) -> NewJobs {
        let wall_ms = |after: RunAfter| match after {
            RunAfter::At(at) => at,
            RunAfter::In(delay) => now.wall_ms + delay,
        };
        let run_at = group.run_after.map(wall_ms);
        NewJobs {
            task: self.name(&group.task),
            queue: self.name(&group.queue),
            rules: self.rules_ref(&group.rules),
            priority: group.priority,
            run_at: run_at.filter(|at| *at > now.wall_ms).map(RunAt::Wall),
            expires_ms: group.expires.map(wall_ms),
            deadline_ms: group.deadline.map(wall_ms),
            unique: group.unique.clone(),
            idempotency_key: group.idempotency_key.clone(),
            tags: group.tags.iter().map(|tag| self.name(tag)).collect(),
            notes: Notes::new(group.metadata.clone(), group.context.clone()),
            retry_of: None,
            arguments: Vec::with_capacity(group.lengths.len()),
        }
    }

    pub(super) fn rules_ref(&self, rules: &Arc<Rules>) -> RulesRef {
        match self.rules.number(rules) {
            Some(number) => RulesRef::Known(number),
            None if rules.handlers().any(|handler| handler.version > 1) => {
                RulesRef::Versioned(Arc::clone(rules))
            }
            None if rules.on_failure.is_some() => RulesRef::Handled(Arc::clone(rules)),
            None => RulesRef::New(Arc::clone(rules)),
        }
    }
}

/// The names that the handlers of a job's failure bring.
pub(super) fn handler_names(rules: &Rules) -> impl Iterator<Item = &Arc<str>> {
    rules.handlers().flat_map(|handler| [&handler.task, &handler.queue].into_iter().chain(&handler.tags))
}

/// A request on its way to a change.
struct Batch<'a> {
    cutter: Cutter<'a>,
    groups: Vec<NewJobs>,
    existing: Vec<(u32, JobId)>,
    /// Positions of existing jobs that are completed.
    completed: Vec<u32>,
    /// Keys whose jobs are replaced.
    freed: Vec<Arc<str>>,
    /// All jobs so far are cached ones.
    is_cached: bool,
    position: u32,
}

impl<'a> Batch<'a> {
    fn new(arguments: &'a Payloads) -> Self {
        let (groups, existing, completed, freed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let cutter = Cutter::new(arguments);
        Self { cutter, groups, existing, completed, freed, is_cached: true, position: 0 }
    }

    /// Where all jobs were cached nothing is written: whoever asks again may be answered otherwise, and no job was made.
    fn decision(self, request: Request) -> Decision {
        let Self { cutter, groups, existing, completed, freed, is_cached, .. } = self;
        if groups.is_empty() && is_cached {
            let ids: Vec<u8> = existing.iter().flat_map(|(_, job)| job.to_bytes()).collect();
            let existing = existing.into_iter().map(|(position, _)| position).collect();
            return Decision::of(Vec::new(), Reply::Found(Enqueued { ids: ids.into(), existing, completed }));
        }
        let Request { session, number, .. } = request;
        let reply = if completed.is_empty() {
            Reply::Answer { session, number }
        } else {
            Reply::AnswerCompleted { session, number, completed }
        };
        let freed = (!freed.is_empty()).then(|| Change::KeysFreed { keys: freed }.into());
        let change = Change::Enqueued { request, groups, existing };
        let enqueued = Entry { change, payload: cutter.parts };
        Decision::of(freed.into_iter().chain([enqueued]).collect(), reply)
    }

    fn push(&mut self, mut jobs: NewJobs, group: &JobGroup) {
        for length in &group.lengths {
            jobs.arguments.push(self.cutter.take(u64::from(*length)));
        }
        self.position += group.lengths.len() as u32;
        self.groups.push(jobs);
    }

    fn skip(&mut self, job: JobId, group: &JobGroup, is_completed: bool) {
        self.cutter.skip(u64::from(group.lengths[0]));
        self.is_cached &= is_cached(group) && group.idempotency_key.is_none();
        self.completed.extend(is_completed.then_some(self.position));
        self.existing.push((self.position, job));
        self.position += 1;
    }
}

/// Cuts a request's payload bytes into what follows the change: neighbours stay one part, blobs and skipped ones fall
/// out.
pub(super) struct Cutter<'a> {
    payloads: &'a Payloads,
    offset: usize,
    index: u32,
    /// Beginning of the part that grows.
    open: usize,
    pub(super) parts: Vec<Bytes>,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(payloads: &'a Payloads) -> Self {
        Self { payloads, offset: 0, index: 0, open: 0, parts: Vec::new() }
    }

    pub(super) fn take(&mut self, length: u64) -> Stored {
        let blob = self.payloads.blobs.iter().find(|(index, _)| *index == self.index).map(|(_, id)| *id);
        if let Some(id) = blob {
            self.skip(length);
            return Stored::Blob { id, length: length as u32 };
        }
        self.index += 1;
        self.offset += length as usize;
        match self.parts.last_mut() {
            Some(part) if self.open + part.len() == self.offset - length as usize => {
                *part = self.payloads.bytes.slice(self.open..self.offset);
            }
            _ if length == 0 => {}
            _ => {
                self.open = self.offset - length as usize;
                self.parts.push(self.payloads.bytes.slice(self.open..self.offset));
            }
        }
        Stored::Inline(length as u32)
    }

    pub(super) fn skip(&mut self, length: u64) {
        self.index += 1;
        self.offset += length as usize;
    }
}

/// The keys of the new jobs of a request.
#[derive(Default)]
struct Keys {
    unique: FxHashSet<Arc<str>>,
    idempotency: FxHashSet<Arc<str>>,
}

impl Keys {
    fn hold_one_of(&self, group: &JobGroup) -> bool {
        group.unique.as_ref().is_some_and(|unique| self.unique.contains(&unique.key))
            || group.idempotency_key.as_ref().is_some_and(|key| self.idempotency.contains(key))
    }

    fn add(&mut self, group: &JobGroup) {
        self.unique.extend(group.unique.as_ref().map(|unique| Arc::clone(&unique.key)));
        self.idempotency.extend(group.idempotency_key.clone());
    }
}

fn check_group(group: &JobGroup) -> Result<(), Refusal> {
    check_task(&group.task)?;
    check_name("queue", &group.queue)?;
    if !(1..=9).contains(&group.priority) {
        return Err(bad(format!("priority {} of task {} is not 1 to 9", group.priority, group.task)));
    }
    if group.lengths.is_empty() {
        return Err(bad(format!("a group of task {} makes no job", group.task)));
    }
    if let Some(length) = group.lengths.iter().find(|length| u64::from(**length) > PAYLOAD_BYTES_MAX) {
        return Err(too_large(format!("arguments of {length} bytes; the limit is {PAYLOAD_BYTES_MAX}")));
    }
    if group.lengths.len() > 1 && (group.unique.is_some() || group.idempotency_key.is_some()) {
        return Err(bad("unique and idempotency keys go with one job".to_owned()));
    }
    check_texts(group)?;
    check_cached(group)?;
    if let Some(period) = group.unique.as_ref().and_then(|unique| unique.period_ms)
        && !(1..=DELAY_MS_MAX).contains(&period)
    {
        return Err(bad(format!("unique period {period} is not 1 to {DELAY_MS_MAX} ms")));
    }
    check_time("run_after", group.run_after)?;
    check_time("expires", group.expires)?;
    check_time("deadline", group.deadline)?;
    check_rules(&group.rules)?;
    if group.rules.handlers().nth(ON_FAILURE_DEPTH_MAX).is_some() {
        let message = format!("more than {ON_FAILURE_DEPTH_MAX} handlers of failures in a row");
        return Err(too_large(message));
    }
    group.rules.handlers().try_for_each(check_handler)
}

fn check_handler(handler: &OnFailure) -> Result<(), Refusal> {
    let OnFailure { task, queue, priority, expires_ms, deadline_ms, tags, rules, version } = handler;
    check_name("task", task)?;
    if !(1..=VERSION_MAX).contains(version) {
        return Err(bad(format!("version {version} of task {task} is not 1 to {VERSION_MAX}")));
    }
    let group = JobGroup {
        queue: Arc::clone(queue),
        priority: *priority,
        rules: Arc::new(Rules { on_failure: None, ..(**rules).clone() }),
        expires: expires_ms.map(RunAfter::In),
        deadline: deadline_ms.map(RunAfter::In),
        tags: tags.clone(),
        ..JobGroup::new(Arc::clone(task), vec![0])
    };
    check_group(&group)
}

fn check_time(what: &str, time: Option<RunAfter>) -> Result<(), Refusal> {
    match time {
        Some(RunAfter::In(delay)) if delay > DELAY_MS_MAX => {
            Err(bad(format!("{what} of {delay} ms is more than a hundred years")))
        }
        Some(RunAfter::At(at)) if at > RUN_AT_MS_MAX => {
            Err(bad(format!("{what} {at} ms is later than the year 9999")))
        }
        _ => Ok(()),
    }
}

fn check_texts(group: &JobGroup) -> Result<(), Refusal> {
    if group.tags.len() > TAGS_MAX {
        return Err(too_large(format!("{} tags; the limit is {TAGS_MAX}", group.tags.len())));
    }
    group.tags.iter().try_for_each(|tag| check_text("tag", tag))?;
    group.unique.iter().try_for_each(|unique| check_text("unique key", &unique.key))?;
    group.idempotency_key.iter().try_for_each(|key| check_text("idempotency key", key))?;
    check_note("metadata", group.metadata.as_deref(), METADATA_BYTES_MAX)?;
    check_note("context", group.context.as_deref(), CONTEXT_BYTES_MAX)
}

fn check_note(what: &str, text: Option<&str>, bytes_max: usize) -> Result<(), Refusal> {
    let bytes = text.map_or(0, str::len);
    if bytes > bytes_max {
        return Err(too_large(format!("{what} of {bytes} bytes; the limit is {bytes_max}")));
    }
    Ok(())
}

fn check_rules(rules: &Rules) -> Result<(), Refusal> {
    let numbers = [
        ("max_attempts", u64::from(rules.max_attempts), 1, 10_000),
        ("max_crashes", u64::from(rules.max_crashes), 1, 100),
        ("timeout_ms", rules.timeout_ms.unwrap_or(1), 1, DELAY_MS_MAX),
        ("backoff_first_ms", rules.backoff_first_ms, 0, DELAY_MS_MAX),
        ("backoff_max_ms", rules.backoff_max_ms, 0, DELAY_MS_MAX),
        ("result_ttl_ms", rules.result_ttl_ms, 0, DELAY_MS_MAX),
    ];
    for (name, value, least, most) in numbers {
        if !(least..=most).contains(&value) {
            return Err(bad(format!("{name} {value} is not {least} to {most}")));
        }
    }
    let classes = rules.retry_on.iter().chain(&rules.retry_never);
    if classes.clone().count() > 64 || classes.map(String::len).any(|length| length > NAME_BYTES_MAX) {
        return Err(too_large(format!(
            "retry rules name more than 64 classes, or one over {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// Queues, tasks and workers have names of one form.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(bad(format!("{shown:?} is not the name of a {what}: expected {NAME_FORM}")))
}

/// Tasks have names of that form, and a version.
fn check_task(task: &str) -> Result<(), Refusal> {
    if task::is_task(task) { Ok(()) } else { check_name("task", task) }
}

/// A child runs tasks of that form, in some versions.
pub(super) fn check_runs(task: &str) -> Result<(), Refusal> {
    if task::is_runs(task) { Ok(()) } else { check_name("task", task) }
}

/// Tags and keys: any text without control characters, at most 255 bytes.
pub(super) fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    Err(bad(format!(
        "{shown:?} is not a {what}: expected 1 to {NAME_BYTES_MAX} bytes without control characters"
    )))
}

pub(super) fn bad(message: String) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, message)
}

fn too_large(message: String) -> Refusal {
    Refusal::new(RefusalCode::TooLarge, message)
}
