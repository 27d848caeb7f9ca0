//! Jobs in the order in which they end.

use std::collections::{HashMap, VecDeque};

use lineshaft_wire::JobId;
use serde::de::DeserializeOwned;

use super::outcome::result_of;
use super::{Client, Job};
use crate::{Error, JobEnd, Waiting};

/// Gives each of some jobs with its result, in the order in which they end. Made by [`Client::as_completed`].
#[derive(Debug)]
pub struct Completed<R> {
    client: Client,
    waiting: Waiting,
    jobs: HashMap<JobId, Job<R>>,
    ended: VecDeque<JobEnd>,
}

impl<R> Completed<R> {
    pub(super) fn new(client: &Client, jobs: impl IntoIterator<Item = Job<R>>) -> Self {
        let jobs: HashMap<JobId, Job<R>> = jobs.into_iter().map(|job| (job.id(), job)).collect();
        let ids: Vec<JobId> = jobs.keys().copied().collect();
        Self { client: client.clone(), waiting: client.raw().wait(&ids, true), jobs, ended: VecDeque::new() }
    }
}

impl<R: DeserializeOwned> Completed<R> {
    /// The next job that has ended, and its result or what stands for it; `None` when all have been given. An error in
    /// place of a job says that they can be followed no more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<(Job<R>, Result<R, Error>), Error>> {
        loop {
            while let Some(end) = self.ended.pop_front() {
                if let Some(job) = self.jobs.remove(&end.id()) {
                    return Some(Ok((job, result_of(&self.client, end))));
                }
            }
            match self.waiting.next().await? {
                Ok(ends) => self.ended.extend(ends),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
