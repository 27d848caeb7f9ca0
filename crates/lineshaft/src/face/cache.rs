//! The cache of the engine: values by name, for every program of a home.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use lineshaft_wire::message::{LockKind, NewEntry, RefusalCode};
use lineshaft_wire::value::typed;
use serde::Serialize;
use serde::de::{self, DeserializeOwned};

use super::Client;
use super::lock::program;
use crate::Error;
use crate::around::clock::now_ms;
use crate::client::{Hold, LockRequest};

/// A key names a lock besides, which begins with `cache:`.
const KEY_BYTES_MAX: usize = 200;
/// Before an encoded value: that it is one, and no error.
const VALUE: u8 = 0;
/// How long a call that can compute for itself waits for the engine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is asked after the engine did not answer, the first time and at most, milliseconds.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MS_MAX: u64 = 60_000;
/// How long others wait for one that was killed while it computed.
const COMPUTING_TTL: Duration = Duration::from_secs(5);

/// The cache of the engine: from [`Client::cache`], the same one as `app.cache` of Python.
///
/// Entries are on the disk when a call returns, and are there after a restart. Values are those of `docs/values.md`: any
/// type of serde's. Keys and tags are texts without control characters, of up to 200 and 255 bytes; a longer key has no
/// lock for those who compute it together, and is refused.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lineshaft::task::Result<()> {
/// # let directory = tempfile::tempdir()?;
/// # let engine = lineshaft::Embedded::start(directory.path()).await?;
/// # let client = engine.client();
/// use std::time::Duration;
///
/// let cache = client.cache();
/// let price = cache.entry("price:7").ttl(Duration::from_secs(60)).tag("prices");
/// let found: u32 = price.get_or_set(async || Ok::<_, lineshaft::Error>(42)).await?;
/// assert_eq!(found, 42);
/// assert_eq!(price.get::<u32>().await?, Some(42));
/// cache.invalidate_tags(["prices"]).await?;
/// assert_eq!(price.get::<u32>().await?, None);
/// # engine.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    client: Client,
}

impl Client {
    /// The cache of the engine.
    pub fn cache(&self) -> Cache {
        Cache { client: self.clone() }
    }
}

impl Cache {
    /// The entry of a key, whether or not it has a value, without asking anybody.
    pub fn entry(&self, key: impl Into<Arc<str>>) -> CacheEntry {
        let terms = NewEntry { key: key.into(), ..NewEntry::default() };
        CacheEntry { client: self.client.clone(), terms }
    }

    /// Makes entries with any of these tags untrue, at most 1,024 of them, and what is being computed for them: for every
    /// program of the home, before this returns.
    pub async fn invalidate_tags(
        &self,
        tags: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Result<(), Error> {
        let tags = tags.into_iter().map(Into::into).collect();
        self.client.raw().cache_invalidate(Vec::new(), tags, false, None).await.map(drop)
    }

    /// Makes every entry of the home untrue, those of cached functions of Python included.
    pub async fn clear(&self) -> Result<(), Error> {
        self.client.raw().cache_invalidate(Vec::new(), Vec::new(), true, None).await.map(drop)
    }
}

/// A key of the engine's cache, and how what is stored under it is kept: from [`Cache::entry`].
#[derive(Clone, Debug)]
pub struct CacheEntry {
    client: Client,
    terms: NewEntry,
}

impl CacheEntry {
    /// How long a value that is stored is true; as long as there is room by default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl_ms = Some(millis(ttl));
        self
    }

