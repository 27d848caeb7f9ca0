//! A request of which nobody can say yet whether it was carried out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::actor::Command;
use super::commands::Commands;
use super::ledger::{Caller, Part};
use super::{ClientOptions, Reply, Slot};
use crate::Error;

/// A mutating request that was sent and whose deadline passed before the answer came.
///
/// [`OutcomeUnknown::resend`] asks again under the same session and sequence, so it gives the first outcome if there
/// was one and never makes a second job. The server remembers outcomes for ten minutes; the client keeps the request
/// for five, or until the last clone of this is dropped, or until the window is needed by newer requests.
#[derive(Clone, Debug)]
pub struct OutcomeUnknown {
    token: Arc<Token>,
}

#[derive(Debug)]
struct Token {
    commands: Option<Commands>,
    id: u64,
    request: &'static str,
    session: u64,
    number: u64,
    after: Duration,
    /// Which of the request's jobs, if it was joined with others.
    part: Option<Part>,
}

impl OutcomeUnknown {
    /// `commands` is `None` where the request is not kept: resending it is refused.
    pub(crate) fn new(commands: Option<Commands>, id: u64, place: Place) -> Self {
        let Place { request, session, number, after, part } = place;
        Self { token: Arc::new(Token { commands, id, request, session, number, after, part }) }
    }

    /// Name of the request.
    pub fn request(&self) -> &'static str {
        self.token.request
    }

    /// Session and sequence under which it was sent.
    pub fn place(&self) -> (u64, u64) {
        (self.token.session, self.token.number)
    }

    /// Asks for the outcome again. Deadlines are as in [`Client::call`](super::Client::call), 60 s if `None`. Use [`Reply::map`] or
    /// the `into_` conversions of [`Reply`] to read it.
    pub fn resend(&self, deadline: Option<Duration>) -> Reply {
        let Some(commands) = &self.token.commands else {
            return Reply::ready(Err(forgotten(self.request())));
        };
        let patience = deadline.unwrap_or(Duration::from_secs(60)).min(ClientOptions::DEADLINE_MAX);
        let slot = Arc::new(Slot::of(commands.io()));
        let command = Command::Resend {
            id: self.token.id,
            request: self.token.request,
            deadline: Instant::now() + patience,
            patience,
            caller: Caller { slot: Arc::clone(&slot), part: self.token.part },
        };
        match commands.send(command) {
            Ok(()) => Reply::new(slot),
            Err(_) => Reply::ready(Err(Error::Closed)),
        }
    }
}

impl fmt::Display for OutcomeUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Token { request, after, .. } = &*self.token;
        let seconds = after.as_secs_f64();
        write!(
            f,
            "{request} was sent, but not answered within {seconds} s: it may or may not have been carried out"
        )
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(Command::Forget { id: self.id });
        }
    }
}

/// Which request it was.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) request: &'static str,
    pub(crate) session: u64,
    pub(crate) number: u64,
    pub(crate) after: Duration,
    pub(crate) part: Option<Part>,
}

/// The answer to a resend that comes too late.
pub(crate) fn forgotten(request: &str) -> Error {
    Error::Refused {
        code: lineshaft_wire::message::RefusalCode::OutcomeUnknown,
        message: format!("the outcome of {request} is not known any more: it was sent too long ago"),
        hint: Some("look for the job by its task or key before making it again".into()),
    }
}
