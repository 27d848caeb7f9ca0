//! Servers: on demand and by hand, one home, and their end.

use std::fs;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::{ClientOptions, ServerCommand, Target};
use lineshaft_wire::JobId;
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Shell, is_id};

#[test]
fn the_first_command_that_needs_a_server_starts_one() {
    let shell = Shell::new();
    assert!(is_id(&shell.out(&["enqueue", "add", "1"])));
    let status = shell.json(&["status"]);
    assert_eq!((&status["on_demand"], &status["queues"][0]["available"]), (&true.into(), &1.into()));
    let pid = status["pid"].to_string();
    let session = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert_eq!(
        session.rsplit(')').next().unwrap().split_whitespace().nth(3),
        Some(&*pid),
        "a session of its own"
    );
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), std::path::Path::new("/"));
    assert!(shell.home().join("output/server.log").exists());
}

#[test]
fn two_starters_at_once_share_one_server() {
    let shell = Shell::new();
    let ids: Vec<String> = thread::scope(|scope| {
        let starters: Vec<_> = (0..4).map(|_| scope.spawn(|| shell.out(&["enqueue", "add"]))).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
    assert_eq!(shell.json(&["status"])["queues"][0]["available"], 4);
}

#[test]
fn a_second_serve_is_refused_and_names_the_first() {
    let shell = Shell::new();
    let first = shell.serve();
    assert_eq!(first.line, format!("ready {}/run/socket", shell.home().display()));
    let second = shell.run(&["serve"]);
    assert_eq!((second.code, &*second.out), (3, ""));
    let pid = first.child.id();
    assert!(second.err.contains(&format!("is served already by process {pid}")), "{}", second.err);
    assert!(second.err.contains("hint: use that server, or `lineshaft stop`"), "{}", second.err);
}

#[test]
fn serve_takes_over_from_a_server_on_demand() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add"]);
    let served = shell.serve();
    let status = shell.json(&["status"]);
    assert_eq!((&status["on_demand"], &status["pid"]), (&false.into(), &served.child.id().into()));
    assert_eq!(shell.json(&["job", "show", &id])["state"], "available");
}

/// The demand is still there, and nobody wanted the server to go.
#[test]
fn a_wait_whose_server_on_demand_is_killed_starts_the_next_one_and_goes_on() {
    let shell = Shell::new();
    let id: JobId = shell.out(&["enqueue", "add"]).parse().unwrap();
    let command = ServerCommand { program: env!("CARGO_BIN_EXE_lineshaft").into(), args: vec![] };
    let client = Client::connect(Target::on_demand(shell.home(), command), ClientOptions::reader()).unwrap();
    let mut waiting = client.wait(&[id], false);
    let first = client.status(None).wait().unwrap().pid;
    kill_process(Pid::from_raw(first as i32).unwrap(), Signal::KILL).unwrap();
    let status = shell.run(&["status", "--wait", "60s", "--json"]);
    assert_eq!(status.code, 0, "{status:?}");
    shell.out(&["job", "cancel", &id.to_string()]);
    let Poll::Ready(Some(Ok(ended))) = waiting.next_timeout(Duration::from_secs(60)) else {
        panic!("nothing ended")
    };
    assert_eq!(ended[0].id(), id);
    assert_ne!(client.status(None).wait().unwrap().pid, first);
}

#[test]
fn stop_waits_for_the_end_and_is_content_without_a_server() {
    let shell = Shell::new();
    let mut served = shell.serve();
    let stopped = shell.run(&["stop"]);
    assert_eq!((stopped.code, &*stopped.out), (0, ""));
    assert_eq!(stopped.err, format!("stopped the server of {}\n", shell.home().display()));
    assert!(served.child.try_wait().unwrap().is_some_and(|status| status.success()));
    let again = shell.run(&["stop"]);
    assert_eq!((again.code, again.err), (0, format!("no server runs for {}\n", shell.home().display())));
}

#[test]
fn status_without_a_server_says_what_to_do() {
    let shell = Shell::new();
    let ended = shell.run(&["status"]);
    let expected = format!(
        "error[LS0010]: no server answers for the home {}: there is no such home yet\n\
         hint: start one with `lineshaft serve --home DIR`, or check that the home is the right one\n",
        shell.home().display()
    );
    assert_eq!((ended.code, ended.out, ended.err), (8, String::new(), expected));
    assert!(!shell.home().exists(), "looking does not make a home");
}

#[test]
fn status_waits_for_a_server_that_is_being_started() {
    let shell = Shell::new();
    let (status, _served) = thread::scope(|scope| {
        let status = scope.spawn(|| shell.run(&["status", "--wait", "20s"]));
        thread::sleep(std::time::Duration::from_millis(100));
        let served = shell.serve();
        (status.join().unwrap(), served)
    });
    assert_eq!(status.code, 0, "{status:?}");
    assert_eq!(shell.run(&["status", "--wait", "50ms", "--home", "elsewhere"]).code, 8);
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let shell = Shell::new();
    std::fs::create_dir_all(shell.home()).unwrap();
    std::fs::write(shell.home().join("FORMAT"), "something else").unwrap();
    let ended = shell.run(&["enqueue", "add"]);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.err.contains("the server that was started ended with exit status: 1"), "{}", ended.err);
    assert!(ended.err.contains("its log ends with:\nerror[LS0003]: "), "{}", ended.err);
}

