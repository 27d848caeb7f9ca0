//! A home with a server, a worker, and what tests ask of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::client::Client;
use lineshaft::worker::{Error, Handle, Options, Supervisor};
use lineshaft::{ClientOptions, JobEnd, Target};
use lineshaft_ipc::process::ProcessId;
use lineshaft_wire::message::{JobGroup, Rules};
use lineshaft_wire::{JobId, JobRecord, JobState, Outcome};
use tempfile::TempDir;

use super::programs::{command, program, start};

/// The variable that names the home of a program.
pub(super) const HOME: &str = "LINESHAFT_TEST_HOME";
/// The variable that has a server listen beside its home's socket.
pub(super) const LISTEN: &str = "LINESHAFT_TEST_LISTEN";
/// The variable that has a worker talk to its home by this address.
pub(super) const ADDRESS: &str = "LINESHAFT_TEST_ADDRESS";
/// The variable that gives a server's leases another length, in milliseconds.
pub(super) const LEASE_MS: &str = "LINESHAFT_TEST_LEASE_MS";
/// The variable that gives the children of a worker so many slots, each a thread.
pub(super) const SLOTS: &str = "LINESHAFT_TEST_SLOTS";
/// The variable that says how a child misbehaves.
pub(super) const PROGRAM_MODE: &str = "LINESHAFT_TEST_MODE";
/// The length of a lease.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// Long enough for anything on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn child_command() -> Vec<OsString> {
    program("child")
}

/// A child that is started with a mode of [`PROGRAM_MODE`].
pub(super) fn odd_child_command(mode: &str) -> Vec<OsString> {
    let setting = format!("{PROGRAM_MODE}={mode}");
    ["env".into(), setting.into()].into_iter().chain(child_command()).collect()
}

/// Waits until `check` gives something.
pub(super) fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A home, its server in another process, and a client.
pub(super) struct World {
    directory: TempDir,
    server: process::Child,
    pub(super) client: Client,
}

impl World {
    pub(super) fn new() -> Self {
        Self::begin(|home| command("server", home))
    }

    /// One that is reached from other machines too.
    pub(super) fn listening() -> Self {
        Self::listening_with(LEASE)
    }

    /// The same with leases of another length.
    pub(super) fn listening_with(lease: Duration) -> Self {
        Self::begin(|home| {
            let mut server = command("server", home);
            server.env(LISTEN, "127.0.0.1:0").env(LEASE_MS, lease.as_millis().to_string());
            server
        })
    }

    fn begin(server: impl Fn(&Path) -> process::Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let server = server(&home).spawn().unwrap();
        let client = until("the server answers", || {
            Client::connect(Target::home(&home), ClientOptions::default()).ok()
        });
        Self { directory, server, client }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// A path for the files of a test.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn options(&self) -> Options {
        Options {
            processes: 1,
            grace: Duration::from_secs(5),
            tee: false,
            ..Options::new(Target::home(self.home()), child_command())
        }
    }

    pub(super) fn worker(&self) -> Worker {
        Worker::start(self.options())
    }

