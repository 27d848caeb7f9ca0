//! The processors without an engine: what it takes to wake somebody who waits for a message.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{Builder, JoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::{Error, Result};

/// About what a request for one job takes.
const MESSAGE_BYTES: usize = 128;

/// Two threads that send each message back and forth over a Unix socket. Both sleep in a read until the other one has
/// written, so a round trip is two messages and two wake-ups. Each has a processor for itself, where there are two: left
/// to itself the kernel would have both on one, which never halts.
#[derive(Debug)]
pub struct Wakeups {
    near: UnixStream,
    processor: Option<usize>,
    echo: Option<JoinHandle<()>>,
}

impl Wakeups {
    /// Starts the thread, which ends when this is dropped.
    pub fn start() -> Result<Self, Error> {
        let make = || {
            let (near, far) = UnixStream::pair()?;
            let (processor, other) = two_processors()?;
            let echo = Builder::new().name("bench-echo".into()).spawn(move || {
                stay_on(other);
                give_back(far);
            })?;
            Ok(Self { near, processor, echo: Some(echo) })
        };
        make().map_err(Error::io("start the probe of wake-ups"))
    }

    /// Round trips a second, one after the other.
    pub fn per_second(&mut self, span: Duration) -> Result<f64, Error> {
        self.apart(|near| {
            let began = Instant::now();
            let mut count = 0;
            while began.elapsed() < span {
                trip(near)?;
                count += 1;
            }
            Ok(f64::from(count) / began.elapsed().as_secs_f64())
        })
    }

    /// How long each of `count` round trips took, one every `pace`; one that is late is followed at once.
    pub fn paced(&mut self, pace: Duration, count: usize) -> Result<Vec<Duration>, Error> {
        self.apart(|near| {
            let mut next = Instant::now();
            let paced = || {
                next += pace;
                sleep(next.saturating_duration_since(Instant::now()));
                trip(near)
            };
            std::iter::repeat_with(paced).take(count).collect()
        })
    }

    /// Runs this on a thread that stays on its processor.
    fn apart<T: Send>(&self, run: impl FnOnce(&UnixStream) -> std::io::Result<T> + Send) -> Result<T, Error> {
        let ran = scope(|scope| {
            let thread = scope.spawn(|| {
                stay_on(self.processor);
                run(&self.near)
            });
            thread.join().expect("it does not panic")
        });
        ran.map_err(Error::io("talk to the probe of wake-ups"))
    }
}

fn trip(mut near: &UnixStream) -> std::io::Result<Duration> {
    let mut message = [b'x'; MESSAGE_BYTES];
    let began = Instant::now();
    near.write_all(&message)?;
    near.read_exact(&mut message)?;
    Ok(began.elapsed())
}

/// Two processors that this thread may run on, if there are as many.
fn two_processors() -> rustix::io::Result<(Option<usize>, Option<usize>)> {
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let (first, second) = (processors.next(), processors.next());
    Ok(if second.is_some() { (first, second) } else { (None, None) })
}

fn stay_on(processor: Option<usize>) {
    if let Some(processor) = processor {
        let mut only = CpuSet::new();
        only.set(processor);
        // One that was taken away meanwhile: then wherever it may run.
        let _ = sched_setaffinity(None, &only);
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
