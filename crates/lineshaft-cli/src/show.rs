//! Jobs, queues and servers as text for people.

use std::fmt::Write;

pub(crate) use lineshaft_insight::choice::text::grouped;
use lineshaft_wire::message::{CacheReport, DiskReport, DiskState, LockReport, QueueReport, StatusReport};
use lineshaft_wire::schema::{Field, Parameter, ParameterKind, Schema, Shape};
use lineshaft_wire::value::Value;
use lineshaft_wire::{AttemptRecord, ErrorRecord, JobRecord, JobState, LogRecord, Outcome};

use crate::plain;
use crate::statistics::accounts;
use crate::table::{GiveWay, pairs, table};
use crate::times::{length, relative, rfc3339, rfc3339_us};

/// Characters of a value on a line.
const VALUE_CHARS: usize = 200;
/// Lines of the output of an attempt that died.
const LAST_LINES: usize = 10;

/// `1 job`, `1,204 jobs`.
pub(crate) fn jobs(count: u64) -> String {
    count_of(count, "job")
}

/// So many of what has an ordinary plural: `1 file`, `1,204 files`.
pub(crate) fn count_of(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// The state of a job with what qualifies it.
pub(crate) fn state(job: &JobRecord) -> String {
    let mut text = job.state.to_string();
    if job.cancelling {
        text += ", asked to stop";
    }
    if let Some(reason) = job.reason.as_deref().filter(|reason| *reason != job.state.as_str()) {
        let _ = write!(text, " ({reason})");
    }
    text
}

/// A point in time, both ways: `in 5 min (2026-01-31T08:00:00.000Z)`.
pub(crate) fn time(at_ms: u64, now_ms: u64) -> String {
    format!("{} ({})", relative(at_ms, now_ms), rfc3339(at_ms))
}

/// A table of jobs, in so many columns.
pub(crate) fn job_table(jobs: &[JobRecord], now_ms: u64, columns: Option<usize>) -> Vec<String> {
    let rows: Vec<[String; 6]> = jobs.iter().map(|job| job_row(job, now_ms)).collect();
    let give_way = GiveWay { cut: &["STATE", "TASK", "QUEUE"], leave_out: &["ATTEMPTS", "QUEUE"] };
    table(["ID", "STATE", "TASK", "QUEUE", "ATTEMPTS", "AGE"], &rows, give_way, columns)
}

fn job_row(job: &JobRecord, now_ms: u64) -> [String; 6] {
    let when = job.scheduled_at.filter(|_| waits_for_a_time(job));
    [
        job.id.to_string(),
        when.map_or_else(|| state(job), |at| format!("{}, {}", state(job), relative(at, now_ms))),
        job.task.to_string(),
        job.queue.to_string(),
        job.attempts.len().to_string(),
        length(now_ms.saturating_sub(job.created_at)),
    ]
}

fn waits_for_a_time(job: &JobRecord) -> bool {
    matches!(job.state, JobState::Scheduled | JobState::Retryable)
}

/// What a job waits for, in words; `None` where it does not wait.
fn waits_for(job: &JobRecord, now_ms: u64) -> Option<String> {
    let at = job.scheduled_at.filter(|_| waits_for_a_time(job)).map(|at| relative(at, now_ms));
    match (job.state, at) {
        (JobState::Scheduled, Some(at)) => Some(format!("its time, {at}")),
        (JobState::Retryable, Some(at)) => Some(format!("its next attempt, {at}")),
        _ => job.waits_for.clone(),
    }
}

/// Everything about a job.
pub(crate) fn job(
    job: &JobRecord,
    call: Option<String>,
    progress: Option<&Value>,
    now_ms: u64,
) -> Vec<String> {
    let when = |at: Option<u64>| at.map(|at| time(at, now_ms));
    let rows = [
        ("id", Some(job.id.to_string())),
        ("task", Some(job.task.to_string())),
        ("arguments", call),
        ("queue", Some(job.queue.to_string())),
        ("state", Some(state(job))),
        ("waits for", waits_for(job, now_ms)),
        ("progress", progress.map(|value| value.summary(VALUE_CHARS))),
        ("checkpoint", checkpoint(job, now_ms)),
        ("priority", Some(job.priority.to_string())),
        ("failures", Some(failures(job))),
        ("created", when(Some(job.created_at))),
        ("scheduled", when(job.scheduled_at)),
        ("expires", when(job.expires_at.filter(|_| job.attempts.is_empty()))),
        ("deadline", when(job.deadline_at)),
        ("started", when(job.attempted_at)),
        ("worker", job.attempted_by.as_ref().map(ToString::to_string)),
        ("ended", when(job.finalized_at)),
        ("retry of", job.retry_of.map(|id| id.to_string())),
        ("failure of", job.failure_of.map(|id| id.to_string())),
        ("handled by", job.handled_by.map(|id| id.to_string())),
        ("tags", (!job.tags.is_empty()).then(|| job.tags.join(", "))),
        ("metadata", job.metadata.as_ref().map(ToString::to_string)),
        ("context", job.context.as_ref().map(ToString::to_string)),
    ];
    let rows: Vec<_> = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut lines = pairs(&rows);
    if !job.attempts.is_empty() {
        lines.push(String::new());
        lines.extend(attempts(&job.attempts, now_ms));
        let accounts = accounts(&job.attempts);
        if !accounts.is_empty() {
            lines.push(String::new());
            lines.extend(accounts);
        }
    }
    lines.extend(last_error(job));
    lines.extend(last_crash(job));
    lines
}

/// Size and age of the checkpoint.
fn checkpoint(job: &JobRecord, now_ms: u64) -> Option<String> {
    let size = match job.checkpoint_bytes {
        bytes @ 0..1_024 => format!("{bytes} bytes"),
        bytes => format!("{:.1} KiB", bytes as f64 / 1_024.0),
    };
    job.checkpoint_at.map(|at| format!("{size}, {}", relative(at, now_ms)))
}

fn failures(job: &JobRecord) -> String {
    let crashes = if job.crashes > 0 { format!(", {} crashed", job.crashes) } else { String::new() };
    format!("{} of {}{crashes}", job.attempt, job.max_attempts)
}

fn attempts(attempts: &[AttemptRecord], now_ms: u64) -> Vec<String> {
    let row = |attempt: &AttemptRecord| {
        let took = attempt.finished_at.unwrap_or(now_ms).saturating_sub(attempt.started_at);
        [
            attempt.number.to_string(),
            attempt.outcome.map_or("running", Outcome::as_str).to_owned(),
            relative(attempt.started_at, now_ms),
            length(took),
            attempt.worker.to_string(),
            attempt.error.as_ref().map(headline).unwrap_or_default(),
        ]
    };
    let rows: Vec<[String; 6]> = attempts.iter().map(row).collect();
    table(["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR"], &rows, GiveWay::default(), None)
}

fn last_error(job: &JobRecord) -> Vec<String> {
    let error = job.attempts.last().and_then(|attempt| attempt.error.as_ref());
    let traceback = error.and_then(|error| error.traceback.as_deref());
    traceback.map_or_else(Vec::new, |text| vec![String::new(), plain::lines(text.trim_end()).into_owned()])
}

/// If the last attempt died: the peak of its memory, and the last that it said.
fn last_crash(job: &JobRecord) -> Vec<String> {
    let crashed = |attempt: &&AttemptRecord| attempt.outcome == Some(Outcome::Crashed);
    let Some(attempt) = job.attempts.last().filter(crashed) else { return Vec::new() };
    let peak = attempt.error.as_ref().and_then(|error| error.rss_peak_bytes);
    let mut lines = vec![String::new()];
    lines.extend(peak.map(|peak| format!("it had {} of memory at most", bytes(peak))));
    let output = String::from_utf8_lossy(&attempt.output);
    let said: Vec<&str> = output.lines().collect();
    if !said.is_empty() {
        lines.push("its last words:".to_owned());
        lines.extend(
            said[said.len().saturating_sub(LAST_LINES)..]
                .iter()
                .map(|line| format!("  {}", plain::line(line))),
        );
    }
    lines
}

/// What went wrong, in one line.
fn headline(error: &ErrorRecord) -> String {
    let message = error.message.lines().next().unwrap_or_default();
    let text = match error.types.first() {
        Some(name) => format!("{}: {message}", name.strip_prefix("builtins.").unwrap_or(name)),
        None => message.to_owned(),
    };
    if text.chars().count() <= VALUE_CHARS {
        return text;
    }
    text.chars().take(VALUE_CHARS - 1).chain(['…']).collect()
}

/// What went wrong: the traceback, or one line where there is none.
pub(crate) fn error(error: &ErrorRecord) -> String {
    error.traceback.as_ref().map_or_else(|| headline(error), |traceback| traceback.trim_end().to_owned())
}

/// The state of the engine.
pub(crate) fn status(report: &StatusReport, now_ms: u64, columns: Option<usize>) -> Vec<String> {
    let kind = if report.on_demand { "on demand" } else { "serve" };
    let mut rows = vec![
        ("server", format!("lineshaft {} (pid {}, {kind})", report.version, report.pid)),
        ("home", report.home.clone()),
        ("started", relative(report.started_at, now_ms)),
        ("memory", memory(report)),
        ("connections", report.connections.to_string()),
        ("archived", archived(report)),
        ("disk", disk(report)),
    ];
    if !report.cache.is_unused() {
        rows.push(("cache", cache_size(&report.cache)));
    }
    if report.backups > 0 {
        rows.push(("backup", "under way: nothing is removed until it is done".to_owned()));
    }
    let mut lines = pairs(&rows);
    lines.extend(disk_hint(report).map(|hint| format!("  hint: {hint}")));
    lines.push(String::new());
    lines.extend(queues(&report.queues, columns));
    lines.push(String::new());
    lines.extend(workers(report, columns));
    lines.extend(replaced(report, now_ms));
    for task in &report.unknown_tasks {
        let count = report.tasks.iter().find(|it| it.task == *task).map(|it| it.unfinished);
        let count = count.map(|count| format!(": {}", count_of(count, "unfinished job"))).unwrap_or_default();
        lines.push(format!("no worker knows {task}{count}"));
    }
    lines
}

/// The cache of the engine.
pub(crate) fn cache(report: &CacheReport) -> Vec<String> {
    let CacheReport { hits, misses, evicted, .. } = *report;
    let found = format!("{} of {} look-ups since the server started", grouped(hits), grouped(hits + misses));
    pairs(&[
        ("holds", cache_size(report)),
        ("found", found),
        ("evicted", format!("{} since then, for want of room", grouped(evicted))),
    ])
}

fn cache_size(report: &CacheReport) -> String {
    format!("{} in {} of {}", count_of(report.entries, "value"), bytes(report.bytes), bytes(report.bytes_max))
}

fn memory(report: &StatusReport) -> String {
    match report.cold_bytes {
        0 => bytes(report.rss_bytes),
        cold => format!("{}; jobs at rest take {} of the disk instead", bytes(report.rss_bytes), bytes(cold)),
    }
}

fn archived(report: &StatusReport) -> String {
    let archived = jobs(report.archived);
    if !report.archive_behind {
        return archived;
    }
    format!("{archived}; {} more wait for it, and new ones start at its speed", report.unarchived)
}

fn disk(report: &StatusReport) -> String {
    let DiskReport { state, free_bytes, used, .. } = &report.disk;
    let free = format!("{} free", bytes(*free_bytes));
    let all: u64 = used.iter().map(|(_, bytes)| bytes).sum();
    let parts: Vec<String> = used.iter().map(|(name, size)| format!("{name} {}", bytes(*size))).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let taken = format!("the home takes {}{parts}", bytes(all));
    match state {
        DiskState::Ok => format!("{free}, {taken}"),
        DiskState::Low => format!("nearly full: {free}, {taken}"),
        DiskState::Full => format!("full, no new jobs are taken: {free}, {taken}"),
    }
}

fn disk_hint(report: &StatusReport) -> Option<&'static str> {
    match report.disk.state {
        DiskState::Ok => None,
        DiskState::Low => Some("free space on this file system; the oldest history is being dropped"),
        DiskState::Full => Some("free space on this file system: LS0006 says what else takes it"),
    }
}

