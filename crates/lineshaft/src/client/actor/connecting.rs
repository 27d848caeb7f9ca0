//! Getting a connection: attempts with pauses between them, and the start of a server where that is allowed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_wire::message::{RefusalCode, Welcome};

use super::{Actor, LONG, connected};
use crate::client::Shared;
use crate::client::connection::Connection;
use crate::client::target::Target;
use crate::{Error, launch};

const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// After a connection ended, how long the server's successor has to appear before one is started.
const SUCCESSOR_GRACE: Duration = Duration::from_secs(1);

/// Why a connection could not be had.
struct Failure {
    error: Error,
    /// Trying again does not help.
    is_final: bool,
}

impl Actor {
    /// Tries until there is a connection, or nobody needs one any more.
    pub(super) async fn connect(&mut self) -> Option<Connection> {
        while self.has_work() {
            let failure = match self.attempt().await {
                Ok((connection, welcome)) => return Some(self.connected(connection, welcome)),
                Err(failure) => failure,
            };
            if self.is_session_unknown(&failure.error) {
                self.ledger.session_lost(u64::MAX);
                continue;
            }
            self.failed(failure);
            let pause = backoff(self.past.failures, fastrand::f64());
            let until = Instant::now() + pause;
            while self.has_work() && Instant::now() < until {
                self.take_commands_until(until.saturating_duration_since(Instant::now())).await;
            }
        }
        None
    }

    /// One attempt, during which commands are taken and deadlines kept.
    async fn attempt(&mut self) -> Result<(Connection, Welcome), Failure> {
        let session = self.ledger.session();
        let open_session = self.options.open_session || self.needs_session();
        let target = if self.may_start() { self.target.clone() } else { self.target.running_only() };
        let opening = open(target, session, open_session, Arc::clone(&self.shared));
        tokio::pin!(opening);
        self.unanswered.set(true);
        loop {
            let wake = self.next_wake(Instant::now() + LONG);
            tokio::select! {
                opened = &mut opening => return opened,
                command = self.commands.recv(), if !self.is_closed() => match command {
                    Some(command) => self.take(command, None),
                    None => self.close(),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.expire();
        }
    }

    /// With the first call, with calls that nobody had made yet when the connection ended, and in place of a server on
    /// demand that died. What was under way when one was stopped waits for the server that somebody starts: whoever
    /// stopped it, to move its home or to update it, is not to find another there.
    fn may_start(&self) -> bool {
        let is_late = self.past.ended.is_some_and(|at| at.elapsed() >= SUCCESSOR_GRACE) || self.is_removed();
        let is_wanted = self.past.is_called_anew || (self.past.is_death && !self.is_removed());
        self.target.may_start() && (!self.past.was_connected || (is_wanted && is_late))
    }

    /// A home that went away while it was in use.
    fn is_removed(&self) -> bool {
        matches!(&self.target, Target::Home { home, .. } if self.past.was_connected && !home.path().exists())
    }

    fn is_session_unknown(&self, error: &Error) -> bool {
        let is_unknown = matches!(error, Error::Refused { code: RefusalCode::OutcomeUnknown, .. });
        is_unknown && self.ledger.session().is_some()
    }

    fn connected(&mut self, mut connection: Connection, welcome: Welcome) -> Connection {
        self.io.hear_end_of(connection.socket());
        self.ledger.greeted(welcome.session);
        self.locks.connected(welcome.session, Instant::now());
        self.past.was_connected = true;
        self.past.ended = None;
        self.past.trouble = None;
        self.shared.lock().welcome = Some(welcome);
        for slot in self.connects.drain(..) {
            slot.fill(Ok(connected()));
        }
        self.ledger.resend(&mut connection);
        connection
    }

    fn failed(&mut self, failure: Failure) {
        let Failure { error, is_final } = match failure {
            Failure { error: Error::NoServer { address, .. }, .. } if self.is_removed() => {
                Failure { error: Error::no_server(address, "its directory was removed"), is_final: true }
            }
            failure => failure,
        };
        for slot in self.connects.drain(..) {
            slot.fill(Err(error.clone()));
        }
        self.past.failures += 1;
        if is_final {
            self.ledger.fail_all(Instant::now(), &error);
            self.waits.fail_all(&error);
            self.locks.fail_all(&error);
        }
        self.past.trouble = Some(error);
    }
}

async fn open(
    target: Target,
    session: Option<u64>,
    open_session: bool,
    shared: Arc<Shared>,
) -> Result<(Connection, Welcome), Failure> {
    let error = match Connection::open(&target, session, open_session).await {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let Target::Home { home, start: Some(command) } = &target else {
        return Err(Failure { is_final: !error.is_passing(), error });
    };
    if !launch::is_gone_or_going(&error) {
        return Err(Failure { is_final: !error.is_passing(), error });
    }
    let (home, command) = (home.clone(), command.clone());
    let started = tokio::task::spawn_blocking(move || launch::ensure_server(&home, &command)).await;
    let started = started.map_err(|_| Error::Closed).flatten();
    // Whatever kept a server from starting will keep the next one from it too.
    let warning = started.map_err(|error| Failure { error, is_final: true })?;
    shared.lock().warning = warning;
    let opened = Connection::open(&target, session, open_session).await;
    opened.map_err(|error| Failure { is_final: !error.is_passing(), error })
}

/// The pause after the `failures`-th failure in a row: doubling from 10 ms to 1 s, the last half of it by chance.
fn backoff(failures: u32, chance: f64) -> Duration {
    let longest = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(7)).min(BACKOFF_MAX);
    longest.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_a_second_with_half_of_it_by_chance() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(10));
        assert_eq!(backoff(1, 0.0), Duration::from_millis(5));
        assert_eq!(backoff(3, 1.0), Duration::from_millis(40));
        assert_eq!(backoff(1000, 1.0), Duration::from_secs(1));
    }
}
