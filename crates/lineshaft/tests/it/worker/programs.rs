//! The programs that the tests start: this test binary again, in another part.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::Target;
use lineshaft::worker::{Child, End, Ending, Error, Job, Next, TaskEntry, supervisor};
use lineshaft::worker::{Kind, Options, StopReason};
use lineshaft_wire::ErrorRecord;

use super::support::{
    ADDRESS, HOME, LEASE_MS, LISTEN, PATIENCE, PROGRAM_MODE, SLOTS, child_command, gate_of,
};

/// The tasks of the test child.
const TASKS: [&str; 14] = [
    "echo",
    "sleep",
    "note",
    "spin",
    "fork",
    "print",
    "polite",
    "once",
    "exit",
    "grow",
    "grow-elsewhere",
    "leak",
    "stall",
    "die",
];
/// What those that grow may have.
pub(super) const LIMIT: u64 = 200 << 20;

/// Serves the home named in the environment.
#[test]
#[ignore = "a program that tests start"]
fn server() {
    let home = std::env::var_os(HOME).expect("started by a test");
    let listen = std::env::var(LISTEN).ok();
    let options = lineshaft_server::ServeOptions::new(home);
    let lease_ms = std::env::var(LEASE_MS).map(|millis| millis.parse().expect("a number"));
    let lease = lease_ms.map_or(options.lease, Duration::from_millis);
    lineshaft_server::serve(lineshaft_server::ServeOptions { listen, lease, ..options }).unwrap();
}

/// A worker of its own process, as `lineshaft worker` is.
#[test]
#[ignore = "a program that tests start"]
fn worker() {
    let home = PathBuf::from(std::env::var_os(HOME).expect("started by a test"));
    // From elsewhere it is alone, and what it says is looked at.
    let (target, processes, tee) = match std::env::var(ADDRESS) {
        Ok(address) => (remote(&home, address), 1, true),
        Err(_) => (Target::home(home), 2, false),
    };
    let grace = Duration::from_secs(20);
    let mut options = Options { processes, grace, tee, ..Options::new(target, child_command()) };
    if let Ok(slots) = std::env::var(SLOTS) {
        (options.kind, options.slots) = (Kind::Thread, slots.parse().expect("a number"));
    }
    if let Err(error) = supervisor::run(options) {
        let Error::Killed { signal } = error else { panic!("{error}") };
        std::process::exit(128 + signal);
    }
}

/// The server of a home by an address, as from another machine.
pub(super) fn remote(home: &Path, address: String) -> Target {
    Target::Tcp { address, token: std::fs::read_to_string(home.join("run/token")).unwrap().trim().to_owned() }
}

/// A worker's child.
#[test]
#[ignore = "a program that tests start"]
fn child() {
    let child = Child::from_env().unwrap();
    match std::env::var(PROGRAM_MODE).as_deref() {
        Ok("fails") => return child.fail("Traceback: no module named shop").unwrap(),
        Ok("dies") => std::process::exit(7),
        _ => {}
    }
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::new(AtomicBool::new(false))).unwrap();
    let entry = |name: &str| {
        let memory = name.starts_with("grow").then_some(LIMIT);
        TaskEntry { name: name.into(), at_most_once: name == "once", memory, ..TaskEntry::default() }
    };
    child.start(TASKS.map(entry).to_vec()).unwrap();
    match child.kind() {
        Kind::Async => run_async(&child),
        _ => std::thread::scope(|scope| (0..child.slots()).for_each(|_| _ = scope.spawn(|| run(&child)))),
    }
    child.close(Duration::from_secs(10));
}

fn run(child: &Child) {
    loop {
        match child.next(Duration::from_secs(60)) {
            Next::Job(job) => {
                let task = TASKS[job.task as usize];
                die_at("before", task, &job);
                child.begin(&job);
                let ending = body(child, task, &job);
                die_at("after", task, &job);
                child.finish(&job, ending);
                die_at("during", task, &job);
                if task == "stall" {
                    // The slot never asks for a job again.
                    std::thread::sleep(Duration::from_secs(3_600));
                }
            }
            Next::TimedOut => {}
            Next::Drained => break,
        }
    }
}

/// One thread, as many coroutines as there are slots; only `sleep` and `echo` make sense here.
fn run_async(child: &Child) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        while let Some(job) = child.recv().await {
            child.begin(&job);
            let attempts = Arc::clone(child.attempts());
            tokio::task::spawn_local(async move {
                if TASKS[job.task as usize] == "sleep" {
                    let text = String::from_utf8(job.arguments.to_vec()).unwrap();
                    tokio::time::sleep(milliseconds(&text)).await;
                }
                attempts.finish(&job, Ending::Returned(job.arguments.clone()));
            });
        }
        while child.busy() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }));
}

