//! `on_failure`, and jobs as arguments and results.

use std::time::Duration;

use lineshaft::task::{Error as TaskError, Handler, Result};
use lineshaft::value::Value;
use lineshaft::{Call, Client, Context, Error, Job, JobId, JobState, Worker};

use super::with_client;

/// Nothing here takes so long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);

#[lineshaft::task(name = "tell_owner", queue = "alarms", priority = 2, tags = ["red"], expires = "1h")]
async fn tell_owner(job: Job, #[default = 3] times: u8) -> Result<String> {
    let error = job.attempts().await?.pop().and_then(|attempt| attempt.error);
    Ok(format!("{} {times}", error.map_or_else(|| "no attempt".to_owned(), |error| error.message)))
}

/// Its own failure is handled by a task of another program.
#[lineshaft::task(name = "bill", on_failure = "alarms.bill")]
fn bill(job: JobId) -> Result<()> {
    Err(TaskError::discard(format!("cannot bill {job}")))
}

#[lineshaft::task(name = "report", on_failure = tell_owner)]
async fn report(month: u8) -> Result<u8> {
    tokio::task::yield_now().await;
    Err(TaskError::new(format!("no figures for month {month}")))
}

#[lineshaft::task(name = "bill", version = 2)]
async fn newer_bill(job: JobId) -> String {
    tokio::task::yield_now().await;
    job.to_string()
}

#[lineshaft::task(name = "first")]
async fn first() -> u8 {
    tokio::task::yield_now().await;
    1
}

/// Takes jobs, and gives one.
#[lineshaft::task(name = "last_of")]
async fn last_of(ctx: &Context, jobs: Vec<Job<u8>>) -> Result<Job<u8>> {
    ctx.progress(&jobs[0])?;
    for job in &jobs {
        assert_eq!(job.result().await?, 1);
    }
    jobs.last().cloned().ok_or_else(|| TaskError::new("there is none"))
}

fn with_worker<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    with_client(|client| async move {
        let worker = Worker::new(&client).task(tell_owner::TASK).task(bill::TASK).task(report::TASK);
        let working = worker.task(first::TASK).task(last_of::TASK).start().unwrap();
        tokio::time::timeout(PATIENCE, test(client)).await.expect("the test takes too long");
        working.stop().await.unwrap();
    });
}

/// The job that handles the failure of `job`, which has to be there when it has ended.
async fn handler_of<R>(client: &Client, job: &Job<R>) -> Option<JobId> {
    job.wait().await.unwrap();
    let id = job.clone().refresh().await.unwrap().handled_by?;
    assert_eq!(client.job::<()>(id).refresh().await.unwrap().failure_of, Some(job.id()));
    Some(id)
}

#[test]
fn the_handler_gets_the_job_that_gave_up() {
    with_worker(|client| async move {
        let failed = client.enqueue(report::call(13)).await.unwrap();
        let handler = client.job::<String>(handler_of(&client, &failed).await.unwrap());
        assert_eq!(handler.result().await.unwrap(), "no figures for month 13 3");
        let record = handler.clone().refresh().await.unwrap();
        assert_eq!((&*record.task, &*record.queue, record.priority), ("tell_owner", "alarms", 2));
        assert_eq!((record.tags, record.expires_at.is_some()), (vec!["red".into()], true));
    });
}

#[test]
fn a_call_names_another_handler_or_none() {
    with_worker(|client| async move {
        let unhandled = client.enqueue(report::call(1).on_failure(None)).await.unwrap();
        assert_eq!(handler_of(&client, &unhandled).await, None);

        let billed = client.enqueue(report::call(2).on_failure(bill::handler())).await.unwrap();
        let bill = client.job::<()>(handler_of(&client, &billed).await.unwrap());
        let error = bill.result().await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("cannot bill {}", billed.id())), "{error}");
        let elsewhere = handler_of(&client, &bill).await.expect("it has a handler of its own");
        let record = client.job::<()>(elsewhere).refresh().await.unwrap();
        let expected = ("alarms.bill", "default", JobState::Available);
        assert_eq!((&*record.task, &*record.queue, record.state), expected);

        let call = Call::<()>::new("report").arg(&3).on_failure(Handler::named("no name"));
        let error = client.enqueue(call).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { message, .. } if message.contains("\"no name\"")),
            "{error}"
        );
    });
}

/// It was made for version 1, so that a worker with an older one ran it.
#[test]
fn the_handler_is_for_workers_with_the_version_of_its_task() {
    with_worker(|client| async move {
        let failed = client.enqueue(report::call(4).on_failure(newer_bill::handler())).await.unwrap();
        let handler = client.job::<String>(handler_of(&client, &failed).await.unwrap());
        while handler
            .clone()
            .refresh()
            .await
            .unwrap()
            .waits_for
            .is_none_or(|what| !what.contains("no worker knows bill v2"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let newer = Worker::new(&client).task(newer_bill::TASK).start().unwrap();
        assert_eq!(handler.result().await.unwrap(), failed.id().to_string());
        newer.stop().await.unwrap();
    });
}

#[test]
fn jobs_are_arguments_and_results() {
    with_worker(|client| async move {
        let jobs = client.enqueue_many([first::call(), first::call()]).await.unwrap();
        let last = client.enqueue(last_of::call(jobs.clone())).await.unwrap();
        let given: Job<u8> = last.result().await.unwrap();
        assert_eq!(given, jobs[1]);
        assert_eq!(given.result().await.unwrap(), 1, "it is one of this client");
        let call = last.arguments().await.unwrap();
        let ids = jobs.iter().map(|job| Value::Job(job.id())).collect();
        assert_eq!(call.positional, [Value::List(ids)]);
    });
}

#[test]
fn a_job_is_read_where_there_is_a_client() {
    let payload = lineshaft::value::to_payload(&Value::Job(JobId::direct(1, 0, 7, 0))).unwrap();
    let error = lineshaft::value::from_payload::<Job>(&payload).unwrap_err().to_string();
    assert!(error.contains("elsewhere read a `JobId`"), "{error}");
    assert_eq!(lineshaft::value::from_payload::<JobId>(&payload).unwrap(), JobId::direct(1, 0, 7, 0));
}
