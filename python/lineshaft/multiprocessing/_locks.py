"""What is acquired and released: locks and semaphores between processes, on shared memory.

A process that is killed keeps no lock: whoever waits looks whether the owner still lives, and goes on within some
milliseconds. A semaphore belongs to nobody.
"""

from __future__ import annotations

import os
import threading
import weakref
from multiprocessing import context
from multiprocessing.process import current_process
from typing import Any, TypeAlias

from lineshaft import _native

from ._heap import Place, take

__all__ = ["AnyLock", "BoundedSemaphore", "Lock", "RLock", "Semaphore"]


class _Acquired:
    """What a `with` acquires and releases."""

    _semlock: _native.SharedLock | _native.SharedSemaphore

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquires it; whether that was so within `timeout` seconds, or at once unless `block`."""
        return self._semlock.acquire(block, timeout)

    def release(self) -> None:
        """Gives it back."""
        self._semlock.release()

    def __enter__(self) -> bool:
        return self._semlock.acquire()

    def __exit__(self, *error: object) -> None:
        self._semlock.release()


class _Lock(_Acquired):
    """A lock, whether recursive or not."""

    _semlock: _native.SharedLock
    _recursive: bool

    def __init__(self, *, ctx: object = None) -> None:
        self._open(take(_native.SharedLock.SIZE_BYTES))

    def _open(self, place: Place) -> None:
        self._place = place
        self._semlock = _native.SharedLock(place[0].native, place[1], self._recursive)
        _locks.add(self)

    def __getstate__(self) -> Place:
        context.assert_spawning(self)
        return self._place

    def __setstate__(self, place: Place) -> None:
        self._open(place)

    def locked(self) -> bool:
        """Whether anybody has it."""
        return self._semlock._is_zero()

    @property
    def abandoned(self) -> bool:
        """Whether the last one of this process to acquire it took it from a process that had died with it.

        What the lock protects may be half done then.
        """
        return self._semlock.is_abandoned()

    def _owner(self) -> tuple[str, Any]:
        if self._semlock._is_mine():
            name = current_process().name
            if threading.current_thread().name != "MainThread":
                name += "|" + threading.current_thread().name
            return name, self._semlock._count()
        if not self._semlock._is_zero():
            return "None", 0
        return ("SomeOtherThread" if self._semlock._count() > 0 else "SomeOtherProcess"), "nonzero"


class Lock(_Lock):
    """A lock between processes. Any process and thread may release it."""

    _recursive = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={self._owner()[0]})>"


class RLock(_Lock):
    """A lock between processes that the thread which has it may acquire again, and is to release as often."""

    _recursive = True

    def __repr__(self) -> str:
        name, count = self._owner()
        return f"<{type(self).__name__}({name}, {count})>"


AnyLock: TypeAlias = Lock | RLock

_locks: weakref.WeakSet[_Lock] = weakref.WeakSet()


def _forget() -> None:
    for lock in list(_locks):
        lock._semlock.after_fork()


os.register_at_fork(after_in_child=_forget)


class Semaphore(_Acquired):
    """A number that is not taken below zero: `acquire` takes one from it, `release` adds one.

    It belongs to nobody: what a dead process acquired stays so.
    """

    _semlock: _native.SharedSemaphore

    def __init__(self, value: int = 1, *, ctx: object = None) -> None:
        self._begin(value, _native.SharedSemaphore.VALUE_MAX)

    def _begin(self, value: int, value_max: int) -> None:
        if not 0 <= value <= _native.SharedSemaphore.VALUE_MAX:
            raise ValueError(f"a semaphore cannot be {value}")
        self._open(take(_native.SharedSemaphore.SIZE_BYTES), value_max)
        self._semlock.release(value)

    def _open(self, place: Place, value_max: int) -> None:
        self._state = place, value_max
        self._semlock = _native.SharedSemaphore(place[0].native, place[1], value_max)

    def __getstate__(self) -> tuple[Place, int]:
        context.assert_spawning(self)
        return self._state

    def __setstate__(self, state: tuple[Place, int]) -> None:
        self._open(*state)

    def get_value(self) -> int:
        """What it is now."""
        return self._semlock._get_value()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that is not released more often than it is acquired."""

    def __init__(self, value: int = 1, *, ctx: object = None) -> None:
        self._begin(value, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._state[1]})>"
