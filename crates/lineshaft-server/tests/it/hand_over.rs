//! An older server on demand and a newer client, frame by frame.

use lineshaft_server::ServeOptions;
use lineshaft_wire::message::{Credit, Hello, Message, RefusalCode, Show};

use crate::support::{Client, PATIENCE, TestServer, attach_child, hello};

/// A server of an older version, started on demand.
fn older(change: impl FnOnce(&mut ServeOptions)) -> TestServer {
    TestServer::start_with(|options| {
        options.on_demand = true;
        options.version = "0.0.9".into();
        options.idle_exit = PATIENCE * 10;
        change(options);
    })
}

/// What a client of version 0.1.0 says that could start a server.
fn newer() -> Hello {
    Hello { hand_over: true, ..hello() }
}

/// How the server takes it: welcome, or a refusal.
fn greet(server: &TestServer, hello: Hello) -> Result<Client, RefusalCode> {
    let mut client = server.connect();
    client.send(1, hello, b"");
    match client.receive().expect("an answer").0 {
        Message::Welcome(_) => Ok(client),
        Message::Refused(refused) => Err(refused.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_one_ends_and_keeps_what_it_acknowledged() {
    let mut server = older(|_| ());
    let home = server.home().to_owned();
    let job = server.client().enqueue(b"kept");
    assert_eq!(greet_when_idle(&server, newer()), RefusalCode::ShuttingDown);
    server.ended().unwrap();
    assert!(!home.join("run/address").exists());
    let next = TestServer::start_in(&home, |_| ());
    let (message, _) = next.client().call(2, Show { job }, b"");
    assert!(matches!(message, Message::Shown(_)), "{message:?}");
}

/// Greets until the server has noticed that the connections before have gone.
fn greet_when_idle(server: &TestServer, hello: Hello) -> RefusalCode {
    loop {
        if let Err(code) = greet(server, hello.clone()) {
            return code;
        }
    }
}

#[test]
fn one_with_another_connection_welcomes_the_newer_client() {
    let mut server = older(|_| ());
    let mut other = server.client();
    let welcomed = greet(&server, newer()).unwrap();
    other.ping();
    drop((welcomed, other));
    assert_eq!(greet_when_idle(&server, newer()), RefusalCode::ShuttingDown);
    server.ended().unwrap();
}

/// Each was welcomed while somebody else used the server, and then counted as use for the other.
#[test]
fn newer_clients_that_only_asked_do_not_keep_each_other() {
    let mut server = older(|_| ());
    let mut other = server.client();
    let mut welcomed: Vec<Client> = (0..2).map(|_| greet(&server, newer()).unwrap()).collect();
    other.ping();
    welcomed[0].ping();
    drop(other);
    for _ in 0..20 {
        greet(&server, newer()).expect("one of them has used it since");
    }
    welcomed.remove(0);
    assert_eq!(greet_when_idle(&server, newer()), RefusalCode::ShuttingDown);
    assert_eq!(welcomed[0].closing_refusal().code, RefusalCode::ShuttingDown);
    server.ended().unwrap();
}

/// It may be handed over to no server at all: the newer one need not speak its protocol.
#[test]
fn a_client_of_the_server_s_own_version_keeps_it_though_it_asked_too() {
    let server = older(|_| ());
    let _same = greet(&server, Hello { version: "0.0.9".into(), ..newer() }).unwrap();
    for _ in 0..20 {
        greet(&server, newer()).unwrap();
    }
}

#[test]
fn a_connection_that_has_not_greeted_keeps_nobody() {
    let mut server = older(|_| ());
    let _silent = server.connect();
    assert_eq!(greet(&server, newer()).err(), Some(RefusalCode::ShuttingDown));
    server.ended().unwrap();
}

#[test]
fn one_whose_job_runs_stays_though_its_worker_is_not_connected() {
    let server = older(|_| ());
    let mut child = server.client();
    child.enqueue(b"running");
    child.call(2, attach_child(), b"");
    child.send(0, Credit { leases: 1, reset: false }, b"");
    assert!(matches!(child.receive().unwrap().0, Message::Leases(_)));
    drop(child);
    // Its lease lives on for 15 s.
    for _ in 0..20 {
        greet(&server, newer()).unwrap();
    }
}

#[test]
fn one_started_by_hand_is_never_replaced() {
    let server = older(|options| options.on_demand = false);
    greet(&server, newer()).unwrap().ping();
}

#[test]
fn one_of_the_same_or_a_newer_version_is_never_replaced() {
    for version in ["0.1.0", "0.1.1", "0.10.0", "not a version"] {
        let server = older(|options| options.version = version.into());
        greet(&server, newer()).unwrap().ping();
    }
}

#[test]
fn a_client_that_does_not_ask_is_welcome() {
    let server = older(|_| ());
    greet(&server, Hello { version: "9.0.0".into(), ..hello() }).unwrap().ping();
}

#[test]
fn without_a_common_protocol_an_idle_one_ends_and_a_busy_one_says_what_to_do() {
    let mut server = older(|_| ());
    let stranger = Hello { protocol: (2, 2), version: "2.0.0".into(), ..newer() };
    let mut other = server.client();
    let mut client = server.connect();
    client.send(1, stranger.clone(), b"");
    let refused = client.closing_refusal();
    assert_eq!(refused.code, RefusalCode::VersionMismatch);
    for part in ["version 0.0.9", "version 2.0.0", "speaks 1", "speaks 2", &std::process::id().to_string()] {
        assert!(refused.message.contains(part), "{part:?} in {:?}", refused.message);
    }
    let stop = format!("`lineshaft stop --home {}`", server.home().canonicalize().unwrap().display());
    let hint = refused.hint.unwrap();
    assert!(hint.contains(&stop) && hint.contains("gives way when nobody else is connected"), "{hint}");
    other.ping();
    drop(other);
    loop {
        match greet(&server, stranger.clone()).err() {
            Some(RefusalCode::VersionMismatch) => (),
            code => break assert_eq!(code, Some(RefusalCode::ShuttingDown)),
        }
    }
    server.ended().unwrap();
}

#[test]
fn whoever_comes_while_it_hands_over_is_told_to_wait() {
    let mut server = older(|_| ());
    let mut early = [(); 4].map(|()| server.connect());
    assert_eq!(greet(&server, newer()).err(), Some(RefusalCode::ShuttingDown));
    for client in &mut early {
        // Or it was closed without a word: that says the same.
        client.try_send(1, Hello { protocol: (7, 7), ..newer() });
        if let Some((message, _)) = client.receive() {
            let Message::Refused(refused) = message else { panic!("{message:?}") };
            assert_eq!(refused.code, RefusalCode::ShuttingDown);
        }
    }
    server.ended().unwrap();
}

#[test]
fn a_client_that_dies_after_it_asked_leaves_a_home_that_the_next_can_serve() {
    let mut server = older(|_| ());
    let home = server.home().to_owned();
    let job = server.client().enqueue(b"kept");
    while server.is_running() {
        // It does not even wait for the answer.
        if let Some(mut client) = Client::try_connect(&home) {
            client.try_send(1, newer());
        }
    }
    server.ended().unwrap();
    let next = TestServer::start_in(&home, |_| ());
    let (message, _) = next.client().call(2, Show { job }, b"");
    assert!(matches!(message, Message::Shown(_)), "{message:?}");
}
