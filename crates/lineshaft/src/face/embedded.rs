//! The engine of a home inside of this process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;

use lineshaft_server::ServeOptions;
use tokio::sync::oneshot;

use super::Client;
use crate::home::Home;
use crate::{Error, Target};

/// The engine of a home, run by this process: no server to start, no other program to install.
///
/// ```
/// use lineshaft::{Embedded, Worker};
///
/// #[lineshaft::task]
/// fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lineshaft::task::Result<()> {
/// # let directory = tempfile::tempdir()?;
/// # let home = directory.path();
/// let engine = Embedded::start(home).await?;
/// let worker = Worker::new(engine.client()).task(add::TASK).start()?;
/// let job = engine.client().enqueue(add::call(2, 3)).await?;
/// assert_eq!(job.result().await?, 5);
/// worker.stop().await?;
/// engine.stop().await?;
/// # Ok(()) }
/// ```
///
/// It is what `lineshaft serve` runs, on threads of its own: a job is durable when `enqueue` returns, and the home
/// survives whatever happens to the process. It holds the home's lock, so one process at a time serves a home; any
/// other, in any language, connects to the same home as a client or a worker while this one lives. Signals are left to
/// the program.
///
/// [`Embedded::stop`] ends it in order and says whether it did; dropped, it does the same and the thread waits for it,
/// some milliseconds. Jobs that wait then go on with the next engine of the home.
pub struct Embedded {
    // In this order: its connection ends before the server does.
    client: Client,
    server: lineshaft_server::Embedded,
    home: Home,
}

impl Embedded {
    /// Opens the home at `home`, which is made if it is missing, and serves it. Returns when clients can connect.
    ///
    /// A server that a program started on demand gives way. [`Error::Engine`] if another serves the home, or if it cannot
    /// be opened; [`Error::Home`] if no engine can live there.
    pub async fn start(home: impl Into<PathBuf>) -> Result<Self, Error> {
        let home = Home::new(home);
        if let Some(warning) = home.prepare()? {
            tracing::warn!("{warning}");
        }
        let options = ServeOptions::new(home.path());
        let server = apart(move || lineshaft_server::Embedded::start(options)).await?;
        let client = Client::connect(Target::home(home.path())).await?;
        Ok(Self { client, server, home })
    }

    /// A client of it; clone it as you like. Those that are left when it stops fail with [`Error::NoServer`].
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The home's absolute path.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Stops it and waits for its end. An error says that it had failed before.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { client, mut server, .. } = self;
        drop(client);
        apart(move || server.stop()).await
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("home", &self.home.path()).finish_non_exhaustive()
    }
}

/// What blocks is done on a thread of its own, under any runtime.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, lineshaft_server::Error> + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = oneshot::channel();
    let body = move || {
        // Whoever asked may have given up.
        let _ = tell.send(work());
    };
    let thread = thread::Builder::new().name("lineshaft-engine".into());
    thread.spawn(body).map_err(|error| Error::io("start a thread", error))?;
    match told.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Closed),
    }
}
