//! Jobs that gave up, and the jobs that handle it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use lineshaft_wire::message::{JobGroup, OnFailure, RefusalCode, Rules, RunAfter};
use lineshaft_wire::value::{Value, encode};
use lineshaft_wire::{JobId, task};

use super::Model;
use super::job::Payload;

/// Handlers of failures that may follow from one job.
const HANDLERS_MAX: usize = 4;

impl Model {
    /// Every job that gave up in this step is handled, one after the other, whatever is full.
    pub(super) fn handle_failures(&mut self) {
        let failed = std::mem::take(&mut self.unhandled);
        failed.into_iter().for_each(|job| self.handle_failure(job));
    }

    /// The machine says which failures it handles now: they must be the oldest ones that are not handled.
    pub(super) fn check_spawned(&mut self, failed: &[JobId]) -> Result<(), String> {
        if failed.is_empty() || !self.unhandled.starts_with(failed) {
            return Err(format!("failures of {failed:?} are handled, unhandled are {:?}", self.unhandled));
        }
        self.unhandled.drain(..failed.len());
        failed.iter().for_each(|job| self.handle_failure(*job));
        Ok(())
    }

    /// Jobs that gave up and are not handled.
    pub fn unhandled(&self) -> &[JobId] {
        &self.unhandled
    }

    fn handle_failure(&mut self, failed: JobId) {
        let at = self.position(failed).expect("a job that just gave up is in memory");
        let handler = self.jobs[at].rules.on_failure.clone().expect("only such jobs are noted");
        let parts = [Value::List(vec![Value::Job(failed)]), Value::Dict(Vec::new())].into_iter();
        let version = (handler.version > 1).then_some(Value::Int(handler.version.into()));
        let call = Value::List(parts.chain(version).collect());
        let bytes = encode(&call).expect("a small call encodes").into();
        let id = self.make(&group(&handler), Payload { bytes, blob: None, lsn: Some(self.lsn) });
        let context = self.jobs[at].context.clone();
        let made = self.jobs.last_mut().expect("it was just made");
        (made.failure_of, made.context) = (Some(failed), context);
        self.jobs[at].handled_by = Some(id);
    }
}

/// What is made when a job gives up.
fn group(handler: &OnFailure) -> JobGroup {
    JobGroup {
        queue: Arc::clone(&handler.queue),
        priority: handler.priority,
        rules: Arc::clone(&handler.rules),
        expires: handler.expires_ms.map(RunAfter::In),
        deadline: handler.deadline_ms.map(RunAfter::In),
        tags: handler.tags.clone(),
        ..JobGroup::new(task::versioned(&handler.task, handler.version), vec![0])
    }
}

/// Whether the handlers make sense, down to the last.
pub(super) fn check(rules: &Rules) -> Result<(), RefusalCode> {
    let mut next = rules.on_failure.as_ref();
    let mut count = 0;
    while let Some(handler) = next {
        count += 1;
        if count > HANDLERS_MAX {
            return Err(RefusalCode::TooLarge);
        }
        if !super::rules::is_name(&handler.task) || handler.version == 0 || handler.version > 0x7fff_ffff {
            return Err(RefusalCode::BadRequest);
        }
        let alone = Rules { on_failure: None, ..(*handler.rules).clone() };
        super::rules::check_group(&JobGroup { rules: Arc::new(alone), ..group(handler) })?;
        next = handler.rules.on_failure.as_ref();
    }
    Ok(())
}

/// Adds the names and rules that handlers may bring.
pub(super) fn count<'a>(
    rules: &'a Rules,
    names: &mut BTreeSet<Arc<str>>,
    known: &mut HashSet<&'a Arc<Rules>>,
) {
    if let Some(handler) = &rules.on_failure {
        names.extend([&handler.task, &handler.queue].into_iter().chain(&handler.tags).cloned());
        known.insert(&handler.rules);
        count(&handler.rules, names, known);
    }
}
