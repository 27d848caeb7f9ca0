//! Starting the server of a home on demand.
//!
//! The server's standard output is a pipe to whoever starts it: `ready ADDRESS` on it means that clients can connect,
//! its end without that means that the server failed. So nobody polls, and a failure is known at once. Of two
//! starters at the same time one server gets the home's lock; the other exits with [`EXIT_DECLINED`], and its starter
//! waits for the winner.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_wire::message::RefusalCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Error;
use crate::client::Target;
use crate::client::connection::Connection;
use crate::client::io_thread;
use crate::home::Home;
use crate::per_process::PerProcess;

/// Exit code of a server that gives way to another one of the same home.
pub const EXIT_DECLINED: i32 = 3;

/// How long a server may take to become ready: recovery of a large journal included.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server of another starter may be silent before it is looked whether that one still holds the home.
const WINNER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a server that is going may take to close its socket, and how often that is looked at.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
const LEAVE_PAUSE: Duration = Duration::from_millis(5);
/// Bytes and lines of the log that an error shows.
const TAIL_BYTES_MAX: u64 = 4096;
const TAIL_LINES_MAX: usize = 20;
/// What the server keeps of the environment: where programs and libraries are, time zone and language, directories
/// for temporary files and configuration, and the settings of a server.
const VARIABLES_KEPT: [&str; 24] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "RUST_BACKTRACE",
    "XDG_CONFIG_HOME",
    "LINESHAFT_LOG",
    "LINESHAFT_LOG_FORMAT",
    "LINESHAFT_LOG_FILE_SIZE",
    "LINESHAFT_LOG_FILE_KEEP",
    "LINESHAFT_DURABILITY",
    "LINESHAFT_HISTORY_DAYS",
    "LINESHAFT_HISTORY_BYTES",
    "LINESHAFT_MEMORY_BYTES",
    "LINESHAFT_CACHE_BYTES",
];

/// The program that serves, and what goes before `serve --home H --on-demand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments in front of `serve`.
    pub args: Vec<OsString>,
}

impl ServerCommand {
    /// The running executable, for programs that are the `lineshaft` command themselves.
    pub fn current_exe() -> Result<Self, Error> {
        let program =
            std::env::current_exe().map_err(|error| Error::io("find the running executable", error))?;
        Ok(Self { program, args: Vec::new() })
    }

