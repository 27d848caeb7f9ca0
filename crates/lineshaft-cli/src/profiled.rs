//! Profiles for people and as JSON.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use lineshaft_insight::profile::{Allocation, Change, Kind, Profile, Weight};
use serde_json::{Value as Json, json};

use crate::commands::profile::Found;
use crate::{plain, show};

const ROWS: usize = 10;
const SOURCE_CHARS_MAX: usize = 60;
/// Changes below a thousandth of the time are chance.
const CHANGE_MIN: f64 = 0.001;

/// What profiles say together, in some thirty lines; `more` advice comes from elsewhere.
pub(crate) fn table(found: &Found, more: &[String]) -> Vec<String> {
    let profile = &found.profile;
    let all = profile.total(Kind::Thread);
    let attempts = show::count_of(found.attempts, "attempt");
    if all.samples == 0 && profile.total(Kind::Awaiting).samples == 0 {
        let none = format!(
            "no samples of {attempts} in {}: they took less than a period",
            time(profile.duration_ns())
        );
        return [none].into_iter().chain(memory(profile)).chain(more.iter().cloned()).collect();
    }
    let mut lines = vec![format!(
        "{} samples of {attempts} in {}, {} of it with a processor",
        all.samples,
        time(profile.duration_ns()),
        percent(all.cpu_ns, all.wall_ns).trim(),
    )];
    lines.extend([String::new(), "   self   total  function".to_owned()]);
    for one in profile.hot_functions(ROWS).into_iter().filter(|one| one.total.wall_ns > 0) {
        let (own, total) = (percent(one.own.wall_ns, all.wall_ns), percent(one.total.wall_ns, all.wall_ns));
        lines.push(
            plain::line(&format!("{own} {total}  {} ({})", one.name, place(one.file, one.line))).into_owned(),
        );
    }
    lines.extend([String::new(), "   self     time  line".to_owned()]);
    for one in profile.hot_lines(ROWS) {
        let source = source_line(one.file, one.line).unwrap_or_default();
        let row = format!(
            "{} {:>8}  {}  {}",
            percent(one.own.wall_ns, all.wall_ns),
            time(one.own.wall_ns),
            place(one.file, one.line),
            cut(source.trim())
        );
        lines.push(plain::line(row.trim_end()).into_owned());
    }
    lines.extend(awaited(profile));
    lines.extend(memory(profile));
    let advice = [profile.advice(), more.to_vec()].concat();
    if !advice.is_empty() {
        lines.push(String::new());
        lines.extend(advice.iter().map(|sentence| plain::line(sentence).into_owned()));
    }
    lines
}

fn awaited(profile: &Profile) -> Vec<String> {
    let mut functions = profile.hot_functions(usize::MAX);
    functions.retain(|one| one.awaited.wall_ns > 0);
    if functions.is_empty() {
        return Vec::new();
    }
    functions.sort_by_key(|one| std::cmp::Reverse(one.awaited.wall_ns));
    let row = |one: &lineshaft_insight::profile::HotFunction<'_>| {
        let text = format!("{:>8}  {} ({})", time(one.awaited.wall_ns), one.name, place(one.file, one.line));
        plain::line(&text).into_owned()
    };
    let rows = functions.iter().take(ROWS).map(row);
    [String::new(), " awaited  function".to_owned()].into_iter().chain(rows).collect()
}

/// Lines that keep memory; nothing where nobody looked for it.
fn memory(profile: &Profile) -> Vec<String> {
    let row = |(file, line, one): (&str, u32, Allocation)| {
        let text = format!("{:>+10.1} KiB {:>+8}  {}", kib(one.bytes), one.blocks, place(file, line));
        plain::line(&text).into_owned()
    };
    let rows: Vec<String> = profile.allocations().into_iter().take(ROWS).map(row).collect();
    let most = profile.memory_bytes_max();
    let mut lines = Vec::new();
    if most > 0 {
        let most = kib(i64::try_from(most).unwrap_or(i64::MAX));
        lines.extend([String::new(), format!("at most {most:.1} KiB of memory more than at the beginning")]);
    }
    if !rows.is_empty() {
        lines.extend([String::new(), "        memory   blocks  line".to_owned()]);
    }
    lines.extend(rows);
    lines
}

