//! `lineshaft job output`: what the attempts of a job printed, once or until the job has ended.
//!
//! The server has an attempt's output when the attempt has ended; until then it is on the worker's standard error.

use std::task::Poll;
use std::time::{Duration, Instant};

use lineshaft::Waiting;
use lineshaft::client::Client;
use lineshaft_wire::{AttemptRecord, JobId};
use serde_json::{Value as Json, json};

use super::result::{AWAY, LOOK, SAY_AFTER, is_away, say_what_is_missing};
use crate::context::{Context, answer};
use crate::exit::{Failure, NOT_FOUND};
use crate::output::Form;

/// Pause between two looks for attempts that have ended; the end of the job is told at once.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(super) fn run(
    client: &Client,
    context: &mut Context,
    id: JobId,
    attempt: Option<u32>,
    follow: bool,
) -> Result<(), Failure> {
    let mut reader = Reader { id, only: attempt, shown: 0, said_running: 0, documents: Vec::new() };
    let read = if follow { reader.follow(client, context) } else { reader.look(client, context) };
    read?;
    if let (Some(number), 0) = (attempt, reader.shown) {
        return Err(Failure::new(NOT_FOUND, format!("job {id} has no attempt {number}")));
    }
    if context.output.form == Form::Json {
        let document = json!({ "id": id.to_string(), "attempts": reader.documents });
        context.output.json(&document)?;
    }
    Ok(())
}

/// Until the job ends, or it is time to look for attempts that have.
fn pause(waiting: &mut Waiting) -> Result<(), Failure> {
    match waiting.next_timeout(LOOK_EVERY) {
        Poll::Ready(Some(Err(error))) => Err(error.into()),
        _ => Ok(()),
    }
}

struct Reader {
    id: JobId,
    only: Option<u32>,
    /// The newest attempt whose output was shown.
    shown: u32,
    /// The newest attempt that was said to run.
    said_running: u32,
    documents: Vec<Json>,
}

impl Reader {
    /// Shows the attempts as they are known now, those that run included.
    fn look(&mut self, client: &Client, context: &mut Context) -> Result<(), Failure> {
        for attempt in answer(client.show(self.id, None))?.record.attempts {
            self.show(&attempt, context)?;
        }
        Ok(())
    }

    /// Shows each attempt once it has ended, until the job has.
    fn follow(&mut self, client: &Client, context: &mut Context) -> Result<(), Failure> {
        let mut waiting = client.wait(&[self.id], false);
        let mut say_at = Some(Instant::now() + SAY_AFTER);
        let mut was_away = false;
        loop {
            let record = match client.show_aside(self.id, LOOK).wait() {
                Ok(shown) => shown.record,
                Err(error) if is_away(&error) => {
                    if !std::mem::replace(&mut was_away, true) {
                        context.output.say(AWAY);
                    }
                    pause(&mut waiting)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            was_away = false;
            for attempt in record.attempts.iter().filter(|attempt| attempt.outcome.is_some()) {
                self.show(attempt, context)?;
            }
            context.output.flush()?;
            if record.state.is_finished() || self.only.is_some_and(|only| only <= self.shown) {
                return Ok(());
            }
            self.say_what_runs(&record.attempts, context);
            if record.attempts.is_empty() && say_at.is_some_and(|at| Instant::now() >= at) {
                say_at = None;
                say_what_is_missing(client, context, self.id);
            }
            pause(&mut waiting)?;
        }
    }

    fn say_what_runs(&mut self, attempts: &[AttemptRecord], context: &mut Context) {
        let Some(last) = attempts.last().filter(|last| last.outcome.is_none()) else { return };
        if last.number > self.said_running {
            self.said_running = last.number;
            let words = "runs; the worker shows what it prints, here it comes when it ends";
            context.output.say(format!("attempt {} {words}", last.number));
        }
    }

    fn show(&mut self, attempt: &AttemptRecord, context: &mut Context) -> Result<(), Failure> {
        if attempt.number <= self.shown || self.only.is_some_and(|only| only != attempt.number) {
            return Ok(());
        }
        self.shown = attempt.number;
        let document =
            || json!({ "number": attempt.number, "output": String::from_utf8_lossy(&attempt.output) });
        match context.output.form {
            Form::Text => context.output.bytes(&attempt.output)?,
            Form::Lines => context.output.json(&document())?,
            Form::Json => self.documents.push(document()),
        }
        Ok(())
    }
}
