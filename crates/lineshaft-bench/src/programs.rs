//! Programs in Python that measure from inside, and workers.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;

use crate::app::TARGET;
use crate::bench::Bench;
use crate::cleanup::Running;
use crate::error::{Error, Result};
use crate::server::{Server, Starter, tail};

/// How long a worker may take until its children are connected, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// A program in Python that answers each line with a line.
pub(crate) struct Program {
    running: Running,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Program {
    /// Starts the program `name` of the app, for the home of `server`.
    pub(crate) fn start(bench: &Bench<'_>, name: &str, home: &Path) -> Result<Self> {
        let log = bench.room.path().join(name).with_extension("log");
        let mut command = Starter::program(bench.interpreter()?, home);
        command.arg(name).current_dir(bench.room.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = bench.starter.spawn(&mut command, &log)?;
        let streams = running.child.stdin.take().zip(running.child.stdout.take());
        let (questions, answers) = streams.ok_or_else(|| Error::Wrong(format!("{name} has no streams")))?;
        Ok(Self { running, questions, answers: BufReader::new(answers), log })
    }

    /// Sends a number and reads the numbers of the answer.
    pub(crate) fn ask(&mut self, number: usize) -> Result<Vec<f64>> {
        let mut answer = String::new();
        // A program that is gone answers with nothing.
        let _ = writeln!(self.questions, "{number}").and_then(|()| self.questions.flush());
        let _ = self.answers.read_line(&mut answer);
        let numbers: Option<Vec<f64>> = answer.split_whitespace().map(|word| word.parse().ok()).collect();
        match numbers.filter(|numbers| !numbers.is_empty()) {
            Some(numbers) => Ok(numbers),
            None => {
                self.running.wait(Duration::from_secs(1));
                Err(Error::process("a program in Python ended", tail(&self.log)))
            }
        }
    }
}

impl Program {
    /// Lets it end, by the end of its standard input, at most so long.
    pub(crate) fn end(self, patience: Duration) {
        let Self { mut running, questions, .. } = self;
        drop(questions);
        running.wait(patience);
    }
}

/// A worker that is a process of its own.
pub(crate) struct Worker {
    running: Running,
    log: PathBuf,
}

impl Worker {
    /// A worker with two child processes in Python, once they are connected.
    pub(crate) fn python(bench: &Bench<'_>, home: &Path, client: &Client) -> Result<Self> {
        let mut worker = Self::python_soon(bench, home)?;
        worker.until_connected(client, 2)?;
        Ok(worker)
    }

    /// The same without waiting.
    pub(crate) fn python_soon(bench: &Bench<'_>, home: &Path) -> Result<Self> {
        let mut command = bench.starter.lineshaft(home);
        command.args(["worker", TARGET, "--processes", "2", "--kind", "process", "--slots", "1"]);
        command.args(["--queues", "default", "--python"]).arg(bench.interpreter()?);
        command.arg("--home").arg(home).current_dir(bench.room.path());
        let log = home.with_extension("worker.log");
        Ok(Self { running: bench.starter.spawn(&mut command, &log)?, log })
    }

    /// Two processes in Rust, once they are connected.
    pub(crate) fn rust(bench: &Bench<'_>, home: &Path, client: &Client) -> Result<Vec<Self>> {
        (1..=2)
            .map(|count| {
                let log = home.with_extension("worker.log");
                let mut command = bench.starter.lineshaft(home);
                command.args(["bench", "--work-for"]).arg(home).current_dir("/").stdin(Stdio::piped());
                let mut worker = Self { running: bench.starter.spawn(&mut command, &log)?, log };
                worker.until_connected(client, count)?;
                Ok(worker)
            })
            .collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    fn until_connected(&mut self, client: &Client, children: u32) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let workers = Server::status(client)?.workers;
            if workers.iter().map(|worker| worker.children).sum::<u32>() >= children {
                return Ok(());
            }
            if self.running.ended().is_some() || Instant::now() > deadline {
                return Err(Error::process("a worker did not connect", tail(&self.log)));
            }
            sleep(LOOK);
        }
    }

    /// Lets it end as it would.
    pub(crate) fn stop(mut self) {
        self.running.stop(PATIENCE);
    }
}
