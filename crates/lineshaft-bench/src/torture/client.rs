//! Clients: processes with many callers on one connection, each of which makes a few jobs, writes down what it was told of
//! them, and follows them to their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lineshaft::client::{Client, JobEnd};
use lineshaft::{ClientOptions, Target};
use lineshaft_wire::message::RefusalCode;
use lineshaft_wire::value::typed::from_payload;
use lineshaft_wire::{JobId, JobState};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::child::{TASKS, order};
use super::place::{Appender, Place};
use super::record::{Line, Token, Wish};
use super::verdict::CRASHES_MAX;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::worker::now_us;

/// Callers of a client.
const CALLERS: u32 = 8;
/// Jobs of a request, at most.
const BATCH_MAX: u64 = 8;
/// Before something is tried again that did not work.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts that a job fails at most before it completes, and those that it may fail.
const FAILS_MAX: u32 = 3;
const ATTEMPTS_MAX: u32 = 10;
const QUEUES: [&str; 3] = ["default", "mail", "images"];

/// A client: one connection and one session.
struct Caller {
    number: u32,
    client: Client,
    place: Place,
    /// What one caller at a time uses.
    own: Mutex<Own>,
}

struct Own {
    ledger: Appender,
    random: fastrand::Rng,
    made: u64,
}

/// A job that is to be made.
struct Wanted {
    token: Token,
    jobs: Jobs,
}

