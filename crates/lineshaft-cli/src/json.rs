//! Values, jobs and reports as JSON, and JSON as values.
//!
//! Times are RFC 3339 in UTC. A value that JSON has no place for is shown as Python would show it.

use lineshaft_wire::message::{
    DiskReport, LockHolder, LockReport, QueueReport, Replaced, StatusReport, TaskReport, TaskStatistics,
    WorkerReport,
};
use lineshaft_wire::record::OUTCOMES;
use lineshaft_wire::value::Value;
use lineshaft_wire::{AttemptRecord, ErrorRecord, JobRecord, LogRecord, task};
use serde_json::{Map, Number, Value as Json, json};

use crate::show;
use crate::times::{rfc3339, rfc3339_us};

/// A lock that is held or waited for.
pub(crate) fn of_lock(lock: &LockReport) -> Json {
    let holder = |holder: &LockHolder| {
        json!({
            "fence": holder.fence,
            "program": &*holder.program,
            "pid": holder.pid,
            "permits": holder.permits,
            "since": rfc3339(holder.since),
            "ttl_ms": holder.ttl_ms,
        })
    };
    let holders: Vec<Json> = lock.holders.iter().map(holder).collect();
    json!({
        "kind": lock.kind.as_str(),
        "key": &*lock.key,
        "held": lock.held,
        "holders": holders,
        "waiters": lock.waiters,
    })
}

/// A record that an attempt logged.
pub(crate) fn of_log_record(record: &LogRecord) -> Json {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
    let fields: Map<String, Json> =
        record.fields.iter().map(|(name, text)| (name.to_string(), value(text))).collect();
    json!({
        "time": rfc3339_us(record.time_us),
        "level": record.level,
        "level_name": show::level_name(record.level),
        "logger": &*record.logger,
        "message": &*record.message,
        "fields": fields,
        "job": record.job.to_string(),
        "attempt": record.attempt,
        "task": &*record.task,
        "worker": &*record.worker,
        "file": record.place.as_ref().map(|place| &*place.file),
        "line": record.place.as_ref().map(|place| place.line),
        "function": record.place.as_ref().map(|place| &*place.function),
        "exception": record.exception.as_deref(),
    })
}

/// The value that a JSON document means.
pub(crate) fn to_value(document: Json) -> Value {
    match document {
        Json::Null => Value::None,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => to_number(&number),
        Json::String(text) => Value::Str(text.into()),
        Json::Array(items) => Value::List(items.into_iter().map(to_value).collect()),
        Json::Object(entries) => {
            Value::Dict(entries.into_iter().map(|(key, value)| (Value::from(key), to_value(value))).collect())
        }
    }
}

fn to_number(number: &Number) -> Value {
    match number.as_i128() {
        Some(whole) => Value::Int(whole),
        None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The JSON document that is closest to a value.
pub(crate) fn of_value(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(whole) => {
            Number::from_i128(*whole).map_or_else(|| Json::String(whole.to_string()), Json::Number)
        }
        Value::Float(number) => {
            Number::from_f64(*number).map_or_else(|| Json::String(value.to_string()), Json::Number)
        }
        Value::Str(text) | Value::Decimal(text) => Json::String(text.to_string()),
        Value::Uuid(uuid) => Json::String(uuid.to_string()),
        Value::Job(job) => Json::String(job.to_string()),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().map(of_value).collect()
        }
        Value::Dict(entries) => of_dict(entries),
        Value::Record(record) => {
            let kind = ("$type".to_owned(), Json::String(record.type_name.to_string()));
            let fields = record.fields.iter().map(|(name, value)| (name.to_string(), of_value(value)));
            Json::Object(std::iter::once(kind).chain(fields).collect())
        }
        Value::Enum(member) => json!({ "$type": &*member.type_name, "$member": of_value(&member.member) }),
        other => Json::String(other.to_string()),
    }
}