/// What tasks take and give, and the types that they name.
pub(crate) fn schema(schema: &Schema) -> Vec<String> {
    let tasks = schema.tasks.iter().flat_map(|(name, task)| {
        let parameters: Vec<String> = parameters(&task.parameters);
        let versions = match (task.from_version, task.version) {
            (from, to) if from == to => format!("version {to}"),
            (from, to) => format!("version {to}, runs jobs from version {from} on"),
        };
        let was = was(&task.aliases);
        let signature = format!("{name}({}) -> {}", parameters.join(", "), task.result);
        [signature, format!("    {versions}{was}, id {}", task.id)]
    });
    let types = schema.types.iter().flat_map(|(name, found)| {
        let was = was(&found.aliases);
        let head = format!("{name}: {}{was}, id {}", shape(&found.shape), found.id);
        std::iter::once(head).chain(parts(&found.shape))
    });
    tasks.chain(types).map(|line| plain::line(&line).into_owned()).collect()
}

fn parameters(parameters: &[Parameter]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut before = ParameterKind::PositionalOnly;
    for parameter in parameters {
        let Parameter { name, kind, of, default } = parameter;
        let has_star = matches!(before, ParameterKind::VarPositional | ParameterKind::KeywordOnly);
        if before == ParameterKind::PositionalOnly && *kind != before && !shown.is_empty() {
            shown.push("/".to_owned());
        }
        if *kind == ParameterKind::KeywordOnly && !has_star {
            shown.push("*".to_owned());
        }
        let stars = match kind {
            ParameterKind::VarPositional => "*",
            ParameterKind::VarKeyword => "**",
            _ => "",
        };
        let default = default.as_ref().map(|default| format!(" = {default}")).unwrap_or_default();
        shown.push(format!("{stars}{name}: {of}{default}"));
        before = *kind;
    }
    if before == ParameterKind::PositionalOnly && !shown.is_empty() {
        shown.push("/".to_owned());
    }
    shown
}

