//! `current.checkpoint(value)`: a value on its way to the disk of the server.

use std::sync::Mutex;

use bytes::Bytes;
use lineshaft::Reply;
use pyo3::prelude::*;

use super::child::RunningAttempt;
use crate::client::{Completions, SIGNAL_INTERVAL, lock};
use crate::errors::to_python;

/// A checkpoint that is not durable yet.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Checkpoint {
    attempt: Py<RunningAttempt>,
    number: u64,
    value: Bytes,
    reply: Mutex<Reply<bool>>,
}

impl Checkpoint {
    pub(super) fn new(attempt: Py<RunningAttempt>, number: u64, value: Bytes, reply: Reply<bool>) -> Self {
        Self { attempt, number, value, reply: Mutex::new(reply) }
    }
}

#[pymethods]
impl Checkpoint {
    /// Blocks for 50 ms or until there is an answer: whether it is durable, or the attempt not heard any more. Given
    /// once. The GIL is released.
    fn wait(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        let answer = py.detach(|| lock(&self.reply).wait_timeout(SIGNAL_INTERVAL));
        let Some(answer) = answer else {
            py.check_signals()?;
            return Ok(None);
        };
        let is_durable = answer.map_err(|error| to_python(py, &error))?;
        if is_durable {
            self.attempt.get().newest().keep(self.number, &self.value);
        }
        Ok(Some(is_durable))
    }

    /// Puts `token` into `completions` once there is an answer.
    fn notify(&self, py: Python<'_>, completions: &Completions, token: u64) {
        let inner = completions.inner();
        py.detach(|| lock(&self.reply).on_ready(move || inner.push(token)));
    }
}
