//! A caller that waits for each of its jobs while the others pass, and the disk beside it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::{Client, JobEnd};
use lineshaft_wire::value::typed::from_payload;

use super::{PATIENCE, Shared};
use crate::error::{Error, Result};
use crate::load::{Jobs, TEXT};
use crate::probe::Probe;
use crate::worker::{STAMP, now_us};

/// Between two jobs, and two writes of the probe.
const PACE: Duration = Duration::from_millis(20);

/// What was seen since the last look, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Until a job was durable.
    pub(super) enqueue_ms: Vec<f64>,
    /// From before it was sent until its body began.
    pub(super) start_ms: Vec<f64>,
    /// Durable writes without an engine.
    pub(super) probe_ms: Vec<f64>,
}

pub(super) fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a job, waits until it has ended, makes the next. Each has a unique key of its own.
pub(super) fn wait_for_each(client: &Client, shared: &Shared) -> Result<()> {
    let jobs = Jobs::of(STAMP, TEXT).priority(1);
    for number in 0_u64.. {
        if shared.stop.load(Relaxed) {
            break;
        }
        let (sent_us, began) = (now_us(), Instant::now());
        let made = jobs.clone().unique(&format!("probe-{number}")).send(client, 1).wait()?.ids;
        let enqueue_ms = began.elapsed().as_secs_f64() * 1e3;
        shared.made.fetch_add(made.len() as u64, Relaxed);
        let begun_us = match client.wait(&made, true).next_timeout(PATIENCE) {
            Poll::Ready(Some(Ok(ends))) => stamp(ends.first())?,
            Poll::Ready(Some(Err(error))) => return Err(error.into()),
            _ => return Err(Error::Wrong(format!("a job did not end in {} s", PATIENCE.as_secs()))),
        };
        {
            let mut window = lock(&shared.window);
            window.enqueue_ms.push(enqueue_ms);
            window.start_ms.push(begun_us.saturating_sub(sent_us) as f64 / 1e3);
        }
        sleep(PACE.saturating_sub(began.elapsed()));
    }
    Ok(())
}

/// Writes and syncs beside it.
pub(super) fn probe(mut probe: Probe, shared: &Shared) -> Result<()> {
    while !shared.stop.load(Relaxed) {
        let took = probe.paced(PACE, 1)?[0];
        lock(&shared.window).probe_ms.push(took.as_secs_f64() * 1e3);
    }
    Ok(())
}

fn stamp(end: Option<&JobEnd>) -> Result<u64> {
    match end {
        Some(JobEnd::Completed { result: Some(result), .. }) => {
            from_payload(result).map_err(|error| Error::Wrong(format!("a result is no time: {error}")))
        }
        end => Err(Error::Wrong(format!("a job that gives back its time ended as {end:?}"))),
    }
}
