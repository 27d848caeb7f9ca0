//! What a shell may offer for names and ids: asked from the running server, quickly or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use lineshaft::client::Client;
use lineshaft::home::{Home, resolve};
use lineshaft::{ClientOptions, Target};
use lineshaft_wire::code::CODES;
use lineshaft_wire::message::List;
use lineshaft_wire::{JobState, task};

use crate::show;

/// Whoever presses Tab waits no longer than this.
const DEADLINE: Duration = Duration::from_millis(500);
/// Jobs that are offered, and looked at for names.
const JOBS: u32 = 200;

/// Names of queues.
pub(crate) fn queues() -> Vec<CompletionCandidate> {
    let names = client().and_then(|client| {
        let report = client.status(None).wait().ok()?;
        Some(report.queues.into_iter().map(|queue| queue.name.to_string()).collect())
    });
    candidates(names)
}

/// Names of tasks: those that workers know, and those of recent jobs.
pub(crate) fn tasks() -> Vec<CompletionCandidate> {
    candidates(client().map(|client| {
        let report = client.status(None).wait().unwrap_or_default();
        let known = report.workers.into_iter().flat_map(|worker| worker.tasks).chain(report.unknown_tasks);
        let page = client.list(recent(), None).wait();
        let used = page.into_iter().flat_map(|page| page.jobs).map(|job| job.task);
        known.chain(used).map(|task| task::name_of(&task).to_owned()).collect()
    }))
}

/// Ids of recent jobs, each with what it is.
pub(crate) fn jobs() -> Vec<CompletionCandidate> {
    let page = client().and_then(|client| client.list(recent(), None).wait().ok());
    let jobs = page.into_iter().flat_map(|page| page.jobs);
    jobs.map(|job| {
        CompletionCandidate::new(job.id.to_string())
            .help(Some(format!("{}, {}", job.task, show::state(&job)).into()))
    })
    .collect()
}

/// States of jobs.
pub(crate) fn states() -> Vec<CompletionCandidate> {
    JobState::ALL.into_iter().map(|state| CompletionCandidate::new(state.as_str())).collect()
}

/// Codes of errors, each with what it says.
pub(crate) fn codes() -> Vec<CompletionCandidate> {
    CODES
        .iter()
        .map(|(code, title)| CompletionCandidate::new(code.to_string()).help(Some((*title).into())))
        .collect()
}

/// Figures of a bench and groups of them.
pub(crate) fn figures() -> Vec<CompletionCandidate> {
    lineshaft_bench::names().into_iter().map(CompletionCandidate::new).collect()
}

fn recent() -> List {
    List { limit: JOBS, ..List::default() }
}

fn candidates(names: Option<BTreeSet<String>>) -> Vec<CompletionCandidate> {
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// A client of the server that runs for where the shell is; none is started.
fn client() -> Option<Client> {
    let home = resolve(None, None, &std::env::current_dir().ok()?).ok()?;
    let options = ClientOptions { deadline: DEADLINE, ..ClientOptions::reader() };
    Client::connect(Target::home(Home::new(home.path).path()), options).ok()
}