    /// The `lineshaft` command beside the running executable, or the first one on the `PATH`.
    pub fn find() -> Option<Self> {
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs = beside
            .into_iter()
            .chain(std::env::split_paths(&path))
            .map(|directory| directory.join("lineshaft"));
        let program = programs.find(|program| is_executable(program))?;
        Some(Self { program, args: Vec::new() })
    }
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Makes sure that a server of `home` listens: starts one by `command` unless somebody answers already. An idle server
/// on demand of an older version hands over to the one that is started. Blocks until clients can connect. Gives a
/// warning about the home, if there is one, when a server was started.
///
/// [`Error::NoServer`] with the last lines of its log if it failed; [`Error::Home`] if the home cannot be one;
/// [`Error::VersionMismatch`] if the server that runs has no protocol in common with this version.
pub fn ensure_server(home: &Home, command: &ServerCommand) -> Result<Option<String>, Error> {
    reap();
    if is_served(home, command)? {
        return Ok(None);
    }
    start(home, command)
}

/// Whether a server goes on answering for `home`; waits for the end of one that is going.
fn is_served(home: &Home, command: &ServerCommand) -> Result<bool, Error> {
    let target = Target::Home { home: home.clone(), start: Some(command.clone()) };
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    while is_answering(home) {
        match io_thread::get()?.complete(Connection::open(&target, None, false)) {
            Ok(_) => return Ok(true),
            Err(error) if is_gone_or_going(&error) && Instant::now() < deadline => {
                std::thread::sleep(LEAVE_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether a greeting failed because the server is not there, or about to end.
pub(crate) fn is_gone_or_going(error: &Error) -> bool {
    match error {
        Error::NoServer { .. } | Error::Io { .. } => true,
        Error::Refused { code, .. } => *code == RefusalCode::ShuttingDown,
        _ => false,
    }
}

fn start(home: &Home, command: &ServerCommand) -> Result<Option<String>, Error> {
    let warning = home.prepare()?;
    let log = Log::open(home)?;
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let mut child = spawn(home, command, &log)?;
        let started = wait_until_ready(&mut child);
        keep(child);
        match started {
            Start::Ready => return Ok(warning),
            Start::Failed(detail) => return Err(no_server(home, detail, &log)),
            Start::Declined if wait_for_winner(home) => return Ok(warning),
            Start::Declined if Instant::now() >= deadline => {
                let detail = "another server holds the home, but does not answer";
                return Err(no_server(home, detail.into(), &log));
            }
            Start::Declined => {} // the winner may be dead by now
        }
    }
}

/// Whether somebody accepts connections for `home`.
pub fn is_answering(home: &Home) -> bool {
    home.socket().is_ok_and(|socket| UnixStream::connect(socket).is_ok())
}

/// The process that listens for `home`, as the kernel says: this needs no protocol in common. `None` if there is none,
/// or if it is in a process namespace that this one cannot see.
pub fn server_pid(home: &Home) -> Option<u32> {
    let stream = UnixStream::connect(home.socket().ok()?).ok()?;
    let credentials = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(credentials.pid.as_raw_pid()).ok()
}

enum Start {
    Ready,
    Declined,
    Failed(String),
}

fn spawn(home: &Home, command: &ServerCommand, log: &Log) -> Result<Child, Error> {
    let stderr = log.file.try_clone().map_err(|error| Error::io("share the server's log", error))?;
    let kept = VARIABLES_KEPT.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?)));
    // The server makes itself a session of its own (`--on-demand`), so that it outlives this terminal.
    Command::new(&command.program)
        .args(&command.args)
        .args(["serve", "--on-demand", "--home"])
        .arg(home.path())
        .env_clear()
        .envs(kept)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| Error::io(format!("start the server {}", command.program.display()), error))
}

fn wait_until_ready(child: &mut Child) -> Start {
    let Some(mut output) = child.stdout.take() else { return Start::Failed("it has no output".into()) };
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut said = Vec::new();
    loop {
        match read_some(&mut output, &mut said, deadline) {
            Ok(_) if said.starts_with(b"ready ") && said.contains(&b'\n') => return Start::Ready,
            Ok(0) => return how_it_ended(child),
            Ok(_) if said.len() > 4096 => return give_up(child, "it said something else than `ready`"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                // It may be recovering a large journal: ending it would only make the next start as long.
                return Start::Failed(
                    "the server was started, but is not ready after 60 s; it goes on".into(),
                );
            }
            Err(error) => return give_up(child, &error.to_string()),
        }
    }
}

fn read_some(output: &mut ChildStdout, said: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    let ready = match poll(&mut [PollFd::new(&*output, PollFlags::IN)], Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => return read_some(output, said, deadline),
        result => result?,
    };
    if ready == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut chunk = [0; 512];
    let count = output.read(&mut chunk)?;
    said.extend_from_slice(&chunk[..count]);
    Ok(count)
}

fn how_it_ended(child: &mut Child) -> Start {
    match child.wait() {
        Ok(status) if status.code() == Some(EXIT_DECLINED) => Start::Declined,
        Ok(status) => Start::Failed(format!("the server that was started ended with {status}")),
        Err(error) => Start::Failed(format!("the server that was started is gone: {error}")),
    }
}

fn give_up(child: &mut Child, detail: &str) -> Start {
    // Only this child: it has not served anybody yet.
    let _ = child.kill();
    let _ = child.wait();
    Start::Failed(format!("the server was started, but {detail}"))
}

/// Another starter's server got the lock; it may still be recovering. Whether it answers before long.
fn wait_for_winner(home: &Home) -> bool {
    let deadline = Instant::now() + WINNER_PATIENCE;
    let mut pause = Duration::from_millis(2);
    while Instant::now() < deadline {
        if is_answering(home) {
            return true;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    false
}

fn no_server(home: &Home, detail: String, log: &Log) -> Error {
    let address = format!("the home {}", home.path().display());
    Error::NoServer { address, detail, log_tail: log.tail() }
}

/// The server's log, and where this start's lines begin in it.
struct Log {
    path: PathBuf,
    file: File,
    start: u64,
}

impl Log {
    fn open(home: &Home) -> Result<Self, Error> {
        let path = home.log_file();
        // One that is too large, by what went past the log, is rotated by the server with its first record.
        let opened = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| Error::io(format!("open {}", path.display()), error))?;
        let start = file.metadata().map_or(0, |found| found.len());
        Ok(Self { path, file, start })
    }

    fn tail(&self) -> String {
        read_tail(&self.path, self.start).unwrap_or_default()
    }
}

fn read_tail(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    // The server may have begun another file.
    let start = if start > end { 0 } else { start };
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES_MAX))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].join("\n"))
}

