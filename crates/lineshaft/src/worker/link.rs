//! A connection that comes back: both the supervisor and each child hold one.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use lineshaft_wire::message::Welcome;
use tokio::time::{Instant, sleep_until};

use crate::client::connection::{Connection, Incoming};
use crate::{Error, Target};

const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Short beside a lease: what a connection was cut for is what it costs.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);

type Opening = Pin<Box<dyn Future<Output = Result<(Connection, Welcome), Error>> + Send>>;

enum State {
    Pausing(Instant),
    Opening(Opening),
    Open(Box<Connection>),
    /// Broken, and nobody was told yet.
    Broken(Error),
}

/// What happened to a [`Link`].
pub(super) enum Happened {
    /// There is a connection, and the server greeted.
    Connected,
    /// A message came.
    Message(Box<Incoming>),
    /// The connection broke, or could not be opened; the next one is tried after a pause.
    Lost(Error),
}

/// A connection to a target, opened again whenever it breaks, with pauses from 10 ms to half a second.
pub(super) struct Link {
    target: Target,
    state: State,
    pause: Duration,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        Self { target, state: State::Pausing(Instant::now()), pause: PAUSE_MIN }
    }

    /// The connection, while there is one.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Open(connection) => Some(connection),
            _ => None,
        }
    }

    /// A message that is here already.
    pub(super) fn take(&mut self) -> Option<Incoming> {
        match self.connection()?.take() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.state = State::Broken(error);
                None
            }
        }
    }

    /// Breaks the connection; [`Self::next`] says so, and another one is opened after a pause.
    pub(super) fn reset(&mut self, error: Error) {
        self.state = State::Broken(error);
    }

    /// The server accepted who we are: the next break starts with the shortest pause again.
    pub(super) fn settled(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// What happens next; writes what is queued meanwhile. Cancel-safe.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            match &mut self.state {
                State::Pausing(until) => {
                    sleep_until(*until).await;
                    self.state = State::Opening(open(self.target.clone()));
                }
                State::Opening(opening) => match opening.await {
                    Ok((connection, _)) => {
                        self.state = State::Open(Box::new(connection));
                        return Happened::Connected;
                    }
                    Err(error) => return self.lose(error),
                },
                State::Open(connection) => match connection.next().await {
                    Ok(Some(incoming)) => return Happened::Message(Box::new(incoming)),
                    Ok(None) => return self.lose(Error::Closed),
                    Err(error) => return self.lose(error),
                },
                State::Broken(error) => {
                    let error = error.clone();
                    return self.lose(error);
                }
            }
        }
    }

    fn lose(&mut self, error: Error) -> Happened {
        self.state = State::Pausing(Instant::now() + self.next_pause());
        Happened::Lost(error)
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75))
    }
}

fn open(target: Target) -> Opening {
    Box::pin(async move { Connection::open(&target, None, false).await })
}
