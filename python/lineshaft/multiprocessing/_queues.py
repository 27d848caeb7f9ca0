"""Queues between processes: `Queue`, `JoinableQueue` and `SimpleQueue`.

They are what `multiprocessing` has under these names, but that `put` is done when it returns: there is no thread that
feeds a pipe, so nothing is lost when a process ends, however it does.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from multiprocessing import context, reduction
from queue import Empty, Full
from typing import Any, Generic, Protocol, TypeVar

from lineshaft import _native
from lineshaft._loop import ready

from ._heap import own
from ._shutdown import ShutDown

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

T = TypeVar("T")
R = TypeVar("R")

_ROOM_BYTES = 32 << 20
"""Of a queue without `maxsize`. Memory is taken as it is first used."""
_ROOM_BYTES_MAX = 1 << 34
_MESSAGE_BYTES_MAX = (64 << 10) + 16
"""Of a message that does not go through the arena, with its header."""
_ARENA_BYTES = 1 << 30
"""For large messages, taken as it is first used, lowest first."""
_MANY = 256
_SILENT_S = 5.0
"""So long `put` waits silently where no `maxsize` says that it may."""
_PAUSE_S, _PAUSE_S_MAX = 0.001, 0.05


class _Fd(Protocol):
    def detach(self) -> int: ...


class _Shared(Generic[T]):
    """A queue in shared memory, whatever its face."""

    _channel: _native.Channel
    _maxsize: int
    _closed: bool

    def __init__(self, maxsize: int = 0, *, room: int | str | None = None, ctx: object = None) -> None:
        channel = _native.Channel(max(maxsize, 0), _room_bytes(maxsize, room), _ARENA_BYTES)
        if not channel.is_in_memory():
            message = f"the system gives no shared memory: this queue lies in files of {tempfile.gettempdir()}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._begin(channel, maxsize)

    def _begin(self, channel: _native.Channel, maxsize: int) -> None:
        self._channel = channel
        self._maxsize = maxsize
        self._closed = False
        _all.add(self)

    def __getstate__(self) -> tuple[int, _Fd, _Fd]:
        context.assert_spawning(self)
        ring, arena = self._channel.filenos()
        return self._maxsize, reduction.DupFd(ring), reduction.DupFd(arena)

    def __setstate__(self, state: tuple[int, _Fd, _Fd]) -> None:
        maxsize, ring, arena = state
        self._begin(_native.Channel.adopt(own(ring), own(arena)), maxsize)

    def empty(self) -> bool:
        """Whether there is nothing in it now. OSError if there is something after `close`: nobody gets it here."""
        is_empty = len(self._channel) == 0
        if self._closed and not is_empty:
            raise OSError(f"{self!r} is closed")
        return is_empty


def _room_bytes(maxsize: int, room: int | str | None) -> int:
    if room is None:
        return _ROOM_BYTES if maxsize <= 0 else min(_ROOM_BYTES, maxsize * _MESSAGE_BYTES_MAX)
    size = _native.parse_size("room", room) if isinstance(room, str) else room
    if not 0 < size <= _ROOM_BYTES_MAX:
        raise ValueError(f"room={room!r} is not among 1 byte to 16 GiB")
    # One message of any size that does not go through the arena fits.
    return max(size, _MESSAGE_BYTES_MAX)


class Queue(_Shared[T]):
    """A queue for any number of processes and threads: first in, first out.

    `maxsize` bounds the objects in it. Whatever it is, they have room for 32 MiB, or as `room` says in bytes or as text
    ("1GiB"), and besides for a gibibyte of objects above 64 KiB. `put` waits while there is no room. Time-outs are
    seconds; None waits for ever.

    Objects are what the wire format has, and whatever can be pickled. Arrays, and what else pickles its buffers apart,
    come out as read-only views of the very memory that they were copied to once, above 64 KiB.
    """

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Puts `obj`; once this returns it is there, whatever happens to this process.

        Raises `queue.Full` if there is no room in time, or at once unless `block`; `ShutDown` after `shutdown`; and
        what pickle raises of what cannot be sent.
        """
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        if block and timeout is None and self._maxsize <= 0:
            try:
                return self._channel.put(obj, _SILENT_S)
            except Full:
                _say_full()
        return self._channel.put(obj, timeout if block else 0.0)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Takes the next object out. What a process got is its own: if it dies, nobody else gets it.

        Raises `queue.Empty` if there is none in time, or at once unless `block`; and `ShutDown` once there will be
        none.
        """
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        got: T = self._channel.get(timeout if block else 0.0)
        return got

    def put_nowait(self, obj: T) -> None:
        """`put(obj, False)`."""
        self.put(obj, False)

    def get_nowait(self) -> T:
        """`get(False)`."""
        return self.get(False)

    def put_many(self, objects: Iterable[T], block: bool = True, timeout: float | None = None) -> int:
        """Puts objects one after the other, at a fraction of the cost of as many `put`s.

        Gives how many were put: all, unless the time was up. Others may put between them. One that cannot be sent is
        found before any is put; a later error, such as `ShutDown`, has in its attribute `put` how many were.
        """
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        return self._channel.put_many(list(objects), timeout if block else 0.0)

    def get_many(self, count: int = _MANY, block: bool = True, timeout: float | None = None) -> list[T]:
        """Takes out what is there, up to `count` objects: at least one, and no more than some hundred. Raises as `get`.

        If one of them cannot be unpickled its error is raised, which has the others in its attribute `others`.
        """
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        if count < 1:
            raise ValueError(f"count is {count}, which gets nothing")
        return self._channel.get_many(count, timeout if block else 0.0)

    def __iter__(self) -> Iterator[T]:
        """Gets until the queue is shut down and empty."""
        while True:
            try:
                obj = self.get()
            except ShutDown:
                return
            yield obj

    async def aput(self, obj: T, timeout: float | None = None) -> None:
        """`put` for coroutines. `obj` is looked at anew whenever there may be room."""
        await _attempt(self, "room", timeout, lambda: self.put(obj, False), Full)

    async def aget(self, timeout: float | None = None) -> T:
        """`get` for coroutines. One that is cancelled has taken nothing out."""
        return await _attempt(self, "messages", timeout, lambda: self.get(False), Empty)

    async def __aiter__(self) -> AsyncIterator[T]:
        """Gets until the queue is shut down and empty."""
        while True:
            try:
                obj = await self.aget()
            except ShutDown:
                return
            yield obj

    def task_done(self, count: int = 1) -> None:
        """Says that the work on `count` objects that were got is done. Raises ValueError if there are not so many."""
        if count < 0:
            raise ValueError(f"count is {count}, and what is done stays done")
        if not self._channel.task_done(count):
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> bool:
        """Waits until `task_done` was said of every object that was put; whether that was so in time.

        What a process had got that died before it said so stays undone.
        """
        return self._channel.join(timeout)

    async def ajoin(self, timeout: float | None = None) -> bool:
        """`join` for coroutines."""

        def look() -> bool:
            if not self._channel.join(0.0):
                raise Empty
            return True

        try:
            return await _attempt(self, "idle", timeout, look, Empty)
        except Empty:
            return False

    def shutdown(self, immediate: bool = False) -> None:
        """Ends the queue, in every process: `put` raises `ShutDown`, and so does `get` when nothing is left.

        With `immediate` what is left is dropped, as if it were done. As `queue.Queue.shutdown` of Python 3.13.
        """
        self._channel.shut_down(immediate)

    @property
    def is_shutdown(self) -> bool:
        """Whether it was shut down."""
        return self._channel.is_shut_down()

    def qsize(self) -> int:
        """How many objects are in it now."""
        return len(self._channel)

    def full(self) -> bool:
        """Whether there are `maxsize` objects in it now."""
        return 0 < self._maxsize <= len(self._channel)

    def close(self) -> None:
        """Says that this process is done with it: `put` and `get` raise ValueError from here on, in this process."""
        self._closed = True

    def join_thread(self) -> None:
        """Does nothing: what was put is there, and no thread has it."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Does nothing: the end of a process waits for no queue."""


