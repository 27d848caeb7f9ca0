//! Every setting, once: the flag, the variable, the key in a file, what it takes and its default.
//!
//! The command line makes its flags from this table, [`Settings`](super::Settings) reads variables and files by it, and
//! the reference page is generated from it.

use std::time::Duration;

use crate::Error;
use crate::duration::{DURATION_FORMS, SIZE_FORMS, parse_duration, parse_size};

use super::Value;

/// One thing that can be set.
#[derive(Debug)]
pub struct Setting {
    /// Its key in a file, and its name everywhere else.
    pub key: &'static str,
    /// Its flag on the command line, without the dashes.
    pub flag: &'static str,
    /// Its environment variable.
    pub variable: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Which commands it belongs to.
    pub scope: Scope,
    /// What stands for the value in help texts.
    pub value_name: &'static str,
    /// What holds if nobody says anything.
    pub default: Default,
    /// A value, as it is written in a file.
    pub example: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
}

/// Which commands a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every command.
    Everywhere,
    /// Those that run tasks: `worker` and `dev`.
    Worker,
    /// `serve`.
    Serve,
}

/// What holds if nobody says anything.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// This text, read as if it had been given.
    Text(&'static str),
    /// Worked out when it is needed, as these words say.
    Found(&'static str),
}

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A path or url of a home; a password in it is not shown.
    Home,
    /// A path, in a file relative to it.
    Path,
    /// Any text that is not empty.
    Text(&'static str),
    /// Where to listen: a host or an address, and a port.
    Address,
    /// A whole number from the first to the second, with words for both.
    Count(u32, u32, &'static str),
    /// A length of time.
    Duration,
    /// A number of bytes.
    Size,
    /// Names, separated by commas; in a file an array.
    Names,
    /// One of these words, each with what it means, and all of them in a line.
    Choice(&'static [(&'static str, &'static str)], &'static str),
}

/// Where jobs live.
pub const URL: Setting = Setting {
    key: "url",
    flag: "home",
    variable: "LINESHAFT_URL",
    kind: Kind::Home,
    scope: Scope::Everywhere,
    value_name: "DIR",
    default: Default::Found(
        "`.lineshaft` beside the nearest `pyproject.toml`, `setup.cfg`, `manage.py` or `.git`",
    ),
    example: r#""var/jobs""#,
    help: "Directory of the engine",
};
/// Children of a worker.
pub const PROCESSES: Setting = Setting {
    key: "processes",
    flag: "processes",
    variable: "LINESHAFT_PROCESSES",
    kind: Kind::Count(1, 1_024, "a number from 1 to 1,024"),
    scope: Scope::Worker,
    value_name: "N",
    default: Default::Found("one per core"),
    example: "4",
    help: "Child processes",
};
/// Attempts at a time.
pub const SLOTS: Setting = Setting {
    key: "slots",
    flag: "slots",
    variable: "LINESHAFT_SLOTS",
    kind: Kind::Count(1, 16_384, "a number from 1 to 16,384"),
    scope: Scope::Worker,
    value_name: "M",
    default: Default::Found("1; with kind thread 4 per core, with async 1,000"),
    example: "8",
    help: "Attempts at a time in each child",
};
/// What a slot is.
pub const KIND: Setting = Setting {
    key: "kind",
    flag: "kind",
    variable: "LINESHAFT_KIND",
    kind: Kind::Choice(
        &[
            ("process", "The child itself: one attempt at a time, which can be killed"),
            ("thread", "A thread of the child"),
            ("async", "A coroutine of the child"),
        ],
        "process, thread or async",
    ),
    scope: Scope::Worker,
    value_name: "KIND",
    default: Default::Text("process"),
    example: r#""thread""#,
    help: "What a slot is",
};
/// Queues of a worker.
pub const QUEUES: Setting = Setting {
    key: "queues",
    flag: "queues",
    variable: "LINESHAFT_QUEUES",
    kind: Kind::Names,
    scope: Scope::Worker,
    value_name: "NAMES",
    default: Default::Found("all"),
    example: r#"["mail", "reports"]"#,
    help: "Queues to serve, separated by commas",
};
/// How a worker stops.
pub const GRACE: Setting = Setting {
    key: "grace",
    flag: "grace",
    variable: "LINESHAFT_GRACE",
    kind: Kind::Duration,
    scope: Scope::Worker,
    value_name: "DURATION",
    default: Default::Text("30s"),
    example: r#""1m""#,
    help: "What running attempts get to finish when the worker stops",
};
/// Jobs of a child.
pub const RECYCLE_JOBS: Setting = Setting {
    key: "recycle_jobs",
    flag: "recycle-jobs",
    variable: "LINESHAFT_RECYCLE_JOBS",
    kind: Kind::Count(1, 1_000_000_000, "a number from 1 to 1,000,000,000"),
    scope: Scope::Worker,
    value_name: "N",
    default: Default::Found("never"),
    example: "100000",
    help: "Jobs after which a child is replaced by a fresh one",
};
/// Age of a child.
pub const RECYCLE_AGE: Setting = Setting {
    key: "recycle_age",
    flag: "recycle-age",
    variable: "LINESHAFT_RECYCLE_AGE",
    kind: Kind::Duration,
    scope: Scope::Worker,
    value_name: "DURATION",
    default: Default::Found("never"),
    example: r#""1d""#,
    help: "Age at which a child is replaced by a fresh one",
};
/// Growth of a child.
pub const RECYCLE_GROWTH: Setting = Setting {
    key: "recycle_growth",
    flag: "recycle-growth",
    variable: "LINESHAFT_RECYCLE_GROWTH",
    kind: Kind::Size,
    scope: Scope::Worker,
    value_name: "SIZE",
    default: Default::Found("never"),
    example: r#""512MiB""#,
    help: "Memory that a child may have beyond what it had before its first job; then a fresh one replaces it",
};
/// What a child may wait for nothing.
pub const WATCHDOG: Setting = Setting {
    key: "watchdog",
    flag: "watchdog",
    variable: "LINESHAFT_WATCHDOG",
    kind: Kind::Duration,
    scope: Scope::Worker,
    value_name: "DURATION",
    default: Default::Text("1m"),
    example: r#""30s""#,
    help: "How long a child may have a job and a free slot and not begin before it is replaced; 0s for ever",
};
/// When children look for garbage.
pub const GC: Setting = Setting {
    key: "gc",
    flag: "gc",
    variable: "LINESHAFT_GC",
    kind: Kind::Choice(
        &[
            ("between", "Between jobs, and inside of slow ones; what the app made is left out"),
            ("automatic", "Whenever Python likes"),
        ],
        "between or automatic",
    ),
    scope: Scope::Worker,
    value_name: "WHEN",
    default: Default::Text("between"),
    example: r#""between""#,
    help: "When Python collects garbage",
};
/// What a worker says of its own work.
pub const WORKER_LOG: Setting = Setting {
    key: "worker_log",
    flag: "worker-log",
    variable: "LINESHAFT_WORKER_LOG",
    kind: LOG.kind,
    scope: Scope::Worker,
    value_name: "DIRECTIVES",
    default: Default::Text("warning"),
    example: r#""info""#,
    help: "What `worker` and `dev` say of their own work: a level, or directives",
};
/// What runs the tasks.
pub const PYTHON: Setting = Setting {
    key: "python",
    flag: "python",
    variable: "LINESHAFT_PYTHON",
    kind: Kind::Path,
    scope: Scope::Worker,
    value_name: "PATH",
    default: Default::Found("the one that runs `lineshaft`, else that of `$VIRTUAL_ENV`, `.venv`, `PATH`"),
    example: r#""/srv/app/.venv/bin/python""#,
    help: "Python interpreter",
};
/// TCP beside the socket.
pub const LISTEN: Setting = Setting {
    key: "listen",
    flag: "listen",
    variable: "LINESHAFT_LISTEN",
    kind: Kind::Address,
    scope: Scope::Serve,
    value_name: "HOST:PORT",
    default: Default::Found("the home's Unix socket alone"),
    example: r#""127.0.0.1:7070""#,
    help: "Also listen on TCP; clients then need the home's run/token",
};
/// When an answer may leave.
pub const DURABILITY: Setting = Setting {
    key: "durability",
    flag: "durability",
    variable: "LINESHAFT_DURABILITY",
    kind: Kind::Choice(
        &[
            ("sync", "After the disk has it: survives a power cut"),
            ("os", "After the operating system has it: survives the server, not a power cut"),
        ],
        "sync or os",
    ),
    scope: Scope::Serve,
    value_name: "LEVEL",
    default: Default::Text("sync"),
    example: r#""sync""#,
    help: "When an answer may leave",
};
/// How old history gets.
pub const HISTORY_DAYS: Setting = Setting {
    key: "history_days",
    flag: "history-days",
    variable: "LINESHAFT_HISTORY_DAYS",
    kind: Kind::Count(1, 36_500, "a number from 1 to 36,500"),
    scope: Scope::Serve,
    value_name: "N",
    default: Default::Text("7"),
    example: "30",
    help: "Days for which finished jobs are kept; then whole days go",
};
/// How much history there may be.
pub const HISTORY_BYTES: Setting = Setting {
    key: "history_bytes",
    flag: "history-bytes",
    variable: "LINESHAFT_HISTORY_BYTES",
    kind: Kind::Size,
    scope: Scope::Serve,
    value_name: "SIZE",
    default: Default::Text("10GiB"),
    example: r#""50GiB""#,
    help: "What finished jobs may take of the disk; the oldest goes first, 64 MiB at a time",
};
/// How much memory there may be for jobs that wait.
pub const MEMORY_BYTES: Setting = Setting {
    key: "memory_bytes",
    flag: "memory-bytes",
    variable: "LINESHAFT_MEMORY_BYTES",
    kind: Kind::Size,
    scope: Scope::Serve,
    value_name: "SIZE",
    default: Default::Found("a quarter of the memory"),
    example: r#""1GiB""#,
    help: "What waiting jobs may take of memory, some 60 bytes each; beyond it those at rest wait in a file",
};
/// How much the cache holds.
pub const CACHE_BYTES: Setting = Setting {
    key: "cache_bytes",
    flag: "cache-bytes",
    variable: "LINESHAFT_CACHE_BYTES",
    kind: Kind::Size,
    scope: Scope::Serve,
    value_name: "SIZE",
    default: Default::Text("256MiB"),
    example: r#""4GiB""#,
    help: "What the engine's cache may take of the disk; what is used least goes first",
};
/// What the server logs.
pub const LOG: Setting = Setting {
    key: "log",
    flag: "log",
    variable: "LINESHAFT_LOG",
    kind: Kind::Text(
        "error, warning, info, debug, trace, off, or directives such as info,lineshaft_engine=debug: \
         a level, name=level or name[field=value]=level, with commas between",
    ),
    scope: Scope::Serve,
    value_name: "DIRECTIVES",
    default: Default::Text("info"),
    example: r#""info,lineshaft_engine=debug""#,
    help: "What the server logs: a level, or directives by the parts of the server",
};
/// How records of the server's log look.
pub const LOG_FORMAT: Setting = Setting {
    key: "log_format",
    flag: "log-format",
    variable: "LINESHAFT_LOG_FORMAT",
    kind: Kind::Choice(
        &[("text", "For people"), ("json", "For machines: an object in each line")],
        "text or json",
    ),
    scope: Scope::Serve,
    value_name: "FORMAT",
    default: Default::Text("text"),
    example: r#""json""#,
    help: "How the records of the server's log look",
};
/// A file for the server's log.
pub const LOG_FILE: Setting = Setting {
    key: "log_file",
    flag: "log-file",
    variable: "LINESHAFT_LOG_FILE",
    kind: Kind::Path,
    scope: Scope::Serve,
    value_name: "PATH",
    default: Default::Found("standard error; on demand always `output/server.log` of the home"),
    example: r#""/var/log/lineshaft.log""#,
    help: "A file for the server's log, in place of standard error",
};
/// When the file is full.
pub const LOG_FILE_SIZE: Setting = Setting {
    key: "log_file_size",
    flag: "log-file-size",
    variable: "LINESHAFT_LOG_FILE_SIZE",
    kind: Kind::Size,
    scope: Scope::Serve,
    value_name: "SIZE",
    default: Default::Text("10MiB"),
    example: r#""100MiB""#,
    help: "Size at which another file is begun for the log, and the full one becomes PATH.1",
};
/// How many full files stay.
pub const LOG_FILE_KEEP: Setting = Setting {
    key: "log_file_keep",
    flag: "log-file-keep",
    variable: "LINESHAFT_LOG_FILE_KEEP",
    kind: Kind::Count(0, 1_000, "a number from 0 to 1,000"),
    scope: Scope::Serve,
    value_name: "N",
    default: Default::Text("3"),
    example: "7",
    help: "How many full files of the log are kept",
};

/// All settings, in the order in which people are shown them.
pub static SETTINGS: [Setting; 24] = [
    URL,
    PROCESSES,
    SLOTS,
    KIND,
    QUEUES,
    GRACE,
    RECYCLE_JOBS,
    RECYCLE_AGE,
    RECYCLE_GROWTH,
    WATCHDOG,
    GC,
    WORKER_LOG,
    PYTHON,
    LISTEN,
    DURABILITY,
    HISTORY_DAYS,
    HISTORY_BYTES,
    MEMORY_BYTES,
    CACHE_BYTES,
    LOG,
    LOG_FORMAT,
    LOG_FILE,
    LOG_FILE_SIZE,
    LOG_FILE_KEEP,
];

/// The setting with this key.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

impl Setting {
    /// Whether it is of commands alone: a program says it by itself.
    pub fn is_of_commands(&self) -> bool {
        [PYTHON.key, WORKER_LOG.key].contains(&self.key)
    }
}

impl Default {
    /// In words, for help and reference.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text(words) | Self::Found(words) => words,
        }
    }
}

