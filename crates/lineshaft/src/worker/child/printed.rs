//! What attempts print that share a process: each has its words to itself, as the language on top tells them apart.
//!
//! At most 64 KiB are kept per attempt: those of the first slots in the page that outlives the child, those of the others
//! in its memory. A child that is killed takes the latter with it, but what was repeated on the worker's standard error
//! stays.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lineshaft_ipc::shared::{AttemptPage, HEAD_BYTES, TAIL_BYTES};
use lineshaft_wire::Fence;

use super::job::Ticket;
use super::output::{Label, write_all};
use super::tee::Lines;

/// The outputs of the attempts that run.
#[derive(Debug)]
pub(super) struct Printed {
    page: Arc<AttemptPage>,
    state: Mutex<State>,
    /// A copy of it, made by a body's fork, has nobody who reads what it keeps, and perhaps a lock for ever.
    process: u32,
}

#[derive(Debug)]
struct State {
    tee: Option<OwnedFd>,
    attempts: HashMap<Fence, One>,
}

#[derive(Debug)]
struct One {
    label: Label,
    /// Unless it is in the page.
    kept: Kept,
    lines: Lines,
}

impl Printed {
    pub(super) fn new(page: Arc<AttemptPage>, tee: Option<OwnedFd>) -> Self {
        let state = Mutex::new(State { tee, attempts: HashMap::new() });
        Self { page, state, process: std::process::id() }
    }

    pub(super) fn begin(&self, ticket: Ticket, label: Label) {
        if self.page.output_bytes(ticket.place) > 0 {
            self.page.reset_output(ticket.place);
        }
        let one = One { label, kept: Kept::default(), lines: Lines::default() };
        self.state().attempts.insert(ticket.fence, one);
    }

    /// Adds to the output of an attempt, and repeats its complete lines; false once it is over, and in a copy of the
    /// process.
    pub(super) fn print(&self, ticket: Ticket, bytes: &[u8]) -> bool {
        if std::process::id() != self.process {
            return false;
        }
        let mut state = self.state();
        let State { tee, attempts } = &mut *state;
        let Some(one) = attempts.get_mut(&ticket.fence) else { return false };
        if self.page.keeps_output(ticket.place) {
            self.page.append_output(ticket.place, bytes);
        } else {
            one.kept.push(bytes);
        }
        if tee.is_some() {
            let mut out = Vec::with_capacity(bytes.len() + 64);
            one.lines.push(&one.label.prefix(), bytes, &mut out);
            write_all(tee, &out);
        }
        true
    }

    /// The attempt's output, all that was printed.
    pub(super) fn end(&self, ticket: Ticket) -> Bytes {
        let mut state = self.state();
        let Some(mut one) = state.attempts.remove(&ticket.fence) else { return Bytes::new() };
        let mut out = Vec::new();
        one.lines.finish(&one.label.prefix(), &mut out);
        write_all(&mut state.tee, &out);
        if self.page.keeps_output(ticket.place) {
            return self.page.read_output(ticket.place).into();
        }
        one.kept.into_bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first and the last bytes of an output.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    missing: u64,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(first);
        let newest = &rest[rest.len().saturating_sub(TAIL_BYTES)..];
        let over = (self.tail.len() + newest.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.tail.extend(newest);
        self.missing += (over + rest.len() - newest.len()) as u64;
    }

    fn into_bytes(self) -> Bytes {
        let mut bytes = self.head;
        if self.missing > 0 {
            bytes.extend(format!("\n[... {} bytes left out ...]\n", self.missing).bytes());
        }
        bytes.extend(self.tail);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(counter: u64) -> Ticket {
        Ticket { fence: Fence { epoch: 1, counter }, place: counter as u32 }
    }

    fn label() -> Label {
        Label { task: "shop.send".into(), digits: 0x7f3a }
    }

    #[test]
    fn each_attempt_has_its_own_words_and_none_has_those_of_another() {
        // The second one has a slot whose output is not in the page.
        let page = Arc::new(AttemptPage::create(100).unwrap());
        let printed = Printed::new(Arc::clone(&page), None);
        for _ in 0..2 {
            [1, 70].into_iter().for_each(|counter| printed.begin(ticket(counter), label()));
            for _ in 0..3 {
                let print = |counter| printed.print(ticket(counter), format!("{counter} ").as_bytes());
                assert_eq!([1, 70, 3].map(print), [true, true, false]);
            }
            assert_eq!((page.read_output(1), page.read_output(70)), (b"1 1 1 ".to_vec(), vec![]));
            assert_eq!(printed.end(ticket(1)), "1 1 1 ");
            assert!(!printed.print(ticket(1), b"late"));
            assert_eq!((printed.end(ticket(1)), printed.end(ticket(70))), (Bytes::new(), "70 70 70 ".into()));
        }
    }

    #[test]
    fn head_and_tail_are_kept_whatever_the_sizes() {
        let all = HEAD_BYTES + TAIL_BYTES;
        for length in [0, 1, HEAD_BYTES, HEAD_BYTES + 1, all, all + 1, 1_000_003] {
            for step in [1_000, 5_001, 1 << 20] {
                let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let mut kept = Kept::default();
                bytes.chunks(step).for_each(|chunk| kept.push(chunk));
                let missing = length.saturating_sub(all);
                let gap = format!("\n[... {missing} bytes left out ...]\n");
                let expected = match missing {
                    0 => bytes,
                    _ => [&bytes[..HEAD_BYTES], gap.as_bytes(), &bytes[HEAD_BYTES + missing..]].concat(),
                };
                assert!(kept.into_bytes() == expected, "{length} bytes in steps of {step}");
            }
        }
    }
}
