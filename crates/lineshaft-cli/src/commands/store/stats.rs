//! `lineshaft store stats`: sizes and counts of a home.

use lineshaft::config::Settings;
use lineshaft_engine::Retention;
use lineshaft_engine::inspect::{self, SnapshotStats, Stats};
use lineshaft_store::{ArchiveCounts, DayCounts};
use lineshaft_wire::JobState;
use lineshaft_wire::message::{QueueReport, StatusReport};
use serde_json::{Map, Value as Json, json};

use super::failure::of_engine;
use crate::commands::serve::retention;
use crate::context::{Context, answer};
use crate::exit::Failure;
use crate::flags::Given;
use crate::show::{bytes, count_of, jobs};
use crate::table::{GiveWay, pairs, table};
use crate::times::{length, now_ms, relative, rfc3339};

/// Jobs in memory in a state, or in one of several where the server does not tell them apart.
type Counted = Vec<(&'static str, u64)>;

pub(super) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let stats = inspect::stats(home.path()).map_err(|error| of_engine(&error))?;
    // As a server that is started on demand finds them.
    let retention = retention(&Settings::find(home.path())?, &Given::default())?;
    let status = match &stats.holder {
        Some(_) => Some(answer(context.running_client()?.status(None))?),
        None => None,
    };
    let counted = counted(&stats, status.as_ref());
    let head_lsn = match (&stats.memory, &status) {
        (Some(memory), _) => memory.head_lsn,
        (None, status) => status.as_ref().map_or(0, |status| status.durable_lsn),
    };
    if context.output.is_json() {
        let document = document(&home.path().display().to_string(), &stats, &retention, head_lsn, &counted);
        return Ok(context.output.json(&document)?);
    }
    let columns = context.output.columns();
    for line in text(&home.path().display().to_string(), &stats, &retention, head_lsn, &counted, columns) {
        context.output.line(line)?;
    }
    Ok(())
}

fn counted(stats: &Stats, status: Option<&StatusReport>) -> Counted {
    if let Some(memory) = &stats.memory {
        return memory.jobs.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    }
    let queues = status.map_or(&[][..], |status| &status.queues);
    let sum = |count: fn(&QueueReport) -> u64| queues.iter().map(count).sum();
    vec![
        (JobState::Scheduled.as_str(), sum(|queue| queue.scheduled)),
        (JobState::Available.as_str(), sum(|queue| queue.available)),
        (JobState::Running.as_str(), sum(|queue| queue.running)),
        (JobState::Retryable.as_str(), sum(|queue| queue.retryable)),
        ("finished", sum(|queue| queue.finished)),
    ]
}

fn document(home: &str, stats: &Stats, retention: &Retention, head_lsn: u64, counted: &Counted) -> Json {
    let jobs: Map<String, Json> =
        counted.iter().map(|(state, count)| ((*state).to_owned(), (*count).into())).collect();
    let directories: Vec<Json> = stats
        .directories
        .iter()
        .map(|it| json!({ "name": it.name, "files": it.files, "bytes": it.bytes }))
        .collect();
    let days = stats.days.iter().map(|day| {
        let mut document = of_counts(day.counts);
        document["day"] = Json::from(&*day.day);
        document
    });
    json!({
        "home": home,
        "served_by": stats.holder.as_ref().map(|holder| holder.pid),
        "bytes": total(stats),
        "free_bytes": stats.free_bytes,
        "directories": directories,
        "journal": {
            "segments": stats.journal.segments,
            "bytes": stats.journal.bytes,
            "spares": stats.journal.spares,
            "spare_bytes": stats.journal.spare_bytes,
            "reserve_bytes": stats.journal.reserve_bytes,
            "live_bytes": stats.memory.as_ref().map(|memory| memory.live_bytes),
            "dead_bytes": stats.memory.as_ref().map(|memory| memory.dead_bytes),
            "oldest_lsn": stats.journal.oldest_lsn,
            "head_lsn": head_lsn,
        },
        "snapshots": stats.snapshots.iter().map(of_snapshot).collect::<Vec<_>>(),
        "jobs": jobs,
        "archive": { "days": days.collect::<Vec<_>>(), "total": of_counts(archived(stats)) },
        "retention": {
            "seconds": retention.age.as_secs(),
            "bytes": retention.bytes,
        },
    })
}

fn of_snapshot(snapshot: &SnapshotStats) -> Json {
    json!({
        "lsn": snapshot.lsn,
        "bytes": snapshot.bytes,
        "written_at": snapshot.written_ms.map(rfc3339),
    })
}