/// What has changed between two versions.
pub(crate) fn changes(before: &(u32, Found), after: &(u32, Found), changes: &[Change]) -> Vec<String> {
    let said = |(version, found): &(u32, Found)| {
        let attempts = show::count_of(found.attempts, "attempt");
        let samples = found.profile.total(Kind::Thread).samples;
        format!("v{version}: {samples} samples of {attempts} in {}", time(found.profile.duration_ns()))
    };
    let mut lines = vec![said(before), said(after), String::new()];
    let (old, new) = (format!("v{}", before.0), format!("v{}", after.0));
    lines.push(format!("{old:>7} {new:>7}   change  function"));
    for one in changes.iter().filter(|one| one.by().abs() >= CHANGE_MIN).take(2 * ROWS) {
        let row = format!(
            "{:>5.1} % {:>5.1} % {:>+8.1}  {} ({})",
            100.0 * one.before,
            100.0 * one.after,
            100.0 * one.by(),
            one.name,
            place(&one.file, 0)
        );
        lines.push(plain::line(&row).into_owned());
    }
    lines
}

pub(crate) fn as_json(found: &Found, task: &str, more: &[String]) -> Json {
    let profile = &found.profile;
    let weight = |one: Weight| json!({ "seconds": seconds(one.wall_ns), "cpu_seconds": seconds(one.cpu_ns), "samples": one.samples });
    let functions: Vec<Json> = (profile.hot_functions(ROWS).iter())
        .map(|one| {
            json!({
                "function": one.name, "file": one.file, "line": one.line,
                "self": weight(one.own), "total": weight(one.total), "awaited": weight(one.awaited),
            })
        })
        .collect();
    let lines: Vec<Json> = (profile.hot_lines(ROWS).iter())
        .map(|one| json!({ "function": one.name, "file": one.file, "line": one.line, "self": weight(one.own) }))
        .collect();
    let allocations: Vec<Json> = (profile.allocations().into_iter().take(ROWS))
        .map(|(file, line, one)| json!({ "file": file, "line": line, "bytes": one.bytes, "blocks": one.blocks }))
        .collect();
    json!({
        "task": task,
        "attempts": found.attempts,
        "duration_seconds": seconds(profile.duration_ns()),
        "threads": weight(profile.total(Kind::Thread)),
        "awaited": weight(profile.total(Kind::Awaiting)),
        "functions": functions,
        "lines": lines,
        "allocations": allocations,
        "memory_bytes_max": profile.memory_bytes_max(),
        "advice": ([profile.advice(), more.to_vec()].concat()),
    })
}

pub(crate) fn changes_as_json(
    task: &str,
    before: &(u32, Found),
    after: &(u32, Found),
    changes: &[Change],
) -> Json {
    let of = |(version, found): &(u32, Found)| {
        let samples = found.profile.total(Kind::Thread).samples;
        json!({ "version": version, "attempts": found.attempts, "samples": samples })
    };
    let row = |one: &Change| json!({ "function": one.name, "file": one.file, "before": one.before, "after": one.after });
    let changes: Vec<Json> = changes.iter().map(row).collect();
    json!({ "task": task, "before": of(before), "after": of(after), "changes": changes })
}

/// The text of a line, as the file has it here and now.
pub(crate) fn source_line(file: &str, line: u32) -> Option<String> {
    let index = line.checked_sub(1)? as usize;
    // Not whatever else a profile may name, such as a device.
    let path = Path::new(file).extension().filter(|suffix| *suffix == "py").map(|_| file)?;
    let lines = BufReader::new(File::open(path).ok()?).lines();
    lines.map_while(Result::ok).nth(index)
}

