//! What jobs are made with: what the command line says of them, else what the declaration of the task says, as far as a
//! worker told the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lineshaft::Error;
use lineshaft::client::Client;
use lineshaft_wire::message::{Declared, JobGroup, OnFailure, RefusalCode, Rules, RunAfter, Unique};
use lineshaft_wire::task;

use crate::args::{Delivery, Handler, JobOptions, When};
use crate::context::Context;
use crate::exit::{Failure, USAGE};

/// Asks the server for each task once.
pub(super) struct Declarations {
    pub(super) client: Client,
    known: HashMap<String, Option<Declared>>,
}

impl Declarations {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    /// A job of `task` with arguments of this length.
    pub(super) fn group(
        &mut self,
        options: &JobOptions,
        task: &str,
        payload_bytes: usize,
        context: &mut Context,
    ) -> Result<JobGroup, Failure> {
        let length =
            u32::try_from(payload_bytes).map_err(|_| Failure::new(USAGE, "the arguments are too large"))?;
        let is_first = !self.known.contains_key(task);
        let declared = self.declared(task)?;
        if is_first && options.unique.is_none() && declared.as_ref().is_some_and(|it| it.is_unique) {
            context.output.warn(&format!(
                "{task} has a unique key that its program computes from the arguments: here it is --unique KEY"
            ));
        }
        let job = declared.map_or_else(|| undeclared(task), |declared| declared.job);
        Ok(JobGroup {
            task: task::versioned(task, job.version),
            queue: options.queue.as_deref().map_or_else(|| Arc::clone(&job.queue), Arc::from),
            priority: options.priority.unwrap_or(job.priority),
            rules: Arc::new(self.rules(options, &job.rules)?),
            run_after: options.run_after.map(When::ahead),
            expires: options.expires.map(When::ahead).or(job.expires_ms.map(RunAfter::In)),
            deadline: options.deadline.map(When::ahead).or(job.deadline_ms.map(RunAfter::In)),
            unique: unique(options, task),
            anew: false,
            idempotency_key: options.idempotency_key.as_deref().map(Arc::from),
            tags: match &*options.tags {
                [] => job.tags.clone(),
                tags => tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
            },
            metadata: options.metadata.as_deref().map(Arc::from),
            context: None,
            lengths: vec![length],
        })
    }

    fn rules(&mut self, options: &JobOptions, declared: &Rules) -> Result<Rules, Failure> {
        let first = options.retry_first.map_or(declared.backoff_first_ms, millis);
        let cap = options.retry_cap.map_or(declared.backoff_max_ms, millis);
        Ok(Rules {
            max_attempts: options.retries.map_or(declared.max_attempts, |retries| retries + 1),
            timeout_ms: options.timeout.map_or(declared.timeout_ms, |timeout| timeout.0.map(millis)),
            backoff_first_ms: first,
            // A later first wait alone moves the longest one.
            backoff_max_ms: cap.max(first),
            at_most_once: options.delivery.map_or(declared.at_most_once, |it| it == Delivery::AtMostOnce),
            keep_result: options.result.unwrap_or(declared.keep_result),
            on_failure: match &options.on_failure {
                None => declared.on_failure.clone(),
                Some(Handler(None)) => None,
                Some(Handler(Some(task))) => {
                    Some(self.declared(task)?.map_or_else(|| undeclared(task), |declared| declared.job))
                }
            },
            ..declared.clone()
        })
    }

    fn declared(&mut self, task: &str) -> Result<Option<Declared>, Failure> {
        if let Some(declared) = self.known.get(task) {
            return Ok(declared.clone());
        }
        let declared = or_unknown(self.client.describe(task, None).wait())?;
        self.known.insert(task.to_owned(), declared.clone());
        Ok(declared)
    }
}

/// A server of an earlier version, which does not know the question, is like one that knows nothing of the task.
fn or_unknown(answer: Result<Option<Declared>, Error>) -> Result<Option<Declared>, Failure> {
    match answer {
        Err(Error::Refused { code: RefusalCode::BadFrame, .. }) => Ok(None),
        answer => Ok(answer?),
    }
}

/// A job of which only the name of the task is known.
fn undeclared(task: &str) -> Arc<OnFailure> {
    Arc::new(OnFailure {
        task: task.into(),
        queue: "default".into(),
        priority: 5,
        expires_ms: None,
        deadline_ms: None,
        tags: Vec::new(),
        rules: Arc::default(),
        version: 1,
    })
}

/// A key counts for its task, as the keys do that Python computes from arguments.
fn unique(options: &JobOptions, task: &str) -> Option<Unique> {
    let key = options.unique.as_deref()?;
    Some(Unique {
        key: format!("{task}:{key}").into(),
        while_: options.unique_while.into(),
        period_ms: options.unique_period.map(millis),
    })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever went wrong was taken for a task that nobody declared, and remembered: a job with other options than its
    /// own.
    #[test]
    fn only_a_server_that_does_not_know_the_question_counts_as_ignorant() {
        let refused = |code| Err(Error::Refused { code, message: "no".to_owned(), hint: None });
        assert!(matches!(or_unknown(refused(RefusalCode::BadFrame)), Ok(None)));
        for code in [RefusalCode::Internal, RefusalCode::ShuttingDown] {
            assert!(or_unknown(refused(code)).is_err());
        }
    }
}
