//! Workers in this process, on a real server.

use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lineshaft::task::{Error as TaskError, Result};
use lineshaft::value::{Record, Value};
use lineshaft::{Call, Client, Context, Error, JobState, Outcome, Worker};
use lineshaft_wire::schema::Schema;

use super::declared::{Thumb, resize};
use super::with_client;

/// Nothing here takes so long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);

static TRIES: AtomicU32 = AtomicU32::new(0);
static COMPUTED: AtomicU32 = AtomicU32::new(0);
static ASKED: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);
static SHIELDED: AtomicU32 = AtomicU32::new(0);

#[lineshaft::task(name = "add")]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[lineshaft::task(name = "priced", cache = "10m")]
fn priced(item: String, #[default = 1] count: u32) -> u32 {
    COMPUTED.fetch_add(1, Ordering::SeqCst);
    item.len() as u32 * count
}

#[lineshaft::task(name = "second_time", retries = 2)]
async fn second_time() -> Result<u32> {
    match TRIES.fetch_add(1, Ordering::SeqCst) {
        0 => Err(TaskError::retry_after(Duration::ZERO)),
        tries => {
            tokio::task::yield_now().await;
            Ok(tries)
        }
    }
}

fn noted(attempt: u32, _: &TaskError) -> Duration {
    ASKED.fetch_add(attempt, Ordering::SeqCst);
    Duration::ZERO
}

#[lineshaft::task(name = "gives_up", retries = 2, retry(after = noted))]
fn gives_up() -> Result<()> {
    Err(TaskError::new("no"))
}

#[lineshaft::task(name = "fails")]
async fn fails(how: String) -> Result<()> {
    tokio::task::yield_now().await;
    match how.as_str() {
        "panic" => panic!("went off"),
        "cancel" => Err(TaskError::cancel("not needed")),
        _ => Err(TaskError::new("no such page")),
    }
}

/// Counts bodies that were dropped before they returned.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

#[lineshaft::task(name = "sleeps", timeout = "200ms")]
async fn sleeps() {
    let _counted = Counted;
    tokio::time::sleep(PATIENCE * 2).await;
}

#[lineshaft::task(name = "reports")]
async fn reports(ctx: &Context) -> Result<()> {
    ctx.progress(&(1, "of 2"))?;
    tokio::time::sleep(PATIENCE * 2).await;
    Ok(())
}

#[lineshaft::task(name = "counts", retries = 5)]
async fn counts(ctx: &Context, to: u32) -> Result<(Option<u32>, u32)> {
    let start = ctx.resume_from::<u32>()?;
    for number in start.unwrap_or(0) + 1..=to {
        ctx.checkpoint(&number).await?;
        assert_eq!(ctx.resume_from::<u32>()?, Some(number));
        if number == 3 && ctx.attempt() == 1 {
            return Err(TaskError::retry_after(Duration::ZERO));
        }
    }
    Ok((start, ctx.attempt()))
}

#[lineshaft::task(name = "counts_blocking", retries = 5)]
fn counts_blocking(ctx: &Context) -> Result<Option<String>> {
    let start = ctx.resume_from::<String>()?;
    if start.is_none() {
        ctx.checkpoint("half").wait()?;
        return Err(TaskError::retry_after(Duration::ZERO));
    }
    Ok(start)
}

