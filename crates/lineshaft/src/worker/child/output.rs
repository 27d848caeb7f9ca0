//! What bodies print: standard output and error of the child are one pipe, whose read end is in the child itself.
//!
//! A thread reads it whatever the slot does, so that a body can never block on its own output, and keeps it in the
//! attempt page, where it survives the child. At the end of an attempt the slot empties the pipe, so that every byte
//! belongs to the attempt that wrote it. The supervisor holds the read end too and takes what is left after a kill.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use lineshaft_ipc::fd::set_nonblocking;
use lineshaft_ipc::shared::AttemptPage;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};

use super::super::Error;
use super::tee::Lines;

const READ_BYTES: usize = 16 << 10;

/// Reads the pipe and knows whose bytes they are.
#[derive(Clone, Debug)]
pub(super) struct Output {
    tap: Arc<Mutex<Tap>>,
    page: Arc<AttemptPage>,
}

#[derive(Debug)]
struct Tap {
    pipe: Arc<OwnedFd>,
    tee: Option<OwnedFd>,
    lines: Lines,
    /// The attempt that prints.
    label: Option<Label>,
    /// What was read last.
    buffer: Vec<u8>,
}

/// Whose output it is.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) task: Arc<str>,
    pub(super) digits: u16,
}

impl Label {
    pub(super) fn prefix(&self) -> String {
        let name = self.task.rsplit('.').next().unwrap_or(&self.task);
        format!("{name}·{:04x} | ", self.digits)
    }
}

impl Output {
    /// Starts the reading thread.
    pub(super) fn start(pipe: OwnedFd, tee: Option<OwnedFd>, page: Arc<AttemptPage>) -> Result<Self, Error> {
        set_nonblocking(&pipe, true)?;
        let pipe = Arc::new(pipe);
        let tap =
            Tap { pipe: Arc::clone(&pipe), tee, lines: Lines::default(), label: None, buffer: Vec::new() };
        let output = Self { tap: Arc::new(Mutex::new(tap)), page };
        let reader = output.clone();
        thread::Builder::new()
            .name("lineshaft-out".into())
            .spawn(move || reader.read_on(&pipe))
            .map_err(Error::io("start the thread that reads output"))?;
        Ok(output)
    }

    /// From here on, output belongs to this attempt.
    pub(super) fn begin(&self, label: Label) {
        let mut tap = self.tap();
        if self.page.output_bytes() > 0 {
            self.page.reset_output();
        }
        tap.label = Some(label);
    }

    /// The attempt's output, all that was written so far; what comes later belongs to none.
    pub(super) fn end(&self) -> Bytes {
        let mut tap = self.tap();
        tap.empty(&self.page);
        tap.finish_line();
        tap.label = None;
        if self.page.output_bytes() == 0 {
            return Bytes::new();
        }
        self.page.read_output().into()
    }

    /// Takes over what was written so far, so that it is not lost with the process.
    pub(super) fn settle(&self) {
        let mut tap = self.tap();
        tap.empty(&self.page);
        tap.finish_line();
    }

    fn read_on(&self, pipe: &OwnedFd) {
        loop {
            let ready = poll(&mut [PollFd::new(pipe, PollFlags::IN)], None);
            if !matches!(ready, Ok(_) | Err(Errno::INTR)) || !self.tap().empty(&self.page) {
                return;
            }
        }
    }

    fn tap(&self) -> MutexGuard<'_, Tap> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// Reads what the pipe holds; false when nobody can write to it any more.
    fn empty(&mut self, page: &AttemptPage) -> bool {
        loop {
            match self.read(page) {
                Ok(0) => return false,
                Ok(count) => self.repeat_read(count),
                Err(Errno::INTR) => {}
                Err(error) => return error == Errno::AGAIN,
            }
        }
    }

    /// What an attempt printed is read into the page, so that no kill comes between.
    fn read(&mut self, page: &AttemptPage) -> rustix::io::Result<usize> {
        if self.label.is_some() {
            return page.read_output_from(&*self.pipe, &mut self.buffer);
        }
        self.buffer.resize(READ_BYTES, 0);
        read(&*self.pipe, &mut *self.buffer)
    }

