//! `lineshaft logs -f` while servers come and go.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::{ClientOptions, Target};
use lineshaft_wire::message::AddLogs;
use lineshaft_wire::{JobId, LogRecord};
use serde_json::Value as Json;

use crate::command::Shell;

const PATIENCE: Duration = Duration::from_secs(60);

/// Records of a worker's child with these numbers, given to the server as that gives them.
pub(crate) fn log(shell: &Shell, first: u64, last: u64) {
    let client = Client::connect(Target::home(shell.home()), ClientOptions::default()).unwrap();
    let record = |number: u64| LogRecord {
        time_us: jiff::Timestamp::now().as_microsecond() as u64,
        level: 20,
        job: JobId::direct(1_000, 0, 1, 1),
        attempt: 1,
        task: "shop.send".into(),
        worker: "worker".into(),
        logger: "shop".into(),
        message: number.to_string().into(),
        fields: Vec::new(),
        place: None,
        exception: None,
        attachment: None,
    };
    let numbers: Vec<u64> = (first..=last).collect();
    for numbers in numbers.chunks(1_000) {
        let (first, records) = (numbers[0], numbers.iter().copied().map(record).collect());
        client.call(AddLogs { worker: 7, child: 1, first, records }, Vec::new(), None).wait().unwrap();
    }
}

/// What each record says.
pub(crate) fn numbers(text: &str) -> Vec<u64> {
    let number = |line: &str| {
        let record: Json = serde_json::from_str(line).unwrap();
        record["message"].as_str().unwrap().parse().unwrap()
    };
    text.lines().map(number).collect()
}

/// A follower, and the lines that it writes as they come.
struct Follower {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Follower {
    fn start(shell: &Shell) -> Self {
        let mut command = shell.command(&["logs", "-f", "--jsonl"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// The next so many records.
    fn shown(&self, count: usize) -> Vec<u64> {
        let lines = (0..count).map(|_| self.out.recv_timeout(PATIENCE).unwrap() + "\n");
        numbers(&lines.collect::<String>())
    }

    fn said(&self) -> String {
        self.err.recv_timeout(PATIENCE).unwrap()
    }

    /// Its exit code, and what it said and showed that was not looked at.
    fn ended(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
        (self.child.wait().unwrap().code(), self.err.iter().collect(), self.out.iter().collect())
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// It said nothing while there was no server, and ended after half a minute.
#[test]
fn a_follower_says_once_that_the_server_is_away_and_misses_and_repeats_nothing() {
    let shell = Shell::new();
    let mut served = shell.serve();
    log(&shell, 1, 3);
    let follower = Follower::start(&shell);
    assert_eq!(follower.shown(3), [1, 2, 3]);
    for round in 1..=2 {
        served.child.kill().unwrap();
        served.child.wait().unwrap();
        let said = follower.said();
        assert!(said.starts_with("the server of ") && said.ends_with(" is away: waiting for it"), "{said}");
        served = shell.serve();
        log(&shell, 3 * round + 1, 3 * round + 3);
        assert_eq!(follower.shown(3), [3 * round + 1, 3 * round + 2, 3 * round + 3]);
        assert_eq!(follower.said(), "the server is back");
    }
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    fs::remove_dir_all(shell.home()).unwrap();
    let (code, said, shown) = follower.ended();
    assert_eq!(code, Some(8), "{said:?}");
    assert!(said.iter().any(|line| line.ends_with("was removed")), "{said:?}");
    assert_eq!(shown, Vec::<String>::new());
}