/// Servers started by this process. They outlive it; while it lives, somebody has to reap those that ended.
static CHILDREN: PerProcess<Mutex<Vec<Child>>> = PerProcess::new();

fn keep(child: Child) {
    CHILDREN.get_or_default().lock().unwrap_or_else(PoisonError::into_inner).push(child);
}

/// Reaps servers that were started here and have ended.
pub(crate) fn reap() {
    let mut children = CHILDREN.get_or_default().lock().unwrap_or_else(PoisonError::into_inner);
    children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> ServerCommand {
        // What follows (`serve --on-demand --home H`) become the script's $0, $1 and so on.
        ServerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
    }

    fn launch(script: &str) -> (Result<Option<String>, Error>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        (ensure_server(&home, &shell(script)), directory)
    }

    #[test]
    fn a_server_that_says_ready_is_there() {
        let (started, directory) = launch("echo starting >&2; echo \"ready $3/run/socket\"; exec sleep 0.2");
        started.unwrap();
        let home = directory.path().join("home");
        assert_eq!(fs::read_to_string(home.join("output/server.log")).unwrap(), "starting\n");
        assert!(fs::read_to_string(home.join(".gitignore")).unwrap().ends_with("\n*\n"));
    }

    #[test]
    fn a_server_that_fails_says_why_with_the_end_of_its_log() {
        let (started, directory) = launch("echo 'journal is damaged' >&2; exit 1");
        let Err(Error::NoServer { address, detail, log_tail }) = started else { panic!("{started:?}") };
        assert_eq!(address, format!("the home {}/home", directory.path().display()));
        assert_eq!(detail, "the server that was started ended with exit status: 1");
        assert_eq!(log_tail, "journal is damaged");
    }

    #[test]
    fn an_error_shows_only_lines_of_this_start() {
        let (_, directory) = launch("echo old >&2; exit 1");
        let home = Home::new(directory.path().join("home"));
        let error = ensure_server(&home, &shell("echo new >&2; exit 1")).unwrap_err().to_string();
        assert!(error.ends_with("its log ends with:\nnew"), "{error}");
    }

    #[test]
    fn a_server_that_says_something_else_is_refused() {
        let (started, _directory) = launch("yes nonsense");
        let text = started.unwrap_err().to_string();
        assert!(text.contains("something else than `ready`"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let command = ServerCommand { program: "/no/such/program".into(), args: vec![] };
        let error = ensure_server(&Home::new(directory.path()), &command).unwrap_err().to_string();
        assert!(error.starts_with("cannot start the server /no/such/program: No such file"), "{error}");
    }

    #[test]
    fn the_environment_is_scrubbed_and_the_directory_is_the_root() {
        let (started, directory) = launch("env >&2; pwd >&2; echo ready x");
        started.unwrap();
        let log = fs::read_to_string(directory.path().join("home/output/server.log")).unwrap();
        assert!(log.contains("PATH=") && !log.contains("CARGO_"), "{log}");
        assert!(log.trim_end().ends_with("\n/"), "{log}");
    }

    #[test]
    fn a_starter_that_lost_the_race_waits_for_the_winner() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        home.prepare().unwrap();
        let socket = home.default_socket();
        let winner = std::thread::spawn({
            let home = home.clone();
            move || {
                std::thread::sleep(Duration::from_millis(30));
                let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
                fs::write(home.address_file(), format!("{}\n", socket.display())).unwrap();
                listener.accept().map(drop)
            }
        });
        ensure_server(&home, &shell("exit 3")).unwrap();
        winner.join().unwrap().unwrap();
    }

    /// It waited a minute for a server that had been killed.
    #[test]
    fn a_starter_whose_winner_died_starts_its_own() {
        let first = "test -e once && echo ready x || { touch once; exit 3; }";
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("once");
        let script = first.replace("once", &mark.display().to_string());
        ensure_server(&Home::new(directory.path().join("home")), &shell(&script)).unwrap();
    }
}
