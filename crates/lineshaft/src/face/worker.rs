//! A worker inside of this process: it takes jobs of the tasks it was given and runs their bodies as coroutines.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft_wire::Fence;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::Client;
use super::attempt::{Attempt, Over};
use super::profiled::{Plan, Slow, slow};
use super::signals::Signals;
use super::tempo::Tempo;
use crate::task::{Context, Place, Task};
use crate::worker::local::{Local, Options};
use crate::worker::profiles::Which;
use crate::worker::{Error, Farewell, Job, Kind, TaskEntry};

/// How long the server may take to confirm the last ends.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Runs the jobs of some tasks in this process, many at a time.
///
/// ```no_run
/// use lineshaft::{Client, Worker};
///
/// #[lineshaft::task(name = "sums.add")]
/// fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// # async fn example() -> lineshaft::task::Result<()> {
/// let client = Client::connect(".lineshaft").await?;
/// Worker::new(&client).task(add::TASK).slots(64).run().await?; // until Ctrl-C
/// # Ok(()) }
/// ```
///
/// [`Worker::run`] is for a program that is a worker, [`Worker::start`] for one that has a worker beside other things.
/// Bodies run on that runtime of tokio, each as a task of its own unless such bodies are over in microseconds; leases are
/// renewed on a thread of the worker's own, whatever they do. A body that has to stop (its job was cancelled, its time is
/// over) is dropped at its next `.await`; one that is a plain `fn` is told by [`Context::is_cancelled`](crate::Context::is_cancelled) and waited for. If the
/// process dies, its jobs run again elsewhere.
#[derive(Debug)]
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    client: Client,
    options: Options,
    tasks: Vec<Task>,
}

impl Worker {
    /// A worker for the home of `client`, so far without tasks.
    pub fn new(client: &Client) -> Self {
        let mut options = Options::new(client.target().clone(), Kind::Async);
        options.slots = DEFAULT_SLOTS;
        Self { client: client.clone(), options, tasks: Vec::new() }
    }

    /// Takes jobs of this task too, under its name and its aliases.
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }

    /// How many attempts run at a time: 1 to 16,384. Default: 100.
    pub fn slots(mut self, slots: u32) -> Self {
        self.options.slots = slots;
        self
    }

    /// Takes jobs of these queues only.
    pub fn queues<'q>(mut self, queues: impl IntoIterator<Item = &'q str>) -> Self {
        self.options.queues = queues.into_iter().map(Arc::from).collect();
        self
    }

    /// How long running attempts may take when the worker stops, before they are stopped too: 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// The worker's name in records of attempts. Default: `host:pid`.
    pub fn name(mut self, name: &str) -> Self {
        self.options.name = Some(name.to_owned());
        self
    }

    /// Works until SIGINT or SIGTERM; then takes no new jobs and gives running attempts the grace. A second signal stops
    /// them at once. What it waits for is said, as every word of a worker, in records of `tracing`.
    pub async fn run(self) -> Result<(), Error> {
        let (mut first, mut second) = (Signals::new()?, Signals::new()?);
        let twice = async {
            second.next().await;
            second.next().await;
        };
        self.begin()?.work(first.next(), twice, Some("stops")).await
    }

    /// Works in the background, on the runtime that this is called on, until [`Working::stop`] or until what this gives
    /// is dropped. Panics outside of a runtime of tokio.
    pub fn start(self) -> Result<Working, Error> {
        let begun = self.begin()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async {
            // Dropped is as good as told.
            let _ = stopped.await;
        };
        Ok(Working { task: tokio::spawn(begun.work(until, std::future::pending(), None)), stop })
    }

    /// [`Worker::run`] until `shutdown` is ready, whatever signals come.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        self.begin()?.work(shutdown, std::future::pending(), None).await
    }

    fn begin(self) -> Result<Begun, Error> {
        let Self { client, mut options, tasks } = self;
        options.schema = serde_json::to_string(&crate::task::schema_of(&tasks)).ok().map(Arc::from);
        let (entries, tasks) = entries(&tasks)?;
        let grace = options.grace;
        crate::task::notice_panics();
        let local = Local::start(options, entries)?;
        let running = Running::new(&local, client, tasks);
        Ok(Begun { local, running, grace })
    }
}

/// Every name under which jobs are taken, and the task that runs those of each.
fn entries(tasks: &[Task]) -> Result<(Vec<TaskEntry>, Vec<Task>), Error> {
    if tasks.is_empty() {
        return Err(bad("none", "a task to run: Worker::new(&client).task(resize::TASK)"));
    }
    let (mut entries, mut of_entries): (Vec<TaskEntry>, Vec<Task>) = Default::default();
    for task in tasks {
        for name in task.names() {
            if entries.iter().any(|entry| &*entry.name == name) {
                return Err(bad(&format!("two of the name {name}"), "one task of each name"));
            }
            entries.push(TaskEntry {
                name: name.into(),
                versions: task.versions(),
                at_most_once: task.is_at_most_once(),
                declared: Some(task.declared_as(name)),
                ..TaskEntry::default()
            });
            of_entries.push(*task);
        }
    }
    Ok((entries, of_entries))
}

/// A worker that asks for jobs already.
struct Begun {
    local: Local,
    running: Running,
    grace: Duration,
}

impl Begun {
    /// Works until `stop` is ready, and gives running attempts the grace, but not beyond `hurry`, which `does` that to
    /// them.
    async fn work(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
        does: Option<&'static str>,
    ) -> Result<(), Error> {
        let Self { local, mut running, grace } = self;
        tokio::select! {
            () = running.take_jobs() => {}
            () = stop => {}
        }
        local.drain();
        let ended = tokio::select! {
            ended = running.rest_within(grace, does) => ended,
            () = hurry => false,
        };
        if !ended {
            tracing::info!("the worker stops: what still runs is asked to stop");
            local.stop_attempts();
            // Bodies that may block are waited for once more; whoever does not return keeps its lease until it ends.
            running.rest_within(grace, None).await;
        }
        close(local).await;
        Ok(())
    }
}

