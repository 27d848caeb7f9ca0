"""Locks of several holders, and one for who does something for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import LockError, LockLost
from .._options import wrong
from ._lock import Lock

if TYPE_CHECKING:
    from .._app import App
    from .._options import Duration
    from ._holds import Hold

PERMITS_MAX = 1 << 20


class Semaphore(Lock):
    """A lock that several hold at a time: `app.semaphore(key, n)`, for `with` and `async with`."""

    _kind = "semaphore"

    def __init__(
        self,
        app: App,
        key: str,
        n: int,
        ttl: Duration = "30s",
        timeout: Duration | None = None,
        reentrant: bool = False,
    ) -> None:
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= PERMITS_MAX:
            raise wrong("n", n, f"how many may hold it, 1 to {PERMITS_MAX:,}")
        super().__init__(app, key, ttl, timeout, reentrant)
        self._permits = n


class Leader(Lock):
    """A lock for the one program that does something for all: `app.leader(key)`, for `with` and `async with`."""

    _kind = "leader"

    @property
    def leads(self) -> bool:
        """Whether it is held for certain; once that was lost it stays so until it is asked for again."""
        hold = self._find()
        if hold is None:
            return False
        try:
            hold.check()
        except LockLost:
            return False
        return True


class ReadWriteLock:
    """A lock that many hold to read, or one to write: `with app.rwlock(key).read:` and `.write`, also `async with`."""

    def __init__(
        self, app: App, key: str, ttl: Duration = "30s", timeout: Duration | None = None, reentrant: bool = False
    ) -> None:
        self.read = Side(app, key, ttl, timeout, reentrant, PERMITS_MAX)
        """To hold it together with others who read: a `Lock`."""
        self.write = Side(app, key, ttl, timeout, reentrant, 1)
        """To hold it alone: a `Lock`."""
        self.key = self.read.key
        """The name of the lock: the same one everywhere in the home."""

    def __repr__(self) -> str:
        return f"<rwlock {self.key!r}>"


class Side(Lock):
    """A lock to read or to write."""

    _kind = "rwlock"

    def __init__(
        self, app: App, key: str, ttl: Duration, timeout: Duration | None, reentrant: bool, permits: int
    ) -> None:
        super().__init__(app, key, ttl, timeout, reentrant)
        self._permits = permits

    def _may_have_again(self, hold: Hold) -> bool:
        # Who reads twice might wait for a writer in between, who waits for it.
        if self._is_reentrant and hold.permits <= self._permits:
            return True
        if self._permits == 1 and hold.permits > 1:
            raise LockError(
                f"this {hold.who} reads under {self._name}, and would wait for itself to write",
                hint="give it back first, and read again below `write`: others may have written meanwhile",
            )
        raise LockError(
            f"this {hold.who} holds {self._name} already, and might wait for itself",
            hint="ask for it with reentrant=True where that is meant",
        )