/// From the current directory if it is there.
fn place(file: &str, line: u32) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shown = Path::new(file).strip_prefix(here).ok().and_then(|path| path.to_str()).unwrap_or(file);
    if line == 0 { shown.to_owned() } else { format!("{shown}:{line}") }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn kib(bytes: i64) -> f64 {
    bytes as f64 / 1024.0
}

fn time(nanoseconds: u64) -> String {
    let seconds = seconds(nanoseconds);
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.1} ms", seconds * 1e3) }
}

/// A part in seven signs.
fn percent(part: u64, whole: u64) -> String {
    format!("{:5.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SOURCE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(SOURCE_CHARS_MAX - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use lineshaft_insight::profile::{Call, Weight};

    use super::*;

    fn found() -> Found {
        let mut profile = Profile::new();
        let main = profile.track("main", Kind::Thread);
        let task = profile.track("fetch", Kind::Awaiting);
        let (send, stamp) =
            (profile.frame("send", "/shop/mail.py", 3), profile.frame("stamp", "/shop/mail.py", 9));
        let weight =
            |ms: u64, cpu: u64| Weight { wall_ns: ms * 1_000_000, cpu_ns: cpu * 1_000_000, samples: ms / 10 };
        let send = Call { frame: send, line: 4 };
        profile.add(main, &[Call { frame: stamp, line: 11 }, send], weight(900, 400));
        profile.add(main, &[send], weight(100, 100));
        profile.add(task, &[send], weight(2_500, 0));
        profile.ran(3_000_000_000);
        Found { profile, attempts: 2 }
    }

    #[test]
    fn lines_that_keep_memory_are_shown_where_they_were_looked_for() {
        let mut found = found();
        let is_shown = |found: &Found, text: &str| table(found, &[]).iter().any(|line| line.contains(text));
        assert!(!is_shown(&found, "memory"));
        found.profile.allocated("/shop/mail.py", 7, Allocation { bytes: 3 << 20, blocks: 12 });
        found.profile.peaked(5 << 20);
        assert!(is_shown(&found, "   +3072.0 KiB      +12  /shop/mail.py:7"), "{:#?}", table(&found, &[]));
        assert!(is_shown(&found, "at most 5120.0 KiB of memory more than at the beginning"));
        let json = as_json(&found, "shop.send", &[]);
        assert_eq!(json["allocations"][0]["bytes"], 3 << 20);
        assert_eq!(json["memory_bytes_max"], 5 << 20);
        let unseen = Found { profile: Profile::new(), attempts: 1 };
        assert_eq!(table(&unseen, &[]).len(), 1);
    }

    #[test]
    fn a_table_has_functions_lines_and_what_was_awaited() {
        let lines = table(&found(), &["keep the results".to_owned()]);
        assert_eq!(lines[0], "100 samples of 2 attempts in 3.00 s, 50.0 % of it with a processor");
        for expected in [
            " 90.0 %  90.0 %  stamp (/shop/mail.py:9)",
            " 10.0 % 100.0 %  send (/shop/mail.py:3)",
            " 90.0 % 900.0 ms  /shop/mail.py:11",
            "  2.50 s  send (/shop/mail.py:3)",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected:?} is not in {lines:#?}");
        }
        assert_eq!(lines.last().unwrap(), "keep the results");
        let nothing = Found { profile: Profile::new(), attempts: 1 };
        assert_eq!(table(&nothing, &[]), ["no samples of 1 attempt in 0.0 ms: they took less than a period"]);
    }

    #[test]
    fn a_difference_has_both_parts() {
        let change =
            |name: &str, before, after| Change { name: name.into(), file: "a.py".into(), before, after };
        let lines =
            changes(&(2, found()), &(3, found()), &[change("send", 0.1, 0.65), change("stamp", 0.5, 0.5)]);
        assert_eq!(lines[0], "v2: 100 samples of 2 attempts in 3.00 s");
        assert_eq!(
            lines[3..],
            ["     v2      v3   change  function", " 10.0 %  65.0 %    +55.0  send (a.py)"]
        );
    }
}
