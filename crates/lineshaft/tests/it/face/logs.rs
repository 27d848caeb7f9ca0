//! What bodies of tasks log by `tracing` is kept with their jobs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lineshaft::log::handler::{Kept, Memory};
use lineshaft::log::{Filter, Gate, Handler, Level, Open, Options, Pipeline, Spec, tracing_layer};
use lineshaft::task::Result;
use lineshaft::{Client, Job, Worker};
use lineshaft_wire::LogRecord;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use super::with_client;

/// Nothing here takes so long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);

#[lineshaft::task(name = "logs.sends")]
async fn sends(to: String) {
    tokio::task::yield_now().await;
    tracing::debug!("nobody wants to know");
    let _span = tracing::info_span!("sending", to, task = "nightly").entered();
    tracing::warn!(target: "shop::mail", ms = 3, password = "sesame", "a slow one");
}

#[lineshaft::task(name = "logs.waits")]
async fn waits(number: u32) {
    for step in 0..3 {
        tokio::task::yield_now().await;
        tracing::info!(number, step, "here");
    }
}

/// Of the home of [`passes_on`].
static CLIENT: OnceLock<Client> = OnceLock::new();

#[lineshaft::task(name = "logs.passes_on")]
async fn passes_on(depth: u32) -> Result<Option<Job>> {
    tracing::info!("here");
    if depth == 0 {
        return Ok(None);
    }
    let client = CLIENT.get().expect("the test sets it");
    let next = client.enqueue(passes_on::call(depth - 1).context("depth", depth)).await?;
    Ok(Some(client.job(next.id())))
}

#[lineshaft::task(name = "logs.floods")]
async fn floods(bytes: usize) {
    tokio::task::yield_now().await;
    for _ in 0..30 {
        tracing::info!("{}", "x".repeat(bytes));
    }
}

/// What is logged in this thread from now on goes to a pipeline, and to what is given here.
fn listening() -> (Arc<Kept>, Arc<Pipeline>, DefaultGuard) {
    let kept = Kept::new(1_000, 16 << 20);
    let memory = kept.clone();
    let open: Open = Arc::new(move |_| Ok(Box::new(Memory(memory.clone())) as Box<dyn Handler>));
    let gate = Gate::new(Filter::at(Level::INFO), None);
    let (pipeline, _) = Pipeline::open(Options::new(gate, vec![Spec::new("memory", open)])).unwrap();
    pipeline.start().unwrap();
    let pipeline = Arc::new(pipeline);
    let subscriber = tracing_subscriber::registry().with(tracing_layer(Arc::clone(&pipeline)));
    (kept, pipeline, tracing::subscriber::set_default(subscriber))
}

async fn logs_of<R>(job: &Job<R>) -> Vec<LogRecord> {
    tokio::time::timeout(PATIENCE, job.wait()).await.expect("it ends").unwrap();
    job.logs().await.unwrap()
}

fn fields_of(record: &LogRecord) -> Vec<(&str, &str)> {
    record.fields.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn what_an_attempt_logs_is_there_when_its_end_is() {
    let (kept, pipeline, _guard) = listening();
    with_client(async |client| {
        let worker = Worker::new(&client).name("host:1").task(sends::TASK).start().unwrap();
        let job = client.enqueue(sends::call("ada".into())).await.unwrap();
        let logs = logs_of(&job).await;
        let [record] = &logs[..] else { panic!("{logs:?}") };
        assert_eq!((record.level, &*record.logger, &*record.message), (30, "shop.mail", "a slow one"));
        assert_eq!((record.job, record.attempt, &*record.task), (job.id(), 1, "logs.sends"));
        assert_eq!(&*record.worker, "host:1");
        let fields = [("to", "\"ada\""), ("spans", "[\"sending\"]"), ("ms", "3"), ("password", "\"***\"")];
        assert_eq!(fields_of(record), fields);
        assert!(record.place.as_ref().unwrap().file.ends_with("logs.rs"));
        pipeline.flush(Some(PATIENCE));
        let said = kept.records();
        let said = said.iter().find(|said| &*said.message == "a slow one").expect("it went to handlers too");
        assert_eq!(said.field("job"), Some(&job.id().to_string().into()));
        // That was there, and before it the one of the span.
        let tasks = said.fields.iter().filter(|(name, _)| **name == *"task").map(|(_, value)| value);
        assert_eq!(tasks.collect::<Vec<_>>(), [&"logs.sends".into()]);
        worker.stop().await.unwrap();
    });
}

#[test]
fn coroutines_do_not_mix_what_they_log() {
    let (_kept, _pipeline, _guard) = listening();
    with_client(async |client| {
        let worker = Worker::new(&client).task(waits::TASK).start().unwrap();
        let mut jobs = Vec::new();
        for number in 0..20 {
            jobs.push((number, client.enqueue(waits::call(number)).await.unwrap()));
        }
        for (number, job) in jobs {
            let logs = logs_of(&job).await;
            let numbers: Vec<_> = logs.iter().map(|record| fields_of(record)[0].1.to_owned()).collect();
            assert_eq!(numbers, [number.to_string(), number.to_string(), number.to_string()]);
        }
        worker.stop().await.unwrap();
    });
}

#[test]
fn a_context_goes_along_with_jobs_and_with_those_that_they_make() {
    let (_kept, _pipeline, _guard) = listening();
    with_client(async |client| {
        let worker = Worker::new(&client).task(passes_on::TASK).start().unwrap();
        CLIENT.set(client.clone()).expect("no other test does");
        let first = client.enqueue(passes_on::call(1).context("request", "r-17")).await.unwrap();
        let logs = logs_of(&first).await;
        assert_eq!(fields_of(&logs[0]), [("request", "\"r-17\"")]);
        let second = first.result().await.unwrap().expect("it made one");
        let logs = logs_of(&second).await;
        assert_eq!(fields_of(&logs[0]), [("depth", "1"), ("request", "\"r-17\"")]);
        worker.stop().await.unwrap();
    });
}

#[test]
fn the_beginning_of_too_much_is_kept() {
    let (_kept, _pipeline, _guard) = listening();
    with_client(async |client| {
        let worker = Worker::new(&client).task(floods::TASK).start().unwrap();
        // What was said behind a message that is too long itself was cut with it.
        for (bytes, count) in [(60_000, 18), (70_000, 15)] {
            let job = client.enqueue(floods::call(bytes)).await.unwrap();
            let logs = logs_of(&job).await;
            assert_eq!(logs.len(), count);
            assert!(logs[count - 1].message.ends_with("what follows is left out]"));
        }
        worker.stop().await.unwrap();
    });
}
