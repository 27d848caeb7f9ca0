"""Who in this program holds which lock: threads and coroutines are owners, each of its own holds."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from .._errors import LockLost

if TYPE_CHECKING:
    from typing import Any

    from .. import _native

Owner = tuple[int, int]
"""A thread, and the task of its event loop or 0."""


class Hold:
    """One lock that is held. A re-entrant one counts how often. Where nobody has it any more the lock is given back."""

    __slots__ = ("__weakref__", "attempt", "count", "fence", "lock", "name", "owner", "permits", "place", "process")

    def __init__(self, lock: _native.Lock, name: str, owner: Owner, permits: int) -> None:
        self.lock = lock
        self.name = name
        self.permits = permits
        """How many may hold it at a time."""
        self.owner = owner
        self.fence = lock.fence
        self.place = lock.place
        """Of a barrier: how many of those who were given it together came before."""
        self.count = 1
        """How often it was taken; 0 when it is given back."""
        self.process = os.getpid()
        self.attempt = _attempt()

    @property
    def who(self) -> str:
        """What holds it."""
        return "coroutine" if self.owner[1] else "thread"

    def check(self) -> None:
        """Raises `LockLost` if the lock is not held for certain."""
        # The parent's threads may have held the lock around the native object when it was forked.
        forked = self.process != os.getpid()
        why = "it is held by the process that this one was forked from" if forked else self.lock.why_lost()
        if why is not None:
            raise self.lost(why)

    def lost(self, why: str) -> LockLost:
        return LockLost(
            f"{self.name} with fence {self.fence} is lost: {why}",
            fence=self.fence,
            hint="others may hold it by now: what it protected must not be touched any more, and its writes be refused "
            "by their fence",
        )


class Holders:
    """Who in this program holds what: of an app. It keeps nothing alive."""

    def __init__(self) -> None:
        self._by_owner: weakref.WeakValueDictionary[tuple[Owner, str, str], Hold] = weakref.WeakValueDictionary()

    def find(self, owner: Owner, kind: str, key: str) -> Hold | None:
        hold = self._by_owner.get((owner, kind, key))
        return hold if hold is not None and hold.count > 0 and hold.process == os.getpid() else None

    def add(self, hold: Hold, kind: str, key: str) -> None:
        self._by_owner[hold.owner, kind, key] = hold
        if hold.attempt is not None:
            _forget_later(hold)


_of_attempts: dict[int, weakref.ref[Hold]] = {}
"""What attempts hold, by the address of each hold."""


def _forget_later(hold: Hold) -> None:
    number = id(hold)
    _of_attempts[number] = weakref.ref(hold, lambda _: _of_attempts.pop(number, None))


def refuse_lost(attempt: _native.RunningAttempt) -> None:
    """Raises `LockLost` if this attempt holds a lock that is lost."""
    for known in tuple(_of_attempts.values()):
        hold = known()
        if hold is not None and hold.count > 0 and hold.attempt is attempt:
            hold.check()


def owner_here() -> Owner:
    """Whoever asks."""
    asyncio: Any = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    return threading.get_ident(), 0 if task is None else id(task)


def _attempt() -> _native.RunningAttempt | None:
    from .._current import _running

    return _running.get()


def party(owner: Owner) -> int:
    """A number for it that the server knows it by: not 0, which is nobody."""
    return hash(owner) % (1 << 63) or 1
