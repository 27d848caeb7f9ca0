//! When the leases behind a connection were renewed, as far as the engine has heard of it.

use std::time::Instant;

use lineshaft_engine::Handle;

/// The renewals of one connection.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    /// The newest one that the engine has heard for certain.
    heard: Option<Instant>,
    /// The newest one that was handed in.
    sent: Option<Instant>,
}

impl Renewals {
    /// One was handed in just now.
    pub(crate) fn sent(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// Whether the engine stands still, and the leases outlast that.
    pub(crate) fn outlast(&mut self, engine: &Handle) -> bool {
        if let Some(sent) = self.sent.take_if(|sent| engine.has_heard(*sent)) {
            self.heard = Some(sent);
        }
        self.heard.is_some_and(|heard| engine.outlasts(heard))
    }
}
