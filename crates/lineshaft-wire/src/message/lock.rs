//! Locks and their kin: asking for them, keeping them, giving them back, and what an operator does with them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of lock. Locks of two kinds have nothing to do with each other, whatever their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockKind {
    /// One holder.
    #[default]
    Mutex,
    /// As many holders as each who asks says.
    Semaphore,
    /// One holder that writes, or any number that read: a holder, too, says how many may hold it with it, which is 1 to
    /// write and [`LOCK_PERMITS_MAX`](super::LOCK_PERMITS_MAX) to read.
    ReadWrite,
    /// One holder, which does something for all others.
    Leader,
    /// Nobody holds it alone: it is given to as many as the first in line says, all at once, when so many wait.
    Barrier,
}

impl LockKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mutex, Self::Semaphore, Self::ReadWrite, Self::Leader, Self::Barrier];

    /// Its name, as users know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutex => "lock",
            Self::Semaphore => "semaphore",
            Self::ReadWrite => "rwlock",
            Self::Leader => "leader",
            Self::Barrier => "barrier",
        }
    }

    /// How many may hold it at most, or be given it at once.
    pub const fn permits_max(self) -> u32 {
        match self {
            Self::Mutex | Self::Leader => 1,
            Self::Semaphore | Self::ReadWrite => super::LOCK_PERMITS_MAX,
            Self::Barrier => super::BARRIER_PARTIES_MAX,
        }
    }
}

/// Asks for a lock. Answered by [`Acquired`] when it is given, which may take days; [`ReleaseLocks`] gives the wait up, and so
/// does the end of the connection.
///
/// It may be sent again, over this connection or the next one, with the same token: who has the lock already is told its
/// fence, who waits goes on waiting, and the older request is not answered any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acquire {
    /// What kind.
    pub kind: LockKind,
    /// Its name: 1 to 255 bytes without control characters.
    pub key: Arc<str>,
    /// How many may hold it with the asker, itself included: 1 to [`LockKind::permits_max`].
    pub permits: u32,
    /// What the asker calls this holder: a number that its session never used before.
    pub token: u64,
    /// Which thread or coroutine of the session asks, which waits for one lock at a time: so it is noticed when some of them
    /// wait for each other. 0: it holds nothing else.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub party: u64,
    /// How long the lock is held without renewal, milliseconds: [`LOCK_TTL_MS_MIN`](super::LOCK_TTL_MS_MIN) to
    /// [`LOCK_TTL_MS_MAX`](super::LOCK_TTL_MS_MAX).
    pub ttl_ms: u64,
    /// Whether to wait for it; otherwise the answer comes at once.
    pub wait: bool,
    /// How long it was waited for already, milliseconds: who came back over a new connection has its old place in line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
    /// The program that asks, for people; at most 255 bytes.
    pub program: Arc<str>,
    /// Its process id, for people.
    pub pid: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The answer to [`Acquire`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquired {
    /// Greater than that of every holder of any lock before; `None` if others hold it and the asker does not wait.
    pub fence: Option<u64>,
    /// Of a barrier: how many of those who were given it with the asker came before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
}

/// The holders of these tokens are there: their leases begin anew. Answered by [`LocksLost`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RenewLocks {
    /// At most [`LOCK_TOKENS_MAX`](super::LOCK_TOKENS_MAX).
    pub tokens: Vec<u64>,
}

/// Gives locks back, or up. Answered by [`LocksLost`]; sending it again does no harm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReleaseLocks {
    /// At most [`LOCK_TOKENS_MAX`](super::LOCK_TOKENS_MAX).
    pub tokens: Vec<u64>,
}

/// The answer to [`RenewLocks`] and [`ReleaseLocks`]; pushed with request id 0 when locks are lost otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LocksLost {
    /// Those of the tokens whose holder does not hold its lock (any more).
    pub tokens: Vec<u64>,
}

/// Asks for a page of the locks that are held or waited for, in the order of their kinds and keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListLocks {
    /// Only locks with this key.
    pub key: Option<Arc<str>>,
    /// Only those behind this one: the last of the page before.
    pub after: Option<(LockKind, Arc<str>)>,
    /// At most this many, and 100.
    pub limit: u32,
}

/// The answer to [`ListLocks`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Locks {
    /// The locks.
    pub locks: Vec<LockReport>,
    /// There are more.
    pub more: bool,
}

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockReport {
    /// What kind.
    pub kind: LockKind,
    /// Its name.
    pub key: Arc<str>,
    /// How many have it.
    pub held: u32,
    /// Who has it, the longest first; at most [`LOCK_HOLDERS_SHOWN`](super::LOCK_HOLDERS_SHOWN) of them.
    pub holders: Vec<LockHolder>,
    /// How many wait for it.
    pub waiters: u32,
}

/// One who holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its fence.
    pub fence: u64,
    /// The program.
    pub program: Arc<str>,
    /// Its process id.
    pub pid: u32,
    /// How many may hold the lock, as it said when it asked.
    pub permits: u32,
    /// Since when, Unix milliseconds.
    pub since: u64,
    /// How long it is held without renewal, milliseconds.
    pub ttl_ms: u64,
}

/// Takes locks away from these holders, whoever asks. Answered by [`LocksBroken`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BreakLocks {
    /// Fences of the holders, at most [`LOCK_TOKENS_MAX`](super::LOCK_TOKENS_MAX).
    pub fences: Vec<u64>,
}

/// The answer to [`BreakLocks`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LocksBroken {
    /// Those of the fences that held a lock until then.
    pub fences: Vec<u64>,
}
