//! Callers that wait in every way, against the thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Enqueue, Enqueued, JobGroup, Message};
use serde_bytes::ByteBuf;
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::*;
use crate::client::actor::Command;
use crate::client::commands::Commands;
use crate::client::ledger::{Callers, Request, UNPLACED};
use crate::client::{Reply, Slot, Waiting};

/// A thread that drives when it is called.
const CALLED: Duration = Duration::MAX;
/// One that drives whenever nobody does.
const BY_ITSELF: Duration = Duration::ZERO;
/// Orders of each kind that are tried, for each of these threads.
const ORDERS: usize = 1500;
const SEED: u64 = 4;
/// Changes between threads that matter, in the second half of the orders.
const DEPTH: usize = 3;
const LONG: Duration = Duration::from_secs(3600);
const ID_BYTES: usize = 16;

/// What `body` does it does on threads of a scope: the scheduler takes the end of those for the end of whatever the thread waits
/// for that made the scope.
fn check(body: fn(&World)) {
    [CALLED, BY_ITSELF].into_iter().for_each(|quiet| check_with(quiet, body));
}

fn check_with(quiet: Duration, body: fn(&World)) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    let run = move || {
        let world = World::start(quiet);
        body(&world);
        world.end();
    };
    Runner::new(RandomScheduler::new_from_seed(SEED, ORDERS), config.clone()).run(run);
    Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, ORDERS), config).run(run);
}

/// A client and its server.
struct World {
    io: &'static Io,
    io_thread: IoThread,
    /// Gone when a test has ended the client.
    commands: std::sync::Mutex<Option<Commands>>,
    /// The way to the server: how many jobs are asked for, or that it shall end.
    asks: UnboundedSender<Option<usize>>,
    server: thread::JoinHandle<()>,
    /// How many jobs came to the server with each request.
    served: std::sync::Mutex<UnboundedReceiver<usize>>,
    /// Closed when the client's task has ended.
    ended: std::sync::Mutex<UnboundedReceiver<()>>,
}

impl World {
    fn start(quiet: Duration) -> Self {
        let io_thread = IoThread::start(quiet).unwrap();
        let io: &'static Io = Box::leak(Box::new(Arc::clone(&io_thread.0)));
        let (sender, commands) = unbounded_channel();
        let (asks, mut asked) = unbounded_channel();
        let (answers, answered) = unbounded_channel();
        let (serves, served) = unbounded_channel();
        let (end, ended) = unbounded_channel();
        let task = Task { io, asks: asks.clone(), open: VecDeque::new() };
        io.spawn(async move {
            task.run(commands, answered).await;
            drop(end);
        });
        let server = thread::spawn(move || {
            while let Some(Some(jobs)) = block_on(asked.recv()) {
                let _ = serves.send(jobs);
                let _ = answers.send(());
            }
        });
        let (served, ended) = (std::sync::Mutex::new(served), std::sync::Mutex::new(ended));
        let commands = std::sync::Mutex::new(Some(Commands::new(io, sender)));
        Self { io, io_thread, commands, asks, server, served, ended }
    }

    /// Another handle of the client.
    fn commands(&self) -> Commands {
        self.commands.lock().unwrap().clone().expect("the test has not ended it")
    }

    /// Asks for as many jobs.
    fn ask(&self, jobs: usize) -> Reply {
        let slot = Arc::new(Slot::of(self.io));
        let groups = vec![JobGroup::new("add", vec![0; jobs])];
        let request = Request {
            message: Enqueue { sequence: UNPLACED, groups }.into(),
            payload: Vec::new(),
            deadline: Instant::now() + LONG,
            patience: LONG,
            callers: Arc::clone(&slot).into(),
        };
        self.commands().request(request).unwrap();
        Reply::new(slot)
    }

    fn ask_and_wait(&self, jobs: usize) {
        check_answer(&self.ask(jobs).wait_timeout(LONG).unwrap(), jobs);
    }

    fn end(self) {
        self.asks.send(None).unwrap();
        self.server.join().unwrap();
        drop(self.io_thread);
    }
}

fn drive_for_nothing(io: &Io) {
    if let Some(seat) = io.take_seat() {
        seat.drive(Instant::now() + LONG, std::future::ready(()));
    }
}

fn check_answer(answer: &Result<(Message, Bytes), Error>, jobs: usize) {
    let Ok((Message::Enqueued(enqueued), _)) = answer else { panic!("{answer:?}") };
    assert_eq!(enqueued.ids.len(), jobs * ID_BYTES);
}

/// What a client's task does: passes commands on, and tells callers what came back.
struct Task {
    io: &'static Io,
    asks: UnboundedSender<Option<usize>>,
    open: VecDeque<Open>,
}

enum Open {
    Enqueue(Callers, usize),
    Wait(Arc<crate::client::waiting::Inbox>),
}