fn was(aliases: &[String]) -> String {
    if aliases.is_empty() { String::new() } else { format!(", was {}", aliases.join(", ")) }
}

const fn shape(shape: &Shape) -> &'static str {
    match shape {
        Shape::Record { .. } => "record",
        Shape::Enum { .. } => "enum",
        Shape::Flag { .. } => "flag",
        Shape::Exception => "exception",
    }
}

fn parts(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Record { fields, renamed, removed, open } => {
            let field = |field: &Field| {
                let default = field.default.as_ref().map(|it| format!(" = {it}")).unwrap_or_default();
                format!("    {}: {}{default}", field.name, field.of)
            };
            let renamed = renamed.iter().map(|(before, now)| format!("    {before} is {now} now"));
            let removed = removed.iter().map(|name| format!("    {name} is gone"));
            let others = open.then(|| "    and others".to_owned());
            fields.iter().map(field).chain(renamed).chain(removed).chain(others).collect()
        }
        Shape::Enum { members } => vec![format!("    {}", members.join(", "))],
        Shape::Flag { members } => {
            let members: Vec<String> =
                members.iter().map(|(name, bits)| format!("{name} = {bits}")).collect();
            vec![format!("    {}", members.join(", "))]
        }
        Shape::Exception => Vec::new(),
    }
}

