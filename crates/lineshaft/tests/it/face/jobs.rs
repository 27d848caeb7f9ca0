//! Jobs: handles, ends without a worker, and errors that can be told apart.

use std::time::Duration;

use lineshaft::{Call, Client, Error, JobId, JobState, Target};

use super::{block_on, with_client};

fn waiting() -> Call<u8> {
    Call::new("nobody.runs.this")
}

#[test]
fn a_cancelled_job_has_no_result() {
    with_client(|client| async move {
        let mut job = client.enqueue(waiting()).await.unwrap();
        assert!(job.cancel().await.unwrap());
        assert!(job.cancel().await.unwrap(), "it is cancelled");
        job.wait().await.unwrap();
        let error = job.result().await.unwrap_err();
        assert!(matches!(&error, Error::TaskCancelled(ended) if ended.id == job.id()), "{error:?}");
        assert_eq!(error.to_string(), format!("nobody.runs.this ({}) was cancelled", job.id()));
        job.refresh().await.unwrap();
        assert_eq!(job.state(), Some(JobState::Cancelled));
        assert!(job.attempts().await.unwrap().is_empty());
        assert_eq!(job.progress::<u8>().await.unwrap(), None);
    });
}

#[test]
fn retry_makes_a_new_job_of_a_finished_one_and_hurries_a_waiting_one() {
    with_client(|client| async move {
        let job = client.enqueue(waiting().run_after(Duration::from_secs(3_600))).await.unwrap();
        assert_eq!(job.retry().await.unwrap(), job);
        assert_eq!(job.clone().refresh().await.unwrap().state, JobState::Available);
        job.cancel().await.unwrap();
        let repeated = job.retry().await.unwrap();
        assert_ne!(repeated, job);
    });
}

#[test]
fn a_job_that_nobody_knows_is_told_by_every_verb() {
    with_client(|client| async move {
        let mut job = client.job::<u8>(JobId::direct(1, 0, 77, 0));
        let text = format!("no job has the id {}", job.id());
        for error in [
            job.result().await.unwrap_err(),
            job.wait().await.unwrap_err(),
            job.cancel().await.unwrap_err(),
            job.retry().await.unwrap_err(),
            job.refresh().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::JobNotFound { .. }), "{error:?}");
            assert_eq!(error.to_string(), text);
            assert!(error.hint().unwrap().starts_with("it was deleted"));
        }
    });
}

#[test]
fn a_wait_that_is_given_up_leaves_the_job_as_it_is() {
    with_client(|client| async move {
        let job = client.enqueue(waiting()).await.unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(50), job.result());
        assert!(wait.await.is_err());
        assert_eq!(job.clone().refresh().await.unwrap().state, JobState::Available);
    });
}

#[test]
fn jobs_are_given_in_the_order_in_which_they_end() {
    with_client(|client| async move {
        let jobs = client.enqueue_many((0..3).map(|_| waiting())).await.unwrap();
        let mut completed = client.as_completed(jobs.clone());
        for index in [1, 0, 2] {
            jobs[index].cancel().await.unwrap();
            let (job, result) = completed.next().await.unwrap().unwrap();
            assert_eq!(job, jobs[index]);
            assert!(matches!(result, Err(Error::TaskCancelled(_))));
        }
        assert!(completed.next().await.is_none());
    });
}

#[test]
fn a_home_that_nobody_serves_is_named() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let error = Client::connect(Target::home(&home)).await.unwrap_err();
        assert!(matches!(error, Error::NoServer { .. }), "{error:?}");
        assert!(error.to_string().contains(home.to_str().unwrap()), "{error}");
    });
}
