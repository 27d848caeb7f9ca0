//! How long a page of the history takes among five million archived jobs, asked for by two filters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft_wire::JobState;
use lineshaft_wire::message::{Filter, List, Page};

use super::{Group, drain::until_archived, queued};
use crate::bench::Bench;
use crate::error::Result;
use crate::load::{BATCH, Jobs, TEXT, UNDER_WAY};
use crate::programs::Worker;
use crate::worker::{FAILS, TASKS};

const PAGE: &str = "history_page_p99_ms";
const QUEUES: [&str; 4] = ["default", "images", "mail", "reports"];
const TENANTS: usize = 50;
/// Jobs that wait at most, so that the memory is not that of a long queue.
const QUEUED_MAX: u64 = 300_000;
/// Parts of a request whose jobs differ.
const KINDS: usize = 10;
/// Requests between two words about how far it is.
const LOOK_EVERY: usize = 1_000;
const LOOK: Duration = Duration::from_millis(5);
/// Jobs of a page that counts.
const LIMIT: u32 = 100;
/// Pages of each pair of filters from whose ends others go on.
const CURSORS_MAX: usize = 200;
/// Jobs of a page that is only read to get on.
const STRIDE: u32 = 1_000;
/// A step through cursors that meets all of them.
const PRIME: usize = 7_919;

pub(super) struct History;

impl Group for History {
    fn name(&self) -> &'static str {
        "history"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[PAGE]
    }

    fn room_bytes(&self, quick: bool) -> u64 {
        if quick { 1 << 30 } else { 4 << 30 }
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let server = bench.server(&[])?;
        let client = server.client()?;
        let workers = Worker::rust(bench, server.home(), &client)?;
        fill(bench, &client)?;
        workers.into_iter().for_each(Worker::stop);
        let cursors: Vec<Vec<Option<String>>> =
            filters().iter().map(|filter| cursors_of(&client, filter)).collect::<Result<_>>()?;
        for round in 1..=bench.scale.rounds {
            bench.round(self.name(), round, bench.scale.rounds);
            let pages = pages(&client, &cursors, bench.scale.pages, round)?;
            bench.add_percentile(PAGE, &pages, 0.99);
        }
        bench.put_away(server);
        Ok(())
    }
}

/// Runs jobs of four tasks in four queues for fifty tenants, about one in a hundred of which fails.
fn fill(bench: &mut Bench<'_>, client: &Client) -> Result<()> {
    let count = bench.scale.history_jobs;
    let mut replies = VecDeque::new();
    for request in 0..count / BATCH {
        let parts: Vec<(Jobs, usize)> =
            (0..KINDS).map(|number| (kind(request * KINDS + number), BATCH / KINDS)).collect();
        replies.push_back(Jobs::send_together(&parts, client));
        if replies.len() > UNDER_WAY
            && let Some(reply) = replies.pop_front()
        {
            reply.wait()?;
        }
        if (request + 1).is_multiple_of(LOOK_EVERY) {
            bench.tell(&format!("history: {} of {count} jobs made", (request + 1) * BATCH));
        }
        while request.is_multiple_of(20) && queued(client)? > QUEUED_MAX {
            sleep(LOOK);
        }
    }
    for reply in replies {
        reply.wait()?;
    }
    until_archived(client, count as u64)
}

/// The jobs of a part of a request: all alike, those of neighbouring parts differ.
fn kind(number: usize) -> Jobs {
    let argument = if number.is_multiple_of(101) { FAILS } else { TEXT };
    Jobs::of(TASKS[number % TASKS.len()], argument)
        .queue(QUEUES[number / 4 % QUEUES.len()])
        .tag(&tenant(number * 7 % TENANTS))
}

fn tenant(number: usize) -> String {
    format!("tenant-{number}")
}

/// Pairs of filters: those that nearly everything passes, and those that hardly anything does.
fn filters() -> Vec<Filter> {
    let queue = |name: &str| Filter { queue: Some(name.into()), ..Filter::default() };
    let task = |name: &str| Filter { task: Some(name.into()), ..Filter::default() };
    let tag = |number| Filter { tags: vec![Arc::from(tenant(number))], ..Filter::default() };
    let discarded = vec![JobState::Discarded];
    vec![
        Filter { states: vec![JobState::Completed], ..queue("mail") },
        Filter { states: discarded.clone(), ..queue("default") },
        Filter { states: discarded.clone(), ..task(TASKS[0]) },
        Filter { queue: Some("images".into()), ..task(TASKS[1]) },
        Filter { queue: Some("reports".into()), ..tag(3) },
        Filter { task: Some(TASKS[2].into()), ..tag(17) },
        Filter { states: discarded, ..tag(0) },
        Filter { queue: Some("mail".into()), ..tag(TENANTS) },
    ]
}

/// Where pages of a filter end, from the newest job to the oldest; the first page begins at none.
fn cursors_of(client: &Client, filter: &Filter) -> Result<Vec<Option<String>>> {
    let mut cursors = vec![None];
    while cursors.len() < CURSORS_MAX {
        let page = page(client, filter, cursors.last().cloned().flatten(), STRIDE)?;
        if page.cursor.is_none() {
            break;
        }
        cursors.push(page.cursor);
    }
    Ok(cursors)
}

/// How many milliseconds each of `count` pages took; filters in turn, each from one cursor after the other in an order
/// that is not theirs.
fn pages(client: &Client, cursors: &[Vec<Option<String>>], count: usize, round: usize) -> Result<Vec<f64>> {
    let filters = filters();
    (0..count)
        .map(|number| {
            let which = number % filters.len();
            let of_filter = &cursors[which];
            let cursor = of_filter[(number + round) * PRIME % of_filter.len()].clone();
            let began = Instant::now();
            page(client, &filters[which], cursor, LIMIT)?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn page(client: &Client, filter: &Filter, cursor: Option<String>, limit: u32) -> Result<Page> {
    Ok(client.list(List { filter: filter.clone(), cursor, limit }, None).wait()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_are_as_many_as_their_parts_allow() {
        let kinds: BTreeSet<String> = (0..10_000).map(|number| format!("{:?}", kind(number))).collect();
        assert!(kinds.len() > 400, "{}", kinds.len());
    }
}