/// A table of queues.
pub(crate) fn queues(queues: &[QueueReport], columns: Option<usize>) -> Vec<String> {
    let row = |queue: &QueueReport| {
        [
            queue.name.to_string(),
            if queue.paused { "paused".to_owned() } else { "open".to_owned() },
            queue.available.to_string(),
            queue.parked.to_string(),
            queue.running.to_string(),
            queue.scheduled.to_string(),
            queue.retryable.to_string(),
        ]
    };
    if queues.is_empty() {
        return vec!["no queue has jobs".to_owned()];
    }
    let rows: Vec<[String; 7]> = queues.iter().map(row).collect();
    let heading = ["QUEUE", "IS", "AVAILABLE", "PARKED", "RUNNING", "SCHEDULED", "RETRYABLE"];
    table(heading, &rows, GiveWay { cut: &["QUEUE"], leave_out: &[] }, columns)
}

/// A table of locks: a line for each holder.
pub(crate) fn locks(locks: &[LockReport], now_ms: u64, columns: Option<usize>) -> Vec<String> {
    if locks.is_empty() {
        return vec!["no lock is held or waited for".to_owned()];
    }
    let mut rows: Vec<[String; 7]> = Vec::new();
    for lock in locks {
        let row = |program: String, pid: String, fence: String, since: String| {
            let (key, kind, waiters) =
                (lock.key.to_string(), lock.kind.as_str().to_owned(), lock.waiters.to_string());
            [key, kind, program, pid, fence, since, waiters]
        };
        if lock.holders.is_empty() {
            rows.push(row("nobody".to_owned(), String::new(), String::new(), String::new()));
        }
        for holder in &lock.holders {
            let since = relative(holder.since, now_ms);
            rows.push(row(
                holder.program.to_string(),
                holder.pid.to_string(),
                holder.fence.to_string(),
                since,
            ));
        }
        let hidden = u64::from(lock.held).saturating_sub(lock.holders.len() as u64);
        if hidden > 0 {
            rows.push(row(format!("and {}", grouped(hidden)), String::new(), String::new(), String::new()));
        }
    }
    let heading = ["KEY", "KIND", "HELD BY", "PID", "FENCE", "SINCE", "WAITERS"];
    table(heading, &rows, GiveWay { cut: &["KEY", "HELD BY"], leave_out: &[] }, columns)
}

