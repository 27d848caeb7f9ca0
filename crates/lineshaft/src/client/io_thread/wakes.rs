//! What wakes the thread while it stands by: an alarm, and servers that close their connections.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

const ALARM: u64 = 0;
const END: u64 = 1;

/// What there is to wait for. Data that arrives wakes nobody here: it is for the one who drives.
#[derive(Debug)]
pub(super) struct Wakes {
    epoll: OwnedFd,
    /// A timer, since setting it wakes nobody.
    alarm: OwnedFd,
}

impl Wakes {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Told once of each time it goes off, so that nobody has to read it.
        let once = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &alarm, epoll::EventData::new_u64(ALARM), once)?;
        Ok(Self { epoll, alarm })
    }

    /// The alarm goes off `after` this, in less than a second, whatever it was set to before.
    pub(super) fn set_alarm(&self, after: Duration) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec { tv_sec: 0, tv_nsec: after.subsec_nanos().max(1).into() };
        let alarm = Itimerspec { it_interval: never, it_value };
        if let Err(error) = timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &alarm) {
            tracing::error!(%error, "the timer of the I/O thread is gone");
        }
    }

    /// From here on the end of this connection wakes, once, until the last descriptor of it is closed.
    pub(super) fn add_connection(&self, connection: impl AsFd) -> io::Result<()> {
        let once = epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, connection, epoll::EventData::new_u64(END), once)?)
    }

    /// Waits, for ever without a `timeout`; says whether a connection ended.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> bool {
        let timeout = timeout.map(|time| {
            // Counted in milliseconds: a part of one would be none.
            let time = time + Duration::from_millis(1);
            Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
        });
        let mut events = Vec::with_capacity(8);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "the I/O thread cannot wait");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        events.iter().any(|event| event.data.u64() == END)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));
    const SHORT: Option<Duration> = Some(Duration::from_millis(20));

    fn takes_its_time(wakes: &Wakes) {
        let began = Instant::now();
        assert!(!wakes.wait(SHORT));
        assert!(began.elapsed() >= Duration::from_millis(19));
    }

    #[test]
    fn an_alarm_goes_off_once_each_time_it_is_set() {
        let wakes = Wakes::new().unwrap();
        for after in [Duration::ZERO, Duration::from_millis(2)] {
            let began = Instant::now();
            wakes.set_alarm(after);
            assert!(!wakes.wait(LONG) && began.elapsed() < Duration::from_secs(10));
            takes_its_time(&wakes);
        }
    }

    #[test]
    fn a_connection_wakes_when_it_ends_and_not_when_something_comes() {
        let wakes = Wakes::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        wakes.add_connection(&near).unwrap();
        far.write_all(b"an answer").unwrap();
        takes_its_time(&wakes);
        drop(far);
        assert!(wakes.wait(LONG));
        takes_its_time(&wakes);
    }
}