    fn repeat_read(&mut self, count: usize) {
        if self.tee.is_some() {
            let mut out = Vec::with_capacity(count + 64);
            let prefix = self.prefix();
            self.lines.push(&prefix, &self.buffer[..count], &mut out);
            self.repeat(&out);
        }
    }

    fn finish_line(&mut self) {
        if self.lines.is_finished() {
            return;
        }
        let mut out = Vec::new();
        self.lines.finish(&self.prefix(), &mut out);
        self.repeat(&out);
    }

    fn prefix(&self) -> String {
        self.label.as_ref().map(Label::prefix).unwrap_or_default()
    }

    fn repeat(&mut self, bytes: &[u8]) {
        write_all(&mut self.tee, bytes);
    }
}

/// Repeats words, unless nobody listens any more. A terminal that takes nothing holds the bodies up, as it would without
/// a worker; renewals go on.
pub(super) fn write_all(out: &mut Option<OwnedFd>, bytes: &[u8]) {
    let mut left = bytes;
    while let (Some(tee), false) = (&*out, left.is_empty()) {
        match write(tee, left) {
            Ok(count) => left = &left[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => _ = poll(&mut [PollFd::new(tee, PollFlags::OUT)], None),
            Err(_) => *out = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use lineshaft_ipc::fd::pipe;

    use super::*;

    fn label(task: &str) -> Label {
        Label { task: task.into(), digits: 0x7f3a }
    }

    fn output(tee: Option<OwnedFd>) -> (Output, OwnedFd, Arc<AttemptPage>) {
        let (read_end, write_end) = pipe().unwrap();
        let page = Arc::new(AttemptPage::create(1).unwrap());
        (Output::start(read_end, tee, Arc::clone(&page)).unwrap(), write_end, page)
    }

    #[test]
    fn each_attempt_gets_what_it_wrote_and_nothing_else() {
        let (output, pipe, _page) = output(None);
        for round in 0..200 {
            let text = format!("attempt {round}\n").repeat(round % 7);
            output.begin(label("mail.send"));
            write(&pipe, text.as_bytes()).unwrap();
            assert_eq!(output.end(), text.as_bytes());
            write(&pipe, b"between\n").unwrap();
            output.settle();
        }
    }

    #[test]
    fn more_than_the_pipe_holds_does_not_block_the_body() {
        let (output, pipe, _page) = output(None);
        output.begin(label("mail.send"));
        let text = vec![b'x'; 1 << 20];
        let mut left = &text[..];
        while !left.is_empty() {
            left = &left[write(&pipe, left).unwrap()..];
        }
        let kept = output.end();
        assert!(
            kept.len() <= 64 << 10 && kept.windows(8).any(|bytes| bytes == b"left out"),
            "{}",
            kept.len()
        );
    }

    #[test]
    fn the_page_has_the_output_while_the_body_runs() {
        let (output, pipe, page) = output(None);
        output.begin(label("mail.send"));
        write(&pipe, b"working\n").unwrap();
        let start = Instant::now();
        while page.read_output() != b"working\n" {
            assert!(start.elapsed() < Duration::from_secs(10), "the output never arrived");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn lines_are_repeated_with_task_and_digits() {
        let (tee_read, tee_write) = pipe().unwrap();
        let (output, pipe, _page) = output(Some(tee_write));
        write(&pipe, b"importing\n").unwrap();
        output.settle();
        output.begin(label("shop.mail.send"));
        write(&pipe, b"hello\nno end").unwrap();
        output.end();
        let mut buffer = [0; 256];
        let mut repeated = Vec::new();
        while !repeated.ends_with(b"no end\n") {
            let count = read(&tee_read, &mut buffer).unwrap();
            repeated.extend_from_slice(&buffer[..count]);
        }
        let repeated = String::from_utf8(repeated).unwrap();
        assert_eq!(repeated, "importing\nsend·7f3a | hello\nsend·7f3a | no end\n");
    }
}