/// A record that an attempt logged: a line, and those of its exception.
pub(crate) fn log_record(record: &LogRecord) -> Vec<String> {
    let task = record.task.rsplit('.').next().unwrap_or(&record.task);
    let digits = record.job.digits();
    let (time, level) = (rfc3339_us(record.time_us), level_name(record.level));
    let message = plain::line(&record.message);
    let mut line =
        format!("{time} {level:<8} {task}·{digits:04x} {}: {message}", plain::line(&record.logger));
    for (name, value) in &record.fields {
        let text = serde_json::from_str::<String>(value).ok().filter(|text| is_word(text));
        let shown = plain::line(text.as_deref().unwrap_or(value));
        let _ = write!(line, " {}={shown}", plain::line(name));
    }
    let exception = record.exception.as_deref().unwrap_or_default();
    let lines = exception.lines().map(|line| format!("  {}", plain::line(line)));
    std::iter::once(line).chain(lines).collect()
}

/// Whether a text can stand without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| !char.is_whitespace() && !"\"=".contains(char))
}

/// The name of a level; those between the named ones are numbers.
pub(crate) fn level_name(level: i32) -> String {
    let name = match level {
        5 => "trace",
        10 => "debug",
        20 => "info",
        30 => "warning",
        40 => "error",
        50 => "critical",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// Which children were replaced, and why, each worker's newest last.
fn replaced(report: &StatusReport, now_ms: u64) -> Vec<String> {
    let lines = report.workers.iter().flat_map(|worker| {
        worker.replaced.iter().map(|replaced| {
            let (child, worker, ago) = (replaced.child, &worker.name, relative(replaced.at, now_ms));
            format!("child {child} of {worker} was replaced {ago}: {}", plain::line(&replaced.why))
        })
    });
    lines.collect()
}

fn workers(report: &StatusReport, columns: Option<usize>) -> Vec<String> {
    if report.workers.is_empty() {
        return vec!["no worker is connected".to_owned()];
    }
    let all =
        |names: &[std::sync::Arc<str>]| if names.is_empty() { "all".to_owned() } else { names.join(", ") };
    let rows: Vec<[String; 4]> = report
        .workers
        .iter()
        .map(|worker| {
            [
                worker.name.to_string(),
                worker.children.to_string(),
                worker.running.to_string(),
                all(&worker.queues),
            ]
        })
        .collect();
    table(
        ["WORKER", "CHILDREN", "RUNNING", "QUEUES"],
        &rows,
        GiveWay { cut: &["WORKER", "QUEUES"], leave_out: &[] },
        columns,
    )
}

/// A size in its largest unit: `12 B`, `1.5 KiB`, `2.0 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 1_024.0 && unit + 1 < units.len() {
        (size, unit) = (size / 1_024.0, unit + 1);
    }
    format!("{size:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lineshaft_wire::message::{Replaced, WorkerReport};
    use lineshaft_wire::{Fence, JobId, Measures};

    use super::*;

    const NOW: u64 = 1_790_000_100_000;

    fn record() -> JobRecord {
        JobRecord {
            id: JobId::direct(1_790_000_000_000, 0, 1, 1),
            task: "shop.send".into(),
            queue: "mail".into(),
            state: JobState::Discarded,
            cancelling: false,
            priority: 5,
            attempt: 1,
            max_attempts: 1,
            crashes: 0,
            created_at: 1_790_000_000_000,
            scheduled_at: None,
            expires_at: None,
            deadline_at: None,
            attempted_at: Some(NOW - 3_000),
            attempted_by: Some("host:7/1".into()),
            finalized_at: Some(NOW - 2_000),
            reason: Some("max_attempts".into()),
            waits_for: None,
            tags: vec![],
            metadata: None,
            context: None,
            retry_of: None,
            failure_of: None,
            handled_by: None,
            attempts: vec![attempt()],
            arguments_bytes: 9,
            result_bytes: 0,
            checkpoint_bytes: 0,
            checkpoint_at: None,
        }
    }

    fn attempt() -> AttemptRecord {
        AttemptRecord {
            number: 1,
            fence: Fence { epoch: 1, counter: 1 },
            outcome: Some(Outcome::Errored),
            worker: "host:7/1".into(),
            started_at: NOW - 3_000,
            finished_at: Some(NOW - 2_000),
            error: Some(ErrorRecord {
                types: vec!["builtins.ValueError".into()],
                message: "no such address\nmore".into(),
                traceback: Some("Traceback (most recent call last):\n  …\n".into()),
                ..ErrorRecord::default()
            }),
            output: vec![],
            waited_ms: None,
            measures: Measures::default(),
        }
    }

    #[test]
    fn numbers_of_jobs_read_easily() {
        for (count, text) in [
            (0, "0 jobs"),
            (1, "1 job"),
            (999, "999 jobs"),
            (1_204, "1,204 jobs"),
            (1_000_000, "1,000,000 jobs"),
        ] {
            assert_eq!(jobs(count), text);
        }
    }

    #[test]
    fn jobs_are_listed_in_aligned_columns() {
        let waiting = JobRecord {
            state: JobState::Available,
            reason: None,
            task: "shop.pack_and_send".into(),
            attempts: vec![],
            ..record()
        };
        assert_eq!(
            job_table(&[record(), waiting], NOW, None).join("\n"),
            "\
ID                                    STATE                     TASK                QUEUE  ATTEMPTS  AGE
01a0c450-6c00-7800-8000-000040000001  discarded (max_attempts)  shop.send           mail   1         1 min
01a0c450-6c00-7800-8000-000040000001  available                 shop.pack_and_send  mail   0         1 min"
        );
    }

    #[test]
    fn a_traceback_cannot_move_the_cursor() {
        let mut record = record();
        record.attempts[0].error.as_mut().unwrap().traceback = Some("ValueError: \x1b[31mred\x07\n".into());
        assert_eq!(job(&record, None, None, NOW).last().unwrap(), "ValueError: \\x1b[31mred\\x07");
    }

    #[test]
    fn a_job_is_shown_with_its_attempts_and_the_last_traceback() {
        assert_eq!(
            job(&record(), Some("('a@b')".into()), None, NOW).join("\n"),
            "\
id         01a0c450-6c00-7800-8000-000040000001
task       shop.send
arguments  ('a@b')
queue      mail
state      discarded (max_attempts)
priority   5
failures   1 of 1
created    1 min ago (2026-09-21T14:13:20.000Z)
started    3 s ago (2026-09-21T14:14:57.000Z)
worker     host:7/1
ended      2 s ago (2026-09-21T14:14:58.000Z)

ATTEMPT  OUTCOME  STARTED  TOOK  WORKER    ERROR
1        errored  3 s ago  1 s   host:7/1  ValueError: no such address

Traceback (most recent call last):
  …"
        );
    }

    #[test]
    fn a_job_that_died_shows_how_much_memory_it_had_and_what_it_said_last() {
        let mut record = record();
        let attempt = &mut record.attempts[0];
        attempt.outcome = Some(Outcome::Crashed);
        let message = "the process was killed by signal 9 (SIGKILL)".to_owned();
        let error = ErrorRecord {
            message,
            signal: Some(9),
            rss_peak_bytes: Some(600 << 20),
            ..ErrorRecord::default()
        };
        attempt.error = Some(error);
        let words: Vec<String> = (1..=12).map(|number| format!("line {number}\x07")).collect();
        attempt.output = words.join("\n").into_bytes();
        let shown = job(&record, None, None, NOW).join("\n");
        let (_, crash) = shown.split_once("(SIGKILL)\n\n").unwrap();
        let lines: Vec<String> = (3..=12).map(|number| format!("  line {number}\\x07")).collect();
        assert_eq!(
            crash,
            format!("it had 600.0 MiB of memory at most\nits last words:\n{}", lines.join("\n"))
        );
    }

    #[test]
    fn a_checkpoint_is_shown_by_size_and_age() {
        let with = |checkpoint_bytes, checkpoint_at| {
            let record = JobRecord { checkpoint_bytes, checkpoint_at, ..record() };
            checkpoint(&record, NOW)
        };
        assert_eq!(with(0, None), None);
        assert_eq!(with(212, Some(NOW - 3_000)).as_deref(), Some("212 bytes, 3 s ago"));
        assert_eq!(with(65_536, Some(NOW - 60_000)).as_deref(), Some("64.0 KiB, 1 min ago"));
    }

    #[test]
    fn what_is_empty_says_so() {
        assert_eq!(queues(&[], None), ["no queue has jobs"]);
        assert_eq!(workers(&StatusReport::default(), None), ["no worker is connected"]);
    }

    #[test]
    fn status_shows_server_queues_workers_and_what_is_missing() {
        let report = StatusReport {
            version: "0.1.0".into(),
            pid: 42,
            home: "/srv/.lineshaft".into(),
            on_demand: true,
            started_at: NOW - 5_000,
            connections: 2,
            archived: 1,
            rss_bytes: 13 << 20,
            queues: vec![QueueReport {
                name: "mail".into(),
                paused: true,
                available: 7,
                parked: 2,
                ..QueueReport::default()
            }],
            workers: vec![WorkerReport {
                name: "host:7".into(),
                children: 2,
                running: 1,
                replaced: vec![Replaced { child: 2, at: NOW - 3_000, why: "it has run 100 jobs".into() }],
                ..WorkerReport::default()
            }],
            unknown_tasks: vec![Arc::from("shop.send")],
            disk: DiskReport {
                free_bytes: 900 << 20,
                used: vec![("seg".into(), 8 << 20), ("archive".into(), 3 << 19)],
                ..DiskReport::default()
            },
            ..StatusReport::default()
        };
        assert_eq!(
            status(&report, NOW, None).join("\n"),
            "\
server       lineshaft 0.1.0 (pid 42, on demand)
home         /srv/.lineshaft
started      5 s ago
memory       13.0 MiB
connections  2
archived     1 job
disk         900.0 MiB free, the home takes 9.5 MiB (seg 8.0 MiB, archive 1.5 MiB)

QUEUE  IS      AVAILABLE  PARKED  RUNNING  SCHEDULED  RETRYABLE
mail   paused  7          2       0        0          0

WORKER  CHILDREN  RUNNING  QUEUES
host:7  2         1        all
child 2 of host:7 was replaced 3 s ago: it has run 100 jobs
no worker knows shop.send"
        );
    }

    #[test]
    fn status_says_that_a_backup_is_under_way() {
        let lines =
            |backups| status(&StatusReport { backups, ..StatusReport::default() }, NOW, None).join("\n");
        assert!(
            lines(1).contains("backup       under way: nothing is removed until it is done\n"),
            "{}",
            lines(1)
        );
        assert!(!lines(0).contains("backup"));
    }

    #[test]
    fn status_says_that_the_disk_is_full_and_the_archive_behind() {
        let report = |state| StatusReport {
            archived: 7,
            unarchived: 120_000,
            archive_behind: true,
            disk: DiskReport { state, ..DiskReport::default() },
            ..StatusReport::default()
        };
        let lines = status(&report(DiskState::Full), NOW, None).join("\n");
        for part in [
            "archived     7 jobs; 120000 more wait for it, and new ones start at its speed\n",
            "disk         full, no new jobs are taken: 0 B free, the home takes 0 B\n",
            "  hint: free space on this file system: LS0006 says what else takes it\n",
        ] {
            assert!(lines.contains(part), "{lines}");
        }
        let lines = status(&report(DiskState::Low), NOW, None).join("\n");
        assert!(lines.contains("disk         nearly full: "), "{lines}");
    }
}