fn body(child: &Child, task: &str, job: &Job) -> Ending {
    let text = String::from_utf8(job.arguments.to_vec()).unwrap();
    child.print(job.ticket(), format!("{task} begins\n").as_bytes());
    match task {
        "sleep" => std::thread::sleep(milliseconds(&text)),
        "note" | "once" => note(&text),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "fork" => fork(&text),
        "print" => {
            print(&text);
            std::thread::sleep(2 * PATIENCE);
        }
        "polite" => return polite(child, job),
        "exit" => std::process::exit(3),
        "grow" => grow(&text),
        "leak" => drop(vec![1u8; text.parse::<usize>().unwrap() << 10].leak()),
        "die" => {
            note(&format!("{} 0", text.split_once(' ').unwrap().1));
            die_at("body", task, job);
        }
        "grow-elsewhere" => grow_elsewhere(&text),
        _ => {}
    }
    Ending::Returned(job.arguments.clone())
}

/// A job of `die` says in which phase of its attempt the process is killed, and in which file its body notes that it ran.
/// It happens once.
fn die_at(phase: &str, task: &str, job: &Job) {
    let text = std::str::from_utf8(&job.arguments).unwrap();
    let Some((its_phase, file)) = text.split_once(' ').filter(|_| task == "die") else { return };
    let is_first = || std::fs::File::create_new(format!("{file}.died")).is_ok();
    if its_phase == phase && is_first() {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

/// `FILE MILLISECONDS` or `FILE gate`: notes the attempt in the file, then takes its time, or waits until the test opens
/// the gate.
fn note(text: &str) {
    let (path, pause) = text.rsplit_once(' ').unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    // One write: lines of several processes do not mix.
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).unwrap();
    match pause {
        "gate" => wait_for_gate(Path::new(path)),
        pause => std::thread::sleep(milliseconds(pause)),
    }
}

fn wait_for_gate(file: &Path) {
    let start = Instant::now();
    while !gate_of(file).exists() && start.elapsed() < 2 * PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a process that ignores SIGTERM, writes its pid and its own into the file, and ignores every request.
fn fork(file: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' TERM; while :; do sleep 1; done"]);
    let grandchild = shell.spawn().unwrap().id();
    std::fs::write(format!("{file}.new"), format!("{} {grandchild}", std::process::id())).unwrap();
    std::fs::rename(format!("{file}.new"), file).unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Takes so many MiB of memory, one after the other, and keeps them for a moment. Above its limit it takes them slowly:
/// whoever looks may be late.
fn grow(mebibytes: &str) {
    let mut blocks = Vec::new();
    for taken in 0..mebibytes.parse().unwrap() {
        blocks.push(vec![1u8; 1 << 20]);
        std::thread::sleep(Duration::from_millis(if taken < LIMIT >> 20 { 1 } else { 20 }));
    }
    std::thread::sleep(Duration::from_millis(300));
}

/// The same in a process that it starts: `tail` keeps a line that does not end, and that nobody reads.
fn grow_elsewhere(mebibytes: &str) {
    let line = format!("head -c {mebibytes}M /dev/zero | tail -n 1 | sleep 120");
    Command::new("sh").args(["-c", &line]).stdout(Stdio::null()).status().unwrap();
}

/// `FILE WORDS`: prints the words, then notes that it did.
fn print(text: &str) {
    let (file, words) = text.split_once(' ').unwrap();
    // Past the test harness, as a C library would print.
    rustix::io::write(std::io::stdout(), words.as_bytes()).unwrap();
    rustix::io::write(std::io::stderr(), b"and an error\n").unwrap();
    note(&format!("{file} 0"));
}

/// Leaves a process behind and stops when it is asked to.
fn polite(child: &Child, job: &Job) -> Ending {
    let mut left_behind = Command::new("sleep").arg("1000").spawn().unwrap();
    std::thread::spawn(move || left_behind.wait());
    let start = Instant::now();
    while child.stop_requested(job.ticket()).is_none() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    match child.stop_requested(job.ticket()) {
        Some(StopReason::TimedOut | StopReason::Cancelled | StopReason::Shutdown) => {
            let error = ErrorRecord { message: "asked to stop".into(), ..ErrorRecord::default() };
            Ending::Other(End::Errored { error, retry_after_ms: None })
        }
        other => Ending::Returned(Bytes::from(format!("{other:?}"))),
    }
}

/// This test binary, running only the program `name`.
pub(super) fn program(name: &str) -> Vec<std::ffi::OsString> {
    let path = std::env::current_exe().unwrap().into_os_string();
    let test = format!("worker::programs::{name}");
    let arguments = [test.as_str(), "--exact", "--ignored", "--nocapture", "--test-threads=1"];
    std::iter::once(path).chain(arguments.map(Into::into)).collect()
}

/// A program started by a test, in a process group of its own.
pub(super) fn start(name: &str, home: &Path) -> std::process::Child {
    command(name, home).spawn().unwrap()
}

/// The same, to be started with something else.
pub(super) fn command(name: &str, home: &Path) -> Command {
    let program = program(name);
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).env(HOME, home).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