/// What a wait asks on the side, to say why it waits, had started the server again within two seconds.
#[test]
fn commands_that_wait_start_no_server_in_place_of_one_that_was_stopped() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add", "--run-after", "1h"]);
    for words in
        [&["job", "output", &*id, "--follow"][..], &["job", "result", &id, "--wait"], &["job", "wait", &id]]
    {
        shell.out(&["job", "show", &id]); // a server runs
        let mut waiting = shell.command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(500));
        shell.out(&["stop"]);
        // Longer than a wait is silent (2 s) and a successor has to appear (1 s): what must not come needs time.
        thread::sleep(Duration::from_secs(4));
        assert_eq!(shell.run(&["status"]).code, 8, "{words:?}");
        waiting.kill().unwrap();
        let said = String::from_utf8(waiting.wait_with_output().unwrap().stderr).unwrap();
        assert!(
            said.contains("waiting: no server answers; the wait goes on with the next one"),
            "{words:?}: {said}"
        );
    }
}

/// Its address took two lines, of which the first was read.
#[test]
fn a_home_whose_path_has_two_lines_is_served_and_found() {
    let shell = Shell::new();
    let home = shell.directory().join("first\nsecond");
    let home = home.to_str().unwrap();
    assert!(is_id(&shell.out(&["enqueue", "add", "1", "--home", home])));
    assert_eq!(shell.json(&["status", "--home", home])["queues"][0]["available"], 1);
    assert!(shell.run(&["stop", "--home", home]).err.starts_with("stopped the server of "));
}

/// The copy's `run/address` named the socket of the original, whose server then got the copy's jobs, and was stopped in
/// the place of the copy's.
#[test]
fn a_copy_of_a_served_home_is_not_taken_for_the_home() {
    let shell = Shell::new();
    let _served = shell.serve();
    shell.out(&["enqueue", "add", "1"]);
    let copy = shell.directory().join("copy");
    // A file that the server renames under the copier's hands, a segment it has just prepared, fails the whole copy.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !Command::new("cp").arg("-aT").arg(shell.home()).arg(&copy).status().unwrap().success() {
        assert!(Instant::now() < deadline);
        std::fs::remove_dir_all(&copy).unwrap();
    }
    let copy = copy.to_str().unwrap();
    let status = shell.run(&["status", "--home", copy]);
    assert_eq!(status.code, 8, "{status:?}");
    let expected = format!(
        "no server answers for the home {copy}: its run/address names {}/run/socket, of another home: it was copied or \
         moved while it was served\n",
        shell.home().display()
    );
    assert!(status.err.contains(&expected), "{}", status.err);
    assert_eq!(shell.run(&["stop", "--home", copy]).err, format!("no server runs for {copy}\n"));
    shell.out(&["enqueue", "add", "2", "--home", copy]);
    let available = |home: &str| shell.json(&["status", "--home", home])["queues"][0]["available"].clone();
    assert_eq!((available(copy), available(shell.home().to_str().unwrap())), (2.into(), 1.into()));
    shell.out(&["stop", "--home", copy]);
}

/// Its clients found nobody, or the server of the home that had taken its place; and the server wrote there.
#[test]
fn a_home_that_is_moved_stays_with_its_server_whatever_takes_its_place() {
    let shell = Shell::new();
    let served = shell.serve();
    shell.out(&["enqueue", "add", "1"]);
    let moved = shell.directory().join("moved");
    fs::rename(shell.home(), &moved).unwrap();
    let moved = moved.to_str().unwrap();
    shell.out(&["enqueue", "add", "2", "--home", moved]);
    let other = shell.out(&["enqueue", "add", "3"]);
    let status = shell.json(&["status", "--home", moved]);
    assert_eq!(
        (&status["pid"], &status["queues"][0]["available"]),
        (&served.child.id().into(), &2.into()),
        "{status}"
    );
    assert_eq!(shell.run(&["job", "show", &other, "--home", moved]).code, 6, "it went to the other home");
    shell.out(&["stop", "--home", moved]);
    shell.out(&["store", "verify", "--home", moved]);
    assert_eq!(shell.json(&["status"])["queues"][0]["available"], 1, "the other server is still there");
}