/// An object if all keys are text, else a list of pairs.
fn of_dict(entries: &[(Value, Value)]) -> Json {
    let named: Option<Map<String, Json>> = entries
        .iter()
        .map(|(key, value)| match key {
            Value::Str(name) => Some((name.to_string(), of_value(value))),
            _ => None,
        })
        .collect();
    named.map_or_else(
        || entries.iter().map(|(key, value)| json!([of_value(key), of_value(value)])).collect(),
        Json::Object,
    )
}

/// A job.
pub(crate) fn of_job(job: &JobRecord) -> Json {
    json!({
        "id": job.id.to_string(),
        "task": task::name_of(&job.task),
        "version": task::split(&job.task).1,
        "queue": &*job.queue,
        "state": job.state.as_str(),
        "cancelling": job.cancelling,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "crashes": job.crashes,
        "created_at": rfc3339(job.created_at),
        "scheduled_at": job.scheduled_at.map(rfc3339),
        "expires_at": job.expires_at.map(rfc3339),
        "deadline_at": job.deadline_at.map(rfc3339),
        "attempted_at": job.attempted_at.map(rfc3339),
        "attempted_by": job.attempted_by.as_deref(),
        "finalized_at": job.finalized_at.map(rfc3339),
        "reason": job.reason.as_deref(),
        "waits_for": job.waits_for,
        "tags": job.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        "metadata": job.metadata.as_deref(),
        "context": job.context.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok()),
        "retry_of": job.retry_of.map(|id| id.to_string()),
        "failure_of": job.failure_of.map(|id| id.to_string()),
        "handled_by": job.handled_by.map(|id| id.to_string()),
        "attempts": job.attempts.iter().map(of_attempt).collect::<Vec<_>>(),
        "arguments_bytes": job.arguments_bytes,
        "result_bytes": job.result_bytes,
        "checkpoint_bytes": job.checkpoint_bytes,
        "checkpoint_at": job.checkpoint_at.map(rfc3339),
    })
}

fn of_attempt(attempt: &AttemptRecord) -> Json {
    json!({
        "number": attempt.number,
        "outcome": attempt.outcome.map(lineshaft_wire::Outcome::as_str),
        "worker": &*attempt.worker,
        "started_at": rfc3339(attempt.started_at),
        "finished_at": attempt.finished_at.map(rfc3339),
        "error": attempt.error.as_ref().map(of_error),
        "output": String::from_utf8_lossy(&attempt.output),
        "waited_ms": attempt.waited_ms,
        "ran_us": attempt.measures.ran_us,
        "cpu_us": attempt.measures.cpu_us,
        "children_cpu_us": attempt.measures.children_cpu_us,
        "collected_us": attempt.measures.collected_us,
        "peak_growth_bytes": attempt.measures.peak_growth_bytes,
        "cache_hits": attempt.measures.cache_hits,
        "gil_us": attempt.measures.gil_us,
    })
}

/// What the attempts of a task came to and took.
pub(crate) fn of_statistics(task: &TaskStatistics) -> Json {
    let (name, version) = task::split(&task.task);
    let outcomes = OUTCOMES.map(lineshaft_wire::Outcome::as_str).into_iter().map(str::to_owned);
    let outcomes: serde_json::Map<String, Json> = outcomes.zip(task.outcomes.map(Json::from)).collect();
    json!({
        "task": name,
        "version": version,
        "since": rfc3339(task.since),
        "until": rfc3339(task.until),
        "outcomes": outcomes,
        "failure_rate": task.failure_rate(),
        "ran": task.ran,
        "waited": task.waited,
        "cpu": task.cpu,
        "children_cpu_us": task.children_cpu_us,
        "collected_us": task.collected_us,
        "peak_growth_bytes_max": task.peak_growth_bytes_max,
        "cache_hits": task.cache_hits,
        "bytes_in": task.bytes_in,
        "bytes_out": task.bytes_out,
        "gil_us": task.gil_us,
        "gil_ran_us": task.gil_ran_us,
        "calls": task.calls,
        "repeated": task.repeated,
    })
}

