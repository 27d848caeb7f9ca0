//! What a server may be told: where its home is, who may reach it, and the bounds it keeps.

use std::path::PathBuf;
use std::time::Duration;

use lineshaft_engine::{Clock, Retention};
use lineshaft_store::Durability;
use lineshaft_wire::message::PROTOCOL;

/// What [`crate::serve`] is to do.
///
/// ```no_run
/// # use lineshaft_server::ServeOptions;
/// let options = ServeOptions { listen: Some("127.0.0.1:7400".into()), ..ServeOptions::new("/srv/app/.lineshaft") };
/// lineshaft_server::serve(options)?;
/// # Ok::<(), lineshaft_server::Error>(())
/// ```
pub struct ServeOptions {
    /// The home to serve; made if absent, with mode 0700.
    pub home: PathBuf,
    /// `HOST:PORT` to listen on beside the Unix socket; port 0 takes a free one. Default: none.
    pub listen: Option<String>,
    /// Started by a client's first call rather than by hand: ends when idle and gives way to a server started by
    /// hand. Default: false.
    pub on_demand: bool,
    /// When an output may leave. Default: after `fdatasync`.
    pub durability: Durability,
    /// How long finished jobs are kept. Default: 7 days, 10 GiB.
    pub retention: Retention,
    /// How long a worker may be silent before its jobs are somebody else's. Default: 15 s.
    pub lease: Duration,
    /// What waiting jobs may take of memory before those at rest go to a file. Default: a quarter of the machine's, or of
    /// the control group's.
    pub memory_bytes: Option<u64>,
    /// What the cache may take of the disk. Default: 256 MiB.
    pub cache_bytes: Option<u64>,
    /// How long an on-demand server outlives its last connection. Default: 30 s.
    pub idle_exit: Duration,
    /// Product version, told to clients. Default: the version of this crate.
    pub version: String,
    /// The protocol that clients have to speak. Default: [`PROTOCOL`]; another one makes a server of another time,
    /// for tests.
    pub protocol: u16,
    /// The serving program, told to clients, as somebody would run it. Default: the running executable.
    pub executable: String,
    /// Bounds of connections.
    pub limits: Limits,
    /// What time it is for jobs. Default: the machine's.
    pub clock: Clock,
    /// Called once when clients can connect, with the Unix socket's path, followed by ` HOST:PORT` where the
    /// server listens there too.
    pub ready: Box<dyn FnOnce(&str) + Send>,
}

impl ServeOptions {
    /// The defaults for `home`.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            listen: None,
            on_demand: false,
            durability: Durability::default(),
            retention: Retention::default(),
            lease: Duration::from_secs(15),
            memory_bytes: None,
            cache_bytes: None,
            idle_exit: Duration::from_secs(30),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            executable: running_executable(),
            limits: Limits::default(),
            clock: Clock::default(),
            ready: Box::new(|_| ()),
        }
    }
}

fn running_executable() -> String {
    std::env::current_exe().map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string())
}

/// The bounds of connections. They exist so that one peer cannot take the memory or the attention that belongs to
/// the others; a peer that passes one is told which and disconnected.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once. Default: 8,192.
    pub connections: usize,
    /// Time for a new connection to send its `Hello`. Default: 5 s.
    pub handshake: Duration,
    /// Silence allowed inside a frame; between frames any silence is fine. Default: 30 s.
    pub frame_stall: Duration,
    /// Time in which a socket must take something when there is something to send. Default: 60 s.
    pub write_stall: Duration,
    /// Memory of what waits to be sent to one connection; payloads that can be read again later do not count.
    /// Default: 64 MiB.
    pub outbox_bytes: usize,
    /// Unanswered bytes after which a connection is not read until answers have left. Default: 16 MiB.
    pub unanswered_bytes: usize,
    /// Unanswered requests after which a connection is not read; waits do not count. Default: 2,048, above the
    /// window of a session.
    pub unanswered_requests: usize,
    /// Jobs that one connection may wait for at once. Default: 1,048,576.
    pub awaited_jobs: usize,
    /// Time to send what is queued when a connection or the server ends. Default: 2 s.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            handshake: Duration::from_secs(5),
            frame_stall: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            outbox_bytes: 64 << 20,
            unanswered_bytes: 16 << 20,
            unanswered_requests: 2_048,
            awaited_jobs: 1 << 20,
            farewell: Duration::from_secs(2),
        }
    }
}
