//! A real server in this process, and a proxy in front of it that loses what it is told to lose.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::client::Client;
use lineshaft::{ClientOptions, Target};
use lineshaft_server::ServeOptions;
use lineshaft_wire::message::{JobGroup, List};
use lineshaft_wire::{JobId, JobRecord};

/// Longer than anything here takes, shorter than a test may hang.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A server on a home of its own; stopped when dropped.
pub(crate) struct Server {
    directory: tempfile::TempDir,
    on_demand: bool,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_as(false)
    }

    /// One that says that it was started on demand.
    pub(crate) fn start_on_demand() -> Self {
        Self::start_as(true)
    }

    fn start_as(on_demand: bool) -> Self {
        let mut server = Self { directory: tempfile::tempdir().unwrap(), on_demand, thread: None };
        server.run();
        server
    }

    fn run(&mut self) {
        let (sender, ready) = channel();
        let options = ServeOptions {
            on_demand: self.on_demand,
            ready: Box::new(move |_| sender.send(()).unwrap()),
            ..ServeOptions::new(self.home())
        };
        self.thread = Some(thread::spawn(move || lineshaft_server::serve(options).unwrap()));
        ready.recv_timeout(LONG).expect("the server is ready");
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home().join("run/socket")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(Target::home(self.home()), ClientOptions::default()).unwrap()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let client = Client::connect(Target::home(self.home()), ClientOptions::reader()).unwrap();
            client.shutdown(false, None).wait().unwrap();
            thread.join().unwrap();
        }
    }

    /// It was stopped by somebody else.
    pub(crate) fn forget(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.run();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.stop();
        }
    }
}

/// Between a client and a server.
pub(crate) struct Proxy {
    directory: tempfile::TempDir,
    state: Arc<State>,
}

struct State {
    server: Mutex<PathBuf>,
    /// Both ends of every connection.
    open: Mutex<Vec<UnixStream>>,
    /// What the server says is thrown away.
    mute: AtomicBool,
    /// Connections that were accepted.
    accepted: AtomicUsize,
}

impl Proxy {
    pub(crate) fn before(server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let state = Arc::new(State {
            server: Mutex::new(server.socket()),
            open: Mutex::default(),
            mute: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
        });
        let for_thread = Arc::clone(&state);
        thread::spawn(move || listener.incoming().flatten().for_each(|client| for_thread.join(client)));
        Self { directory, state }
    }

    pub(crate) fn client(&self, options: ClientOptions) -> Client {
        Client::connect(Target::Socket(self.socket()), options).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Throws away, or lets through, what the server says.
    pub(crate) fn mute(&self, mute: bool) {
        self.state.mute.store(mute, Ordering::SeqCst);
    }

    /// Connections go to this server from now on.
    pub(crate) fn lead_to(&self, server: &Server) {
        *self.state.server.lock().unwrap() = server.socket();
    }

    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
}

impl State {
    fn join(self: &Arc<Self>, client: UnixStream) {
        let path = self.server.lock().unwrap().clone();
        let Ok(server) = UnixStream::connect(path) else { return };
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let (from_client, from_server) = ((client.try_clone(), server.try_clone()), (server, client));
        let there = (from_client.0.unwrap(), from_client.1.unwrap());
        thread::spawn(move || pump(there.0, there.1, None));
        let state = Arc::clone(self);
        thread::spawn(move || pump(from_server.0, from_server.1, Some(&state.mute)));
    }
}

fn pump(mut from: UnixStream, mut to: UnixStream, mute: Option<&AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let is_mute = mute.is_some_and(|mute| mute.load(Ordering::SeqCst));
        if !is_mute && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// One job of `task`, with four bytes of arguments.
pub(crate) fn group(task: &str) -> JobGroup {
    groups(task, 1)
}

/// `count` jobs of `task`, with four bytes of arguments each.
pub(crate) fn groups(task: &str, count: usize) -> JobGroup {
    JobGroup::new(task, vec![4; count])
}

pub(crate) fn arguments(count: usize) -> Vec<Bytes> {
    vec![Bytes::from_static(b"\x01\x90\x90\x90"); count]
}

/// Makes one job of `task`.
pub(crate) fn enqueue(client: &Client, task: &str) -> JobId {
    client.enqueue(vec![group(task)], arguments(1), Some(LONG)).wait().unwrap().ids[0]
}

/// All jobs of `task`.
pub(crate) fn jobs_of(client: &Client, task: &str) -> Vec<JobRecord> {
    let filter = lineshaft_wire::message::Filter { task: Some(task.into()), ..Default::default() };
    let (mut jobs, mut cursor) = (Vec::new(), None);
    loop {
        let list = List { filter: filter.clone(), cursor, limit: 1_000 };
        let page = client.list(list, Some(LONG)).wait().unwrap();
        jobs.extend(page.jobs);
        cursor = page.cursor;
        if cursor.is_none() {
            return jobs;
        }
    }
}

/// Waits until `is_true`, at most [`LONG`].
pub(crate) fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_true() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A home without a server.
pub(crate) fn empty_home(directory: &Path) -> Target {
    Target::home(directory.join("home"))
}
