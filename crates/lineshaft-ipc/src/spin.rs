//! Adaptive spinning: whoever is likely to wait for a moment only polls for that moment, and sleeps afterwards.
//!
//! A thread that sleeps has to be woken, and a virtual processor that has halted takes 20 to 60 us until it runs again:
//! longer than a server computes for a request. So a waiter whose last waits were short keeps its runtime polling.
//! Everything else on that runtime goes on meanwhile; it is only that the thread does not sleep.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

use crate::processors::is_a_processor_free;

/// A wait up to this is a short one, and none is polled for longer. Waits that are slept through are told by it too, so
/// two wake-ups of halted processors have to fit.
pub const SHORT: Duration = Duration::from_micros(100);
/// How often it is looked whether others want the processor.
const LOOK: Duration = Duration::from_micros(20);
/// Short waits more than long ones, counted up to [`SCORE_MAX`], from which on the next one is taken to be short.
const SCORE_MIN: u8 = 2;
const SCORE_MAX: u8 = 3;

/// What is known of one waiter's last waits: a counter that saturates, as predictors of branches have it.
#[derive(Debug, Default)]
pub struct Spin {
    score: AtomicU8,
}

impl Spin {
    /// Awaits `future`, which its runtime's sockets bring, and polls them for up to 100 us before the thread sleeps: if
    /// most of the last waits were as short, and no more threads of the machine want to run than it has processors.
    /// Must be awaited on a current-thread runtime.
    pub async fn until<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        if let Some(output) = poll_once(future.as_mut()).await {
            return output;
        }
        let began = Instant::now();
        let _wait = Wait { spin: self, began };
        let mut look_at = began;
        let mut is_polling = self.score.load(Relaxed) >= SCORE_MIN;
        while is_polling {
            yield_now().await;
            if let Some(output) = poll_once(future.as_mut()).await {
                return output;
            }
            let now = Instant::now();
            is_polling = now < began + SHORT;
            if is_polling && now >= look_at {
                is_polling = is_a_processor_free();
                look_at = now + LOOK;
            }
        }
        future.await
    }

    fn note(&self, wait: Duration) {
        let score = self.score.load(Relaxed);
        let next = if wait <= SHORT { (score + 1).min(SCORE_MAX) } else { score.saturating_sub(1) };
        self.score.store(next, Relaxed);
    }
}

/// A wait, which is learned from however it ends: one that is given up has also been as long as it was.
struct Wait<'a> {
    spin: &'a Spin,
    began: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.spin.note(self.began.elapsed());
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::socket::split;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn score_after(waits: &[u64]) -> u8 {
        let spin = Spin::default();
        waits.iter().for_each(|us| spin.note(Duration::from_micros(*us)));
        spin.score.load(Relaxed)
    }

    #[test]
    fn short_waits_are_expected_after_two_and_not_after_two_long_ones() {
        assert!(score_after(&[]) < SCORE_MIN && score_after(&[30]) < SCORE_MIN);
        assert!(score_after(&[30, 100]) >= SCORE_MIN);
        assert!(score_after(&[30, 30, 9_000, 30, 30, 9_000]) >= SCORE_MIN, "most of them are short");
        assert!(score_after(&[30, 30, 30, 30, 200, 200]) < SCORE_MIN);
        assert!(score_after(&[30, 9_000, 30, 9_000, 30, 9_000]) < SCORE_MIN);
    }

    #[test]
    fn what_is_there_already_says_nothing_of_waits() {
        let spin = Spin::default();
        runtime().block_on(async {
            for number in 0..5 {
                assert_eq!(spin.until(std::future::ready(number)).await, number);
            }
        });
        assert_eq!(spin.score.load(Relaxed), 0);
    }

    /// However sure it is, the thread sleeps soon, and so learns better.
    #[test]
    fn a_thread_that_waits_in_vain_sleeps() {
        let spin = Spin { score: AtomicU8::new(SCORE_MAX) };
        let runtime = runtime();
        let parks = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            for _ in 0..2 {
                let before = parks();
                spin.until(tokio::time::sleep(Duration::from_millis(20))).await;
                assert!(parks() > before);
            }
        });
        assert!(spin.score.load(Relaxed) < SCORE_MIN);
    }

    /// An idle waiter that looked around every 50 ms polled each time, for ever.
    #[test]
    fn waits_that_are_given_up_are_long_ones() {
        let spin = Spin { score: AtomicU8::new(SCORE_MAX) };
        runtime().block_on(async {
            for _ in 0..2 {
                let wait = spin.until(std::future::pending::<()>());
                assert!(tokio::time::timeout(Duration::from_millis(5), wait).await.is_err());
            }
        });
        assert!(spin.score.load(Relaxed) < SCORE_MIN);
    }

    /// Others of the runtime are served while it polls.
    #[test]
    fn sockets_are_heard_and_tasks_run_meanwhile() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let spin = Spin { score: AtomicU8::new(SCORE_MAX) };
        runtime().block_on(async {
            let (mut reader, mut writer) = split(near).unwrap();
            let echo = tokio::task::spawn_blocking(move || {
                use std::io::{Read, Write};
                let mut message = [0; 4];
                while far.read_exact(&mut message).is_ok() {
                    far.write_all(&message).unwrap();
                }
            });
            let other = tokio::spawn(async move {
                for number in 0..100_u32 {
                    writer.write_all(&number.to_le_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                writer
            });
            for number in 0..100_u32 {
                assert_eq!(spin.until(reader.read_u32_le()).await.unwrap(), number);
            }
            other.await.unwrap().shutdown().await.unwrap();
            drop(reader);
            echo.await.unwrap();
        });
    }
}