    pub(super) fn server_pid(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn kill_server(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub(super) fn start_server(&mut self) {
        self.server = start("server", &self.home());
    }

    pub(super) fn enqueue(&self, task: &str, calls: &[&str]) -> Vec<JobId> {
        self.enqueue_with(task, calls, Rules::default())
    }

    pub(super) fn enqueue_with(&self, task: &str, calls: &[&str], rules: Rules) -> Vec<JobId> {
        let group = JobGroup {
            rules: rules.into(),
            ..JobGroup::new(task, calls.iter().map(|call| call.len() as u32).collect())
        };
        let payloads = calls.iter().map(|call| Bytes::copy_from_slice(call.as_bytes())).collect();
        self.client.enqueue(vec![group], payloads, None).wait().unwrap().ids
    }

    /// Waits for the ends of all, in no certain order.
    pub(super) fn ends(&self, jobs: &[JobId]) -> Vec<JobEnd> {
        let mut waiting = self.client.wait(jobs, true);
        let mut ends = Vec::new();
        while ends.len() < jobs.len() {
            match waiting.next_timeout(PATIENCE) {
                Poll::Ready(Some(more)) => ends.extend(more.unwrap()),
                other => panic!("{} of {} jobs ended: {other:?}", ends.len(), jobs.len()),
            }
        }
        ends
    }

    pub(super) fn record(&self, job: JobId) -> JobRecord {
        self.client.show(job, None).wait().unwrap().record
    }

    /// Waits for the end of a job and gives its record.
    pub(super) fn ended(&self, job: JobId) -> JobRecord {
        self.ends(&[job]);
        self.record(job)
    }

    pub(super) fn until_state(&self, job: JobId, state: JobState) -> JobRecord {
        until(&format!("{job} is {state}"), || {
            let record = self.record(job);
            (record.state == state).then_some(record)
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        let address = std::fs::read_to_string(self.home().join("run/address")).unwrap();
        address.lines().nth(1).expect("it listens").to_owned()
    }

    /// Children of all workers.
    pub(super) fn children(&self) -> u32 {
        let workers = self.client.status(None).wait().unwrap().workers;
        workers.iter().map(|worker| worker.children).sum()
    }

    /// (running, available) of the default queue.
    pub(super) fn counts(&self) -> (u64, u64) {
        let report = self.client.status(None).wait().unwrap();
        report.queues.first().map_or((0, 0), |queue| (queue.running, queue.available))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A supervisor on a thread of the test.
pub(super) struct Worker {
    pub(super) handle: Handle,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Worker {
    pub(super) fn start(options: Options) -> Self {
        let (supervisor, handle) = Supervisor::new(options).unwrap();
        let thread = Some(thread::spawn(|| supervisor.run()));
        Self { handle, thread }
    }

    /// The child of a worker that has one.
    pub(super) fn pid(&self) -> u32 {
        until("a child runs", || self.handle.pids().first().copied())
    }

    /// Waits for the end of the supervisor.
    pub(super) fn joined(&mut self) -> Result<(), Error> {
        let thread = self.thread.take().expect("joined before");
        until("the supervisor ends", || thread.is_finished().then_some(()));
        thread.join().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.handle.kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Stops a process, and waits until each of its threads stands still: the signal is on its way for a moment.
pub(super) fn stop(pid: u32) {
    signal(pid, rustix::process::Signal::STOP);
    let is_still = |thread: PathBuf| {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    };
    until("it stands still", || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.flatten().all(|thread| is_still(thread.path())).then_some(())
    });
}

pub(super) fn is_alive(pid: u32) -> bool {
    ProcessId::of(pid).is_ok()
}

/// The words of a file once it is there.
pub(super) fn words(file: &Path) -> Vec<u32> {
    let text = until("the body wrote its file", || std::fs::read_to_string(file).ok());
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// What a call of `note` says: its body waits until the gate is opened.
pub(super) fn gated(file: &Path) -> String {
    format!("{} gate", file.display())
}

pub(super) fn gate_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.gate", file.display()))
}

/// Lets the bodies go on that wait there, and all that come later.
pub(super) fn open_gate(file: &Path) {
    std::fs::File::create(gate_of(file)).unwrap();
}

/// How many attempts have noted themselves in the file.
pub(super) fn runs(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

pub(super) fn wait_for_runs(file: &Path, count: usize) {
    until("the bodies run", || (runs(file) >= count).then_some(()));
}

/// Until the body has written to its file: stopped between making it and writing, it leaves an empty one.
pub(super) fn wait_for_words(file: &Path) {
    until("the body runs", || std::fs::metadata(file).is_ok_and(|file| file.len() > 0).then_some(()));
}

pub(super) fn outcomes(record: &JobRecord) -> Vec<Option<Outcome>> {
    record.attempts.iter().map(|attempt| attempt.outcome).collect()
}
