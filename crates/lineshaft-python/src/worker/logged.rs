//! What one attempt logs.

use std::sync::Arc;

use lineshaft::log;
use lineshaft::worker::profiles::{Whose, Why};
use lineshaft::worker::{Attempts, Job};
use lineshaft_log::{Fields, Record};
use pyo3::prelude::*;

use crate::logging::context_is_used;

/// The records of an attempt, kept with its job.
pub(crate) struct Logged(log::Logged);

impl Logged {
    pub(super) fn new(attempts: Arc<Attempts>, job: &Job) -> Self {
        if job.context.is_some() {
            context_is_used();
        }
        Self(log::Logged::new(attempts, job))
    }

    /// The attempt, for its profile.
    pub(super) fn whose(&self, version: u32, why: Why) -> Whose {
        let ((job, attempt), (task, worker)) = (self.0.attempt(), self.0.names());
        let (task, worker) = (Arc::clone(task), Arc::clone(worker));
        Whose { attempts: Arc::clone(self.0.attempts()), job, attempt, task, worker, version, why }
    }

    /// What each of its records carries.
    pub(crate) fn fields(&self) -> &Fields {
        self.0.fields()
    }

    /// The context of the job.
    pub(crate) fn context(&self) -> Option<&Arc<str>> {
        self.0.context()
    }

    /// Its fields.
    pub(crate) fn context_fields(&self) -> &Fields {
        self.0.context_fields()
    }

    /// Keeps a record.
    pub(crate) fn keep(&self, py: Python<'_>, record: &Record) {
        if let Some(unkept) = self.0.keep(record) {
            // Without the interpreter, which others need.
            py.detach(|| self.0.wait(unkept));
        }
    }
}