/// Is client `number` until nobody shall make jobs any more and all of its jobs have ended, those included that it had made when it
/// was killed.
pub fn be_client(home: &Path, number: u32, seed: u64) -> Result<(), Error> {
    let place = Place::new(home);
    let open = place.open_jobs(number)?;
    // Some clients are impatient: they learn that they do not know what became of a request.
    let deadline = if number.is_multiple_of(2) { Duration::from_secs(1) } else { Duration::from_secs(60) };
    let options = ClientOptions { deadline, ..ClientOptions::default() };
    let client = Client::lazy(Target::home(home), options)?;
    // Whoever was killed may have made jobs that nobody wrote down: none of them may be named again.
    let own = Own { ledger: place.ledger(number)?, random: fastrand::Rng::with_seed(seed), made: now_us() };
    let caller = Arc::new(Caller { number, client, place, own: Mutex::new(own) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(Error::io("start a runtime for a client"))?.block_on(async {
        let mut callers = JoinSet::new();
        callers.spawn(Arc::clone(&caller).take_over(open));
        (0..CALLERS).for_each(|_| drop(callers.spawn(Arc::clone(&caller).call())));
        while let Some(joined) = callers.join_next().await {
            joined.map_err(|_| Error::Wrong("a caller panicked".into()))??;
        }
        Ok(())
    })
}

impl Caller {
    async fn take_over(self: Arc<Self>, open: BTreeMap<JobId, Token>) -> Result<()> {
        self.follow(open).await
    }

    async fn call(self: Arc<Self>) -> Result<()> {
        while !self.place.is_over() {
            let wanted = self.want();
            let Some(made) = self.make(&wanted).await? else { continue };
            let tokens: BTreeMap<JobId, Token> =
                made.iter().copied().zip(wanted.iter().map(|it| it.token)).collect();
            self.write(tokens.iter().map(|(job, token)| Line::Acknowledged(*token, *job)))?;
            for (job, _) in tokens.iter().filter(|(_, token)| token.wish == Wish::Cancelled) {
                // Whatever comes of it: the job ends either way.
                let _ = self.client.cancel(*job, None).await;
            }
            self.follow(tokens).await?;
        }
        Ok(())
    }

    /// Makes jobs; `None` if nobody can say any more whether they were made.
    async fn make(&self, wanted: &[Wanted]) -> Result<Option<Vec<JobId>>> {
        let parts: Vec<(Jobs, usize)> = wanted.iter().map(|it| (it.jobs.clone(), 1)).collect();
        let mut reply = Jobs::send_together(&parts, &self.client);
        loop {
            match reply.await {
                Ok(made) => return Ok(Some(made.ids)),
                Err(lineshaft::Error::OutcomeUnknown(unknown)) => {
                    reply = unknown.resend(None).into_new_jobs();
                }
                Err(lineshaft::Error::Refused { code: RefusalCode::OutcomeUnknown, .. }) => return Ok(None),
                Err(error) if nothing_was_made(&error) => {
                    sleep(PAUSE).await;
                    // With the same tokens: if something was made after all, there are two of each.
                    reply = Jobs::send_together(&parts, &self.client);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until jobs have ended, and writes down how.
    async fn follow(&self, mut tokens: BTreeMap<JobId, Token>) -> Result<()> {
        while !tokens.is_empty() {
            let ids: Vec<JobId> = tokens.keys().copied().collect();
            let mut waiting = self.client.wait(&ids, true);
            while let Some(Ok(ends)) = waiting.next().await {
                let known: BTreeSet<JobId> = tokens.keys().copied().collect();
                let mut lines = Vec::new();
                for end in ends.iter().filter(|end| known.contains(&end.id())) {
                    let token = tokens.remove(&end.id());
                    lines.extend(lines_of(end, token));
                }
                self.write(lines)?;
            }
            if !tokens.is_empty() {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    fn write(&self, lines: impl IntoIterator<Item = Line>) -> Result<()> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).ledger.append(lines)
    }

    fn want(&self) -> Vec<Wanted> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let count = own.random.u64(1..=BATCH_MAX);
        (0..count)
            .map(|_| {
                own.made += 1;
                let wish = wish(&mut own.random);
                let token = Token { wish, client: self.number, number: own.made };
                Wanted { token, jobs: jobs(token, &mut own.random) }
            })
            .collect()
    }
}

fn wish(random: &mut fastrand::Rng) -> Wish {
    match random.u32(0..10) {
        0 => Wish::Once,
        1 => Wish::Cancelled,
        2 => Wish::Retries,
        _ => Wish::Completes,
    }
}

/// Most jobs are short, some take as long as a lease or have much to carry.
fn jobs(token: Token, random: &mut fastrand::Rng) -> Jobs {
    let takes_ms = match random.u32(0..100) {
        0 => random.u64(1_000..3_000),
        1..10 => random.u64(50..300),
        _ => random.u64(0..15),
    };
    let padding_bytes = match random.u32(0..1_000) {
        0 => 1_200_000,
        1..50 => 4_000,
        _ => 0,
    };
    let fails = if token.wish == Wish::Retries { random.u32(1..=FAILS_MAX) } else { 0 };
    let name = token.to_string();
    let order = order(&name, Duration::from_millis(takes_ms), fails, padding_bytes);
    let task = TASKS[usize::from(token.wish == Wish::Once)];
    let jobs = Jobs::of(task, &order).metadata(&name).queue(QUEUES[random.usize(0..QUEUES.len())]);
    let jobs = jobs.priority(random.u8(1..=9)).rules(|rules| {
        rules.at_most_once = token.wish == Wish::Once;
        rules.max_attempts = if token.wish == Wish::Retries { ATTEMPTS_MAX } else { 1 };
        rules.max_crashes = CRASHES_MAX;
        rules.backoff_first_ms = 20;
        rules.backoff_max_ms = 500;
    });
    if random.u32(0..20) == 0 { jobs.after_ms(random.u64(0..3_000)) } else { jobs }
}

fn lines_of(end: &JobEnd, token: Option<Token>) -> Vec<Line> {
    match end {
        JobEnd::Completed { id, result } => {
            let text = result.as_ref().and_then(|result| from_payload::<String>(result).ok());
            let wrong = text != token.map(|token| token.to_string());
            let wrong = wrong.then_some(Line::WrongResult(*id));
            std::iter::once(Line::Ended(*id, JobState::Completed)).chain(wrong).collect()
        }
        JobEnd::Failed(ended) => vec![Line::Ended(ended.id, ended.state)],
        JobEnd::Missing { id } => vec![Line::Missing(*id)],
    }
}

/// Whether an error says that the request changed nothing.
fn nothing_was_made(error: &lineshaft::Error) -> bool {
    use lineshaft::Error;
    match error {
        Error::NoServer { .. } | Error::Timeout { .. } | Error::Io { .. } => true,
        Error::Refused { code, .. } => {
            matches!(code, RefusalCode::QueueFull | RefusalCode::StoreFull | RefusalCode::ShuttingDown)
        }
        _ => false,
    }
}
