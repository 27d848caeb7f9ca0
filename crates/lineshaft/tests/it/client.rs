//! What a client promises, against a real server.

use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::{ClientOptions, Error, JobEnd, Target};
use lineshaft_wire::message::{PayloadKind, QueueVerb, RefusalCode};
use lineshaft_wire::{JobId, JobState};

use crate::bench::{LONG, Proxy, Server, arguments, empty_home, enqueue, eventually, group, groups, jobs_of};

const SHORT: Duration = Duration::from_millis(200);
/// Long enough for a request to be sent, on a busy machine too.
const LATER: Duration = Duration::from_secs(2);

#[test]
fn every_verb_does_what_it_says() {
    let server = Server::start();
    let client = server.client();
    let id = enqueue(&client, "verbs");
    assert_eq!(client.show(id, None).wait().unwrap().record.state, JobState::Available);
    assert_eq!(&*client.fetch(id, PayloadKind::Arguments, None).wait().unwrap(), b"\x01\x90\x90\x90");

    client.change_queue("default", QueueVerb::Pause, None).wait().unwrap();
    let status = client.status(None).wait().unwrap();
    assert_eq!((&*status.queues[0].name, status.queues[0].paused), ("default", true));

    assert_eq!(client.cancel(id, None).wait().unwrap().state, Some(JobState::Cancelled));
    let repeated = client.retry(id, None).wait().unwrap().ids[0];
    assert_eq!(client.show(repeated, None).wait().unwrap().record.retry_of, Some(id));
    client.delete(id, None).wait().unwrap();
    let gone = client.show(id, None).wait().unwrap_err();
    assert!(matches!(gone, Error::Refused { code: RefusalCode::JobNotFound, .. }), "{gone}");
}

#[test]
fn a_reply_lost_on_the_wire_and_resent_gives_the_same_job() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    enqueue(&client, "before");

    proxy.mute(true);
    let reply = client.enqueue(vec![group("lost")], arguments(1), Some(LONG));
    let direct = server.client();
    eventually("the job is there", || jobs_of(&direct, "lost").len() == 1);
    proxy.cut();
    proxy.mute(false);

    let id = reply.wait().unwrap().ids[0];
    let jobs = jobs_of(&direct, "lost");
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn many_requests_through_many_cuts_make_each_job_once() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    let replies: Vec<_> =
        (0..300).map(|_| client.enqueue(vec![groups("cut", 3)], arguments(3), Some(LONG))).collect();
    let cutter = thread::spawn(move || {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(7));
            proxy.cut();
        }
        proxy
    });
    let mut ids: Vec<JobId> = replies.into_iter().flat_map(|reply| reply.wait().unwrap().ids).collect();
    let _proxy = cutter.join().unwrap();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 900);
    assert_eq!(jobs_of(&server.client(), "cut").len(), 900);
}

#[test]
fn a_deadline_after_sending_is_an_unknown_outcome_and_resending_finds_the_same_job() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    enqueue(&client, "before");

    proxy.mute(true);
    let outcome = client.enqueue(vec![group("late")], arguments(1), Some(LATER)).wait();
    let Err(Error::OutcomeUnknown(unknown)) = outcome else { panic!("{outcome:?}") };
    let text = unknown.to_string();
    assert_eq!(
        text,
        "Enqueue was sent, but not answered within 2 s: it may or may not have been carried out"
    );
    proxy.cut();
    proxy.mute(false);

    let first = unknown.resend(Some(LONG)).into_new_jobs().wait().unwrap().ids;
    let second = unknown.resend(Some(LONG)).into_new_jobs().wait().unwrap().ids;
    assert_eq!(first, second);
    let jobs = jobs_of(&server.client(), "late");
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), first);
}