impl Kind {
    /// What it takes, with an article.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Home => "a directory",
            Self::Path => "a path",
            Self::Text(_) => "such a text",
            Self::Address => "an address",
            Self::Count(..) => "such a number",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Names => "a list of names",
            Self::Choice(..) => "one of its words",
        }
    }

    /// The forms that are accepted.
    pub const fn forms(self) -> &'static str {
        match self {
            Self::Home => "a directory such as `jobs` or `/var/lib/app/.lineshaft`",
            Self::Path => "a path that is not empty",
            Self::Text(forms) | Self::Count(_, _, forms) | Self::Choice(_, forms) => forms,
            Self::Address => "HOST:PORT, such as 127.0.0.1:7070",
            Self::Duration => DURATION_FORMS,
            Self::Size => SIZE_FORMS,
            Self::Names => "names separated by commas; in a file an array of texts",
        }
    }

    /// Why a flag or a variable of this kind does not read: it is out of bounds, or these are the forms that are accepted.
    pub fn reason(self, text: &str) -> String {
        match (self, parse_size("", text)) {
            (Self::Size, Err(Error::BadOption { kind, .. })) if kind != self.what() => {
                format!("it is not {kind}")
            }
            _ => format!("accepted: {}", self.forms()),
        }
    }

    /// The value that a flag or a variable gives.
    pub fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Home | Self::Path | Self::Text(_) => {
                (!text.trim().is_empty() && !text.contains('\0')).then(|| Value::Text(text.to_owned()))
            }
            Self::Address => is_address(text).then(|| Value::Text(text.to_owned())),
            Self::Count(least, most, _) => {
                text.trim().parse().ok().filter(|count| (least..=most).contains(count)).map(Value::Count)
            }
            Self::Duration => parse_duration("", text).ok().map(Value::Duration),
            Self::Size => parse_size("", text).ok().map(Value::Size),
            Self::Names => names(text.split(',').map(str::trim)),
            Self::Choice(words, _) => {
                words.iter().any(|(word, _)| *word == text).then(|| Value::Text(text.to_owned()))
            }
        }
    }

    /// The value that a file gives.
    pub(super) fn read_json(self, given: &serde_json::Value) -> Option<Value> {
        use serde_json::Value as Json;
        match (self, given) {
            (Self::Count(..) | Self::Names, Json::String(_)) => None,
            (_, Json::String(text)) => self.read(text),
            (Self::Count(..) | Self::Size, Json::Number(number)) => self.read(&number.to_string()),
            (Self::Duration, Json::Number(number)) => {
                let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0)?;
                let duration = Duration::try_from_secs_f64(seconds).ok()?;
                (duration <= crate::duration::DURATION_MAX).then_some(Value::Duration(duration))
            }
            (Self::Names, Json::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Json::as_str).collect();
                names(texts?.into_iter())
            }
            _ => None,
        }
    }
}

