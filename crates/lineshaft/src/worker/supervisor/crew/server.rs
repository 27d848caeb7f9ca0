//! What the crew and the server say to each other.

use std::time::{Duration, Instant};

use lineshaft_ipc::process::ProcessId;
use lineshaft_wire::message::{AttachWorker, Message, ProcessKey, StopReason as WireReason};

use super::{Crew, FIRST_ANSWER};
use crate::client::connection::Incoming;
use crate::worker::StopReason;
use crate::worker::link::Happened;
use crate::worker::supervisor::Worker;
use crate::worker::supervisor::messages::Command;

/// How long the server may be away before people hear of it.
const AWAY_LATE: Duration = Duration::from_secs(5);

impl Crew {
    pub(super) fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected => {
                self.trouble = None;
                self.introduce();
            }
            Happened::Message(incoming) => self.receive(*incoming),
            Happened::Lost(error) => self.lost(error),
        }
    }

    pub(super) fn awaits_first_answer(&self) -> bool {
        !self.greeted && self.failure.is_none()
    }

    /// A worker that starts does not wait for long, also not for a server that accepts and then says nothing.
    pub(super) fn expect_answer(&mut self) {
        if self.awaits_first_answer() && self.started.elapsed() >= FIRST_ANSWER {
            let silence = crate::Error::Timeout { request: "AttachWorker", after: FIRST_ANSWER };
            let error = self.trouble.take().unwrap_or(silence);
            self.fail(error.into());
        }
    }

    fn introduce(&mut self) {
        let process = match ProcessId::current() {
            Ok(ProcessId { pid, start_time }) => ProcessKey { pid, start_time },
            Err(error) => return self.fail(error.into()),
        };
        let Worker { options, name, nonce, .. } = self.worker.clone();
        self.last_request += 1;
        self.attaching = Some(self.last_request);
        let request = self.last_request;
        let (processes, schema) = (options.processes, options.schema.clone());
        let message = AttachWorker { name, process, nonce, processes, attach: request, schema };
        if let Some(connection) = self.link.connection()
            && let Err(error) = connection.queue(request, &message.into(), &[])
        {
            self.fail(error.into());
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        let Incoming { request_id, message, .. } = incoming;
        match message {
            Message::WorkerAttached(attached) => {
                self.back();
                let lease = Duration::from_millis(attached.lease_ms);
                self.lease = Some(lease);
                self.tell_all(Command::Lease(lease));
                self.tell_all(Command::Server(true));
            }
            Message::Stop(stop) => {
                let reason = match stop.reason {
                    WireReason::Cancelled => StopReason::Cancelled,
                    WireReason::Stale => StopReason::LeaseLost,
                };
                if let Some(member) = self.members.get(&stop.child) {
                    let _ = member.commands.send(Command::Stop(stop.fence, reason));
                }
            }
            Message::Done(_) => self.reports.answered(request_id),
            Message::Refused(refused) if self.attaching == Some(request_id) || request_id == 0 => {
                self.link.reset(refused.into());
            }
            Message::Refused(refused) => {
                tracing::warn!(message = refused.message, "the server refuses the report of a dead child");
                self.reports.refused(request_id, refused.code);
            }
            other => tracing::warn!(name = other.name(), "a message that a supervisor does not expect"),
        }
    }

    fn back(&mut self) {
        self.greeted = true;
        self.attaching = None;
        self.link.settled();
        if self.away_since.take().is_some_and(|since| since.elapsed() >= AWAY_LATE) {
            self.say("the server is back");
        }
    }

    fn lost(&mut self, error: crate::Error) {
        tracing::debug!(%error, "a worker has no connection");
        self.attaching = None;
        self.tell_all(Command::Server(false));
        self.reports.repeat();
        let away_since = *self.away_since.get_or_insert_with(Instant::now);
        if self.greeted && away_since.elapsed() >= AWAY_LATE {
            let home = &self.worker.options.target;
            self.say(&format!("the server of {home} is away; waiting for it"));
        }
        if matches!(error, crate::Error::VersionMismatch { .. }) {
            return self.fail(error.into());
        }
        self.trouble = Some(error);
    }

    pub(super) fn send_reports(&mut self) {
        if self.attaching.is_none()
            && let Some(connection) = self.link.connection()
        {
            self.reports.send(connection, &mut self.last_request);
        }
    }
}
