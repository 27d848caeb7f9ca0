//! Words for standard error from threads that others depend on: the supervisor of a worker, the engine of a server.
//!
//! Standard error may be a pipe that nobody reads, or a terminal that was told to stop. Whoever writes there then waits,
//! and with it all that it was to look after. So a thread of its own writes; what it cannot keep up with is dropped, and
//! counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Words that may wait to be written.
const BYTES_MAX: usize = 1 << 20;
/// What the last words get to be written at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes words without ever waiting; clones share one queue. The last clone that goes is [finished](Talk::finish).
#[derive(Clone, Debug)]
pub struct Talk(Arc<Queue>);

#[derive(Debug)]
struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    words: VecDeque<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
    dropped_bytes: u64,
    /// Nobody has more to say.
    is_closed: bool,
    /// The thread is gone, or never came.
    is_over: bool,
}

impl Talk {
    /// Words for standard error.
    pub fn to_stderr() -> Self {
        // A duplicate, so that nobody who uses `std::io::stderr` waits for its lock. Without one there is nobody to tell.
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(out) => Self::to(File::from(out)),
            Err(_) => Self::to(io::sink()),
        }
    }

    /// Words for `out`.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("lineshaft-talk".into());
        if thread.spawn(move || writer.write_on(out)).is_err() {
            shared.state().is_over = true;
        }
        Self(Arc::new(Queue(shared)))
    }

    /// Says it when its turn comes, or drops it if too much waits already.
    pub fn say(&self, words: &[u8]) {
        let shared = &self.0.0;
        let mut state = shared.state();
        if state.is_over || words.is_empty() {
            return;
        }
        if state.bytes + words.len() > BYTES_MAX {
            state.dropped_bytes += words.len() as u64;
            return;
        }
        state.bytes += words.len();
        state.words.push_back(words.to_vec());
        shared.changed.notify_all();
    }

    /// Waits up to a second for what was said to be written.
    pub fn finish(&self) {
        self.0.finish(self.0.0.state());
    }
}

impl Write for Talk {
    fn write(&mut self, words: &[u8]) -> io::Result<usize> {
        self.say(words);
        Ok(words.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn finish(&self, state: MutexGuard<'_, State>) {
        let _ = self.0.changed.wait_timeout_while(state, LAST_WORDS, |state| !state.is_silent());
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        self.0.changed.notify_all();
        self.finish(state);
    }
}

impl State {
    fn is_silent(&self) -> bool {
        self.is_over || (self.words.is_empty() && self.dropped_bytes == 0 && !self.is_writing)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_on(&self, mut out: impl Write) {
        while let Some(words) = self.next() {
            if out.write_all(&words).and_then(|()| out.flush()).is_err() {
                break; // it is closed, and there is nobody to tell
            }
        }
        self.state().is_over = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        state.is_writing = false;
        self.changed.notify_all();
        let waiting = |state: &mut State| state.is_silent() && !state.is_closed;
        let mut state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        if let Some(words) = state.words.pop_front() {
            state.bytes -= words.len();
            return Some(words);
        }
        let dropped = std::mem::take(&mut state.dropped_bytes);
        (dropped > 0)
            .then(|| format!("lineshaft: {dropped} bytes were not shown, since nobody read them\n").into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::time::Instant;

    use super::*;

    fn talk() -> (Talk, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        (Talk::to(writer), reader)
    }

    #[test]
    fn words_come_out_in_order_and_all_of_them_at_the_end() {
        let (talk, mut reader) = talk();
        let clone = talk.clone();
        for number in 0..1_000 {
            (if number % 2 == 0 { &talk } else { &clone }).say(format!("{number}\n").as_bytes());
        }
        drop((talk, clone));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        let numbers: Vec<usize> = said.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_who_speaks_waits_for_one_who_does_not_read() {
        let (talk, mut reader) = talk();
        let began = Instant::now();
        let line = format!("{}\n", "x".repeat(1_023));
        for _ in 0..10_000 {
            talk.say(line.as_bytes());
        }
        assert!(began.elapsed() < Duration::from_secs(30));
        let closing = thread::spawn(move || drop(talk));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        closing.join().unwrap();
        let (lines, last) = said.trim_end().rsplit_once('\n').unwrap();
        assert!(lines.len() < 2 * BYTES_MAX && lines.ends_with("xx"), "{}", lines.len());
        assert!(
            last.starts_with("lineshaft: ") && last.ends_with("were not shown, since nobody read them"),
            "{last}"
        );
    }

    #[test]
    fn a_closed_end_holds_nobody_up() {
        let (talk, reader) = talk();
        drop(reader);
        talk.say(b"first");
        talk.say(b"second");
    }
}
