//! Who is let in, and what the others are told.

use std::time::Duration;

use lineshaft_wire::message::{FRAME_BYTES_MAX, Hello, Message, Ping, RefusalCode, WINDOW};

use crate::support::{Client, TestServer, enqueue, frame, hello};

#[test]
fn welcome_tells_about_the_server() {
    let server = TestServer::start_with(|options| options.version = "1.2.3".into());
    let mut client = server.connect();
    let (message, _) = client.call(41, hello(), b"");
    let Message::Welcome(welcome) = message else { panic!("{message:?}") };
    assert_eq!((welcome.protocol, welcome.version.as_str()), (1, "1.2.3"));
    assert_eq!(welcome.pid, std::process::id());
    assert_eq!(welcome.home, server.home().canonicalize().unwrap().display().to_string());
    assert!(!welcome.on_demand && welcome.session.is_some() && welcome.epoch > 0);
    assert_eq!((welcome.frame_bytes_max, welcome.window), (FRAME_BYTES_MAX, WINDOW));
    client.ping();
}

#[test]
fn requests_may_follow_the_hello_at_once() {
    let server = TestServer::start();
    let mut client = server.connect();
    let arguments = vec![7; 300_000];
    let mut bytes = frame(1, &hello().into(), b"");
    bytes.extend(frame(2, &enqueue(1, arguments.len()).into(), &arguments));
    bytes.extend(frame(3, &Ping {}.into(), b""));
    client.send_bytes(&bytes);
    let mut names: Vec<_> = (0..3).map(|_| client.receive().unwrap().0.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Done", "Enqueued", "Welcome"]);
}

#[test]
fn another_protocol_is_refused_with_both_sides_named() {
    let server = TestServer::start();
    let mut client = server.connect();
    let stranger = Hello {
        protocol: (7, 9),
        version: "9.9".into(),
        executable: "/opt/new".into(),
        pid: 4711,
        ..hello()
    };
    client.send(1, stranger, b"");
    let refused = client.closing_refusal();
    assert_eq!(refused.code, RefusalCode::VersionMismatch);
    let own = std::env::current_exe().unwrap().display().to_string();
    for part in ["/opt/new", "version 9.9", "process 4711", "7 to 9", &own, &std::process::id().to_string()] {
        assert!(refused.message.contains(part), "{part:?} in {:?}", refused.message);
    }
    assert!(refused.hint.unwrap().contains("lineshaft stop --home"));
}

#[test]
fn a_range_that_covers_the_servers_protocol_is_welcome() {
    let server = TestServer::start();
    let (message, _) = server.connect().call(1, Hello { protocol: (0, 65_535), ..hello() }, b"");
    assert!(matches!(message, Message::Welcome(_)), "{message:?}");
}

#[test]
fn the_first_frame_must_be_hello() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send(1, Ping {}, b"");
    let refused = client.closing_refusal();
    assert_eq!(refused.code, RefusalCode::BadRequest);
    assert_eq!(refused.message, "the first frame must be Hello, not Ping");
}

#[test]
fn a_second_hello_is_refused_and_the_connection_lives() {
    let server = TestServer::start();
    let mut client = server.client();
    let (message, _) = client.call(5, hello(), b"");
    let Message::Refused(refused) = message else { panic!("{message:?}") };
    assert_eq!(refused.message, "Hello has no place here");
    client.ping();
}

#[test]
fn silence_instead_of_hello_ends_the_connection() {
    let server = TestServer::start_with(|options| options.limits.handshake = Duration::from_millis(100));
    let refused = server.connect().closing_refusal();
    assert_eq!(refused.message, "no Hello came within 100ms");
}

#[test]
fn a_first_frame_of_more_than_64_kib_is_refused() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send(1, Hello { executable: "x".repeat(70_000), ..hello() }, b"");
    assert_eq!(client.closing_refusal().code, RefusalCode::TooLarge);
}

#[test]
fn tcp_needs_the_token() {
    let server = TestServer::start_with(|options| options.listen = Some("127.0.0.1:0".into()));
    let token = std::fs::read_to_string(server.home().join("run/token")).unwrap().trim().to_owned();
    let wrong = "0".repeat(token.len());
    for (offered, text) in [(None, "needs the home's token"), (Some(wrong), "is not that of this home")] {
        let mut client = Client::connect_tcp(server.home());
        client.send(1, Hello { token: offered, ..hello() }, b"");
        let refused = client.closing_refusal();
        assert_eq!(refused.code, RefusalCode::NotAuthorised);
        assert!(refused.message.contains(text), "{}", refused.message);
    }
    let mut client = Client::connect_tcp(server.home());
    let (message, _) = client.call(1, Hello { token: Some(token), ..hello() }, b"");
    assert!(matches!(message, Message::Welcome(_)), "{message:?}");
    client.ping();
}

#[test]
fn a_stranger_on_tcp_learns_nothing_of_the_server() {
    let server = TestServer::start_with(|options| options.listen = Some("127.0.0.1:0".into()));
    let mut client = Client::connect_tcp(server.home());
    client.send(1, Hello { protocol: (7, 9), ..hello() }, b"");
    let refused = client.closing_refusal();
    assert_eq!(refused.code, RefusalCode::NotAuthorised);
    let told = format!("{} {}", refused.message, refused.hint.unwrap_or_default());
    assert!(!told.contains(&server.home().display().to_string()), "{told}");
}
