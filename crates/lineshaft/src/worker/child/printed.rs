//! What attempts print that share a process: each has its words to itself, as the language on top tells them apart.
//!
//! At most 64 KiB are kept per attempt, in the memory of the child. What is needed after a kill is in its page too, whose
//! room all attempts share; where a page has only one slot, it alone keeps the output.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lineshaft_ipc::shared::{AttemptPage, Cursor, HEAD_BYTES, TAIL_BYTES, Writer};
use lineshaft_wire::Fence;

use super::job::Ticket;
use super::output::{Label, write_all};
use super::queue::page_fence;
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
    /// By slot.
    attempts: Vec<Option<One>>,
    writer: Writer,
}

/// An attempt that may print.
#[derive(Debug)]
struct One {
    fence: Fence,
    label: Label,
    /// Most print nothing.
    words: Option<Box<Its>>,
}

/// What it has printed.
#[derive(Debug, Default)]
struct Its {
    /// Where there are many.
    kept: Kept,
    cursor: Cursor,
    lines: Lines,
}

impl Printed {
    pub(super) fn new(page: Arc<AttemptPage>, tee: Option<OwnedFd>) -> Self {
        let state = Mutex::new(State { tee, attempts: Vec::new(), writer: Writer::default() });
        Self { page, state, process: std::process::id() }
    }

    pub(super) fn begin(&self, ticket: Ticket, label: Label) {
        if self.page.output_bytes() > 0 {
            self.page.reset_output();
        }
        let (mut state, place) = (self.state(), ticket.place as usize);
        if state.attempts.len() <= place {
            state.attempts.resize_with(place + 1, || None);
        }
        state.attempts[place] = Some(One { fence: ticket.fence, label, words: None });
    }

    /// Adds to the output of an attempt, and repeats its complete lines; false once it is over, and in a copy of the
    /// process.
    pub(super) fn print(&self, ticket: Ticket, bytes: &[u8]) -> bool {
        if std::process::id() != self.process {
            return false;
        }
        let mut state = self.state();
        let State { tee, attempts, writer } = &mut *state;
        let Some(Some(One { label, words, .. })) = place_of(attempts, ticket) else { return false };
        let its = words.get_or_insert_default();
        if let Some(words) = self.page.words() {
            its.kept.push(bytes);
            writer.append(words, page_fence(ticket.fence), &mut its.cursor, bytes);
        } else {
            self.page.append_output(bytes);
        }
        if tee.is_some() {
            let mut out = Vec::with_capacity(bytes.len() + 64);
            its.lines.push(&label.prefix(), bytes, &mut out);
            write_all(tee, &out);
        }
        true
    }

    /// The attempt's output, all that was printed.
    pub(super) fn end(&self, ticket: Ticket) -> Bytes {
        let mut state = self.state();
        let one = place_of(&mut state.attempts, ticket).and_then(Option::take);
        let Some(One { label, words: Some(mut its), .. }) = one else { return Bytes::new() };
        let mut out = Vec::new();
        its.lines.finish(&label.prefix(), &mut out);
        write_all(&mut state.tee, &out);
        let Some(words) = self.page.words() else { return self.page.read_output().into() };
        state.writer.end(words, &its.cursor);
        its.kept.into_bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the attempt is, if it runs.
fn place_of(attempts: &mut [Option<One>], ticket: Ticket) -> Option<&mut Option<One>> {
    let place = attempts.get_mut(ticket.place as usize)?;
    place.as_ref().is_some_and(|one| one.fence == ticket.fence).then_some(place)
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
        let page = Arc::new(AttemptPage::create(100).unwrap());
        let printed = Printed::new(Arc::clone(&page), None);
        for round in 0..2 {
            let tickets = [1, 70]
                .map(|place| Ticket { fence: Fence { epoch: round, counter: place }, ..ticket(place) });
            for ticket in tickets {
                printed.begin(ticket, label());
                page.take(ticket.place, page_fence(ticket.fence));
                page.begin(ticket.place, 0, 0, [0; 4]);
            }
            for _ in 0..3 {
                let print = |ticket: Ticket| printed.print(ticket, format!("{} ", ticket.place).as_bytes());
                assert_eq!([tickets[0], tickets[1], ticket(3)].map(print), [true, true, false]);
            }
            let begun: Vec<_> = page.begun().collect();
            assert_eq!(page.read_outputs(&begun), [b"1 1 1 ".to_vec(), b"70 70 70 ".to_vec()]);
            assert_eq!(printed.end(tickets[0]), "1 1 1 ");
            assert!(!printed.print(tickets[0], b"late"));
            assert_eq!(
                (printed.end(tickets[0]), printed.end(tickets[1])),
                (Bytes::new(), "70 70 70 ".into())
            );
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
