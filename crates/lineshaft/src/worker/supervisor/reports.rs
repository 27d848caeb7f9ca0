//! Reports of dead children, and what their attempts logged, repeated until the server has them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::message::{AddLogs, ChildEnded, Message, RefusalCode};

use crate::client::connection::Connection;

/// How long what was logged waits that the server did not take, for want of room perhaps.
const LOGS_PAUSE: Duration = Duration::from_secs(1);

/// Reports that nobody confirmed. A child that never reached the server leaves none, so there are about as many as
/// children at most, and of each what it had logged and not sent, a MiB at most.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<(Message, Bytes)>,
    sent: Vec<(u64, Message, Bytes)>,
    /// What was logged and is to be sent again at this time.
    refused: Vec<(Instant, Message)>,
}

impl Reports {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty() && self.refused.is_empty()
    }

    pub(super) fn push(&mut self, report: ChildEnded, output: Bytes) {
        self.waiting.push_back((report.into(), output));
    }

    /// Before the report of that child, so that whoever hears of its end finds what was logged.
    pub(super) fn push_logs(&mut self, logs: AddLogs) {
        self.waiting.push_back((logs.into(), Bytes::new()));
    }

    /// When something that was refused is to be sent again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.refused.iter().map(|(at, _)| *at).min()
    }

    /// Queues what waits on `connection`.
    pub(super) fn send(&mut self, connection: &mut Connection, last_request: &mut u64) {
        let now = Instant::now();
        let due =
            self.refused.extract_if(.., |(at, _)| *at <= now).map(|(_, message)| (message, Bytes::new()));
        self.waiting.extend(due);
        for (report, output) in self.waiting.drain(..) {
            *last_request += 1;
            let payload: &[Bytes] = if output.is_empty() { &[] } else { std::slice::from_ref(&output) };
            if let Err(error) = connection.queue(*last_request, &report, payload) {
                tracing::error!(%error, "the end of a child cannot be reported");
                continue;
            }
            self.sent.push((*last_request, report, output));
        }
    }

    /// The server answered.
    pub(super) fn answered(&mut self, request: u64) {
        self.sent.retain(|(number, ..)| *number != request);
    }

    /// The server did not take it: a report counts as told, and what was logged is told again if it may be taken later.
    pub(super) fn refused(&mut self, request: u64, code: RefusalCode) {
        let found = self.sent.iter().position(|(number, ..)| *number == request);
        let Some((_, message, _)) = found.map(|index| self.sent.remove(index)) else { return };
        let may_pass =
            !matches!(code, RefusalCode::TooLarge | RefusalCode::BadRequest | RefusalCode::BadFrame);
        if matches!(message, Message::AddLogs(_)) && may_pass {
            self.refused.push((Instant::now() + LOGS_PAUSE, message));
        }
    }

    /// The connection broke: what was sent may be lost.
    pub(super) fn repeat(&mut self) {
        for (_, report, output) in self.sent.drain(..).rev() {
            self.waiting.push_front((report, output));
        }
    }
}
