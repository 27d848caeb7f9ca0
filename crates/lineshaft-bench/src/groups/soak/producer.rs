//! Makes the jobs of a soak, and looks after one of each request until it has ended.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::thread::sleep;
use std::time::Duration;

use lineshaft::Reply;
use lineshaft::client::{Client, JobEnd, NewJobs, Waiting};

use super::mix::Mix;
use super::{PATIENCE, Shared, unfinished};
use crate::error::{Error, Result};
use crate::load::{BATCH, Jobs, UNDER_WAY};
use crate::server::Server;

/// Jobs that wait at most, those for later not counted: enough to keep the workers busy.
const QUEUED_MAX: u64 = 100_000;
/// Requests after which it looks how many wait.
const LOOK_EVERY: u64 = 20;
/// Each look lists the files of the home.
const PAUSE: Duration = Duration::from_millis(20);
/// Jobs that are looked after at once.
const FOLLOWED_MAX: usize = 1_000;

pub(super) struct Producer<'a> {
    client: &'a Client,
    mix: Mix,
    shared: &'a Shared,
    replies: VecDeque<Reply<NewJobs>>,
    followed: VecDeque<Waiting>,
}

impl<'a> Producer<'a> {
    pub(super) fn new(client: &'a Client, mix: Mix, shared: &'a Shared) -> Self {
        Self { client, mix, shared, replies: VecDeque::new(), followed: VecDeque::new() }
    }

    /// Makes `jobs`, in whole requests, unless it is stopped before.
    pub(super) fn run(mut self, jobs: u64) -> Result<()> {
        for number in 0..jobs.div_ceil(BATCH as u64) {
            if self.is_stopped() {
                break;
            }
            self.replies.push_back(Jobs::send_together(&self.mix.request(number), self.client));
            self.answered(UNDER_WAY)?;
            if number.is_multiple_of(LOOK_EVERY) {
                self.hold_back()?;
            }
        }
        self.answered(0)?;
        while !self.followed.is_empty() && !self.is_stopped() {
            self.look_after_one()?;
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    /// Takes answers until so few are outstanding.
    fn answered(&mut self, outstanding: usize) -> Result<()> {
        while self.replies.len() > outstanding
            && let Some(reply) = self.replies.pop_front()
        {
            let made = reply.wait()?.ids;
            self.shared.made.fetch_add(made.len() as u64, Relaxed);
            let last = made.last().copied().ok_or_else(|| Error::Wrong("a request made no jobs".into()))?;
            self.followed.push_back(self.client.wait(&[last], true));
            if self.followed.len() > FOLLOWED_MAX {
                self.look_after_one()?;
            }
        }
        Ok(())
    }

    /// Waits until the oldest job that is looked after has ended as it should.
    fn look_after_one(&mut self) -> Result<()> {
        let Some(mut waiting) = self.followed.pop_front() else { return Ok(()) };
        match waiting.next_timeout(PATIENCE) {
            Poll::Ready(Some(Ok(ends))) => match ends.first() {
                Some(JobEnd::Completed { result: Some(result), .. }) if result.len() > BATCH => Ok(()),
                end => Err(Error::Wrong(format!("a job that gives back its text ended as {end:?}"))),
            },
            Poll::Ready(Some(Err(error))) => Err(error.into()),
            _ => Err(Error::Wrong(format!("a job did not end in {} s", PATIENCE.as_secs()))),
        }
    }

    fn hold_back(&self) -> Result<()> {
        loop {
            let status = Server::status(self.client)?;
            let late: u64 = status.queues.iter().map(|queue| queue.scheduled).sum();
            if unfinished(&status) - late <= QUEUED_MAX || self.is_stopped() {
                return Ok(());
            }
            sleep(PAUSE);
        }
    }
}