#[test]
fn a_session_that_the_server_does_not_know_is_opened_anew_for_what_was_never_sent() {
    let (server, other) = (Server::start(), Server::start());
    let proxy = Proxy::before(&server);
    let _others = (server.client(), server.client());
    let client = proxy.client(ClientOptions::default());
    enqueue(&client, "before");
    proxy.lead_to(&other);
    proxy.cut();
    // A read goes over to the new connection; a change might have gone into the old one as it broke.
    client.status(Some(LONG)).wait().unwrap();
    enqueue(&client, "after");
    assert_eq!(jobs_of(&other.client(), "after").len(), 1);
}

#[test]
fn what_was_sent_into_a_forgotten_session_has_an_unknown_outcome() {
    let (server, other) = (Server::start(), Server::start());
    let proxy = Proxy::before(&server);
    let _others = (server.client(), server.client());
    let client = proxy.client(ClientOptions::default());
    enqueue(&client, "before");

    proxy.mute(true);
    let reply = client.enqueue(vec![group("sent")], arguments(1), Some(LONG));
    let direct = server.client();
    eventually("the job is there", || jobs_of(&direct, "sent").len() == 1);
    proxy.lead_to(&other);
    proxy.cut();
    proxy.mute(false);
    let outcome = reply.wait();
    let Err(Error::OutcomeUnknown(unknown)) = outcome else { panic!("{outcome:?}") };
    assert!(unknown.resend(None).wait().is_err(), "nobody knows it");
    assert!(jobs_of(&other.client(), "sent").is_empty(), "it was not carried out again");
}

#[test]
fn a_reader_opens_its_session_when_it_first_changes_something() {
    let server = Server::start();
    let client = Client::connect(Target::home(server.home()), ClientOptions::reader()).unwrap();
    assert_eq!(client.welcome().unwrap().session, None);
    let waiting = client.wait(&[enqueue(&client, "read")], false);
    assert!(client.welcome().unwrap().session.is_some());
    drop(waiting);
}

#[test]
fn more_requests_than_the_window_wait_for_room() {
    let server = Server::start();
    let client = server.client();
    let replies: Vec<_> =
        (0..3_000).map(|_| client.enqueue(vec![group("window")], arguments(1), Some(LONG))).collect();
    let mut ids: Vec<JobId> = replies.into_iter().map(|reply| reply.wait().unwrap().ids[0]).collect();
    assert!(ids.is_sorted_by_key(|id| id.created_ms()), "in the order of the calls");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3_000);
}

#[test]
fn waits_give_each_end_once_and_survive_a_lost_connection() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    let ids: Vec<JobId> = (0..3).map(|_| enqueue(&client, "waited")).collect();
    let unknown = JobId::direct(1, 0, 77, 7);
    let mut waiting = client.wait(&[ids[0], ids[1], ids[2], ids[0], unknown], true);

    let Poll::Ready(Some(Ok(ends))) = waiting.next_timeout(LONG) else { panic!() };
    assert_eq!(ends, [JobEnd::Missing { id: unknown }]);
    assert!(waiting.next_timeout(Duration::from_millis(20)).is_pending());

    proxy.cut();
    let direct = server.client();
    for id in &ids {
        direct.cancel(*id, None).wait().unwrap();
    }
    let mut ended = Vec::new();
    while let Poll::Ready(Some(ends)) = waiting.next_timeout(LONG) {
        ended.extend(ends.unwrap());
    }
    assert!(ended.iter().all(|end| matches!(end, JobEnd::Failed(job) if job.state == JobState::Cancelled)));
    let mut ended: Vec<JobId> = ended.iter().map(JobEnd::id).collect();
    ended.sort_unstable();
    assert_eq!(ended, ids);
    assert!(matches!(waiting.next_timeout(Duration::ZERO), Poll::Ready(None)));
}

#[test]
fn a_client_goes_on_after_the_server_was_restarted() {
    let mut server = Server::start();
    let client = server.client();
    let id = enqueue(&client, "first");
    let epoch = client.welcome().unwrap().epoch;
    server.restart();
    enqueue(&client, "second");
    assert!(client.welcome().unwrap().epoch > epoch);
    assert_eq!(client.show(id, None).wait().unwrap().record.state, JobState::Available);
}

