//! `lineshaft status`: the server of the home, its queues and its workers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use crate::args::Status;
use crate::context::{Context, answer};
use crate::exit::{Failure, UNREACHABLE};
use crate::{json, show};

/// Pause between two tries of `--wait`.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn run(status: &Status, context: &mut Context) -> Result<(), Failure> {
    let client = connect(context, status.wait.unwrap_or_default())?;
    let report = answer(client.status(None))?;
    if context.output.is_json() {
        return Ok(context.output.json(&json::of_status(&report))?);
    }
    for line in show::status(&report, crate::times::now_ms(), context.output.columns()) {
        context.output.line(line)?;
    }
    Ok(())
}

fn connect(context: &Context, patience: Duration) -> Result<Client, Failure> {
    let until = Instant::now() + patience;
    loop {
        match context.running_client() {
            Err(failure) if failure.code == UNREACHABLE && Instant::now() < until => sleep(PAUSE),
            result => return result,
        }
    }
}
