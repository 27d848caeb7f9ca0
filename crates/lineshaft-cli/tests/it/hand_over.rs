//! Versions that meet: a server of an older one, which is this program's own with another number, and the commands.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::home::Home;
use lineshaft::{ClientOptions, ServerCommand, Target, launch};
use lineshaft_server::ServeOptions;
use lineshaft_wire::JobId;
use lineshaft_wire::frame::{FrameError, Header, encode_frame_with};
use lineshaft_wire::message::{Hello, JobGroup, Message};

use crate::command::{Served, Shell, is_id};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HOME: &str = "LINESHAFT_TEST_HOME";
const KIND: &str = "LINESHAFT_TEST_KIND";

#[test]
#[ignore = "an older server as a process of its own, for the tests below"]
fn older_server() {
    let kind = std::env::var(KIND).expect("only started by other tests");
    let options = ServeOptions {
        version: "0.0.9".into(),
        on_demand: kind != "by hand",
        protocol: u16::from(kind != "other protocol"),
        ready: Box::new(|_| {
            let mut out = std::io::stdout();
            writeln!(out, "\nready").and_then(|()| out.flush()).unwrap();
        }),
        ..ServeOptions::new(std::env::var(HOME).unwrap())
    };
    lineshaft_server::serve(options).unwrap();
}

/// Starts an older server of the shell's home: `on demand`, `by hand` or of an `other protocol`.
fn older(shell: &Shell, kind: &str) -> Served {
    Home::new(shell.home()).prepare().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hand_over::older_server", "--ignored", "--nocapture", "--test-threads=1"])
        .env(HOME, shell.home())
        .env(KIND, kind)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.by_ref().map(Result::unwrap).find(|line| line == "ready").expect("it is ready");
    // What it goes on to say has to go somewhere.
    thread::spawn(move || lines.for_each(drop));
    Served { child, line }
}

fn ended_well(served: &mut Served) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = served.child.try_wait().unwrap() {
            return status.success();
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the older server does not end");
}

/// A program of the older version: it starts no server, so it asks nobody to hand over.
fn older_client(shell: &Shell) -> Client {
    Client::connect(Target::home(shell.home()), ClientOptions::default()).unwrap()
}

fn enqueue(client: &Client, count: usize) -> Vec<JobId> {
    let group = JobGroup::new("add", vec![4; count]);
    let arguments = b"\x01\x90\x90\x90".repeat(count).into();
    client.enqueue(vec![group], vec![arguments], Some(PATIENCE)).wait().unwrap().ids
}

fn server_of(shell: &Shell) -> (String, u64) {
    let status = shell.json(&["status"]);
    (status["version"].as_str().unwrap().to_owned(), status["pid"].as_u64().unwrap())
}

#[test]
fn an_idle_older_server_on_demand_hands_over_to_a_newer_client() {
    let shell = Shell::new();
    let mut old = older(&shell, "on demand");
    enqueue(&older_client(&shell), 3);
    assert!(is_id(&shell.out(&["enqueue", "add"])));
    assert!(ended_well(&mut old));
    assert_eq!(server_of(&shell).0, env!("CARGO_PKG_VERSION"));
    assert_eq!(shell.json(&["status"])["queues"][0]["available"], 4);
}

#[test]
fn one_that_is_used_is_talked_to_as_it_is_until_it_is_idle() {
    let shell = Shell::new();
    let mut old = older(&shell, "on demand");
    let other = older_client(&shell);
    assert!(is_id(&shell.out(&["enqueue", "add"])));
    assert_eq!(server_of(&shell), ("0.0.9".into(), old.child.id().into()));
    enqueue(&other, 1);
    drop(other);
    let deadline = Instant::now() + PATIENCE;
    while server_of(&shell).0 == "0.0.9" && Instant::now() < deadline {
        shell.out(&["enqueue", "add"]);
    }
    assert!(ended_well(&mut old));
}

#[test]
fn a_worker_asks_too_before_it_starts_its_children() {
    let shell = Shell::new();
    let mut old = older(&shell, "on demand");
    let command = ServerCommand { program: env!("CARGO_BIN_EXE_lineshaft").into(), args: vec![] };
    launch::ensure_server(&Home::new(shell.home()), &command).unwrap();
    assert!(ended_well(&mut old));
    assert_eq!(server_of(&shell).0, env!("CARGO_PKG_VERSION"));
}

#[test]
fn questions_alone_replace_nothing() {
    let shell = Shell::new();
    let old = older(&shell, "on demand");
    assert_eq!(server_of(&shell), ("0.0.9".into(), old.child.id().into()));
    assert_eq!(server_of(&shell), ("0.0.9".into(), old.child.id().into()));
}

#[test]
fn one_started_by_hand_is_never_replaced() {
    let shell = Shell::new();
    let old = older(&shell, "by hand");
    assert!(is_id(&shell.out(&["enqueue", "add"])));
    assert_eq!(server_of(&shell), ("0.0.9".into(), old.child.id().into()));
}

