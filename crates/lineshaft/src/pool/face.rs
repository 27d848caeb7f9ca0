//! The pool that a program uses.

use std::fmt;
use std::process;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::de::DeserializeOwned;

use super::agenda::Chunk;
use super::builder::Options;
use super::crew::Crew;
use super::feed::{Feed, encode};
use super::registry::Lookup;
use super::results::Stream;
use super::sink::Sink;
use super::{Builder, Error, Results, Submitted, Unordered, start};
use crate::Call;

/// Processes of this program that call its tasks: for functions that may crash, leak, or hold what is not safe with threads,
/// and whose results this program waits for. For plain functions of Rust threads cost less.
///
/// ```no_run
/// use lineshaft::Pool;
///
/// #[lineshaft::task]
/// fn thumbnail(path: String) -> std::io::Result<u64> {
///     Ok(std::fs::metadata(path)?.len())
/// }
///
/// fn main() -> Result<(), lineshaft::pool::Error> {
///     lineshaft::pool::init(); // workers are this program, started again
///     let pool = Pool::new(4)?;
///     let paths = ["a.png", "b.png"].map(String::from);
///     let sizes = pool.map(thumbnail::call, paths)?;
///     println!("{sizes:?}");
///     Ok(())
/// }
/// ```
///
/// What is called are the calls that a [`Client`](crate::Client) would enqueue; of their options a pool knows none. Nothing
/// is durable here. An item is done once, or as often as its worker dies over it and [`Builder::retries`] says. A function that
/// panics or returns an error fails its item, and the worker goes on.
///
/// A worker is given one item at first, and then as many as take some ten milliseconds; when one has nothing left to do, it
/// takes over half of what another has not begun. So items that take very different times end together, and tiny ones cost
/// little.
///
/// Dropped, it ends its workers at once, whatever they do, with what they have started; [`Self::close`] lets them finish. If
/// this process dies, they die too. Their standard input is empty, their output is that of this process.
pub struct Pool {
    crew: Arc<Crew>,
    thread: Option<JoinHandle<()>>,
    workers: usize,
    /// Which forks of it do not have.
    maker: u32,
}

impl Pool {
    /// A pool of so many processes, 1 or more, with the default options: see [`Builder`].
    ///
    /// Errors as [`Builder::build`].
    pub fn new(workers: usize) -> Result<Self, Error> {
        Self::builder().workers(workers).build()
    }

    /// The options of a pool that is to be.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn start(options: Options) -> Result<Self, Error> {
        start::check_initialized()?;
        let workers = options.workers;
        let (crew, thread) = Crew::start(options)?;
        Ok(Self { crew, thread: Some(thread), workers, maker: process::id() })
    }

    /// What the calls of all items give, in the order of the items. All of them are done, also if one fails.
    ///
    /// Fails with [`Error::Item`] for the first item that failed, or with [`Error::Broken`] if workers cannot start.
    pub fn map<T, R: DeserializeOwned>(
        &self,
        call: impl FnMut(T) -> Call<R>,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Vec<R>, Error> {
        let items = items.into_iter();
        let mut results = Vec::with_capacity(items.size_hint().0);
        let mut first = None;
        let mut stream = Stream::start(&self.crew, self.workers, Feed::new(items, call), true)?;
        stream.take_all();
        while let Some((item, result)) = stream.next() {
            match result {
                Ok(value) => results.push(value),
                Err(error) => _ = first.get_or_insert_with(|| error.of_item(item)),
            }
        }
        first.map_or(Ok(results), Err)
    }

    /// What the calls of items give, one after the other in the order of the items. Items are read by the thread that takes
    /// the results, a little ahead of it: they may be without end. Arguments that cannot be sent end it, with what was wrong.
    ///
    /// Fails if the pool is broken.
    pub fn imap<'p, T, R: DeserializeOwned>(
        &'p self,
        call: impl FnMut(T) -> Call<R> + 'p,
        items: impl IntoIterator<Item = T, IntoIter: 'p>,
    ) -> Result<Results<'p, R>, Error> {
        Ok(Results(Stream::start(&self.crew, self.workers, Feed::new(items, call), true)?))
    }

    /// As [`Self::imap`], but as they are completed, each with the place of its item.
    pub fn imap_unordered<'p, T, R: DeserializeOwned>(
        &'p self,
        call: impl FnMut(T) -> Call<R> + 'p,
        items: impl IntoIterator<Item = T, IntoIter: 'p>,
    ) -> Result<Unordered<'p, R>, Error> {
        Ok(Unordered(Stream::start(&self.crew, self.workers, Feed::new(items, call), false)?))
    }

    /// Has one call done, and does not wait for it.
    ///
    /// Fails with [`Error::Unencodable`] or [`Error::UnknownTask`], and if the pool is broken.
    pub fn submit<R: DeserializeOwned>(&self, call: Call<R>) -> Result<Submitted<R>, Error> {
        let mut chunk = Chunk::default();
        encode(call, &mut Lookup::default(), |task, arguments| chunk.push(task, arguments))?;
        let sink = Arc::<Sink>::default();
        let call = self.crew.add(Arc::clone(&sink))?;
        self.crew.extend(call, chunk, true);
        Ok(Submitted::new(Arc::clone(&self.crew), call, sink))
    }

    /// How many processes it has.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The process ids of its workers as they are now.
    pub fn pids(&self) -> Vec<u32> {
        self.crew.pids()
    }

    /// Waits until all that was submitted is done, and ends the workers.
    pub fn close(mut self) {
        self.end(false);
    }

    fn end(&mut self, now: bool) {
        let Some(thread) = self.thread.take().filter(|_| self.maker == process::id()) else { return };
        self.crew.close(now);
        if thread.join().is_err() {
            tracing::error!("the thread of a pool panicked");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers).finish_non_exhaustive()
    }
}
