//! Servers to talk to, and a plain blocking client that sends whatever a test wants sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lineshaft_server::{Error, ServeOptions};
use lineshaft_wire::JobId;
use lineshaft_wire::frame::{Frame, FrameDecoder, FrameError, Header, encode_frame_with};
use lineshaft_wire::message::{
    AttachChild, Enqueue, Enqueued, Hello, JobGroup, Message, Ping, ProcessKey, Refused, Sequence, Shutdown,
    Welcome,
};

/// Long enough for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a thread of the test's process, with a home of its own.
pub(crate) struct TestServer {
    home: Option<tempfile::TempDir>,
    path: PathBuf,
    thread: Option<JoinHandle<Result<(), Error>>>,
    pub(crate) ready: String,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        let mut server = Self::start_in(&path, change);
        server.home = Some(home);
        server
    }

    /// A server of a home that somebody else owns.
    pub(crate) fn start_in(path: &Path, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let (sender, ready) = std::sync::mpsc::channel();
        let mut options = ServeOptions::new(path);
        options.ready = Box::new(move |address| sender.send(address.to_owned()).unwrap());
        change(&mut options);
        let thread = std::thread::spawn(|| lineshaft_server::serve(options));
        let Ok(ready) = ready.recv_timeout(PATIENCE) else {
            panic!("the server did not start: {:?}", thread.join());
        };
        Self { home: None, path: path.to_owned(), thread: Some(thread), ready }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.path
    }

    /// A connection that has not said anything yet.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.path)
    }

    /// A connection with a session.
    pub(crate) fn client(&self) -> Client {
        self.connect().greeted()
    }

    /// Waits for the server's own end.
    pub(crate) fn ended(&mut self) -> Result<(), Error> {
        let thread = self.thread.take().expect("the server ended before");
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        thread.join().unwrap()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.client().send(9, Shutdown::default(), b"");
        self.ended()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if self.is_running() && !std::thread::panicking() {
            self.stop().unwrap();
        }
    }
}

trait Stream: Read + Write + Send {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// A connection under the test's full control.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    decoder: FrameDecoder,
    next_number: u64,
    /// What the server said in the handshake.
    pub(crate) welcome: Option<Welcome>,
}

impl Client {
    /// Connects to the Unix socket that `run/address` names.
    pub(crate) fn connect(home: &Path) -> Self {
        Self::try_connect(home).expect("a server listens")
    }

    /// The same where there may be no server any more.
    pub(crate) fn try_connect(home: &Path) -> Option<Self> {
        let addresses = std::fs::read_to_string(home.join("run/address")).ok()?;
        let stream = UnixStream::connect(addresses.lines().next()?).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Some(Self::over(Box::new(stream)))
    }

    /// Connects to the TCP address that `run/address` names.
    pub(crate) fn connect_tcp(home: &Path) -> Self {
        let addresses = std::fs::read_to_string(home.join("run/address")).unwrap();
        let stream = TcpStream::connect(addresses.lines().nth(1).unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream))
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, decoder: FrameDecoder::default(), next_number: 1, welcome: None }
    }

    /// Says `Hello` and takes the `Welcome`.
    pub(crate) fn greeted(mut self) -> Self {
        let (message, _) = self.call(1, hello(), b"");
        let Message::Welcome(welcome) = message else { panic!("not welcome: {message:?}") };
        self.welcome = Some(welcome);
        self
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, request_id: u64, message: impl Into<Message>, payload: &[u8]) {
        self.send_bytes(&frame(request_id, &message.into(), payload));
    }

    /// Sends a request to a server that may have closed already.
    pub(crate) fn try_send(&mut self, request_id: u64, message: impl Into<Message>) {
        let _ = self.stream.write_all(&frame(request_id, &message.into(), b""));
    }

    /// Sends a request and takes the next frame, which has to be its answer.
    pub(crate) fn call(
        &mut self,
        request_id: u64,
        message: impl Into<Message>,
        payload: &[u8],
    ) -> (Message, Frame) {
        self.send(request_id, message, payload);
        let (message, frame) = self.receive().expect("an answer");
        assert_eq!(frame.header.request_id, request_id, "{message:?}");
        (message, frame)
    }

    /// The next frame, `None` when the server closed.
    pub(crate) fn receive(&mut self) -> Option<(Message, Frame)> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some((Message::decode(frame.header.kind, &frame.map).unwrap(), frame));
            }
            let mut bytes = vec![0; 64 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The refusal with which the server closes, whatever comes before it.
    pub(crate) fn closing_refusal(&mut self) -> Refused {
        let mut last = None;
        while let Some((message, frame)) = self.receive() {
            last = Some((frame.header.request_id, message));
        }
        match last {
            Some((0, Message::Refused(refused))) => refused,
            other => panic!("closed without a reason, after {other:?}"),
        }
    }

    /// Proves that the connection works.
    pub(crate) fn ping(&mut self) {
        let (message, _) = self.call(77, Ping {}, b"");
        assert!(matches!(message, Message::Done(_)), "{message:?}");
    }

    /// Makes one job of task `t`.
    pub(crate) fn enqueue(&mut self, arguments: &[u8]) -> JobId {
        let request = enqueue(self.next_number, arguments.len());
        self.next_number += 1;
        let (message, _) = self.call(78, request, arguments);
        let Message::Enqueued(Enqueued { ids, .. }) = message else { panic!("not enqueued: {message:?}") };
        JobId::from_bytes(ids.as_slice().try_into().unwrap()).unwrap()
    }
}

