//! Records to standard error.

use std::io::{ErrorKind, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use super::{Failure, Handler};
use crate::format::{Format, Formatter, Zone};
use crate::level::LevelNames;
use crate::record::Record;

/// What stands for standard error.
static ELSEWHERE: OnceLock<Option<OwnedFd>> = OnceLock::new();

/// From now on consoles of this process write there, or nowhere, in place of standard error: where that is the output of
/// something else, as in the child of a worker, whose attempts print there. What is wrong with a handler is said there too,
/// and if that is nowhere, to standard error all the same. The first call counts.
pub fn redirect_consoles(out: Option<OwnedFd>) {
    let _ = ELSEWHERE.set(out);
}

/// Where consoles write to.
fn out() -> Option<BorrowedFd<'static>> {
    match ELSEWHERE.get() {
        Some(elsewhere) => elsewhere.as_ref().map(OwnedFd::as_fd),
        None => Some(rustix::stdio::stderr()),
    }
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Colours {
    /// On a terminal, unless `NO_COLOR` says otherwise.
    #[default]
    Terminal,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl Colours {
    /// Whether what consoles write to has them.
    pub fn are_shown(self) -> bool {
        let wants_none = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Terminal => out().is_some_and(|out| out.is_terminal()) && !wants_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Writes to standard error.
#[derive(Debug)]
pub struct Console {
    formatter: Formatter,
    out: Vec<u8>,
}

impl Console {
    /// One that writes in this form.
    pub fn new(format: Format, zone: Zone, levels: &Arc<LevelNames>) -> Self {
        Self { formatter: Formatter::new(format, zone, levels.clone()), out: Vec::new() }
    }
}

impl Handler for Console {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        let to = out();
        self.formatter.prepare(records);
        for (done, record) in records.iter().enumerate() {
            self.out.clear();
            self.formatter.push(&mut self.out, record);
            to.map_or(Ok(()), |to| write_all(to, &self.out)).map_err(|error| {
                // Nobody reads it any more, and nobody will.
                let is_gone = error.kind() == ErrorKind::BrokenPipe || error == Errno::BADF;
                Failure { done, refused: usize::from(is_gone), reason: error.to_string() }
            })?;
        }
        Ok(())
    }

    fn unformatted(&self) -> (u64, &str) {
        self.formatter.unformatted()
    }
}

/// Writes a sentence about a handler, which is not to get lost where consoles write nowhere. Who says it may be about to
/// end the program, and does not wait for somebody to read it.
pub(crate) fn say(text: &str) {
    say_to(out().unwrap_or_else(rustix::stdio::stderr), text);
}

/// So much goes into a pipe that has any room at all.
const NOTICE_BYTES_MAX: usize = 4_096;

fn say_to(out: BorrowedFd<'_>, text: &str) {
    let mut notice = format!("lineshaft: {text}");
    let mut end = notice.len().min(NOTICE_BYTES_MAX - 1);
    while !notice.is_char_boundary(end) {
        end -= 1;
    }
    notice.truncate(end);
    notice.push('\n');
    let mut polled = [PollFd::new(&out, PollFlags::OUT)];
    let has_room = retry_on_intr(|| poll(&mut polled, Some(&Timespec::default()))).is_ok();
    if has_room && polled[0].revents().contains(PollFlags::OUT) {
        let _ = write_all(out, notice.as_bytes());
    }
}

/// Writes all of it. Not over the standard library, whose lock a process that is forked might inherit.
fn write_all(out: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(out, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::sleep(std::time::Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;

    /// A program that told a full pipe of its handlers at its end had none.
    #[test]
    fn a_notice_does_not_wait_for_a_reader() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let (fill, said) = (OwnedFd::from(writer.try_clone().expect("a pipe")), std::sync::mpsc::channel());
        say_to(fill.as_fd(), "heard");
        rustix::fs::fcntl_setfl(&fill, rustix::fs::OFlags::NONBLOCK).expect("a pipe");
        while rustix::io::write(&fill, &[b'x'; 4_096]).is_ok() {}
        rustix::fs::fcntl_setfl(&fill, rustix::fs::OFlags::empty()).expect("a pipe");
        std::thread::spawn(move || {
            say_to(fill.as_fd(), "left out");
            said.0.send(()).expect("it is waited for");
            drop(fill);
        });
        said.1.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
        drop(writer);
        let mut all = String::new();
        reader.read_to_string(&mut all).expect("a text");
        assert_eq!(all.trim_end_matches('x'), "lineshaft: heard\n");
    }
}