/// What went wrong in an attempt.
pub(crate) fn of_error(error: &ErrorRecord) -> Json {
    json!({
        "types": error.types,
        "message": error.message,
        "traceback": error.traceback,
        "signal": error.signal,
        "rss_peak_bytes": error.rss_peak_bytes,
    })
}

/// The state of the engine.
pub(crate) fn of_status(report: &StatusReport) -> Json {
    json!({
        "version": report.version,
        "pid": report.pid,
        "home": report.home,
        "on_demand": report.on_demand,
        "started_at": rfc3339(report.started_at),
        "epoch": report.epoch,
        "durable_lsn": report.durable_lsn,
        "connections": report.connections,
        "archived": report.archived,
        "rss_bytes": report.rss_bytes,
        "queues": report.queues.iter().map(of_queue).collect::<Vec<_>>(),
        "workers": report.workers.iter().map(of_worker).collect::<Vec<_>>(),
        "unknown_tasks": report.unknown_tasks.iter().map(|task| &**task).collect::<Vec<_>>(),
        "tasks": report.tasks.iter().map(of_task).collect::<Vec<_>>(),
        "disk": of_disk(&report.disk),
        "unarchived": report.unarchived,
        "archive_behind": report.archive_behind,
        "ended": report.ended,
        "backups": report.backups,
        "hot_bytes": report.hot_bytes,
        "cold_bytes": report.cold_bytes,
        "cache": report.cache,
    })
}

fn of_task(report: &TaskReport) -> Json {
    let (name, version) = task::split(&report.task);
    json!({ "task": name, "version": version, "unfinished": report.unfinished })
}

fn of_disk(disk: &DiskReport) -> Json {
    let used = disk.used.iter().map(|(name, bytes)| (name.to_string(), Json::from(*bytes)));
    json!({
        "state": disk.state,
        "free_bytes": disk.free_bytes,
        "reserve_bytes": disk.reserve_bytes,
        "used_bytes": used.collect::<serde_json::Map<_, _>>(),
    })
}

/// The state of a queue.
pub(crate) fn of_queue(queue: &QueueReport) -> Json {
    json!({
        "name": &*queue.name,
        "paused": queue.paused,
        "scheduled": queue.scheduled,
        "available": queue.available,
        "parked": queue.parked,
        "running": queue.running,
        "retryable": queue.retryable,
        "finished": queue.finished,
    })
}

fn of_worker(worker: &WorkerReport) -> Json {
    json!({
        "name": &*worker.name,
        "pid": worker.pid,
        "children": worker.children,
        "running": worker.running,
        "tasks": worker.tasks.iter().map(|task| &**task).collect::<Vec<_>>(),
        "queues": worker.queues.iter().map(|queue| &**queue).collect::<Vec<_>>(),
        "replaced": worker.replaced.iter().map(of_replaced).collect::<Vec<_>>(),
    })
}

fn of_replaced(replaced: &Replaced) -> Json {
    json!({ "child": replaced.child, "at": replaced.at, "why": &*replaced.why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(text: &str) {
        let document: Json = serde_json::from_str(text).unwrap();
        assert_eq!(of_value(&to_value(document.clone())), document, "{text}");
    }

    fn check_shown(value: &Value, expected: &str) {
        assert_eq!(of_value(value).to_string(), expected);
    }

    #[test]
    fn json_goes_through_values_unchanged() {
        for text in
            ["null", "true", "-7", "18446744073709551615", "0.5", "\"é\"", "[1,[2]]", "{\"a\":{\"b\":null}}"]
        {
            check_round_trip(text);
        }
    }

    #[test]
    fn values_that_json_lacks_come_as_close_as_they_can() {
        check_shown(&Value::Float(f64::NAN), "\"nan\"");
        check_shown(&Value::Int(i128::MAX), "\"170141183460469231731687303715884105727\"");
        check_shown(&Value::Tuple(vec![1.into(), "a".into()]), "[1,\"a\"]");
        check_shown(&Value::Dict(vec![(1.into(), 2.into())]), "[[1,2]]");
        check_shown(&Value::Bytes(Box::from(&b"a\0"[..])), r#""b'a\\x00'""#);
    }
}