pub(crate) fn frame(request_id: u64, message: &Message, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
    let write = |buffer: &mut Vec<u8>| {
        message.encode(buffer);
        Ok::<(), FrameError>(())
    };
    encode_frame_with(&mut bytes, header, write, &[payload]).unwrap();
    bytes
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocol: (1, 1),
        version: "0.1.0".into(),
        executable: "test".into(),
        pid: std::process::id(),
        session: None,
        open_session: true,
        token: None,
        hand_over: false,
    }
}

pub(crate) fn enqueue(number: u64, argument_bytes: usize) -> Enqueue {
    let group = JobGroup { queue: "q".into(), ..JobGroup::new("t", vec![argument_bytes as u32]) };
    Enqueue { sequence: Sequence { number, lowest: number }, groups: vec![group] }
}

/// This process as a child of a worker of its own.
pub(crate) fn attach_child() -> AttachChild {
    AttachChild {
        worker: u64::from(std::process::id()),
        worker_name: "test:1".into(),
        number: 1,
        process: own_process(),
        tasks: vec!["t".into()],
        queues: Vec::new(),
        held: Vec::new(),
        declared: Vec::new(),
        attach: 0,
    }
}

pub(crate) fn own_process() -> ProcessKey {
    let process = lineshaft_ipc::process::ProcessId::current().unwrap();
    ProcessKey { pid: process.pid, start_time: process.start_time }
}

/// What another process of this program does: one of the ignored tests, which gets its home by environment.
pub(crate) struct OtherProcess {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

const HOME_VARIABLE: &str = "LINESHAFT_TEST_HOME";

impl OtherProcess {
    /// Starts the ignored test `name` on `home` and waits until it says that it is ready.
    pub(crate) fn start(name: &str, home: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
            .env(HOME_VARIABLE, home)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, lines };
        process.wait_for_line("ready");
        process
    }

    fn wait_for_line(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the other process ended");
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; true if it exited with 0.
    pub(crate) fn exited_well(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the other process does not end");
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The home of a test that runs as another process.
pub(crate) fn given_home() -> PathBuf {
    std::env::var_os(HOME_VARIABLE).expect("only started by other tests").into()
}

/// Says on standard output that this process is ready, in a line of its own.
pub(crate) fn say_ready() {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nready").unwrap();
    stdout.flush().unwrap();
}

fn serve_given_home(change: impl FnOnce(&mut ServeOptions)) {
    let mut options = ServeOptions::new(given_home());
    options.ready = Box::new(|_| say_ready());
    change(&mut options);
    lineshaft_server::serve(options).unwrap();
}

#[test]
#[ignore = "a server as a process of its own, for other tests"]
fn other_server() {
    serve_given_home(|_| ());
}

#[test]
#[ignore = "an on-demand server as a process of its own, for other tests"]
fn other_server_on_demand() {
    serve_given_home(|options| options.on_demand = true);
}

pub(crate) const OTHER_SERVER: &str = "support::other_server";
pub(crate) const OTHER_SERVER_ON_DEMAND: &str = "support::other_server_on_demand";
