//! A child's side of its connection: introduces it, renews, fetches, sends. Runs on its own thread and never waits for
//! the slot.
//!
//! What the server says is in `arrivals`, and of that what it does not take in `refusals`; what the child says by itself,
//! when it is time, in `dues`.

mod arrivals;
mod dues;
mod refusals;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_wire::message::{AttachChild, Message};

use super::ledger::{Entry, Ledger};
use super::queue::Shared;
use super::words::Words;
use crate::worker::link::{Happened, Link};

/// The part of a lease after which a child that could not renew stops what it runs.
pub(crate) const LEASE_USED_MAX: f64 = 0.8;
/// Renewals of a lease in its time. So many that a connection which is cut for half of it costs no attempt, though the
/// last renewal was a while ago and the next connection takes a moment.
const RENEWALS: u32 = 5;

pub(super) struct Session {
    shared: Arc<Shared>,
    link: Link,
    introduction: AttachChild,
    ledger: Ledger,
    words: Words,
    /// To be sent again at this time.
    refused: Vec<(Instant, Entry)>,
    last_request: u64,
    phase: Phase,
    lease: Duration,
    next_renewal: Instant,
    /// The renewal on its way: its request, and when it left.
    renewing: Option<(u64, Instant)>,
    /// Credit given and not used.
    outstanding: u32,
    drained: bool,
    /// No credit was given over this connection yet.
    fresh: bool,
    progress_at: Instant,
    logs_at: Instant,
    /// Up to where what was logged is sent, since this connection began.
    logs_sent: Option<u64>,
    /// What was sent and is not confirmed: request, and where it ends.
    logs: VecDeque<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Away,
    Attaching { request: u64, since: Instant },
    Attached,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, link: Link, introduction: AttachChild, words: Words) -> Self {
        let now = Instant::now();
        Self {
            shared,
            link,
            introduction,
            ledger: Ledger::default(),
            words,
            refused: Vec::new(),
            last_request: 1,
            phase: Phase::Away,
            lease: Duration::ZERO,
            next_renewal: now,
            renewing: None,
            outstanding: 0,
            drained: false,
            fresh: true,
            progress_at: now,
            logs_at: now,
            logs_sent: None,
            logs: VecDeque::new(),
        }
    }

    /// Serves until the process ends.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let due = tokio::time::sleep_until(self.due().into());
            tokio::select! {
                happened = self.link.next() => self.happened(happened),
                () = shared.wake.notified() => {}
                () = due => {}
            }
            self.work(Instant::now());
        }
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected => self.introduce(),
            Happened::Message(incoming) => {
                self.receive(*incoming);
                while let Some(incoming) = self.link.take() {
                    self.receive(incoming);
                }
            }
            Happened::Lost(error) => {
                tracing::debug!(%error, "a child lost its connection");
                self.away();
            }
        }
    }

    /// Attaches anew, so that both sides agree on what is held.
    fn reset(&mut self, error: crate::Error) {
        self.link.reset(error);
        self.away();
    }

    fn away(&mut self) {
        self.phase = Phase::Away;
        self.renewing = None;
        (self.logs_sent, self.logs) = Default::default();
        self.shared.logs.again();
        self.outstanding = 0;
        self.drained = false;
    }

    fn send(&mut self, request: u64, message: &Message) {
        if let Some(connection) = self.link.connection()
            && let Err(error) = connection.queue(request, message, &[])
        {
            tracing::error!(%error, "a worker's message cannot be sent");
        }
    }

    fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn introduce(&mut self) {
        let mut state = self.shared.state();
        state.lapsed = false;
        let mut held: Vec<_> = state.held().chain(self.ledger.held()).collect();
        drop(state);
        held.extend(self.refused.iter().flat_map(|(_, entry)| entry.fences()));
        held.sort_unstable_by_key(|(_, fence)| *fence);
        held.dedup();
        let request = self.next_request();
        let message = AttachChild { held, attach: request, ..self.introduction.clone() };
        self.send(request, &message.into());
        self.phase = Phase::Attaching { request, since: Instant::now() };
    }

    fn submit(&mut self, entry: Entry) {
        let request = self.next_request();
        let (message, payload) = entry.message();
        if let (Phase::Attached, Some(connection)) = (self.phase, self.link.connection())
            && let Err(error) = connection.queue(request, &message, &payload)
        {
            tracing::error!(%error, "the end of attempts cannot be sent");
            return self.send_less(entry, &error.to_string());
        }
        self.ledger.sent(request, entry);
    }
}
