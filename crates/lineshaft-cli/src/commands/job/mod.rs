//! `lineshaft job`: list, show, result, wait, output, cancel, retry, delete.

mod change;
mod list;
mod output;
mod result;
mod show;
mod wait;

use crate::args::Job;
use crate::context::Context;
use crate::exit::Failure;

pub(crate) use list::message;
pub(crate) use result::follow;

pub(crate) fn run(job: Job, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match job {
        Job::List(wanted) => list::run(&client, context, wanted),
        Job::Show { id } => show::run(&client, context, id),
        Job::Result { id, wait } => result::run(&client, context, id, wait),
        Job::Output { id, attempt, follow } => output::run(&client, context, id, attempt, follow),
        Job::Logs { id, attempt, follow } => super::logs::of_job(&client, context, id, attempt, follow),
        Job::Profile(wanted) => super::profile::of_job(&client, context, &wanted),
        Job::Wait { ids, timeout } => wait::run(&client, context, &ids, timeout),
        Job::Cancel(jobs) => change::run(&client, context, jobs, &change::CANCEL),
        Job::Retry(jobs) => change::run(&client, context, jobs, &change::RETRY),
        Job::Delete(jobs) => change::run(&client, context, jobs, &change::DELETE),
    }
}