impl Task {
    async fn run(mut self, mut commands: UnboundedReceiver<Command>, mut answered: UnboundedReceiver<()>) {
        let mut unanswered = Work::none(self.io);
        let mut closing = None;
        while closing.is_none() || !self.open.is_empty() {
            unanswered.set(!self.open.is_empty());
            tokio::select! {
                biased;
                command = commands.recv(), if closing.is_none() => match command {
                    Some(command) => self.take(command),
                    None => closing = Some(Work::taken_over(self.io)),
                },
                Some(()) = answered.recv() => self.answer(),
            }
        }
    }

    fn take(&mut self, command: Command) {
        self.io.remove_work();
        let (open, jobs) = match command {
            Command::Request(batch) => {
                let request = batch.take().expect("it comes once");
                let Message::Enqueue(enqueue) = &request.message else { panic!("it was one") };
                let jobs = enqueue.groups[0].lengths.len();
                (Open::Enqueue(request.callers, jobs), jobs)
            }
            Command::Wait { inbox, .. } => (Open::Wait(inbox), 0),
            _ => return,
        };
        self.open.push_back(open);
        self.asks.send(Some(jobs)).unwrap();
    }

    fn answer(&mut self) {
        match self.open.pop_front().expect("it was asked for") {
            Open::Enqueue(callers, jobs) => {
                let ids = ByteBuf::from(vec![7; jobs * ID_BYTES]);
                callers.fill(Ok((Enqueued { ids, ..Enqueued::default() }.into(), Bytes::new())));
            }
            Open::Wait(inbox) => inbox.end(None),
        }
    }
}

#[test]
fn callers_that_wait_are_answered_whoever_drives() {
    check(|world| {
        thread::scope(|scope| {
            for jobs in 1..=3 {
                scope.spawn(move || {
                    world.ask_and_wait(jobs);
                    world.ask_and_wait(jobs);
                });
            }
        });
    });
}

#[test]
fn so_are_those_that_await_and_those_that_are_called() {
    check(|world| {
        thread::scope(|scope| {
            scope.spawn(|| world.ask_and_wait(1));
            scope.spawn(|| check_answer(&block_on(world.ask(2)), 2));
            scope.spawn(|| {
                let (called, mut calls) = unbounded_channel();
                let reply = world.ask(3);
                reply.on_ready(move || called.send(()).unwrap());
                assert_eq!(block_on(calls.recv()), Some(()));
            });
        });
    });
}

#[test]
fn so_are_those_that_follow_jobs() {
    check(|world| {
        let follow = || Waiting::start(world.commands(), &[JobId::direct(1, 0, 0, 0)], false);
        thread::scope(|scope| {
            scope.spawn(|| assert!(matches!(follow().next_timeout(LONG), std::task::Poll::Ready(None))));
            scope.spawn(|| assert!(block_on(follow().next()).is_none()));
            scope.spawn(|| world.ask_and_wait(1));
        });
    });
}

/// The thread takes over from who drove for others as well.
#[test]
fn a_caller_that_gives_up_leaves_nobody_behind() {
    check(|world| {
        thread::scope(|scope| {
            scope.spawn(|| check_answer(&block_on(world.ask(1)), 1));
            scope.spawn(|| world.ask_and_wait(2));
            scope.spawn(|| (0..2).for_each(|_| drive_for_nothing(world.io)));
        });
    });
}

#[test]
fn what_nobody_waits_for_is_sent_all_the_same() {
    check(|world| {
        thread::scope(|scope| {
            scope.spawn(|| {
                world.ask_and_wait(1);
                world.ask_and_wait(1);
            });
            scope.spawn(|| {
                drop(world.ask(2));
                drop(world.ask(2));
            });
        });
        let mut served = world.served.lock().unwrap();
        let mut jobs = 0;
        while jobs < 6 {
            jobs += block_on(served.recv()).unwrap();
        }
    });
}

/// A thread about to give way, and a caller about to leave, had done with the task when the last handle went: its connection
/// closed when nobody had driven for a second.
#[test]
fn the_end_of_the_last_handle_is_seen_whoever_drives() {
    check(|world| {
        let last = world.commands.lock().unwrap().take().unwrap();
        let another = last.clone();
        thread::scope(|scope| {
            scope.spawn(move || {
                let _unseen = another.send(Command::Connect(Arc::new(Slot::of(world.io))));
            });
            scope.spawn(move || drop(last));
            scope.spawn(|| (0..2).for_each(|_| drive_for_nothing(world.io)));
        });
        let mut ended = world.ended.lock().unwrap();
        assert_eq!(block_on(ended.recv()), None);
    });
}

/// Pings and pushes, which nobody asks for.
#[test]
fn what_comes_by_itself_is_heard_when_nobody_has_driven_for_long() {
    check_with(BY_ITSELF, |world| {
        thread::scope(|scope| {
            scope.spawn(|| world.ask_and_wait(1));
        });
        let (push, mut pushes) = unbounded_channel();
        let (hear, mut heard) = unbounded_channel();
        world.io.spawn(async move {
            pushes.recv().await;
            let _ = hear.send(());
        });
        push.send(()).unwrap();
        assert_eq!(block_on(heard.recv()), Some(()));
    });
}
