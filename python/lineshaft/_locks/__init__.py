"""Locks of the engine and their kin: what `app.lock()`, `app.rwlock()` and the like give."""

from ._barrier import Barrier
from ._holds import Holders, refuse_lost
from ._kinds import Leader, ReadWriteLock, Semaphore
from ._limiter import Limiter
from ._lock import Lock

__all__ = ["Barrier", "Holders", "Leader", "Limiter", "Lock", "ReadWriteLock", "Semaphore", "refuse_lost"]
