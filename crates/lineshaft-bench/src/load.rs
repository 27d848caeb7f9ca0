//! Jobs by the thousand, from clients in Rust.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::Reply;
use lineshaft::client::{Client, NewJobs};
use lineshaft_wire::message::{JobGroup, Rules, RunAfter, Unique, UniqueWhile};
use lineshaft_wire::value::typed::CallWriter;
use tokio::task::JoinSet;

use crate::error::{Error, Result};

/// The task that does nothing.
pub(crate) const NOTHING: &str = "nothing";
/// What jobs of it get: a text of 100 bytes.
pub(crate) const TEXT: &str =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
/// Jobs of a request, where there are many.
pub(crate) const BATCH: usize = 1_000;
/// Requests that are under way at once, where there are many.
pub(crate) const UNDER_WAY: usize = 8;

/// What is enqueued: a task's jobs, all alike.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    group: JobGroup,
    argument: Bytes,
}

impl Jobs {
    /// Jobs of the task that does nothing, with a text of 100 bytes.
    pub(crate) fn nothing() -> Self {
        Self::of(NOTHING, TEXT)
    }

    /// Jobs of a task with one argument, with the rules that a declaration has which says nothing of them.
    pub(crate) fn of(task: &str, argument: &str) -> Self {
        let group = JobGroup::new(task, Vec::new());
        let mut call = CallWriter::new(1).expect("a call without arguments has no limit to meet");
        call.positional(None, argument).expect("a short text is a value");
        Self { group, argument: call.finish().expect("a short text is a value").into() }
    }

    /// The same in another queue.
    pub(crate) fn queue(mut self, queue: &str) -> Self {
        self.group.queue = queue.into();
        self
    }

    /// The same with a tag.
    pub(crate) fn tag(mut self, tag: &str) -> Self {
        self.group.tags.push(tag.into());
        self
    }

    /// The same with free text.
    pub(crate) fn metadata(mut self, text: &str) -> Self {
        self.group.metadata = Some(text.into());
        self
    }

    /// The same, run before those with a greater number: 1 to 9.
    pub(crate) fn priority(mut self, priority: u8) -> Self {
        self.group.priority = priority;
        self
    }

    /// The same, not to be run before so many milliseconds have passed.
    pub(crate) fn after_ms(mut self, delay_ms: u64) -> Self {
        self.group.run_after = Some(RunAfter::In(delay_ms));
        self
    }

    /// The same with a key that keeps others out while it is unfinished.
    pub(crate) fn unique(mut self, key: &str) -> Self {
        self.group.unique =
            Some(Unique { key: key.into(), while_: UniqueWhile::Unfinished, period_ms: None });
        self
    }

    /// The same with other rules.
    pub(crate) fn rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.group.rules));
        self
    }

    /// Sends one request for so many of each of these.
    pub(crate) fn send_together(parts: &[(Self, usize)], client: &Client) -> Reply<NewJobs> {
        let groups = parts.iter().map(|(jobs, count)| jobs.group_of(*count)).collect();
        let arguments = parts.iter().flat_map(|(jobs, count)| vec![jobs.argument.clone(); *count]).collect();
        client.enqueue(groups, arguments, None)
    }

    fn group_of(&self, count: usize) -> JobGroup {
        JobGroup { lengths: vec![self.argument.len() as u32; count], ..self.group.clone() }
    }

    /// Sends a request for so many.
    pub(crate) fn send(&self, client: &Client, count: usize) -> Reply<NewJobs> {
        client.enqueue(vec![self.group_of(count)], vec![self.argument.clone(); count], None)
    }

    /// Makes so many, in requests of a thousand of which several are under way.
    pub(crate) fn enqueue(&self, client: &Client, count: usize) -> Result<()> {
        let mut replies = VecDeque::new();
        let mut left = count;
        while left > 0 || !replies.is_empty() {
            while left > 0 && replies.len() < UNDER_WAY {
                let batch = left.min(BATCH);
                replies.push_back(self.send(client, batch));
                left -= batch;
            }
            if let Some(reply) = replies.pop_front() {
                reply.wait()?;
            }
        }
        Ok(())
    }

    /// Jobs a second of one producer that waits for each before it makes the next.
    pub(crate) fn one_by_one(&self, client: &Client, span: Duration) -> Result<f64> {
        let began = Instant::now();
        let mut made = 0;
        while began.elapsed() < span {
            self.send(client, 1).wait()?;
            made += 1;
        }
        Ok(f64::from(made) / began.elapsed().as_secs_f64())
    }

    /// Jobs a second with `count` requests of one job each in flight: each is followed by the next as soon as it is
    /// answered.
    pub(crate) fn in_flight(&self, client: &Client, count: usize, span: Duration) -> Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(Error::io("start a runtime for the producers"))?;
        runtime.block_on(async {
            let began = Instant::now();
            let mut producers = JoinSet::new();
            for _ in 0..count {
                let (jobs, client) = (self.clone(), client.clone());
                producers.spawn(async move {
                    let mut made = 0_u64;
                    while began.elapsed() < span {
                        jobs.send(&client, 1).await?;
                        made += 1;
                    }
                    Ok::<u64, lineshaft::Error>(made)
                });
            }
            let made: Result<Vec<u64>, _> = producers.join_all().await.into_iter().collect();
            Ok(made?.into_iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
        })
    }
}