fn is_address(text: &str) -> bool {
    let is_host = |host: &str| {
        !host.is_empty() && !host.contains(|char: char| char.is_whitespace() || char.is_control())
    };
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

fn names<'a>(words: impl Iterator<Item = &'a str>) -> Option<Value> {
    let names: Vec<String> = words.map(str::to_owned).collect();
    let good = !names.is_empty() && names.iter().all(|name| lineshaft_wire::message::is_name(name));
    good.then_some(Value::Names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_that_is_a_text_is_a_value_of_its_setting() {
        for setting in &SETTINGS {
            if let Default::Text(text) = setting.default {
                assert!(setting.kind.read(text).is_some(), "{}", setting.key);
            }
        }
    }

    #[test]
    fn variables_are_named_after_their_keys_and_nothing_is_there_twice() {
        for (place, setting) in SETTINGS.iter().enumerate() {
            assert_eq!(setting.variable, format!("LINESHAFT_{}", setting.key.to_uppercase()));
            assert!(
                SETTINGS[..place].iter().all(|other| other.key != setting.key && other.flag != setting.flag)
            );
        }
    }

    #[test]
    fn what_a_kind_does_not_take_is_none() {
        for (setting, text) in [
            (&PROCESSES, "0"),
            (&PROCESSES, "1025"),
            (&PROCESSES, "two"),
            (&GRACE, "soon"),
            (&QUEUES, "a,,b"),
            (&QUEUES, ""),
            (&DURABILITY, "none"),
            (&HISTORY_DAYS, "0"),
            (&HISTORY_BYTES, "much"),
            (&LISTEN, "nowhere"),
            (&LISTEN, ":7070"),
            (&LISTEN, "localhost:70000"),
            (&LISTEN, "a\nb:1"),
            (&URL, " "),
        ] {
            assert_eq!(setting.kind.read(text), None, "{} {text:?}", setting.key);
        }
    }
}