def _say_full() -> None:
    message = "put waits: the room of this queue is full and nobody gets; start who gets first, or give it more room="
    warnings.warn(message, RuntimeWarning, stacklevel=3)


class JoinableQueue(Queue[T]):
    """A `Queue`, which can be joined anyway; under the name that it has in `multiprocessing`."""


class SimpleQueue(_Shared[T]):
    """A queue with little more than `put` and `get`."""

    def __init__(self, *, ctx: object = None) -> None:
        super().__init__(ctx=ctx)

    def empty(self) -> bool:
        """Whether there is nothing in it now."""
        self._check()
        return super().empty()

    def put(self, obj: T) -> None:
        """Puts `obj`, as soon as there is room."""
        self._check()
        self._channel.put(obj, None)

    def get(self) -> T:
        """Takes the next object out, as soon as there is one."""
        self._check()
        got: T = self._channel.get(None)
        return got

    def close(self) -> None:
        """Says that this process is done with it: `put` and `get` raise OSError from here on, in this process."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise OSError("handle is closed")


class _Side:
    """One side of a queue, to be told when it is worth trying again."""

    def __init__(self, channel: _native.Channel, name: str) -> None:
        self._channel = channel
        self._name = name
        self._told: tuple[_native.Completions, int] | None = None

    def notify(self, completions: _native.Completions, token: int) -> None:
        self._told = completions, token
        self._channel.notify(completions, token, self._name)

    def forget(self) -> None:
        if self._told is not None:
            self._channel.forget(*self._told, self._name)


async def _attempt(
    queue: Queue[Any], side: str, timeout: float | None, attempt: Callable[[], R], not_yet: type[Exception]
) -> R:
    """Calls `attempt` whenever it is worth it, until it does not raise `not_yet` any more, or the time is up."""
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    pause = _PAUSE_S
    while True:
        try:
            return attempt()
        except not_yet:
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                raise
        source = _Side(queue._channel, side)
        try:
            await ready(source, left)
        finally:
            source.forget()
        if side == "room":
            # There may be room for something smaller only.
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_S_MAX)


_all: weakref.WeakSet[_Shared[Any]] = weakref.WeakSet()


def _renew() -> None:
    """Of what the parent had, a forked child keeps the memory, not the threads that wait on it."""
    for queue in list(_all):
        queue._channel = queue._channel.twin()


os.register_at_fork(after_in_child=_renew)
# After the threads that Python waits for, and before it takes the others by surprise.
atexit.register(_native.interpreter_ends)