#[lineshaft::task(name = "leaves_too_much")]
async fn leaves_too_much(ctx: &Context) -> Result<()> {
    let noise: Vec<u64> = (0..10_000u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    ctx.checkpoint(&noise).await
}

#[lineshaft::task(name = "reads_another_type", retries = 1)]
async fn reads_another_type(ctx: &Context) -> Result<()> {
    if ctx.attempt() == 1 {
        ctx.checkpoint("no number").await?;
        return Err(TaskError::retry_after(Duration::ZERO));
    }
    ctx.resume_from::<u32>()?;
    Ok(())
}

#[lineshaft::task(name = "spins")]
fn spins(ctx: &Context) -> u8 {
    ctx.progress(&1).expect("a number encodes");
    while !ctx.is_cancelled() {
        std::thread::sleep(Duration::from_millis(5));
    }
    7
}

#[lineshaft::task(name = "once", delivery = "at_most_once")]
async fn once(ctx: &Context, milliseconds: u64) -> Result<u64> {
    ctx.progress(&milliseconds)?;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    Ok(milliseconds)
}

#[lineshaft::task(name = "speaks")]
async fn speaks(ctx: &Context, words: String) -> Result<()> {
    writeln!(ctx.output(), "first {words}")?;
    tokio::task::yield_now().await;
    // As a subscriber of tracing would, which has no context.
    writeln!(lineshaft::task::output(), "then {} of {}", ctx.attempt(), ctx.task())?;
    Ok(())
}

#[lineshaft::task(name = "speaks.blocking", aliases = ["speaks.old"])]
fn speaks_blocking() -> String {
    let context = Context::current().expect("a body runs");
    write!(context.output(), "from a thread").expect("it is kept");
    context.task().to_owned()
}

#[lineshaft::task(name = "names")]
fn names(thumb: Thumb) -> String {
    thumb.path
}

#[test]
fn a_worker_says_what_its_tasks_take_and_give() {
    with_client(|client| async move {
        let worker = Worker::new(&client).task(add::TASK).task(resize::TASK).task(speaks_blocking::TASK);
        let worker = worker.start().unwrap();
        let said = loop {
            let said = client.raw().schemas(None).await.unwrap();
            if !said.is_empty() {
                break said;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let schema = Schema::parse(&said[0].schema).unwrap();
        let shown = |name: &str| {
            let task = &schema.tasks[name];
            let parameters = task.parameters.iter().map(|it| format!("{}: {}", it.name, it.of));
            format!("({}) -> {}", parameters.collect::<Vec<_>>().join(", "), task.result)
        };
        assert_eq!(shown("add"), "(a: int, b: int) -> int");
        assert_eq!(shown("img.resize"), "(src: str, size: tuple[int, int]) -> Thumb");
        assert_eq!(
            (shown("speaks.blocking"), &schema.tasks["speaks.blocking"].aliases[..]),
            ("() -> str".into(), &["speaks.old".to_owned()][..])
        );
        worker.stop().await.unwrap();
    });
}

/// Is not to be stopped in the first of its two steps.
#[lineshaft::task(name = "commits")]
async fn commits(ctx: &Context) -> Result<()> {
    let shield = ctx.shield();
    ctx.progress("begun")?;
    ctx.cancelled().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    SHIELDED.fetch_add(1, Ordering::SeqCst);
    drop(shield);
    tokio::time::sleep(PATIENCE * 2).await;
    SHIELDED.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// Runs `test` beside a worker of all tasks here, then stops the worker.
fn with_worker<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    with_client(|client| async move {
        let worker = Worker::new(&client)
            .task(add::TASK)
            .task(priced::TASK)
            .task(resize::TASK)
            .task(second_time::TASK)
            .task(fails::TASK)
            .task(gives_up::TASK)
            .task(sleeps::TASK)
            .task(reports::TASK)
            .task(spins::TASK)
            .task(once::TASK)
            .task(counts::TASK)
            .task(counts_blocking::TASK)
            .task(leaves_too_much::TASK)
            .task(reads_another_type::TASK)
            .task(speaks::TASK)
            .task(speaks_blocking::TASK)
            .task(commits::TASK)
            .task(names::TASK);
        let working = worker.start().unwrap();
        tokio::time::timeout(PATIENCE, test(client)).await.expect("the test takes too long");
        tokio::time::timeout(PATIENCE, working.stop()).await.expect("the worker does not stop").unwrap();
    });
}

/// Waits until `check` gives something.
async fn until<T>(mut check: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_job_gives_what_its_task_returns() {
    with_worker(|client| async move {
        let job = client.enqueue(resize::call("a.png".into(), (64, 48))).await.unwrap();
        let thumb: Thumb = job.result().await.unwrap();
        assert_eq!((&*thumb.path, thumb.size), ("a.png@1", (64, 48)));
        let sums = client.enqueue_many((0..500).map(|number| add::call(number, 1))).await.unwrap();
        for (number, sum) in sums.iter().enumerate() {
            assert_eq!(sum.result().await.unwrap(), number as i64 + 1);
        }
        assert_eq!(client.enqueue(once::call(1)).await.unwrap().result().await.unwrap(), 1);
    });
}

#[test]
fn an_equal_call_is_answered_with_the_completed_job_until_that_is_let_go_of() {
    with_worker(|client| async move {
        let tea = || priced::call("tea".into(), 2);
        let first = client.enqueue(tea()).await.unwrap();
        assert_eq!(first.result().await.unwrap(), 6);
        let named = Call::<u32>::new("priced").keyword("item", "tea").keyword("count", &2);
        for call in [tea(), named.cache(Duration::from_secs(60))] {
            let again = client.enqueue(call).await.unwrap();
            assert_eq!((&again, again.existing(), again.state()), (&first, true, Some(JobState::Completed)));
        }
        let many = client.enqueue_many([priced::call("milk".into(), 1), tea()]).await.unwrap();
        assert_eq!((many[0].state(), many[1].state()), (None, Some(JobState::Completed)));
        assert_eq!((many[1].result().await.unwrap(), COMPUTED.load(Ordering::SeqCst) <= 2), (6, true));

        let anew = client.enqueue(tea().cache(None)).await.unwrap();
        assert_eq!((anew == first, anew.existing()), (false, false));
        assert_eq!(client.enqueue(tea()).await.unwrap(), anew);
        assert!(client.invalidate(tea()).await.unwrap());
        assert!(!client.invalidate(tea()).await.unwrap());
        assert_ne!(client.enqueue(tea()).await.unwrap(), anew);
        assert_eq!(client.clear_cache(&priced::TASK).await.unwrap(), 2);
        assert_eq!(client.clear_cache(&priced::TASK).await.unwrap(), 0);
    });
}

#[test]
fn an_error_is_tried_again_and_the_last_one_is_told() {
    with_worker(|client| async move {
        let job = client.enqueue(second_time::call()).await.unwrap();
        assert_eq!(job.result().await.unwrap(), 1);
        let outcomes: Vec<_> = job.attempts().await.unwrap().iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [Some(Outcome::Errored), Some(Outcome::Succeeded)]);

        let failed = client.enqueue(fails::call("page".into())).await.unwrap();
        let error = failed.result().await.unwrap_err();
        assert!(matches!(error, Error::TaskFailed(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("fails ({}) failed: lineshaft.task.Error: no such page", failed.id())
        );

        let panicked = client.enqueue(fails::call("panic".into())).await.unwrap();
        let error = panicked.result().await.unwrap_err();
        assert_eq!(error.to_string(), format!("fails ({}) failed: panic: went off", panicked.id()));

        let cancelled = client.enqueue(fails::call("cancel".into())).await.unwrap();
        let error = cancelled.result().await.unwrap_err();
        assert!(matches!(error, Error::TaskCancelled(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("fails ({}) was cancelled: not needed", cancelled.id()));
    });
}

/// The failure that turned out to be the last one was asked about too.
#[test]
fn nobody_is_asked_when_a_last_attempt_shall_be_tried_again() {
    with_worker(|client| async move {
        let job = client.enqueue(gives_up::call()).await.unwrap();
        job.wait().await.unwrap();
        assert_eq!((job.attempts().await.unwrap().len(), ASKED.load(Ordering::SeqCst)), (3, 1 + 2));
    });
}

#[test]
fn a_call_that_does_not_fit_is_discarded() {
    with_worker(|client| async move {
        let job = client.enqueue(lineshaft::Call::<i64>::new("add").arg(&1).retries(5)).await.unwrap();
        let error = job.result().await.unwrap_err().to_string();
        assert!(error.ends_with("lineshaft.value.Error: add() misses its argument `b`"), "{error}");
        assert_eq!(job.attempts().await.unwrap().len(), 1);
    });
}

/// It was discarded, though a newer worker may know the type.
#[test]
fn a_job_of_an_unknown_type_waits_for_a_worker_that_knows_it() {
    with_worker(|client| async move {
        let picture = Record { type_name: "img.Picture".into(), fields: Vec::new(), state: Vec::new() };
        let call = lineshaft::Call::<String>::new("names").arg(&Value::Record(Box::new(picture)));
        let job = client.enqueue(call.retries(0)).await.unwrap();
        until(async || {
            let waits_for = job.clone().refresh().await.unwrap().waits_for?;
            waits_for.contains("a worker that knows img.Picture").then_some(())
        })
        .await;
        let record = job.clone().refresh().await.unwrap();
        assert_eq!((record.state, record.attempt), (JobState::Available, 0));
    });
}

#[test]
fn a_body_that_takes_too_long_or_is_cancelled_is_dropped() {
    with_worker(|client| async move {
        let slow = client.enqueue(sleeps::call()).await.unwrap();
        let error = slow.result().await.unwrap_err();
        assert!(matches!(error, Error::TaskTimeout(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("sleeps ({}) ran longer than its timeout", slow.id()));
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1);

        let job = client.enqueue(reports::call()).await.unwrap();
        let progress = until(async || job.progress::<(u8, String)>().await.unwrap()).await;
        assert_eq!(progress, (1, "of 2".to_owned()));
        assert!(job.cancel().await.unwrap());
        assert!(matches!(job.result().await.unwrap_err(), Error::TaskCancelled(_)));
    });
}

#[test]
fn the_next_attempt_goes_on_from_the_checkpoint() {
    with_worker(|client| async move {
        let job = client.enqueue(counts::call(5)).await.unwrap();
        assert_eq!(job.result().await.unwrap(), (Some(3), 2));
        let job = client.enqueue(counts_blocking::call()).await.unwrap();
        assert_eq!(job.result().await.unwrap().as_deref(), Some("half"));
    });
    let context = Context::detached();
    assert_eq!(context.resume_from::<u32>().unwrap(), None);
    context.checkpoint(&7u32).wait().unwrap();
    assert_eq!(context.resume_from::<u32>().unwrap(), Some(7));
}

#[test]
fn a_checkpoint_that_does_not_fit_is_named() {
    with_worker(|client| async move {
        let job = client.enqueue(leaves_too_much::call()).await.unwrap();
        let Err(Error::TaskFailed(ended)) = job.result().await else { panic!("it succeeded") };
        let message = ended.error.map(|error| error.message).unwrap_or_default();
        assert!(
            message.starts_with("a checkpoint of ") && message.ends_with(" is above the limit of 65536"),
            "{message}"
        );
        let job = client.enqueue(reads_another_type::call()).await.unwrap();
        let Err(Error::TaskFailed(ended)) = job.result().await else { panic!("it succeeded") };
        let message = ended.error.map(|error| error.message).unwrap_or_default();
        assert!(message.starts_with("the checkpoint does not decode: "), "{message}");
        assert_eq!(ended.reason.as_deref(), Some("never_retried"));
    });
}

#[test]
fn what_a_body_writes_is_kept_with_its_attempt() {
    with_worker(|client| async move {
        let spoken = client.enqueue(speaks::call("words".into())).await.unwrap();
        let call = lineshaft::Call::<String>::new("speaks.old");
        let blocking = client.enqueue(call).await.unwrap();
        spoken.result().await.unwrap();
        assert_eq!(blocking.result().await.unwrap(), "speaks.blocking", "by its older name");
        assert_eq!(spoken.output().await.unwrap(), "first words\nthen 1 of speaks\n");
        assert_eq!(blocking.output().await.unwrap(), "from a thread");
    });
}

#[test]
fn a_shield_holds_until_it_is_dropped() {
    with_worker(|client| async move {
        let job = client.enqueue(commits::call()).await.unwrap();
        until(async || job.progress::<String>().await.unwrap()).await;
        job.cancel().await.unwrap();
        assert!(matches!(job.result().await.unwrap_err(), Error::TaskCancelled(_)));
        assert_eq!(SHIELDED.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_failure_tells_its_type_and_place() {
    with_worker(|client| async move {
        let error = client.enqueue(fails::call("panic".into())).await.unwrap().result().await.unwrap_err();
        assert!(error.is_a("panic") && !error.is_a("ValueError"));
        let place = format!("at {}:", file!());
        assert!(error.traceback().unwrap().starts_with(&place), "{:?}", error.traceback());
        let error = client.enqueue(fails::call("page".into())).await.unwrap().result().await.unwrap_err();
        assert_eq!(error.ended().unwrap().error.as_ref().unwrap().message, "no such page");
        assert!(error.traceback().unwrap().starts_with(&place), "{:?}", error.traceback());
    });
}

#[test]
fn a_body_that_blocks_is_told_to_stop() {
    with_worker(|client| async move {
        let job = client.enqueue(spins::call()).await.unwrap();
        until(async || job.progress::<u8>().await.unwrap()).await;
        assert!(job.cancel().await.unwrap());
        job.wait().await.unwrap();
    });
}

#[test]
fn a_worker_that_stops_lets_its_attempts_finish() {
    with_client(|client| async move {
        let job = client.enqueue(once::call(300)).await.unwrap();
        let started = async {
            // `running` would only say that it was leased.
            until(async || job.progress::<u64>().await.unwrap()).await;
        };
        let worker = Worker::new(&client).task(once::TASK).slots(4).name("draining");
        tokio::time::timeout(PATIENCE, worker.run_until(started)).await.unwrap().unwrap();
        assert_eq!(job.result().await.unwrap(), 300);
        assert!(job.attempts().await.unwrap()[0].worker.starts_with("draining"));
    });
}

/// What the worker says, record by record.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "lineshaft::face::worker"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let said = Arc::clone(&self.0);
        event.record(&mut |_: &tracing::field::Field, words: &dyn std::fmt::Debug| {
            said.lock().unwrap().push(format!("{words:?}"));
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// It waited without a word, while `lineshaft worker` says what for.
#[test]
fn a_worker_that_stops_says_what_it_waits_for() {
    let said = Said::default();
    // With one subscriber tracing asks that of the thread which comes to a line first, which may be another test's; with
    // two it asks all.
    let _second = tracing::Dispatch::new(Said::default());
    let _guard = tracing::subscriber::set_default(said.clone());
    with_client(|client| async move {
        let job = client.enqueue(spins::call()).await.unwrap();
        // `running` would only say that it was leased.
        let started = async {
            until(async || job.progress::<u8>().await.unwrap()).await;
        };
        let worker = Worker::new(&client).task(spins::TASK).grace(Duration::from_secs(8));
        tokio::time::timeout(PATIENCE, worker.run_until(started)).await.unwrap().unwrap();
    });
    let said = said.0.lock().unwrap();
    assert!(said[0].starts_with("the worker stops: 1 attempt may run on for up to "), "{said:?}");
    assert_eq!(said.last().unwrap(), "the worker stops: what still runs is asked to stop");
}

#[test]
fn after_the_grace_attempts_are_handed_back() {
    with_client(|client| async move {
        let job = client.enqueue(reports::call()).await.unwrap();
        let started = async {
            until(async || job.progress::<(u8, String)>().await.unwrap()).await;
        };
        let worker = Worker::new(&client).task(reports::TASK).grace(Duration::from_millis(50));
        tokio::time::timeout(PATIENCE, worker.run_until(started)).await.unwrap().unwrap();
        let record = until(async || {
            let record = job.clone().refresh().await.unwrap();
            (record.state != JobState::Running).then_some(record)
        })
        .await;
        assert_eq!((record.state, record.attempt), (JobState::Available, 0));
    });
}

#[test]
fn wrong_workers_are_refused() {
    with_client(|client| async move {
        let refused = async |worker: Worker| worker.run_until(async {}).await.unwrap_err().to_string();
        let none = refused(Worker::new(&client)).await;
        assert_eq!(none, "option `task`: none is not a task to run: Worker::new(&client).task(resize::TASK)");
        let twice = refused(Worker::new(&client).task(add::TASK).task(add::TASK)).await;
        assert_eq!(twice, "option `task`: two of the name add is not one task of each name");
        let slots = refused(Worker::new(&client).task(add::TASK).slots(0)).await;
        assert_eq!(slots, "option `slots`: 0 is not a number from 1 to 16,384");
    });
}
