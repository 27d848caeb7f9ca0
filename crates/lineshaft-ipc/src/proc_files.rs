//! Reading `/proc`.

use std::fs;
use std::io;

use crate::process::ProcessId;
use crate::{Error, Result};

/// Longest part of an unreadable file that an error repeats.
const EXCERPT_CHARS: usize = 120;

/// What `/proc/PID/stat` says, as far as it is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    state: char,
    threads: u64,
    /// The parent.
    pub(crate) ppid: u32,
    /// The process group.
    pub(crate) pgid: u32,
    /// Clock ticks from the boot to the start of the process.
    pub(crate) start_time: u64,
}

impl Stat {
    /// The process that has `pid`, of which this is the stat.
    pub(crate) fn id(self, pid: u32) -> ProcessId {
        ProcessId { pid, start_time: self.start_time }
    }

    /// Whether only the remains wait to be reaped. A leader that ended before its other threads looks like a zombie
    /// too, but the process lives as long as they do.
    pub(crate) fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }
}

/// The stat of `pid`; an error of kind `NotFound` if there is no such process.
pub(crate) fn stat(pid: u32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    match fs::read(&path) {
        Ok(content) => {
            let content = String::from_utf8_lossy(&content);
            parse_stat(&content).map(Some).ok_or_else(|| not_understood(path, &content))
        }
        // A process that ends between opening and reading gives ESRCH.
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Error::os(format!("read {path}"))(error)),
    }
}

pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// A small text file of `/proc`, without the white space around it.
pub(crate) fn text(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).map_err(Error::os(format!("read {path}")))?;
    match text.trim() {
        "" => Err(not_understood(path.to_owned(), &text)),
        trimmed => Ok(trimmed.to_owned()),
    }
}

/// The pids in `/proc` at this moment, in no certain order; those that start meanwhile may be missing.
pub(crate) fn pids() -> Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc").map_err(Error::os("list /proc"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn not_understood(path: String, content: &str) -> Error {
    Error::BadProcFile { path, content: content.chars().take(EXCERPT_CHARS).collect() }
}

/// The name in parentheses is free text, so fields are counted from the last parenthesis: state is then field 0, the
/// parent 1, the group 2, the threads 17 and the start time 19.
fn parse_stat(content: &str) -> Option<Stat> {
    let fields: Vec<&str> = content.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        ppid: fields.get(1)?.parse().ok()?,
        pgid: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: char, threads: u32) -> String {
        format!(
            "77 ({name}) {state} 1 70 70 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 {threads} 0 118029 3133440 383 1 2\n"
        )
    }

    #[test]
    fn a_name_full_of_parentheses_and_spaces_does_not_shift_the_fields() {
        let expected = Stat { state: 'S', threads: 3, ppid: 1, pgid: 70, start_time: 118_029 };
        for name in ["cat", "a b", ") Z 1 2 3", "((x) y) 9"] {
            assert_eq!(parse_stat(&line(name, 'S', 3)), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_zombie_is_dead_unless_other_threads_go_on() {
        for (state, threads, dead) in [('Z', 1, true), ('Z', 4, false), ('X', 0, true), ('R', 1, false)] {
            assert_eq!(parse_stat(&line("x", state, threads)).unwrap().is_dead(), dead, "{state} {threads}");
        }
    }

    #[test]
    fn a_file_cut_short_is_refused() {
        for content in ["", "77", "77 (x)", "77 (x) S 1", "77 (x) S 1 one"] {
            assert_eq!(parse_stat(content), None, "{content:?}");
        }
    }

    #[test]
    fn a_pid_that_nobody_has_has_no_stat() {
        assert_eq!(stat(u32::MAX).unwrap(), None);
    }
}
