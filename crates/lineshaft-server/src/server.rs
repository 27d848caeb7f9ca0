//! The life of a server: take the home, let connections in, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lineshaft_engine::{Handle, ServerFacts};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::address::Address;
use crate::claim;
use crate::connection::{self, Context};
use crate::home::ServedHome;
use crate::listener::{Accepted, Listeners};
use crate::signals::Stops;
use crate::token::Token;
use crate::watch::Watch;
use crate::{Error, ServeOptions};

/// How often an on-demand server looks whether it is still needed.
const TICK: Duration = Duration::from_secs(1);
/// Pause after the system refused a connection, being short of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a home until it is asked to stop: by SIGTERM, SIGINT or a client, or when it was started on demand and is
/// no longer needed.
///
/// Blocks. SIGTERM and SIGINT are taken over while it runs and keep no default action afterwards. Must not be called
/// from an asynchronous runtime. Fails if the home is served already, cannot be used, or its engine fails; the process
/// should then exit with another code than 0.
pub fn serve(options: ServeOptions) -> Result<(), Error> {
    raise_descriptor_limit();
    run(options, None)
}

/// [`serve`] until `told` to stop, or by signals if nobody is to tell.
pub(crate) fn run(options: ServeOptions, told: Option<oneshot::Receiver<()>>) -> Result<(), Error> {
    let home = ServedHome::prepare(&options.home)?;
    let facts = facts(&home, &options);
    let (engine, opened) = claim::open_engine(&home, &options, &facts)?;
    // The home is this server's alone from here on: of two that start at once one would take the other's token away.
    let token = Token::load_or_create(&home.run().join("token"))?;
    tracing::info!(home = %home.path().display(), ?opened, "the engine is open");
    let mut engine = Engine::new(engine)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        match Bound::new(&home, options.listen.as_deref(), told) {
            Ok(bound) => Server::new(home, token, facts, engine, bound, options).run().await,
            Err(error) => {
                engine.stop().await?;
                Err(error)
            }
        }
    })
}

fn facts(home: &ServedHome, options: &ServeOptions) -> ServerFacts {
    ServerFacts {
        version: options.version.clone(),
        executable: options.executable.clone(),
        pid: std::process::id(),
        home: home.path().display().to_string(),
        on_demand: options.on_demand,
    }
}

/// A connection and a watched process cost a descriptor each, and the usual soft limit of 1,024 is for programs that
/// use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// The running engine.
struct Engine {
    handle: Handle,
    ended: oneshot::Receiver<Result<(), lineshaft_engine::Error>>,
}

impl Engine {
    fn new(handle: Handle) -> Result<Self, Error> {
        let (sender, ended) = oneshot::channel();
        let joined = handle.clone();
        let engine = Self { handle, ended };
        std::thread::Builder::new()
            .name("lineshaft-join".to_owned())
            .spawn(move || sender.send(joined.join()))
            .map_err(Error::Runtime)?;
        Ok(engine)
    }

    async fn stop(&mut self) -> Result<(), Error> {
        self.handle.stop();
        self.ended().await
    }

    /// Waits for the engine's end. Cancel-safe; not to be awaited again when it was there.
    async fn ended(&mut self) -> Result<(), Error> {
        match (&mut self.ended).await {
            Ok(result) => result.map_err(Error::Engine),
            Err(_) => Err(Error::Runtime(std::io::Error::other("the engine's thread panicked"))),
        }
    }
}

/// Why a server ends.
enum End {
    Told,
    Asked,
    Idle,
    HomeRemoved,
    Engine(Result<(), Error>),
}

/// Everything that a server listens to. The address goes first, while the socket's inode cannot be another's yet.
struct Bound {
    address: Address,
    listeners: Listeners,
    stops: Stops,
}

impl Bound {
    fn new(
        home: &ServedHome,
        listen: Option<&str>,
        told: Option<oneshot::Receiver<()>>,
    ) -> Result<Self, Error> {
        let stops = told.map_or_else(Stops::signals, |told| Ok(Stops::Told(told))).map_err(Error::Runtime)?;
        let (unix, address) = Address::bind(home)?;
        let listeners = Listeners::new(unix, listen)?;
        address.publish(listeners.tcp_address())?;
        Ok(Self { listeners, address, stops })
    }
}

