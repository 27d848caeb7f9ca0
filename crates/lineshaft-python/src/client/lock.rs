//! Locks that are asked for and held.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lineshaft::client::{Acquiring, Hold};
use pyo3::prelude::*;

use super::reply::{Completions, Reply, SIGNAL_INTERVAL, lock};
use crate::errors::to_python;

/// The longest single wait; whoever means for ever asks again.
const WAIT_S_MAX: f64 = 3_600.0;

/// A lock that is asked for, held or given back. Dropping it gives it back.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Lock(Mutex<Stage>);

enum Stage {
    Asked(Acquiring),
    Held(Hold),
    Over,
}

impl Lock {
    pub(super) fn new(acquiring: Acquiring) -> Self {
        Self(Mutex::new(Stage::Asked(acquiring)))
    }

    /// Whether it is held after at most `timeout`; an interruption by a signal gives `None` early.
    fn poll(&self, timeout: Duration) -> Option<Result<bool, lineshaft::Error>> {
        let mut stage = lock(&self.0);
        let acquiring = match &mut *stage {
            Stage::Asked(acquiring) => acquiring,
            Stage::Held(_) => return Some(Ok(true)),
            Stage::Over => return Some(Ok(false)),
        };
        let answer = acquiring.wait_timeout(timeout)?;
        *stage = Stage::Over;
        Some(answer.map(|hold| {
            let is_held = hold.is_some();
            *stage = hold.map_or(Stage::Over, Stage::Held);
            is_held
        }))
    }
}

#[pymethods]
impl Lock {
    /// Blocks until the lock is held, at most `timeout` seconds, and says whether it is; `None` after the timeout, when it
    /// is still asked for. The GIL is released, signals are looked at every 50 ms.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<bool>> {
        let deadline = Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, WAIT_S_MAX));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match py.detach(|| self.poll(left.min(SIGNAL_INTERVAL))) {
                Some(answer) => return answer.map(Some).map_err(|error| to_python(py, &error)),
                None if left.is_zero() => return Ok(None),
                None => py.check_signals()?,
            }
        }
    }

    /// Puts `token` into `completions` once `wait` has something to say.
    fn notify(&self, py: Python<'_>, completions: &Completions, token: u64) {
        let inner = completions.inner();
        py.detach(|| match &*lock(&self.0) {
            Stage::Asked(acquiring) => acquiring.on_ready(move || inner.push(token)),
            Stage::Held(_) | Stage::Over => inner.push(token),
        });
    }

    /// Its fence; 0 if it is not held here.
    #[getter]
    fn fence(&self, py: Python<'_>) -> u64 {
        py.detach(|| match &*lock(&self.0) {
            Stage::Held(hold) => hold.fence(),
            Stage::Asked(_) | Stage::Over => 0,
        })
    }

    /// Of a barrier: how many of those who were given it together came before.
    #[getter]
    fn place(&self, py: Python<'_>) -> u32 {
        py.detach(|| match &*lock(&self.0) {
            Stage::Held(hold) => hold.place(),
            Stage::Asked(_) | Stage::Over => 0,
        })
    }

    /// Why the lock is not held any more; `None` while it is.
    fn why_lost(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| match &*lock(&self.0) {
            Stage::Held(hold) => hold.check().err().map(|lost| lost.to_string()),
            Stage::Asked(_) | Stage::Over => Some("it is not held".to_owned()),
        })
    }

    /// Gives the lock back; the reply says whether it was held until then. `None` if it is not held here.
    fn release(&self, py: Python<'_>) -> Option<Reply> {
        match py.detach(|| std::mem::replace(&mut *lock(&self.0), Stage::Over)) {
            Stage::Held(hold) => Some(Reply::new(hold.give_back())),
            Stage::Asked(_) | Stage::Over => None,
        }
    }

    /// Gives the lock back, or up, and waits for nothing.
    fn close(&self, py: Python<'_>) {
        py.detach(|| *lock(&self.0) = Stage::Over);
    }
}