    /// How long it stays without being looked up; as long as there is room by default.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.terms.idle_ms = Some(millis(idle));
        self
    }

    /// A name under which it is invalidated together with others; it may have 16.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.terms.tags.push(tag.into());
        self
    }

    /// The key of an entry that it is computed from: it becomes untrue with that one. It may have 256, and names those that
    /// its sources are computed from, too.
    #[must_use]
    pub fn depends_on(mut self, key: impl Into<Arc<str>>) -> Self {
        self.terms.sources.push(key.into());
        self
    }

    /// The value, if there is one. [`Error::CacheValue`] if it is of another type.
    pub async fn get<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let (payload, _) = self.look(false, None).await?;
        payload.map(|payload| self.read(&payload)).transpose()
    }

    /// Stores a value in place of the one that there was.
    pub async fn set<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.store(self.payload(value)?, None, None).await
    }

    /// The value, computed if there is none: by one of those who ask for it at the same time, in whatever program and
    /// language, while the others wait.
    ///
    /// What is invalidated while it is computed is given, and not kept; an error is given to who computed, and kept by
    /// nobody. A value of another type counts as none. Who computes it as part of itself, alone or by way of others, does so
    /// without the cache, as far as that happens in one future. Where the engine does not answer within 10 s each computes for
    /// itself, which is logged, and does not ask again for some seconds, up to a minute.
    ///
    /// [`Error::Refused`] for a key, a tag or a time that cannot be.
    pub async fn get_or_set<T, E, F>(&self, compute: impl FnOnce() -> F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        if self.client.cache_pause.is_on() {
            return compute().await;
        }
        match self.look(false, Some(PATIENCE)).await {
            Ok((found, _)) => {
                self.client.cache_pause.end();
                if let Some(value) = self.readable(found) {
                    return Ok(value);
                }
            }
            Err(error) => return self.compute_alone(error, compute).await,
        }
        if !(1..=KEY_BYTES_MAX).contains(&self.terms.key.len()) {
            let length = self.terms.key.len();
            return Err(Error::bad_request(format!(
                "a key of {length} bytes: 1 to {KEY_BYTES_MAX} are allowed"
            ))
            .into());
        }
        let Some(course) = Course::inside(&self.terms.key) else { return compute().await };
        let _right = match self.right(&course).await {
            Ok(hold) => hold,
            Err(Error::Refused { code: RefusalCode::Deadlock, .. }) => return compute().await,
            Err(error) => return self.compute_alone(error, compute).await,
        };
        // Somebody may have been done since this one looked.
        let (found, ticket) = match self.look(true, Some(PATIENCE)).await {
            Ok(looked) => looked,
            Err(error) => return self.compute_alone(error, compute).await,
        };
        if let Some(value) = self.readable(found) {
            return Ok(value);
        }
        let value = course.follow(compute()).await?;
        if let Err(error) = self.keep(&value, ticket).await {
            tracing::warn!(key = &*self.terms.key, "what was computed is not kept: {error}");
        }
        Ok(value)
    }

    /// Makes the entry untrue, and what is being computed for it: for every program of the home, before this returns. Says
    /// whether it had a value.
    pub async fn invalidate(&self) -> Result<bool, Error> {
        let keys = vec![Arc::clone(&self.terms.key)];
        let changed = self.client.raw().cache_invalidate(keys, Vec::new(), false, None).await?;
        Ok(changed.jobs > 0)
    }

    /// What is stored and true, and a ticket for what is computed now.
    async fn look(&self, peek: bool, patience: Option<Duration>) -> Result<(Option<Bytes>, u64), Error> {
        let keys = vec![Arc::clone(&self.terms.key)];
        let mut found = self.client.raw().cache_get(keys, peek, patience).await?;
        let value = found.values.pop().flatten();
        Ok((value.and_then(|(payload, is_stale)| (!is_stale).then_some(payload)), found.ticket))
    }

    async fn keep<T: Serialize>(&self, value: &T, ticket: u64) -> Result<(), Error> {
        self.store(self.payload(value)?, Some(ticket), Some(PATIENCE)).await
    }

    async fn store(
        &self,
        payload: Bytes,
        ticket: Option<u64>,
        patience: Option<Duration>,
    ) -> Result<(), Error> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let entry = NewEntry { length, ticket, ..self.terms.clone() };
        self.client.raw().cache_set(vec![entry], vec![payload], patience).await.map(drop)
    }

    /// The right to compute: of those who ask for it together one has it at a time.
    async fn right(&self, course: &Course) -> Result<Option<Hold>, Error> {
        let request = LockRequest {
            kind: LockKind::Mutex,
            key: format!("cache:{}", self.terms.key).into(),
            permits: 1,
            party: course.party,
            ttl: COMPUTING_TTL,
            wait: true,
            program: program(),
        };
        self.client.raw().acquire(request).await
    }

    async fn compute_alone<T, E, F>(&self, why: Error, compute: impl FnOnce() -> F) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let key = &*self.terms.key;
        match why {
            // Of the entry, not of the engine.
            Error::Refused { code: RefusalCode::BadRequest, .. } => return Err(why.into()),
            Error::Refused { .. } => {
                tracing::warn!(key, "it is computed without the cache of the engine: {why}");
            }
            _ => {
                self.client.cache_pause.begin();
                tracing::warn!(key, "the cache of the engine does not answer, so it is computed: {why}");
            }
        }
        compute().await
    }

    fn payload<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, Error> {
        let encoded = typed::to_payload(value).map_err(|source| self.unfit(source))?;
        let mut payload = BytesMut::with_capacity(encoded.len() + 1);
        payload.put_u8(VALUE);
        payload.put_slice(&encoded);
        Ok(payload.freeze())
    }

    fn read<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, Error> {
        match payload.split_first() {
            Some((&VALUE, value)) => self.client.decode(value).map_err(|source| self.unfit(source)),
            _ => Err(self.unfit(de::Error::custom("an error that a function of Python raised"))),
        }
    }

    /// What is of another type is as good as not there.
    fn readable<T: DeserializeOwned>(&self, payload: Option<Bytes>) -> Option<T> {
        payload.and_then(|payload| self.read(&payload).ok())
    }

    fn unfit(&self, source: typed::Error) -> Error {
        Error::CacheValue { key: self.terms.key.as_ref().into(), source }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Since when and for how long the engine is not asked for what can be computed.
#[derive(Debug)]
pub(super) struct Pause {
    until_ms: AtomicU64,
    length_ms: AtomicU64,
}

impl Default for Pause {
    fn default() -> Self {
        Self { until_ms: AtomicU64::new(0), length_ms: AtomicU64::new(PAUSE_MS) }
    }
}

impl Pause {
    fn is_on(&self) -> bool {
        now_ms() < self.until_ms.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        if self.is_on() {
            return; // others found out, too
        }
        let length_ms = self.length_ms.load(Ordering::Relaxed);
        self.until_ms.store(now_ms() + length_ms, Ordering::Relaxed);
        self.length_ms.store((2 * length_ms).min(PAUSE_MS_MAX), Ordering::Relaxed);
    }

    fn end(&self) {
        self.length_ms.store(PAUSE_MS, Ordering::Relaxed);
    }
}

thread_local! {
    /// What the future that is polled here computes.
    static COURSE: RefCell<Option<Arc<Course>>> = const { RefCell::new(None) };
}

/// What is computed within what, for one future.
struct Course {
    /// As whom it waits for others who compute.
    party: u64,
    keys: Vec<Arc<str>>,
}

impl Course {
    /// The course in which `key` is computed from here; `None` if that is part of computing it.
    fn inside(key: &Arc<str>) -> Option<Arc<Self>> {
        let outer = COURSE.with_borrow(Clone::clone);
        let keys = outer.as_deref().map_or(&[][..], |course| &course.keys);
        if keys.contains(key) {
            return None;
        }
        let party = outer.as_deref().map_or_else(|| fastrand::u64(1..u64::MAX), |course| course.party);
        Some(Arc::new(Self { party, keys: keys.iter().chain([key]).cloned().collect() }))
    }

    /// Runs what is computed in it.
    async fn follow<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let _inside = Inside { before: COURSE.replace(Some(Arc::clone(self))) };
            future.as_mut().poll(context)
        })
        .await
    }
}

/// Until dropped a course is followed on this thread.
struct Inside {
    before: Option<Arc<Course>>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        COURSE.set(self.before.take());
    }
}