/// A worker in the background, made by [`Worker::start`]. Dropped, it stops as [`Working::stop`] does, without anybody
/// waiting for it.
#[derive(Debug)]
#[must_use = "dropped, the worker stops"]
pub struct Working {
    task: JoinHandle<Result<(), Error>>,
    stop: oneshot::Sender<()>,
}

impl Working {
    /// Takes no new jobs, gives running attempts the grace, and waits until the worker has ended.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        self.task.await.unwrap_or_else(|error| Err(Error::io("run a worker")(std::io::Error::other(error))))
    }
}

/// Enough for bodies that wait for others; fewer than would exhaust descriptors.
const DEFAULT_SLOTS: u32 = 100;

/// Jobs that are begun before anything else is looked at.
const AT_ONCE: usize = 64;

fn bad(value: &str, expected: &'static str) -> Error {
    Error::BadOption { option: "task", value: value.to_owned(), expected }
}

/// Waits for the last confirmations, which may block.
async fn close(local: Local) {
    let closed = tokio::task::spawn_blocking(move || local.close(CONFIRMED_WITHIN)).await;
    if !matches!(closed, Ok(true)) {
        tracing::warn!("a worker stops before the server has confirmed every end: those attempts run again");
    }
}

/// A task, and what is known of its attempts.
struct Known {
    task: Task,
    tempo: Tempo,
    which: Arc<Which>,
}

impl From<Task> for Known {
    fn from(task: Task) -> Self {
        let which = Arc::new(Which::new(task.profiled_share()));
        Self { task, tempo: Tempo::default(), which }
    }
}

impl Known {
    /// A body took this long.
    fn record(&mut self, took: Duration) {
        self.tempo.record(took);
        self.which.record(took);
    }
}

/// The attempts of a worker.
struct Running {
    place: Arc<Place>,
    tasks: Vec<Known>,
    slow: Slow,
    bodies: JoinSet<Over>,
    /// By which those in `bodies` are asked to stop.
    contexts: HashMap<Fence, Context>,
}

impl Running {
    fn new(local: &Local, client: Client, tasks: Vec<Task>) -> Self {
        let place = Arc::new(Place { attempts: Arc::clone(local.attempts()), client });
        let tasks = tasks.into_iter().map(Known::from).collect();
        Self { place, tasks, slow: slow(), bodies: JoinSet::new(), contexts: HashMap::new() }
    }

    /// Takes and runs jobs until none comes any more. Cancel-safe.
    async fn take_jobs(&mut self) {
        loop {
            tokio::select! {
                job = self.place.attempts.recv() => match job {
                    Some(job) => {
                        self.begin(job);
                        self.begin_more();
                        // What runs beside it has its turn too.
                        tokio::task::yield_now().await;
                    }
                    None => return,
                },
                (ticket, _) = self.place.attempts.recv_stop() => self.stop(ticket.fence),
                Some(ended) = self.bodies.join_next() => self.ended(ended.ok()),
            }
        }
    }

    /// Begins jobs that are here already.
    fn begin_more(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(job) = self.place.attempts.try_next() else { return };
            self.begin(job);
        }
    }

    /// Waits until no body runs. Cancel-safe.
    async fn rest(&mut self) {
        while !self.bodies.is_empty() {
            tokio::select! {
                (ticket, _) = self.place.attempts.recv_stop() => self.stop(ticket.fence),
                Some(ended) = self.bodies.join_next() => self.ended(ended.ok()),
            }
        }
    }

    /// Waits until no body runs, at most so long, and says now and then what for; whether none does.
    async fn rest_within(&mut self, grace: Duration, hurry: Option<&'static str>) -> bool {
        let mut farewell = Farewell::new(Instant::now(), grace, hurry);
        let until = tokio::time::Instant::now() + grace;
        loop {
            tokio::select! {
                biased;
                () = self.rest() => return true,
                () = tokio::time::sleep_until(until) => return false,
                () = tokio::time::sleep_until(farewell.due().into()) => {}
            }
            if let Some(words) = farewell.words(Instant::now(), self.bodies.len()) {
                tracing::info!("{words}");
            }
        }
    }

    fn begin(&mut self, job: Job) {
        let (fence, known) = (job.fence, &mut self.tasks[job.task as usize]);
        let task = known.task;
        // Of bodies in Rust the time is found out, whatever else was asked for.
        let why = known.which.from_the_beginning(&job).map(|(why, _)| why);
        let plan = Plan::of(&self.slow, &known.which, why);
        let attempt = Attempt::new(&self.place, task, job);
        let is_alone = why.is_some() || task.is_blocking() || task.is_at_most_once();
        if is_alone || !known.tempo.is_short() {
            self.contexts.insert(fence, attempt.context().clone());
            self.bodies.spawn(async move { attempt.begin(plan).run().await });
            return;
        }
        let mut begun = attempt.begin(plan);
        if let Some(over) = begun.at_once() {
            return known.record(over.took);
        }
        known.tempo.waits();
        self.contexts.insert(fence, begun.context().clone());
        // Polled again at once, it learns who is to be woken.
        self.bodies.spawn(begun.run());
    }

    fn stop(&mut self, fence: Fence) {
        if let Some(context) = self.contexts.get(&fence) {
            context.stop().ask();
        }
    }

    fn ended(&mut self, over: Option<Over>) {
        let Some(Over { fence, task, took }) = over else { return };
        self.contexts.remove(&fence);
        self.tasks[task as usize].record(took);
    }
}
