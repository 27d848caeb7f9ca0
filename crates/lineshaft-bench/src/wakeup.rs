//! The machine without an engine: what it takes to wake somebody who waits for a message.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// About what a request for one job takes.
const MESSAGE_BYTES: usize = 128;

/// A thread that gives back each message over a Unix socket. Both sides sleep in a read until the other one has
/// written, so a round trip is two messages and two wake-ups.
#[derive(Debug)]
pub struct Wakeups {
    near: UnixStream,
    echo: Option<JoinHandle<()>>,
}

impl Wakeups {
    /// Starts the thread, which ends when this is dropped.
    pub fn start() -> Result<Self, Error> {
        let make = || {
            let (near, far) = UnixStream::pair()?;
            let echo = Builder::new().name("bench-echo".into()).spawn(move || give_back(far))?;
            Ok(Self { near, echo: Some(echo) })
        };
        make().map_err(Error::io("start the probe of wake-ups"))
    }

    /// One round trip.
    pub fn trip(&mut self) -> Result<Duration, Error> {
        let mut message = [b'x'; MESSAGE_BYTES];
        let began = Instant::now();
        self.near
            .write_all(&message)
            .and_then(|()| self.near.read_exact(&mut message))
            .map_err(Error::io("talk to the probe of wake-ups"))?;
        Ok(began.elapsed())
    }

    /// Round trips a second, one after the other.
    pub fn per_second(&mut self, span: Duration) -> Result<f64, Error> {
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < span {
            self.trip()?;
            count += 1;
        }
        Ok(f64::from(count) / began.elapsed().as_secs_f64())
    }

    /// How long each of `count` round trips took, one every `pace`; one that is late is followed at once.
    pub fn paced(&mut self, pace: Duration, count: usize) -> Result<Vec<Duration>, Error> {
        let mut next = Instant::now();
        (0..count)
            .map(|_| {
                next += pace;
                sleep(next.saturating_duration_since(Instant::now()));
                self.trip()
            })
            .collect()
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        let _ = self.near.shutdown(std::net::Shutdown::Both);
        self.echo.take().map(JoinHandle::join);
    }
}

fn give_back(mut far: UnixStream) {
    let mut message = [0; MESSAGE_BYTES];
    while far.read_exact(&mut message).and_then(|()| far.write_all(&message)).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_the_thread_ends() {
        let mut wakeups = Wakeups::start().unwrap();
        assert!(wakeups.per_second(Duration::from_millis(20)).unwrap() > 0.0);
        let (began, count) = (Instant::now(), 5);
        let times = wakeups.paced(Duration::from_millis(4), count).unwrap();
        assert!(times.len() == count && times.iter().all(|time| !time.is_zero()), "{times:?}");
        assert!(began.elapsed() >= Duration::from_millis(20));
        let mut far = wakeups.near.try_clone().unwrap();
        drop(wakeups);
        assert!(!matches!(far.read(&mut [0]), Ok(count) if count > 0));
    }
}
