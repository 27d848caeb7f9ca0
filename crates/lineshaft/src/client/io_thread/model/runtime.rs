//! A runtime for tasks that one thread at a time drives, as tokio's for the current thread is.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard};

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(in super::super) struct Runtime(Arc<Queue>);

/// What is woken and was not polled since.
struct Queue {
    woken: Mutex<Woken>,
    changed: Condvar,
}

#[derive(Default)]
struct Woken {
    is_driven: bool,
    /// What the one who drives waits for.
    main: bool,
    tasks: VecDeque<Arc<Task>>,
}

struct Task {
    queue: Arc<Queue>,
    /// Gone when it is done. Locked by who drives alone.
    body: std::sync::Mutex<Option<Body>>,
}

struct Main(Arc<Queue>);

enum Next {
    Main,
    Task(Arc<Task>),
}

impl Runtime {
    pub(in super::super) fn spawn(&self, body: impl Future<Output = ()> + Send + 'static) {
        let body = std::sync::Mutex::new(Some(Box::pin(body) as Body));
        Arc::new(Task { queue: Arc::clone(&self.0), body }).wake();
    }

    pub(in super::super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.begin();
        let waker = Waker::from(Arc::new(Main(Arc::clone(&self.0))));
        let mut future = pin!(future);
        loop {
            match self.0.next() {
                Next::Task(task) => task.poll(),
                Next::Main => {
                    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        self.0.lock().is_driven = false;
                        return output;
                    }
                }
            }
        }
    }

    pub(in super::super) fn handle(&self) -> Handle {
        Handle
    }
}

/// For those who wait without driving.
pub(in super::super) struct Handle;

impl Handle {
    #[allow(clippy::unused_self)] // As tokio's.
    pub(in super::super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        shuttle::future::block_on(future)
    }
}

impl Queue {
    fn begin(&self) {
        let mut woken = self.lock();
        assert!(!woken.is_driven, "one drives at a time");
        (woken.is_driven, woken.main) = (true, true);
    }

    fn next(&self) -> Next {
        let mut woken = self.lock();
        loop {
            if std::mem::take(&mut woken.main) {
                return Next::Main;
            }
            if let Some(task) = woken.tasks.pop_front() {
                return Next::Task(task);
            }
            woken = self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(future) = &mut *body
            && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *body = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut woken = self.queue.lock();
        if !woken.tasks.iter().any(|task| Arc::ptr_eq(task, &self)) {
            woken.tasks.push_back(Arc::clone(&self));
        }
        drop(woken);
        self.queue.changed.notify_one();
    }
}

impl Wake for Main {
    fn wake(self: Arc<Self>) {
        self.0.lock().main = true;
        self.0.changed.notify_one();
    }
}

pub(in super::super) fn build() -> io::Result<Runtime> {
    let queue = Queue { woken: Mutex::new(Woken::default()), changed: Condvar::new() };
    Ok(Runtime(Arc::new(queue)))
}

pub(in super::super) fn is_within_one() -> bool {
    false
}

pub(in super::super) async fn by<T>(_: Instant, future: impl Future<Output = T>) -> Option<T> {
    Some(future.await)
}

#[derive(Default)]
pub(in super::super) struct Spin;

impl Spin {
    #[allow(clippy::unused_self)] // As the product's.
    pub(in super::super) async fn until<F: Future>(&self, future: F) -> F::Output {
        future.await
    }
}
