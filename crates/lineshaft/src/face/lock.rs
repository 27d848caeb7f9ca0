//! Locks of the engine and their kin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_wire::message::{BARRIER_PARTIES_MAX, LOCK_PERMITS_MAX, LockKind};

use super::Client;
use crate::Error;
use crate::client::{Hold, LockLost, LockRequest};

/// How long a lock is held when its program is not heard of, unless it says otherwise.
const TTL: Duration = Duration::from_secs(30);

/// A lock that programs of a home hold, one at a time or several: from [`Client::lock`] and its kin.
///
/// The server keeps it, durably, and gives it in the order of asking. It is renewed every fifth of its
/// [`ttl`](Self::ttl) by the client's thread, whatever the program does; who is not heard of for that long loses it. A
/// restart of the server takes nothing away.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lineshaft::task::Result<()> {
/// # let directory = tempfile::tempdir()?;
/// # let engine = lineshaft::Embedded::start(directory.path()).await?;
/// # let client = engine.client();
/// let till = client.lock("till");
/// let guard = till.acquire().await?;
/// assert!(till.try_acquire().await?.is_none());
/// guard.check()?; // still ours
/// let first = guard.fence();
/// guard.release().await?;
/// assert!(till.acquire().await?.fence() > first);
/// # engine.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    client: Client,
    request: LockRequest,
}

impl Client {
    /// A lock that one holds at a time. `key`, of 1 to 255 bytes without control characters, is its name everywhere in the
    /// home; each kind has names of its own.
    pub fn lock(&self, key: impl Into<Arc<str>>) -> Lock {
        Lock::new(self, LockKind::Mutex, key.into(), 1)
    }

    /// A lock that up to `holders` hold at a time, 1 to 1,048,576. Each who asks says for itself how many.
    pub fn semaphore(&self, key: impl Into<Arc<str>>, holders: u32) -> Lock {
        Lock::new(self, LockKind::Semaphore, key.into(), holders)
    }

    /// The side of a read-write lock on which any number is at a time. Who comes after a writer waits behind it.
    pub fn read_lock(&self, key: impl Into<Arc<str>>) -> Lock {
        Lock::new(self, LockKind::ReadWrite, key.into(), LOCK_PERMITS_MAX)
    }

    /// The side of a read-write lock on which one is alone.
    pub fn write_lock(&self, key: impl Into<Arc<str>>) -> Lock {
        Lock::new(self, LockKind::ReadWrite, key.into(), 1)
    }

    /// A lock for the one program that does something for all; it leads as long as [`LockGuard::check`] says so.
    pub fn leader(&self, key: impl Into<Arc<str>>) -> Lock {
        Lock::new(self, LockKind::Leader, key.into(), 1)
    }

    /// Where programs of a home wait until `parties` of them have come, 1 to 1,024.
    pub fn barrier(&self, key: impl Into<Arc<str>>, parties: u32) -> Barrier {
        Barrier { gate: Lock::new(self, LockKind::Barrier, key.into(), parties) }
    }
}

impl Lock {
    fn new(client: &Client, kind: LockKind, key: Arc<str>, permits: u32) -> Self {
        let request = LockRequest { kind, key, permits, party: 0, ttl: TTL, wait: true, program: program() };
        Self { client: client.clone(), request }
    }

    /// How long it is held when this program is not heard of: 2 s to a day, 30 s by default.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.request.ttl = ttl;
        self
    }

    /// Who asks for it. Locks of one owner belong together: when owners would wait for each other for ever, the last one to
    /// ask is refused with [`RefusalCode::Deadlock`](lineshaft_wire::message::RefusalCode::Deadlock). Without an owner it
    /// is taken that whoever holds this lock waits for no other one.
    #[must_use]
    pub fn owner(mut self, owner: &LockOwner) -> Self {
        self.request.party = owner.0;
        self
    }

    /// The name of the lock.
    pub fn key(&self) -> &str {
        &self.request.key
    }

    /// Waits for the lock, however long that takes. What is dropped while it waits has given up: put a timeout of your
    /// runtime around it.
    ///
    /// [`Error::Refused`] for a name, a number or a `ttl` that cannot be, and for a deadlock.
    pub async fn acquire(&self) -> Result<LockGuard, Error> {
        self.given(self.request.clone()).await.and_then(|guard| {
            guard.ok_or_else(|| Error::Protocol("a lock that is waited for was not given".into()))
        })
    }

    /// The lock, or `None` if others hold it.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>, Error> {
        self.given(LockRequest { wait: false, ..self.request.clone() }).await
    }

    async fn given(&self, request: LockRequest) -> Result<Option<LockGuard>, Error> {
        let hold = self.client.raw().acquire(request).await?;
        Ok(hold.map(|hold| LockGuard { hold, key: Arc::clone(&self.request.key), kind: self.request.kind }))
    }
}

/// A lock that is held until this is released or dropped, as long as the server hears of this process.
pub struct LockGuard {
    hold: Hold,
    key: Arc<str>,
    kind: LockKind,
}

impl LockGuard {
    /// A number that grows with every holder of any lock of the home, across restarts, too. Hand it to what the lock
    /// protects, and have that refuse a smaller one than it has seen: only that is proof against a holder that stands still
    /// between its check and its write.
    pub fn fence(&self) -> u64 {
        self.hold.fence()
    }

    /// [`Error::LockLost`] if the lock is not held for certain any more. It asks nobody: it looks at the clock and at what
    /// the server said last.
    pub fn check(&self) -> Result<(), Error> {
        self.hold.check().map_err(|why| self.lost(why))
    }

    /// Gives the lock back, durably when this returns; dropping does so a little later. [`Error::LockLost`] if it was lost
    /// before.
    pub async fn release(self) -> Result<(), Error> {
        let lost = |why| self.lost(why);
        let before = self.hold.check().map_err(lost);
        let taken = self.lost(LockLost::Taken);
        let was_held = self.hold.release().await?;
        before.and_then(|()| was_held.then_some(()).ok_or(taken))
    }

    fn lost(&self, why: LockLost) -> Error {
        let lock = format!("{} {:?}", self.kind.as_str(), self.key);
        Error::LockLost { lock, fence: self.fence(), why }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.key)
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}

/// Who asks for locks, where several may be held at a time: a thread, a task or whatever takes them and gives them back.
#[derive(Debug, PartialEq, Eq)]
pub struct LockOwner(u64);

impl LockOwner {
    /// One that is nobody else.
    #[expect(clippy::new_without_default, reason = "two of them are not alike")]
    pub fn new() -> Self {
        Self(fastrand::u64(1..u64::MAX))
    }
}

/// Where programs of a home wait for each other: from [`Client::barrier`]. It may be used again at once.
#[derive(Clone, Debug)]
pub struct Barrier {
    gate: Lock,
}

impl Barrier {
    /// Waits until all have come; gives how many came before, from 0 on. All go on in one commit, so a server that is
    /// killed lets either all of them go on or none. What is dropped while it waits has not come.
    pub async fn wait(&self) -> Result<u32, Error> {
        Ok(self.gate.acquire().await?.hold.place())
    }

    /// How many wait for each other.
    pub fn parties(&self) -> u32 {
        self.gate.request.permits
    }
}

const _: () = assert!(BARRIER_PARTIES_MAX == 1_024 && LOCK_PERMITS_MAX == 1 << 20, "as documented");

/// This program, for people who look at who holds what.
pub(crate) fn program() -> Arc<str> {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(255);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}
