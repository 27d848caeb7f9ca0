//! Calls: what they say to the server, and what is wrong with them.

use std::time::{Duration, SystemTime};

use lineshaft::{Call, Error, JobState, Unique};

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
        let unique = || resize::call("a".into(), (1, 2)).unique(Unique::key("a"));
        let first = client.enqueue(unique()).await.unwrap();
        let second = client.enqueue(unique()).await.unwrap();
        assert_eq!((first == second, second.existing()), (true, true));
        let other_task = client.enqueue(Call::<()>::new("other").unique(Unique::key("a"))).await.unwrap();
        assert_ne!(first.id(), other_task.id());
        let keyed = || Call::<()>::new("other").idempotency_key("order-7");
        let jobs = client.enqueue_many([keyed(), Call::new("other"), keyed()]).await.unwrap();
        assert_eq!((jobs[0] == jobs[2], jobs[2].existing(), jobs[1].existing()), (true, true, false));
    });
}

#[test]
fn equal_arguments_make_a_call_unique_whoever_gives_them() {
    with_client(|client| async move {
        let call = |src: &str, side| resize::call(src.into(), (side, side));
        let first = client.enqueue(call("a", 1).unique(Unique::args())).await.unwrap();
        let again = client.enqueue(call("a", 1).unique(Unique::args())).await.unwrap();
        let other = client.enqueue(call("a", 2).unique(Unique::args())).await.unwrap();
        assert_eq!((first == again, first == other), (true, false));
        let by_name = Call::<()>::new("img.resize").keyword("size", &(1, 1)).keyword("src", "b");
        let by_src = client.enqueue(call("b", 9).unique(Unique::by(["src"]))).await.unwrap();
        assert_eq!(by_src.id(), client.enqueue(by_name.unique(Unique::by(["src"]))).await.unwrap().id());

        let refused = async |call: Call<()>| client.enqueue(call).await.unwrap_err().to_string();
        let unnamed = refused(Call::new("other").arg(&1).unique(Unique::args())).await;
        assert!(
            unnamed.starts_with("call of other: `unique`: the names of its arguments are not known"),
            "{unnamed}"
        );
        let unknown = refused(Call::new("other").keyword("id", &1).unique(Unique::by(["ID"]))).await;
        assert_eq!(unknown, "call of other: `unique`: the call has no argument `ID`; it has `id`");
    });
}

#[test]
fn what_does_not_go_together_with_a_cache_is_refused() {
    with_client(|client| async move {
        let refused = async |call: Call<()>| client.enqueue(call).await.unwrap_err().to_string();
        let call = || Call::<()>::new("other").cache(Duration::from_secs(60));
        let unique = refused(call().unique(Unique::args())).await;
        assert_eq!(unique, "call of other: `cache`: it keeps equal jobs out too: give no `unique`");
        assert_eq!(refused(call().keep_result(false)).await, "call of other: `cache`: no result is kept");
        let long = refused(call().cache(Duration::from_secs(86_401))).await;
        assert_eq!(long, "option `cache`: \"86401 s\" is not a time for which results are kept");
        assert!(client.enqueue(Call::<()>::new("other").cache(None)).await.is_ok(), "it has none anyway");
    });
}

#[test]
fn a_key_lasts_as_long_as_it_is_told_to() {
    with_client(|client| async move {
        let call = || resize::call("a".into(), (1, 2));
        let hour = || Unique::args().period(Duration::from_secs(3_600));
        let first = client.enqueue(call().unique(hour())).await.unwrap();
        first.cancel().await.unwrap();
        assert_eq!(client.enqueue(call().unique(hour())).await.unwrap(), first);
        let brief = || Call::<()>::new("brief").unique(Unique::args().while_queued());
        let ended = client.enqueue(brief()).await.unwrap();
        assert_eq!(client.enqueue(brief()).await.unwrap(), ended);
        ended.cancel().await.unwrap();
        assert_ne!(client.enqueue(brief()).await.unwrap(), ended);
    });
}

#[test]
fn what_a_call_says_about_time_and_retries_arrives() {
    with_client(|client| async move {
        let hour = Duration::from_secs(3_600);
        let call = resize::call("a".into(), (1, 2))
            .metadata("{\"order\": 7}")
            .expires_at(SystemTime::now() + hour)
            .deadline_at(SystemTime::now() + 2 * hour)
            .retry_on(["shop.Bounced"])
            .retry_never(["panic"])
            .backoff(Duration::from_secs(2), hour)
            .at_most_once(true)
            .keep_result(false);
        let record = client.enqueue(call).await.unwrap().refresh().await.unwrap();
        assert_eq!(record.metadata.as_deref(), Some("{\"order\": 7}"));
        let expected = record.created_at + 3_600_000;
        assert!(record.expires_at.unwrap().abs_diff(expected) < 60_000);
        assert!(record.deadline_at.unwrap().abs_diff(expected + 3_600_000) < 60_000);
        let wrong = Call::<()>::new("a").backoff(hour, Duration::from_secs(1));
        let error = client.enqueue(wrong).await.unwrap_err().to_string();
        assert_eq!(error, "option `backoff`: \"3600 s\" is not a first wait below the longest one");
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
