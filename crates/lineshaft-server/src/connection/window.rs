//! What a peer has asked for and not been answered yet: the bound on what it may have under way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lineshaft_wire::message::{Message, RefusalCode};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::goodbye::Goodbye;
use crate::Limits;

/// The unanswered requests of a connection. While there is no room the connection is not read, so that the peer's
/// own socket fills and it waits.
pub(crate) struct Window {
    unanswered: Mutex<Unanswered>,
    room: Notify,
    requests_max: usize,
    bytes_max: usize,
    awaited_max: usize,
}

#[derive(Default)]
struct Unanswered {
    open: FxHashMap<u64, Open>,
    requests: usize,
    bytes: usize,
    awaited: usize,
}

/// Waits are counted by themselves: they may last for days, and must not keep other requests out.
#[derive(Clone, Copy)]
enum Open {
    Request { bytes: usize },
    Wait { jobs: usize },
}

impl Window {
    /// An empty window.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            unanswered: Mutex::default(),
            room: Notify::new(),
            requests_max: limits.unanswered_requests,
            bytes_max: limits.unanswered_bytes,
            awaited_max: limits.awaited_jobs,
        }
    }

    /// Waits until another request may be read. Cancel-safe.
    pub(crate) async fn has_room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
    }

    /// Whether the next request has to wait.
    pub(crate) fn is_full(&self) -> bool {
        let unanswered = self.lock();
        unanswered.requests >= self.requests_max || unanswered.bytes >= self.bytes_max
    }

    /// Whether every request is answered; waits do not count.
    pub(crate) fn is_settled(&self) -> bool {
        self.lock().requests == 0
    }

    /// Notes a request of `bytes` that expects an answer. Fails on an id that is under way already.
    pub(crate) fn open(&self, request_id: u64, message: &Message, bytes: usize) -> Result<(), Goodbye> {
        let mut unanswered = self.lock();
        let open = match message {
            Message::Wait(wait) => Open::Wait { jobs: wait.ids.len() / 16 },
            Message::Acquire(_) => Open::Wait { jobs: 1 },
            _ => Open::Request { bytes },
        };
        if unanswered.open.contains_key(&request_id) {
            let message = format!("request id {request_id} is in use by a request that is not answered yet");
            return Err(Goodbye::tell(RefusalCode::BadRequest, message));
        }
        unanswered.add(open);
        unanswered.open.insert(request_id, open);
        if unanswered.awaited > self.awaited_max {
            let message = format!("a connection may wait for {} jobs and locks at once", self.awaited_max);
            return Err(Goodbye::tell(RefusalCode::TooLarge, message));
        }
        Ok(())
    }

    /// Notes that `message` left as an answer to `request_id`; of a wait only the last one counts.
    pub(crate) fn answered(&self, request_id: u64, message: &Message) {
        match message {
            Message::Ended(ended) if !ended.last => (),
            _ => self.close(request_id),
        }
    }

    /// Forgets a request.
    pub(crate) fn close(&self, request_id: u64) {
        let mut unanswered = self.lock();
        if let Some(open) = unanswered.open.remove(&request_id) {
            unanswered.remove(open);
            drop(unanswered);
            self.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unanswered {
    fn add(&mut self, open: Open) {
        match open {
            Open::Request { bytes } => {
                self.requests += 1;
                self.bytes += bytes;
            }
            Open::Wait { jobs } => self.awaited += jobs,
        }
    }

    fn remove(&mut self, open: Open) {
        match open {
            Open::Request { bytes } => {
                self.requests -= 1;
                self.bytes -= bytes;
            }
            Open::Wait { jobs } => self.awaited -= jobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::{Done, Ended, Ping, Wait};
    use serde_bytes::ByteBuf;

    use super::*;

    fn window() -> Window {
        let limits =
            Limits { unanswered_requests: 2, unanswered_bytes: 100, awaited_jobs: 3, ..Limits::default() };
        Window::new(&limits)
    }

    fn wait(jobs: usize) -> Message {
        Wait { ids: ByteBuf::from(vec![0; 16 * jobs]), results: true }.into()
    }

    #[test]
    fn requests_and_bytes_fill_the_window_and_answers_empty_it() {
        let window = window();
        window.open(1, &Ping {}.into(), 99).unwrap();
        assert!(!window.is_full());
        window.open(2, &Ping {}.into(), 0).unwrap();
        assert!(window.is_full(), "two requests");
        window.answered(1, &Done {}.into());
        window.answered(2, &Done {}.into());
        window.open(1, &Ping {}.into(), 100).unwrap();
        assert!(window.is_full(), "100 bytes");
        window.answered(1, &Done {}.into());
        assert!(!window.is_full());
    }

    #[test]
    fn waits_keep_no_request_out_and_end_with_their_last_answer() {
        let window = window();
        for request_id in 1..=3 {
            window.open(request_id, &wait(1), 1000).unwrap();
        }
        assert!(!window.is_full());
        window.answered(1, &Ended { last: false, ..Ended::default() }.into());
        let goodbye = window.open(4, &wait(1), 0).unwrap_err();
        assert_eq!(goodbye.to_string(), "a connection may wait for 3 jobs and locks at once");
        window.close(4);
        window.answered(1, &Ended { last: true, ..Ended::default() }.into());
        window.open(5, &wait(1), 0).unwrap();
    }

    #[test]
    fn a_request_id_under_way_is_not_given_again() {
        let window = window();
        window.open(7, &Ping {}.into(), 1).unwrap();
        let goodbye = window.open(7, &wait(1), 1).unwrap_err();
        assert!(goodbye.to_string().starts_with("request id 7 is in use"), "{goodbye}");
        window.answered(7, &Done {}.into());
        window.open(7, &wait(1), 1).unwrap();
    }

    #[test]
    fn an_answer_that_nobody_asked_for_changes_nothing() {
        let window = window();
        window.answered(9, &Done {}.into());
        window.close(9);
        assert!(!window.is_full());
    }
}
