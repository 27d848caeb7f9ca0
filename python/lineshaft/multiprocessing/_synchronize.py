"""What processes wait for each other with, as `multiprocessing` has it, on shared memory.

A process that is killed keeps no lock and no place in a condition: whoever waits looks whether the owner still lives,
and goes on within some milliseconds. A barrier one of whose parties is killed while it waits breaks.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from multiprocessing import context
from multiprocessing.process import current_process
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any, TypeAlias

from lineshaft import _native

from ._heap import Place, take

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AnyLock", "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

_DEATH_S = 0.1
"""How often the parties of a barrier look whether all of them live."""


class _Lock:
    """A lock, whether recursive or not."""

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

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquires the lock; whether that was so within `timeout` seconds, or at once unless `block`."""
        return self._semlock.acquire(block, timeout)

    def release(self) -> None:
        """Gives it back."""
        self._semlock.release()

    def __enter__(self) -> bool:
        return self._semlock.acquire()

    def __exit__(self, *error: object) -> None:
        self._semlock.release()

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


class Semaphore:
    """A number that is not taken below zero. It belongs to nobody: what a dead process acquired stays so."""

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

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Takes one from it; whether there was one within `timeout` seconds, or at once unless `block`."""
        return self._semlock.acquire(block, timeout)

    def release(self) -> None:
        """Adds one to it."""
        self._semlock.release()

    def __enter__(self) -> bool:
        return self._semlock.acquire()

    def __exit__(self, *error: object) -> None:
        self._semlock.release()

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


class Barrier:
    """A point that `parties` processes or threads wait for each other at, as often as they like.

    `action` is called by the last one to come. A wait that takes longer than `timeout` seconds breaks the barrier, and
    so does a party that is killed while it waits.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: object = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        place = take(_native.SharedWaiters.SIZE_BYTES)
        self.__setstate__((parties, action, timeout, Lock(), Event(), place))

    def __getstate__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        return self._parties, self._action, self._timeout, self._lock, self._broken, self._place

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._parties: int
        self._broken: Event
        self._parties, self._action, self._timeout, self._lock, self._broken, self._place = state
        self._waiters = _native.SharedWaiters(self._place[0].native, self._place[1])

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the other parties; gives each one another number, from 0.

        Raises `threading.BrokenBarrierError` if the barrier is broken or reset meanwhile.
        """
        timeout = self._timeout if timeout is None else timeout
        with self._lock:
            if self._broken.is_set():
                raise BrokenBarrierError
            index = self._waiters.waiting()
            if index and self._waiters.have_died():
                self._break()
                raise BrokenBarrierError
            if index + 1 == self._parties:
                self._pass()
                return index
            seat = self._waiters.sit()
        is_over = True
        try:
            is_over = not self._wait(seat, timeout)
        finally:
            with self._lock:
                passed = self._waiters.stand_up(seat)
                if passed is False and is_over:
                    self._break()
        if not passed:
            raise BrokenBarrierError
        return index

    def _wait(self, seat: int, timeout: float | None) -> bool:
        """Whether the wait was ended by another."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _DEATH_S if deadline is None else min(_DEATH_S, deadline - time.monotonic())
            if self._waiters.wait(seat, left):
                return True
            if left < _DEATH_S or self._waiters.have_died():
                return False

    def _pass(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._break()
            raise
        self._waiters.notify(self._parties)

    def _break(self) -> None:
        self._broken.set()
        self._waiters.dismiss()

    def abort(self) -> None:
        """Breaks the barrier: all waits raise, those to come too."""
        with self._lock:
            self._break()

    def reset(self) -> None:
        """Makes it as new: those who wait now raise."""
        with self._lock:
            self._waiters.dismiss()
            self._broken.clear()

    @property
    def parties(self) -> int:
        """How many wait for each other."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return self._waiters.waiting()

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._broken.is_set()

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: {state}>"
