//! Reports of dead children, repeated until the server has them.

use std::collections::VecDeque;

use bytes::Bytes;
use lineshaft_wire::message::ChildEnded;

use crate::client::connection::Connection;

/// Reports that nobody confirmed. A child that never reached the server leaves none, so there are about as many as
/// children at most.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<(ChildEnded, Bytes)>,
    sent: Vec<(u64, ChildEnded, Bytes)>,
}

impl Reports {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    pub(super) fn push(&mut self, report: ChildEnded, output: Bytes) {
        self.waiting.push_back((report, output));
    }

    /// Queues what waits on `connection`.
    pub(super) fn send(&mut self, connection: &mut Connection, last_request: &mut u64) {
        for (report, output) in self.waiting.drain(..) {
            *last_request += 1;
            if let Err(error) =
                connection.queue(*last_request, &report.clone().into(), std::slice::from_ref(&output))
            {
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
