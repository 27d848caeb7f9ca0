//! When a client starts a server: with its first call, and for calls made after a server ended; not for what was under
//! way when somebody stopped it. (That a server on demand which was killed gets a successor is tested with the command,
//! whose process can be killed.)

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use lineshaft::client::{Client, Waiting};
use lineshaft::home::Home;
use lineshaft::{ClientOptions, Error, JobEnd, ServerCommand, Target};
use lineshaft_wire::message::Status;

use crate::bench::{LONG, Server, enqueue, eventually};

/// Longer than a client gives a server's successor to appear.
const AFTER_GRACE: Duration = Duration::from_millis(1500);

/// In place of a server: writes a file, so that the test sees that one was started.
fn starter(mark: &Path) -> ServerCommand {
    let script = format!("touch {}; exit 1", mark.display());
    ServerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
}

fn client(server: &Server, mark: &Path) -> Client {
    let target = Target::on_demand(server.home(), starter(mark));
    let options = ClientOptions { deadline: LONG, ..ClientOptions::default() };
    Client::connect(target, options).unwrap()
}

/// Takes connections in a stopped server's place and closes them, until the client has tried for long enough.
fn turn_away(home: &Home) {
    let listener = UnixListener::bind(home.default_socket()).unwrap();
    fs::write(home.address_file(), format!("{}\n", home.default_socket().display())).unwrap();
    let began = Instant::now();
    while began.elapsed() < AFTER_GRACE {
        drop(listener.accept().unwrap());
    }
    fs::remove_file(home.address_file()).unwrap();
    fs::remove_file(home.default_socket()).unwrap();
}

fn next(waiting: &mut Waiting) -> Result<Vec<JobEnd>, Error> {
    match waiting.next_timeout(LONG) {
        Poll::Ready(Some(next)) => next,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_whose_server_was_stopped_starts_none_and_the_next_call_does() {
    let mut server = Server::start_on_demand();
    let mark = server.home().join("started");
    let client = client(&server, &mark);
    let job = enqueue(&client, "waits");
    let waiting = client.wait(&[job], false);
    server.stop();
    turn_away(&Home::new(server.home()));
    let _ = client.call_aside(Status {}, AFTER_GRACE).wait();
    assert!(
        !mark.exists(),
        "somebody stopped the server: a wait does not undo that, nor what it asks on the side"
    );
    let error = client.status(None).wait().unwrap_err().to_string();
    assert!(error.contains("the server that was started ended with exit status: 1"), "{error}");
    assert!(mark.exists());
    drop(waiting);
}

#[test]
fn a_server_that_comes_back_by_itself_gets_what_was_under_way() {
    let mut server = Server::start();
    let mark = server.home().join("started");
    let client = client(&server, &mark);
    let job = enqueue(&client, "waits");
    let mut waiting = client.wait(&[job], false);
    server.restart();
    client.cancel(job, Some(LONG)).wait().unwrap();
    assert_eq!(next(&mut waiting).unwrap()[0].id(), job);
    assert!(!mark.exists());
}

#[test]
fn what_was_under_way_in_a_home_that_is_removed_fails_and_names_it() {
    let mut server = Server::start_on_demand();
    let home = server.home();
    let outside = tempfile::tempdir().unwrap();
    let client = client(&server, &outside.path().join("started"));
    let job = enqueue(&client, "waits");
    let mut waiting = client.wait(&[job], false);
    server.stop();
    fs::remove_dir_all(&home).unwrap();
    let error = next(&mut waiting).unwrap_err();
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    let expected = format!("no server answers for the home {}: its directory was removed", home.display());
    assert_eq!(error.to_string(), expected);
    assert!(!home.exists(), "nothing makes it anew for what was there before");
    let _ = client.status(None).wait();
    eventually("the next call makes it anew", || home.exists());
}
