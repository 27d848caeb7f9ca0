//! Reports of dead children, and what their attempts logged, repeated until the server has them.

use std::collections::VecDeque;

use bytes::Bytes;
use lineshaft_wire::message::{AddLogs, ChildEnded, Message};

use crate::client::connection::Connection;

/// Reports that nobody confirmed. A child that never reached the server leaves none, so there are about as many as
/// children at most.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<(Message, Bytes)>,
    sent: Vec<(u64, Message, Bytes)>,
}

impl Reports {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    pub(super) fn push(&mut self, report: ChildEnded, output: Bytes) {
        self.waiting.push_back((report.into(), output));
    }

    /// Before the report of that child, so that whoever hears of its end finds what was logged.
    pub(super) fn push_logs(&mut self, logs: AddLogs) {
        self.waiting.push_back((logs.into(), Bytes::new()));
    }

    /// Queues what waits on `connection`.
    pub(super) fn send(&mut self, connection: &mut Connection, last_request: &mut u64) {
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

    /// The connection broke: what was sent may be lost.
    pub(super) fn repeat(&mut self) {
        for (_, report, output) in self.sent.drain(..).rev() {
            self.waiting.push_front((report, output));
        }
    }
}