#[test]
fn several_newer_clients_at_once_end_up_with_one_newer_server() {
    let shell = Shell::new();
    let mut old = older(&shell, "on demand");
    let acknowledged = enqueue(&older_client(&shell), 1).len();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| shell.out(&["enqueue", "add"]))).collect();
        assert!(clients.into_iter().all(|client| is_id(&client.join().unwrap())));
    });
    // They may have kept each other from finding it idle; the next one does not.
    shell.out(&["enqueue", "add"]);
    assert!(ended_well(&mut old));
    assert_eq!(server_of(&shell).0, env!("CARGO_PKG_VERSION"));
    assert_eq!(shell.json(&["status"])["queues"][0]["available"], acknowledged + 5);
}

/// Kills either side in the midst of it, at another moment each time.
#[test]
fn nothing_acknowledged_is_lost_when_either_side_is_killed_during_the_hand_over() {
    for round in 0..12 {
        let shell = Shell::new();
        let mut old = older(&shell, "on demand");
        let mut acknowledged = BTreeSet::from_iter(enqueue(&older_client(&shell), 20));
        let mut newer = shell.command(&["enqueue", "add"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(newer.stdout.take().unwrap());
        thread::sleep(Duration::from_millis(round / 2 * 8));
        let victim = if round % 2 == 0 { &mut newer } else { &mut old.child };
        victim.kill().unwrap();
        let mut line = String::new();
        said.read_to_string(&mut line).unwrap();
        acknowledged.extend(line.trim().parse::<JobId>().ok());
        newer.wait().unwrap();
        acknowledged.insert(shell.out(&["enqueue", "add"]).parse().unwrap());
        let missing: Vec<_> = acknowledged.difference(&all_jobs(&shell)).copied().collect();
        assert_eq!((acknowledged.len() >= 21, missing), (true, vec![]), "round {round}");
    }
}

fn all_jobs(shell: &Shell) -> BTreeSet<JobId> {
    let listed = shell.out(&["job", "list", "--limit", "1000", "--jsonl"]);
    let records = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.map(|record| record["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// A client that speaks every protocol there may be, and stays.
fn stranger(home: &Path) -> UnixStream {
    let addresses = std::fs::read_to_string(home.join("run/address")).unwrap();
    let mut stream = UnixStream::connect(PathBuf::from(addresses.lines().next().unwrap())).unwrap();
    let hello: Message = Hello {
        protocol: (0, 9),
        version: "0.0.9".into(),
        executable: "stranger".into(),
        pid: std::process::id(),
        session: None,
        open_session: false,
        token: None,
        hand_over: false,
    }
    .into();
    let mut bytes = Vec::new();
    let header = Header { kind: hello.frame_type(), request_id: 1, ..Header::default() };
    let write = |buffer: &mut Vec<u8>| {
        hello.encode(buffer);
        Ok::<(), FrameError>(())
    };
    encode_frame_with(&mut bytes, header, write, &[]).unwrap();
    stream.write_all(&bytes).unwrap();
    // The first byte of its welcome: from here on it is connected.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

#[test]
fn without_a_common_protocol_a_busy_one_is_named_with_the_command_and_an_idle_one_goes() {
    let shell = Shell::new();
    let mut old = older(&shell, "other protocol");
    let _stays = stranger(&shell.home());
    let refused = shell.run(&["enqueue", "add"]);
    assert_eq!((refused.code, &*refused.out), (1, ""), "{refused:?}");
    let (pid, home) = (old.child.id(), shell.home().canonicalize().unwrap());
    let said = format!(
        "error[LS0011]: no common protocol: the server ({}, ",
        std::env::current_exe().unwrap().display()
    );
    assert!(refused.err.starts_with(&said), "{}", refused.err);
    for part in [
        format!("version 0.0.9, process {pid}) speaks 0, the client ({}, ", env!("CARGO_BIN_EXE_lineshaft")),
        format!("version {}, process ", env!("CARGO_PKG_VERSION")),
        ") speaks 1\n".into(),
        "hint: the server gives way when nobody else is connected and nothing runs; ".into(),
        format!("`lineshaft stop --home {}` (or `kill {pid}`) ends it now", home.display()),
    ] {
        assert!(refused.err.contains(&part), "{part:?} in {}", refused.err);
    }
    assert_eq!(shell.run(&["stop"]).code, 0);
    assert!(ended_well(&mut old), "the command that was named ends it in order");

    let mut old = older(&shell, "other protocol");
    assert!(is_id(&shell.out(&["enqueue", "add"])));
    assert!(ended_well(&mut old));
}

#[test]
fn serve_takes_over_from_an_idle_one_of_another_protocol() {
    let shell = Shell::new();
    let mut old = older(&shell, "other protocol");
    let served = shell.serve();
    assert!(ended_well(&mut old));
    assert_eq!(server_of(&shell), (env!("CARGO_PKG_VERSION").into(), served.child.id().into()));
}