/// Each of ten servers takes requests in whose answers are lost with it; the next one hears them again.
#[test]
fn requests_that_are_sent_again_over_ten_restarts_make_each_job_once() {
    let mut server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    enqueue(&client, "before");
    let mut ids = Vec::new();
    for restarts in 1..=10 {
        proxy.mute(true);
        let replies: Vec<_> =
            (0..20).map(|_| client.enqueue(vec![groups("again", 3)], arguments(3), Some(LONG))).collect();
        let direct = server.client();
        eventually("the server has them", || jobs_of(&direct, "again").len() == restarts * 60);
        drop(direct);
        server.restart();
        proxy.cut();
        proxy.mute(false);
        ids.extend(replies.into_iter().flat_map(|reply| reply.wait().unwrap().ids));
    }
    let mut made: Vec<JobId> = jobs_of(&server.client(), "again").iter().map(|job| job.id).collect();
    made.sort_unstable();
    ids.sort_unstable();
    assert_eq!((made.len(), made), (600, ids));
}

#[test]
fn without_a_server_connecting_fails_at_once_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let error = Client::connect(empty_home(directory.path()), ClientOptions::default()).unwrap_err();
    assert!(started.elapsed() < LONG);
    let home = directory.path().join("home");
    let expected = format!("no server answers for the home {}: there is no such home yet", home.display());
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("lineshaft serve"));
}

#[test]
fn a_request_waits_for_a_server_until_its_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::lazy(empty_home(directory.path()), ClientOptions::default()).unwrap();
    let started = Instant::now();
    let error = client.status(Some(SHORT)).wait().unwrap_err();
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    assert!((SHORT..LONG).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[test]
fn wrong_batches_are_refused_before_they_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::lazy(empty_home(directory.path()), ClientOptions::default()).unwrap();
    for (groups, payloads, expected) in [
        (vec![], vec![], "0 jobs in one request: 1 to 16384 are allowed"),
        (vec![groups("x", 20_000)], vec![], "20000 jobs in one request: 1 to 16384 are allowed"),
        (vec![group("x")], arguments(2), "the groups announce 4 bytes, the payloads have 8"),
    ] {
        assert_eq!(client.enqueue(groups, payloads, None).wait().unwrap_err().to_string(), expected);
    }
}

#[test]
fn replies_and_waits_can_be_awaited() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = ClientOptions::default();
        let client = Client::connect_async(Target::home(server.home()), options).await.unwrap();
        let id = client.enqueue(vec![group("async")], arguments(1), None).await.unwrap().ids[0];
        let mut waiting = client.wait(&[id], false);
        client.cancel(id, None).await.unwrap();
        assert_eq!(waiting.next().await.unwrap().unwrap()[0].id(), id);
        assert!(waiting.next().await.is_none());
    });
}

#[test]
fn a_server_that_stops_answers_whoever_asked_it_to() {
    let mut server = Server::start();
    let client = server.client();
    client.shutdown(false, Some(LONG)).wait().unwrap();
    eventually("nobody answers", || {
        Client::connect(Target::home(server.home()), ClientOptions::reader()).is_err()
    });
    server.forget();
}

#[test]
fn large_payloads_go_both_ways() {
    let server = Server::start();
    let client = server.client();
    let payload = bytes::Bytes::from((0..5 << 20).map(|byte| (byte % 251) as u8).collect::<Vec<u8>>());
    let mut large = group("large");
    large.lengths = vec![payload.len() as u32];
    let id = client.enqueue(vec![large], vec![payload.clone()], Some(LONG)).wait().unwrap().ids[0];
    assert!(client.fetch(id, PayloadKind::Arguments, Some(LONG)).wait().unwrap() == payload);
}
