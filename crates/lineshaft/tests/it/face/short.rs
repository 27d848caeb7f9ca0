//! Short bodies are run by whoever takes their jobs; what that must not cost.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lineshaft::{Client, Context, Error, JobState, Worker};
use tokio::sync::oneshot;

use super::{block_on, with_client};

/// Nothing here takes so long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Jobs of which some are taken as short ones, however busy the machine is.
const JOBS: usize = 200;
/// Longer than a lease lives without renewal.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(17);
/// Blocks for so long if it is run by the task of the runtime that is named then.
const BLOCKS_IN: &str = "block in ";

static IS_OVER: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicBool = AtomicBool::new(false);

struct Noted;

impl Drop for Noted {
    fn drop(&mut self) {
        DROPPED.store(true, Ordering::SeqCst);
    }
}

/// Gives the task of the runtime that it is run by: those that are run at once share that of the worker.
#[lineshaft::task(name = "short.turn")]
async fn turn(ctx: &Context, what: String) -> Option<String> {
    let by = tokio::task::try_id().map(|id| id.to_string());
    match &*what {
        "panic" => panic!("{by:?}"),
        "wait" => {
            let _noted = Noted;
            tokio::time::sleep(PATIENCE * 2).await;
        }
        "block" => thread::sleep(Duration::from_millis(100)),
        "block until asked" => until(|| ctx.is_cancelled()),
        "block until over" => until(|| IS_OVER.load(Ordering::SeqCst)),
        what if what.strip_prefix(BLOCKS_IN) == Some(name_of(by.as_ref())) => {
            thread::sleep(LONGER_THAN_A_LEASE);
        }
        _ => {}
    }
    by
}

/// What blocks a runtime's own thread is run by no task.
fn name_of(by: Option<&String>) -> &str {
    by.map_or("the runtime", |task| task)
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(2));
    }
}

/// What so many bodies that do nothing were run by.
async fn turns(client: &Client) -> Vec<Option<String>> {
    let jobs = client.enqueue_many((0..JOBS).map(|_| turn::call("nothing".into()))).await.unwrap();
    let mut by = Vec::new();
    for job in jobs {
        by.push(job.result().await.unwrap());
    }
    by
}

/// The worker's own task, once it runs bodies at once.
async fn learnt(client: &Client) -> Option<String> {
    loop {
        let turns = turns(client).await;
        let twice = |by: &Option<String>| turns.iter().filter(|other| *other == by).count() > 1;
        if let Some(worker) = turns.iter().find(|by| twice(by)) {
            return worker.clone();
        }
    }
}

fn with_worker<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    with_client(|client| async move {
        let working = Worker::new(&client).task(turn::TASK).start().unwrap();
        tokio::time::timeout(PATIENCE, test(client)).await.expect("the test takes too long");
        tokio::time::timeout(PATIENCE, working.stop()).await.expect("the worker does not stop").unwrap();
    });
}

#[test]
fn short_bodies_are_run_at_once_and_long_ones_get_tasks_until_they_are_short_again() {
    with_worker(|client| async move {
        let worker = learnt(&client).await;
        client.enqueue(turn::call("block".into())).await.unwrap().wait().await.unwrap();
        let next = client.enqueue(turn::call("nothing".into())).await.unwrap();
        assert_ne!(next.result().await.unwrap(), worker, "after a long one");
        assert_eq!(learnt(&client).await, worker);
    });
}

#[test]
fn a_panic_of_a_short_body_ends_its_attempt_alone() {
    with_worker(|client| async move {
        loop {
            let worker = learnt(&client).await;
            let error = client.enqueue(turn::call("panic".into()).retries(0)).await.unwrap();
            let error = error.result().await.unwrap_err();
            assert!(error.is_a("panic"), "{error}");
            if error.to_string().ends_with(&format!("panic: {worker:?}")) {
                break;
            }
        }
        assert_eq!(turns(&client).await.len(), JOBS);
    });
}

#[test]
fn a_body_that_waits_all_of_a_sudden_can_be_cancelled() {
    with_worker(|client| async move {
        learnt(&client).await;
        let job = client.enqueue(turn::call("wait".into())).await.unwrap();
        running(&job).await;
        // Its worker is not held up.
        assert_eq!(turns(&client).await.len(), JOBS);
        assert!(job.cancel().await.unwrap());
        assert!(matches!(job.result().await.unwrap_err(), Error::TaskCancelled(_)));
        assert!(DROPPED.load(Ordering::SeqCst));
    });
}

async fn running<R>(job: &lineshaft::Job<R>) {
    while job.clone().refresh().await.unwrap().state != JobState::Running {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A worker on a thread and a runtime of its own.
fn beside(client: &Client) -> (oneshot::Sender<()>, thread::JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(client).task(turn::TASK);
    let stopped = async { _ = stopped.await };
    (stop, thread::spawn(move || block_on(async { worker.run_until(stopped).await.unwrap() })))
}

#[test]
fn what_came_with_a_body_that_blocks_all_of_a_sudden_goes_to_others() {
    with_client(|client| async move {
        let (stop, one) = beside(&client);
        learnt(&client).await;
        // One request, so that all of them go to the one worker that there is.
        let calls = std::iter::once("block until over").chain(std::iter::repeat_n("nothing", JOBS));
        let jobs = client.enqueue_many(calls.map(|what| turn::call(what.into()))).await.unwrap();
        running(&jobs[0]).await;
        let (stop_other, other) = beside(&client);
        for job in &jobs[1..] {
            tokio::time::timeout(PATIENCE, job.result()).await.expect("the neighbours wait").unwrap();
        }
        assert_eq!(jobs[0].clone().refresh().await.unwrap().state, JobState::Running);
        IS_OVER.store(true, Ordering::SeqCst);
        jobs[0].result().await.unwrap();
        assert_eq!(jobs[0].attempts().await.unwrap().len(), 1);
        drop((stop, stop_other));
        [one, other].into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Whoever would pass the request on is what the body blocks.
#[test]
fn a_body_that_blocks_all_of_a_sudden_sees_that_it_is_cancelled() {
    with_client(|client| async move {
        let (stop, worker) = beside(&client);
        learnt(&client).await;
        let job = client.enqueue(turn::call("block until asked".into())).await.unwrap();
        running(&job).await;
        assert!(job.cancel().await.unwrap());
        tokio::time::timeout(PATIENCE, job.wait()).await.expect("it does not hear").unwrap();
        drop(stop);
        worker.join().unwrap();
    });
}

/// Its worker does nothing else meanwhile, and renews all the same.
#[test]
fn a_body_that_blocks_all_of_a_sudden_keeps_its_lease() {
    with_client(|client| async move {
        let (stop, one) = beside(&client);
        let (job, worker) = loop {
            let worker = learnt(&client).await;
            let what = format!("{BLOCKS_IN}{}", name_of(worker.as_ref()));
            let job = client.enqueue(turn::call(what)).await.unwrap();
            // It does not block where it got a task of its own, as on a busy machine.
            if tokio::time::timeout(LONGER_THAN_A_LEASE / 3, job.wait()).await.is_err() {
                break (job, worker);
            }
        };
        // It would get the job, were the lease lost.
        let (stop_other, other) = beside(&client);
        let by = tokio::time::timeout(PATIENCE, job.result()).await.expect("it is over").unwrap();
        assert_eq!(by, worker, "it was run at once");
        assert_eq!(job.attempts().await.unwrap().len(), 1);
        drop((stop, stop_other));
        [one, other].into_iter().for_each(|thread| thread.join().unwrap());
    });
}
