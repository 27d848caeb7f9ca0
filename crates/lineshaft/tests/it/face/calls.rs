//! Calls: what they say to the server, and what is wrong with them.

use std::time::{Duration, SystemTime};

use lineshaft::{Call, Error, JobState};

use super::declared::resize;
use super::with_client;

struct Refusing;

impl serde::Serialize for Refusing {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a socket is not a value"))
    }
}

#[test]
fn a_call_has_the_options_of_its_task() {
    with_client(|client| async move {
        let mut job = client.enqueue(resize::call("a.png".into(), (64, 48))).await.unwrap();
        assert_eq!((job.task(), job.state(), job.existing()), (Some("img.resize"), None, false));
        let record = job.refresh().await.unwrap();
        assert_eq!((&*record.task, &*record.queue), ("img.resize", "img"));
        assert_eq!((record.max_attempts, record.priority, record.state), (4, 5, JobState::Available));
        assert_eq!(job.state(), Some(JobState::Available));
        assert_eq!(job.arguments().await.unwrap().to_string(), "('a.png', (64, 48))");
    });
}

#[test]
fn options_of_a_call_override_those_of_its_task() {
    with_client(|client| async move {
        let call = resize::call("a".into(), (1, 2)).queue("other").priority(1).retries(0).tags(["x", "y"]);
        let call =
            call.run_after(Duration::from_secs(3_600)).timeout(None).expires(Duration::from_secs(9_000));
        let record = client.enqueue(call).await.unwrap().refresh().await.unwrap();
        assert_eq!((&*record.queue, record.priority, record.max_attempts), ("other", 1, 1));
        assert_eq!((record.state, record.tags.len()), (JobState::Scheduled, 2));
        let at =
            client.enqueue(resize::call("a".into(), (1, 2)).run_at(SystemTime::UNIX_EPOCH)).await.unwrap();
        assert_eq!(at.clone().refresh().await.unwrap().state, JobState::Available);
    });
}

#[test]
fn a_task_that_is_declared_elsewhere_is_called_by_name() {
    with_client(|client| async move {
        let job = client
            .enqueue(Call::<i64>::new("shop.add").arg(&2).arg("x").keyword("b", &(1, 2)))
            .await
            .unwrap();
        assert_eq!(job.arguments().await.unwrap().to_string(), "(2, 'x', b=(1, 2))");
    });
}

#[test]
fn keys_answer_with_the_job_that_is_there() {
    with_client(|client| async move {
        let unique = || resize::call("a".into(), (1, 2)).unique("a");
        let first = client.enqueue(unique()).await.unwrap();
        let second = client.enqueue(unique()).await.unwrap();
        assert_eq!((first == second, second.existing()), (true, true));
        let other_task = client.enqueue(Call::<()>::new("other").unique("a")).await.unwrap();
        assert_ne!(first.id(), other_task.id());
        let keyed = || Call::<()>::new("other").idempotency_key("order-7");
        let jobs = client.enqueue_many([keyed(), Call::new("other"), keyed()]).await.unwrap();
        assert_eq!((jobs[0] == jobs[2], jobs[2].existing(), jobs[1].existing()), (true, true, false));
    });
}

#[test]
fn many_calls_of_several_tasks_become_jobs_in_their_order() {
    with_client(|client| async move {
        let call =
            |number: u32| Call::<()>::new(if number.is_multiple_of(3) { "a" } else { "b" }).arg(&number);
        let jobs = client.enqueue_many((0..2_500).map(call)).await.unwrap();
        assert_eq!(jobs.len(), 2_500);
        for number in [0, 1, 999, 1_000, 2_499] {
            let arguments = jobs[number].arguments().await.unwrap();
            assert_eq!(arguments.to_string(), format!("({number})"));
            assert_eq!(jobs[number].task(), Some(if number.is_multiple_of(3) { "a" } else { "b" }));
        }
        assert!(client.enqueue_many(Vec::<Call<()>>::new()).await.unwrap().is_empty());
    });
}

#[test]
fn what_is_wrong_with_a_call_is_said_by_enqueue() {
    with_client(|client| async move {
        let refused = async |call: Call<()>| client.enqueue(call).await.unwrap_err().to_string();
        let call = || Call::<()>::new("shop.add");
        let text = refused(call().arg(&1).arg(&vec![Refusing])).await;
        assert_eq!(text, "call of shop.add: args[1][0]: a socket is not a value");
        let text = refused(call().keyword("b", &1).arg(&2)).await;
        assert_eq!(text, "call of shop.add: an argument by position follows one by name");
        assert_eq!(refused(call().priority(12)).await, "option `priority`: \"12\" is not a priority");
        assert_eq!(
            refused(call().retries(10_000)).await,
            "option `retries`: \"10000\" is not a number of retries"
        );
        let years = Duration::from_secs(400_000_000);
        assert_eq!(
            refused(call().run_after(years)).await,
            "option `run_after`: \"400000000 s\" is not within ten years"
        );
        let error = client.enqueue(Call::<()>::new("no name")).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    });
}
