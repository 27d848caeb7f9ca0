//! Callers that wait do the client's input and output themselves. Nobody may notice, whoever else is waiting.

use std::task::Poll;
use std::thread;
use std::time::Duration;

use lineshaft::ClientOptions;
use lineshaft::client::Client;
use lineshaft_wire::JobId;

use crate::bench::{LONG, Proxy, Server, arguments, enqueue, eventually, group, jobs_of};

const SHORT: Duration = Duration::from_millis(50);

/// Has the I/O thread give way: the next one that waits drives.
fn alone(client: &Client) -> JobId {
    for _ in 0..3 {
        enqueue(client, "before");
    }
    enqueue(client, "before")
}

#[test]
fn threads_that_wait_at_once_each_get_their_own_answer() {
    let server = Server::start();
    let client = server.client();
    alone(&client);
    let ids: Vec<JobId> = thread::scope(|scope| {
        let ask = |task: &'static str| {
            let client = &client;
            move || {
                (0..200)
                    .map(|_| {
                        let id = enqueue(client, task);
                        assert_eq!(&*client.show(id, Some(LONG)).wait().unwrap().record.task, task);
                        id
                    })
                    .collect::<Vec<_>>()
            }
        };
        let threads = ["a", "b", "c"].map(|task| scope.spawn(ask(task)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn who_stops_waiting_leaves_the_answer_of_another_to_come() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    alone(&client);
    proxy.mute(true);
    let mut impatient = client.enqueue(vec![group("impatient")], arguments(1), Some(LONG));
    thread::scope(|scope| {
        let first = scope.spawn(|| impatient.wait_timeout(SHORT).is_none());
        let second = scope.spawn(|| client.enqueue(vec![group("patient")], arguments(1), Some(LONG)).wait());
        assert!(first.join().unwrap(), "nothing came");
        let direct = server.client();
        eventually("both are there", || jobs_of(&direct, "patient").len() == 1);
        proxy.cut();
        proxy.mute(false);
        let id = second.join().unwrap().unwrap().ids[0];
        assert_eq!(jobs_of(&direct, "patient").iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    });
    assert_eq!(jobs_of(&server.client(), "impatient").len(), 1);
    assert!(impatient.wait_timeout(LONG).unwrap().is_ok(), "its answer came while nobody asked");
}

#[test]
fn ends_of_jobs_come_to_whoever_follows_them_while_another_waits() {
    let server = Server::start();
    let client = server.client();
    let (first, second) = (alone(&client), alone(&client));
    let direct = server.client();
    thread::scope(|scope| {
        let follow = |id: JobId| {
            let client = &client;
            scope.spawn(move || match client.wait(&[id], false).next_timeout(LONG) {
                Poll::Ready(Some(Ok(ends))) => ends[0].id(),
                other => panic!("{other:?}"),
            })
        };
        let (one, two) = (follow(first), follow(second));
        thread::sleep(SHORT);
        direct.cancel(second, Some(LONG)).wait().unwrap();
        assert_eq!(two.join().unwrap(), second);
        direct.cancel(first, Some(LONG)).wait().unwrap();
        assert_eq!(one.join().unwrap(), first);
    });
}

#[test]
fn a_callback_is_called_though_nobody_waits() {
    let server = Server::start();
    let client = server.client();
    alone(&client);
    let (sender, called) = std::sync::mpsc::channel();
    let reply = client.enqueue(vec![group("called")], arguments(1), Some(LONG));
    reply.on_ready(move || sender.send(()).unwrap());
    called.recv_timeout(LONG).unwrap();
    assert!(reply.is_ready());
}

#[test]
fn what_is_asked_for_is_sent_though_nobody_waits() {
    let server = Server::start();
    let client = server.client();
    let direct = server.client();
    alone(&client);
    let reply = client.enqueue(vec![group("held")], arguments(1), Some(LONG));
    eventually("the job is there", || jobs_of(&direct, "held").len() == 1);
    eventually("and answered", || reply.is_ready());
}

#[test]
fn who_waits_comes_back_to_the_server_after_a_lost_connection() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    let direct = server.client();
    for round in 1..=5 {
        alone(&client);
        proxy.mute(true);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| enqueue(&client, "cut"));
            eventually("the job is there", || jobs_of(&direct, "cut").len() == round);
            proxy.cut();
            proxy.mute(false);
            let id = waiting.join().unwrap();
            assert!(jobs_of(&direct, "cut").iter().any(|job| job.id == id));
        });
    }
    assert_eq!(jobs_of(&direct, "cut").len(), 5);
}

/// The caller's deadline is kept by itself where the server says nothing.
#[test]
fn a_deadline_passes_while_its_caller_waits() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let client = proxy.client(ClientOptions::default());
    let id = alone(&client);
    proxy.mute(true);
    let error = client.show(id, Some(SHORT)).wait().unwrap_err();
    assert!(matches!(error, lineshaft::Error::Timeout { .. }), "{error}");
    proxy.mute(false);
}

#[test]
fn a_caller_within_a_runtime_may_block() {
    let server = Server::start();
    let client = server.client();
    alone(&client);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let id = runtime.block_on(async { enqueue(&client, "within") });
    assert_eq!(jobs_of(&client, "within")[0].id, id);
}
