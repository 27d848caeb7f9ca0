//! How a server begins and ends, and what it leaves behind.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use lineshaft_server::ServeOptions;
use lineshaft_wire::message::{Message, RefusalCode, Show, Shutdown};
use rustix::process::Signal;

use crate::support::{Client, OTHER_SERVER, OtherProcess, TestServer};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_running_server_has_an_address_a_private_socket_and_a_token() {
    let mut server = TestServer::start();
    let run = server.home().join("run");
    let address = std::fs::read_to_string(run.join("address")).unwrap();
    assert_eq!(address, format!("{}\n", server.ready));
    assert_eq!((mode(&run), mode(Path::new(&server.ready)), mode(&run.join("token"))), (0o700, 0o600, 0o600));
    server.stop().unwrap();
    assert!(!run.join("address").exists() && !run.join("socket").exists());
}

#[test]
fn a_listening_server_names_its_tcp_address() {
    let server = TestServer::start_with(|options| options.listen = Some("127.0.0.1:0".into()));
    let address = std::fs::read_to_string(server.home().join("run/address")).unwrap();
    let lines: Vec<&str> = address.lines().collect();
    assert!(lines[1].starts_with("127.0.0.1:") && !lines[1].ends_with(":0"), "{address}");
    assert_eq!(server.ready, lines.join(" "));
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named_and_the_home_is_free_again() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut options = lineshaft_server::ServeOptions::new(home.path());
    options.listen = Some(address.clone());
    let error = lineshaft_server::serve(options).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(!home.path().join("run/address").exists());
    TestServer::start_in(home.path(), |_| ()).client().ping();
}

#[test]
fn shutdown_is_answered_and_every_connection_told() {
    let mut server = TestServer::start();
    let (mut client, mut neighbour) = (server.client(), server.client());
    let (message, _) = client.call(2, Shutdown::default(), b"");
    assert!(matches!(message, Message::Done(_)), "{message:?}");
    for client in [&mut client, &mut neighbour] {
        assert_eq!(client.closing_refusal().code, RefusalCode::ShuttingDown);
    }
    server.ended().unwrap();
}

#[test]
fn jobs_outlive_the_server() {
    let home = tempfile::tempdir().unwrap();
    let job = TestServer::start_in(home.path(), |_| ()).client().enqueue(b"kept");
    let server = TestServer::start_in(home.path(), |_| ());
    let (message, _) = server.client().call(2, Show { job }, b"");
    assert!(matches!(message, Message::Shown(_)), "{message:?}");
}

#[test]
fn sigterm_and_sigint_stop_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = tempfile::tempdir().unwrap();
        let mut server = OtherProcess::start(OTHER_SERVER, home.path());
        let mut client = Client::connect(home.path()).greeted();
        server.signal(signal);
        assert_eq!(client.closing_refusal().code, RefusalCode::ShuttingDown);
        assert!(server.exited_well(), "{signal:?}");
        assert!(!home.path().join("run/address").exists());
    }
}

#[test]
fn a_killed_server_leaves_nothing_that_hinders_the_next() {
    let home = tempfile::tempdir().unwrap();
    let mut server = OtherProcess::start(OTHER_SERVER, home.path());
    let job = Client::connect(home.path()).greeted().enqueue(b"kept");
    server.signal(Signal::KILL);
    assert!(!server.exited_well());
    assert!(home.path().join("run/socket").exists());
    let next = TestServer::start_in(home.path(), |_| ());
    let (message, _) = next.client().call(2, Show { job }, b"");
    assert!(matches!(message, Message::Shown(_)), "{message:?}");
}

#[test]
fn an_on_demand_server_ends_when_it_is_idle() {
    let mut server = TestServer::start_with(|options| {
        options.on_demand = true;
        options.idle_exit = Duration::from_millis(300);
    });
    let mut client = server.client();
    std::thread::sleep(Duration::from_millis(700));
    client.ping();
    let closed = Instant::now();
    drop(client);
    server.ended().unwrap();
    assert!(closed.elapsed() >= Duration::from_millis(250), "{:?}", closed.elapsed());
    assert!(UnixStream::connect(&server.ready).is_err());
    assert!(!server.home().join("run/socket").exists());
}

#[test]
fn unless_it_is_told_otherwise_it_outlives_its_last_connection_by_30_seconds() {
    assert_eq!(ServeOptions::new("home").idle_exit, Duration::from_secs(30));
}

#[test]
fn an_on_demand_server_that_nobody_uses_ends_too() {
    let mut server = TestServer::start_with(|options| {
        options.on_demand = true;
        options.idle_exit = Duration::from_millis(100);
    });
    server.ended().unwrap();
}

#[test]
fn a_server_started_by_hand_stays_without_clients() {
    let server = TestServer::start_with(|options| options.idle_exit = Duration::from_millis(50));
    drop(server.client());
    std::thread::sleep(Duration::from_millis(400));
    server.client().ping();
}

#[test]
fn an_on_demand_server_ends_when_its_home_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let mut server = TestServer::start_in(&home, |options| options.on_demand = true);
    let mut client = server.client();
    std::fs::remove_dir_all(&home).unwrap();
    assert_eq!(client.closing_refusal().code, RefusalCode::ShuttingDown);
    server.ended().unwrap();
    assert!(!home.exists());
}

/// It took the address of the server that had come into its place away with its own, so that nobody found that one.
#[test]
fn the_end_of_a_server_whose_home_was_made_anew_leaves_the_next_one_its_address() {
    for deep in ["home".to_owned(), format!("{}/{}", "a".repeat(80), "b".repeat(80))] {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join(deep);
        let mut first = TestServer::start_in(&home, |options| options.on_demand = true);
        std::fs::remove_dir_all(&home).unwrap();
        let second = TestServer::start_in(&home, |_| ());
        first.ended().unwrap();
        second.client().ping();
    }
}

#[test]
fn a_home_deep_down_is_served_through_a_socket_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("a".repeat(80)).join("b".repeat(80));
    let mut server = TestServer::start_in(&home, |_| ());
    let socket = Path::new(&server.ready).to_owned();
    assert!(!socket.starts_with(&home) && server.ready.len() <= 100, "{}", server.ready);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    server.client().ping();
    server.stop().unwrap();
    assert!(!socket.parent().unwrap().exists());
}

#[test]
fn beyond_the_limit_connections_are_turned_away_with_a_reason() {
    let server = TestServer::start_with(|options| options.limits.connections = 2);
    let (mut first, second) = (server.client(), server.client());
    let refused = server.connect().closing_refusal();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (RefusalCode::QueueFull, "the server has 2 connections already")
    );
    first.ping();
    drop((first, second));
    std::thread::sleep(Duration::from_millis(100));
    server.client().ping();
    std::thread::sleep(Duration::from_millis(100));
}