fn of_counts(counts: ArchiveCounts) -> Json {
    json!({
        "jobs": counts.jobs(),
        "completed": counts.completed,
        "cancelled": counts.cancelled,
        "discarded": counts.discarded,
        "blocks": counts.blocks,
        "bytes": counts.bytes,
    })
}

fn archived(stats: &Stats) -> ArchiveCounts {
    stats.days.iter().fold(ArchiveCounts::default(), |sum, day| ArchiveCounts {
        completed: sum.completed + day.counts.completed,
        cancelled: sum.cancelled + day.counts.cancelled,
        discarded: sum.discarded + day.counts.discarded,
        blocks: sum.blocks + day.counts.blocks,
        bytes: sum.bytes + day.counts.bytes,
    })
}

fn total(stats: &Stats) -> u64 {
    stats.directories.iter().map(|directory| directory.bytes).sum()
}

fn text(
    home: &str,
    stats: &Stats,
    retention: &Retention,
    head_lsn: u64,
    counted: &Counted,
    columns: Option<usize>,
) -> Vec<String> {
    let served = stats.holder.as_ref().map_or_else(
        || "stopped".to_owned(),
        |holder| format!("served by process {} on {}", holder.pid, holder.host),
    );
    let there: Vec<String> = counted
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let mut lines = pairs(&[
        ("home", home.to_owned()),
        ("state", served),
        ("size", format!("{}, {} free on the disk", bytes(total(stats)), bytes(stats.free_bytes))),
        ("journal", journal(stats, head_lsn)),
        ("snapshots", snapshots(stats)),
        ("jobs", if there.is_empty() { "none in memory".to_owned() } else { there.join(", ") }),
        ("archive", archive(stats, retention)),
    ]);
    lines.push(String::new());
    lines.extend(directories(stats, columns));
    if !stats.days.is_empty() {
        lines.push(String::new());
        lines.extend(days(&stats.days, columns));
    }
    lines
}

fn journal(stats: &Stats, head_lsn: u64) -> String {
    let journal = &stats.journal;
    let live = stats.memory.as_ref().map_or_else(String::new, |memory| {
        let (live, dead) = (bytes(memory.live_bytes), bytes(memory.dead_bytes));
        format!(", {live} of payloads needed, {dead} of segments not needed")
    });
    let oldest = journal.oldest_lsn.map_or_else(|| "?".to_owned(), |lsn| lsn.to_string());
    let spares = match journal.spares {
        0 => String::new(),
        _ => format!(", {} to be used again", bytes(journal.spare_bytes)),
    };
    let reserve = match journal.reserve_bytes {
        0 => String::new(),
        reserve => format!(", {} kept back for a full disk", bytes(reserve)),
    };
    format!(
        "commits {oldest} to {head_lsn}, {} in {}{live}{spares}{reserve}",
        bytes(journal.bytes),
        count_of(journal.segments, "segment")
    )
}

fn snapshots(stats: &Stats) -> String {
    let now = now_ms();
    let each = stats.snapshots.iter().map(|snapshot| {
        let age = snapshot.written_ms.map_or_else(String::new, |at| format!(", {}", relative(at, now)));
        format!("commit {} ({}{age})", snapshot.lsn, bytes(snapshot.bytes))
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { "none".to_owned() } else { each.join("; ") }
}

fn archive(stats: &Stats, retention: &Retention) -> String {
    let counts = archived(stats);
    let age = length(retention.age.as_millis() as u64);
    let kept = format!("kept for {age} or {}", bytes(retention.bytes));
    let blocks = count_of(counts.blocks, "block");
    format!("{}, {} in {blocks}; {kept}", jobs(counts.jobs()), bytes(counts.bytes))
}

fn directories(stats: &Stats, columns: Option<usize>) -> Vec<String> {
    let rows: Vec<[String; 3]> = stats
        .directories
        .iter()
        .map(|it| {
            let name = if it.name.is_empty() { "." } else { it.name };
            [name.to_owned(), it.files.to_string(), bytes(it.bytes)]
        })
        .collect();
    table(["DIRECTORY", "FILES", "SIZE"], &rows, GiveWay::default(), columns)
}

fn days(days: &[DayCounts], columns: Option<usize>) -> Vec<String> {
    let rows: Vec<[String; 6]> = days
        .iter()
        .map(|day| {
            let counts = day.counts;
            let numbers = [counts.jobs(), counts.completed, counts.cancelled, counts.discarded];
            let [all, completed, cancelled, discarded] = numbers.map(|number| number.to_string());
            [day.day.clone(), all, completed, cancelled, discarded, bytes(counts.bytes)]
        })
        .collect();
    let heading = ["DAY", "JOBS", "COMPLETED", "CANCELLED", "DISCARDED", "SIZE"];
    table(heading, &rows, GiveWay::default(), columns)
}