struct Server {
    home: ServedHome,
    engine: Engine,
    context: Arc<Context>,
    bound: Bound,
    connections: JoinSet<()>,
    idle_since: Instant,
    idle_exit: Duration,
}

impl Server {
    /// A server whose clients can connect already; says so.
    fn new(
        home: ServedHome,
        token: Token,
        facts: ServerFacts,
        engine: Engine,
        bound: Bound,
        options: ServeOptions,
    ) -> Self {
        (options.ready)(&bound.address.describe(bound.listeners.tcp_address()));
        let context = Context {
            payloads: engine.handle.payloads(),
            watch: Watch::new(engine.handle.clone()),
            engine: engine.handle.clone(),
            facts,
            protocol: options.protocol,
            limits: options.limits,
            token,
            arrivals: Notify::new(),
            shutdown: Notify::new(),
            stopping: AtomicBool::new(false),
        };
        Self {
            home,
            engine,
            context: Arc::new(context),
            bound,
            connections: JoinSet::new(),
            idle_since: Instant::now(),
            idle_exit: options.idle_exit,
        }
    }

    async fn run(mut self) -> Result<(), Error> {
        let attending = tokio::spawn(Arc::clone(&self.context).attend());
        let end = self.serve().await;
        let result = self.stop(end).await;
        attending.abort();
        result
    }

    async fn serve(&mut self) -> End {
        let mut tick = interval(TICK.min(self.idle_exit / 4).max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.bound.listeners.accept() => self.admit(accepted).await,
                Some(ended) = self.connections.join_next() => self.note_end(ended),
                () = self.bound.stops.next() => return End::Told,
                () = self.context.shutdown.notified() => return End::Asked,
                result = self.engine.ended() => return End::Engine(result),
                _ = tick.tick(), if self.context.facts.on_demand => {
                    if let Some(end) = self.is_needless() {
                        return end;
                    }
                }
            }
        }
    }

    async fn admit(&mut self, accepted: std::io::Result<Accepted>) {
        match accepted {
            Ok(accepted) if self.connections.len() < self.context.limits.connections => {
                self.connections.spawn(connection::run(Arc::clone(&self.context), accepted));
            }
            Ok(accepted) => drop(tokio::spawn(connection::turn_away(accepted, self.context.limits.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn note_end(&mut self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, "a connection's task failed");
        }
        self.idle_since = Instant::now();
    }

    fn is_needless(&self) -> Option<End> {
        if !self.home.still_exists() {
            return Some(End::HomeRemoved);
        }
        let is_idle = self.connections.is_empty() && self.idle_since.elapsed() >= self.idle_exit;
        is_idle.then_some(End::Idle)
    }

    /// Takes the address away before the engine lets go of the home's lock, since the next server's would be in the
    /// same place.
    async fn stop(self, end: End) -> Result<(), Error> {
        let Self { mut engine, context, bound, mut connections, .. } = self;
        tracing::info!(reason = end.describe(), "the server stops");
        drop(bound);
        let is_home_removed = matches!(end, End::HomeRemoved);
        context.stopping.store(!matches!(end, End::Engine(_)), Ordering::Release);
        let result = match end {
            End::Engine(result) => result,
            _ => engine.stop().await,
        };
        let farewell = async { while connections.join_next().await.is_some() {} };
        if timeout(context.limits.farewell, farewell).await.is_err() {
            tracing::info!(connections = connections.len(), "connections cut off");
        }
        if is_home_removed { Ok(()) } else { result }
    }
}

impl End {
    fn describe(&self) -> &'static str {
        match self {
            Self::Told => "it was told to",
            Self::Asked => "a client asked for it",
            Self::Idle => "nobody was connected",
            Self::HomeRemoved => "the home was removed",
            Self::Engine(_) => "the engine ended",
        }
    }
}
