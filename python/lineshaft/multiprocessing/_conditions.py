"""What is waited for until another says so: conditions and events between processes, on shared memory.

A process that is killed keeps no place in a condition: who notifies passes it over.
"""

from __future__ import annotations

import sys
import time
from multiprocessing import context
from typing import TYPE_CHECKING, Any

from lineshaft import _native

from ._heap import Place, take
from ._locks import AnyLock, RLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Condition", "Event"]


class Condition:
    """A condition, with a `lock` that is made unless given."""

    def __init__(self, lock: AnyLock | None = None, *, ctx: object = None) -> None:
        self._open(lock or RLock(), take(_native.SharedWaiters.SIZE_BYTES))

    def _open(self, lock: AnyLock, place: Place) -> None:
        self._lock = lock
        self._place = place
        self._waiters = _native.SharedWaiters(place[0].native, place[1])
        self.acquire = lock.acquire
        self.release = lock.release

    def __getstate__(self) -> tuple[AnyLock, Place]:
        context.assert_spawning(self)
        return self._lock, self._place

    def __setstate__(self, state: tuple[AnyLock, Place]) -> None:
        self._open(*state)

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self._waiters.waiting()})>"

    def wait(self, timeout: float | None = None) -> bool:
        """Gives the lock back, waits to be notified, and acquires it again; whether it was notified in time."""
        assert self._lock._semlock._is_mine(), "must acquire() condition before using wait()"
        seat, count = self._waiters.sit(), self._lock._semlock._count()
        for _ in range(count):
            self._lock.release()
        is_heard = False
        try:
            self._waiters.wait(seat, timeout)
            is_heard = True
        finally:
            for _ in range(count):
                self._lock.acquire()
            # It may have been notified after its time was up.
            is_notified = self._waiters.stand_up(seat) is True
            if is_notified and not is_heard:
                self._waiters.notify(1)
        return is_notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Waits until `predicate` gives something true, and gives that; or what it gives when the time is up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        """Notifies up to `n` of those who wait, in the order in which they came. None of them is dead."""
        assert self._lock._semlock._is_mine(), "lock is not owned"
        self._waiters.notify(n)

    def notify_all(self) -> None:
        """Notifies all who wait."""
        self.notify(sys.maxsize)


class Event:
    """A flag that can be waited for."""

    def __init__(self, *, ctx: object = None) -> None:
        self._open(take(_native.SharedEvent.SIZE_BYTES))

    def _open(self, place: Place) -> None:
        self._place = place
        self._event = _native.SharedEvent(place[0].native, place[1])

    def __getstate__(self) -> Place:
        context.assert_spawning(self)
        return self._place

    def __setstate__(self, place: Place) -> None:
        self._open(place)

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._event.is_set()

    def set(self) -> None:
        """Sets it: every wait ends."""
        self._event.set()

    def clear(self) -> None:
        """Takes it back."""
        self._event.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set; whether it was within `timeout` seconds."""
        return self._event.wait(timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"
