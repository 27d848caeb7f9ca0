"""`ResourcePool`: at most so many things, lent to threads one after the other.

`Loan` is what `pool.get()` gives: the block in which a thing is lent. Its thing is given back by the end of the block;
where something is raised before that end begins, by the end of the loan itself, which nobody but the block holds.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import weakref
from _thread import allocate_lock, get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._errors import ResourceTimeout, WrongState
from .._options import duration, exception_classes, wrong
from ._ledger import Item, Ledger, Place, Waiter
from ._report import Holder, ResourcePoolInfo, holder_of, info_of, too_late

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from typing_extensions import Self

    from .._options import Duration

__all__ = ["BasePool", "ResourcePool"]

T = TypeVar("T")

MAX = 10
LOOK_EVERY_S = 0.25
"""How often a thread that waits returns to the interpreter, so that it can be told to stop."""

_pools: weakref.WeakSet[BasePool[Any]] = weakref.WeakSet()
_inherited: list[Ledger[Any]] = []
"""In a copy of the process: what the original has open. Never used, never closed, and never collected as garbage."""


class BasePool(Generic[T]):
    """What the pools for threads and for event loops have in common."""

    def __init__(
        self,
        open_: Callable[..., Any],
        close: Callable[..., Any] | None,
        healthy: Callable[..., Any] | None,
        places_max: int,
        idle: Duration | None,
        timeout: Duration | None,
        broken: type[BaseException] | tuple[type[BaseException], ...],
        name: str | None,
    ) -> None:
        for option, value in (("open", open_), ("close", close), ("healthy", healthy)):
            if not callable(value) and (value is not None or option == "open"):
                raise wrong(option, value, "a function")
        if not isinstance(places_max, int) or isinstance(places_max, bool) or places_max < 1:
            raise wrong("max", places_max, "a number from 1 up")
        self._open, self._healthy = open_, healthy
        self._close: Callable[..., Any] = close or _forget
        self._idle = None if idle is None else duration("idle", idle)
        self._timeout = None if timeout is None else duration("timeout", timeout)
        self._broken = exception_classes("broken", broken)
        self.name = name or getattr(open_, "__qualname__", None) or type(open_).__name__
        """What errors and logs call it."""
        self._ledger: Ledger[T] = Ledger(places_max)
        _pools.add(self)

    def __repr__(self) -> str:
        info = self.info()
        return f"<{type(self).__name__} {self.name}: {info.lent} of {info.max} lent, {info.waiting} wait>"

    def info(self) -> ResourcePoolInfo:
        """Its numbers."""
        return info_of(self._ledger)

    def holders(self) -> list[Holder]:
        """To whom something is lent, for how long, and by which line; the longest first."""
        return [holder_of(place) for place in self._ledger.holders()]

    def discard(self, thing: T) -> None:
        """What is lent is broken: at the end of its block it is closed, and another one opened when one is needed."""
        item = self._ledger.find(thing)
        if item is None:
            raise ValueError(f"{thing!r} is not lent by {self.name}")
        item.is_broken = True

    def _is_rested(self, item: Item[T]) -> bool:
        """Whether nobody has used it for so long that it has to be looked at."""
        return self._idle is not None and time.monotonic() - item.rested_at >= self._idle

    def _note(self, place: Place[T], error: BaseException | None) -> None:
        """What `error` of the body means for what was lent to it."""
        if error is None or isinstance(error, GeneratorExit):
            return
        # Whoever was interrupted may have left it in the middle of something.
        if not isinstance(error, Exception) or isinstance(error, self._broken):
            for item in place.items:
                item.is_broken = True

    def _say(self, what: str, error: BaseException) -> None:
        logging.getLogger("lineshaft").error("a resource of %s %s", self.name, what, exc_info=error)

    def _timed_out(self, timeout: float | None, began: float) -> ResourceTimeout:
        self._ledger.note_wait(began, is_in_vain=True)
        return too_late(f"no resource of {self.name} came free within {timeout:g} s", self._ledger)

    def _placed(self, place: Place[T]) -> Place[T]:
        """The place of a block that begins; another one in a process that is a copy of the one where it was made."""
        if place.ledger is not self._ledger:
            return place.of(self._ledger)
        if place in place.ledger.given:
            raise WrongState(f"this block has a resource of {self.name} already", hint="call get() for each block")
        return place

    def _find_lost(self, place: Place[T]) -> None:
        """The block of a place is gone; it did not give it back if something was raised before its end had begun."""
        ledger = place.ledger
        if (place in ledger.given or place in ledger.waiting) and ledger is self._ledger:
            ledger.give_back_lost(place)

    def _begin_anew(self) -> None:
        """In a copy of the process."""
        _inherited.append(self._ledger)
        old = self._ledger
        self._ledger = Ledger(old.max)
        self._ledger.is_closing = old.is_closing


class ResourcePool(BasePool[T]):
    """At most `max` things that `open` gives, lent to one thread at a time and used again.

    ::

        pool = ResourcePool(connect, Connection.close, max=4, healthy=Connection.ping, idle="30s")

        with pool.get(timeout="2s") as connection:
            ...

    They are opened when they are needed, and lent in the order in which they are asked for; those who wait longer than
    `timeout` (None: without an end) get `ResourceTimeout`, which names who has them. `close` is called with each of
    them at the end. `healthy` is asked before one is lent again, if `idle` is given only of what has rested that long;
    one that is not, or of which it raises, is closed and replaced. Without `healthy` what has rested for `idle` is
    replaced.

    What a block raises is passed on. If it is one of the classes `broken`, or an interruption such as `Cancelled` or
    Ctrl-C, what was lent to it is closed.

    It is a context manager, whose end is `close()`, and so may be what `@app.resource` returns. A process that is made
    by a fork has a pool of its own, and neither uses nor closes what its parent has open.
    """

    def __init__(
        self,
        open: Callable[[], T],  # noqa: A002
        close: Callable[[T], object] | None = None,
        *,
        max: int = MAX,  # noqa: A002
        idle: Duration | None = None,
        healthy: Callable[[T], object] | None = None,
        timeout: Duration | None = None,
        broken: type[BaseException] | tuple[type[BaseException], ...] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(open, close, healthy, max, idle, timeout, broken, name)

    def get(self, timeout: Duration | None = None) -> Loan[T]:
        """The block in which one is lent: `with pool.get() as thing:`. `timeout` is instead of that of the pool."""
        return Loan(self, self._timeout if timeout is None else duration("timeout", timeout), sys._getframe(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self, timeout: Duration | None = None) -> None:
        """Lends nothing any more, and returns when everything was given back and is closed.

        Those who wait get `ResourceClosed`. Raises `ResourceTimeout` when it takes longer than `timeout`, naming who
        has something; that is closed when it is given back.
        """
        seconds = None if timeout is None else duration("timeout", timeout)
        until = float("inf") if seconds is None else time.monotonic() + seconds
        ledger = self._ledger
        if any(place.thread == get_ident() for place in ledger.holders()):
            raise WrongState(f"close() of {self.name} in a block that holds one of it would wait for itself")
        ledger.close()
        while True:
            Loan(self, None, sys._getframe()).end_resting()
            is_empty = ledger.is_empty(bell := Bell())
            if is_empty:
                return
            if is_empty is None:
                bell.wait(min(until - time.monotonic(), LOOK_EVERY_S))
                if time.monotonic() >= until:
                    raise too_late(f"{self.name} did not close within {seconds:g} s", ledger)

    def _ready(self, place: Place[T]) -> T:
        """What is lent: what rested, if it is good, or another one."""
        while place.items and not self._is_good(place.items[0]):
            self._end(place)
        if not place.items:
            place.items.append(Item(None))
            place.items[0].things.append(self._open())
            place.ledger.note_opened()
        return place.items[0].things[0]

    def _is_good(self, item: Item[T]) -> bool:
        if item.is_broken or not item.things:
            return False
        is_rested = self._is_rested(item)
        if self._healthy is None or (self._idle is not None and not is_rested):
            return not is_rested
        item.is_broken = True  # unless it answers
        try:
            item.is_broken = not self._healthy(item.things[0])
        except Exception as error:
            self._say("is not healthy", error)
        return not item.is_broken

    def _end(self, place: Place[T]) -> None:
        """Closes what the place holds."""
        for item in place.items:
            item.is_broken = True
            try:
                while item.things:
                    self._close(item.things.pop())
                    place.ledger.note_closed()
            except Exception as error:
                self._say("did not close", error)
        place.items[:] = [item for item in place.items if item.things]

    def _leave(self, place: Place[T]) -> None:
        """Gives a place back, and closes what it holds if nobody is to use it again."""
        if place.ledger is not self._ledger:
            return  # of the process that this one is a copy of
        try:
            if place.ledger.is_closing or any(item.is_broken for item in place.items):
                self._end(place)
        finally:
            place.ledger.give_back(place)


class Loan(Generic[T]):
    """A block in which a thing is lent."""

    __slots__ = ("_frame", "_place", "_pool", "_timeout")

    def __init__(self, pool: ResourcePool[T], timeout: float | None, frame: FrameType) -> None:
        self._pool = pool
        self._timeout = timeout
        self._place: Place[T] = Place(pool._ledger, frame)

    def __enter__(self) -> T:
        try:
            place = self._pool._placed(self._place)
            self._place = place
            bell = place.ledger.ask(place, Bell)
            if bell is not None:
                self._wait(place, bell)
            return self._pool._ready(place)
        except BaseException:
            self._pool._leave(self._place)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._pool._note(self._place, error)
        finally:
            self._pool._leave(self._place)

    def __del__(self) -> None:
        if hasattr(self, "_place"):  # set last
            self._pool._find_lost(self._place)

    def end_resting(self) -> None:
        """Closes one that rests, of a pool that closes."""
        try:
            self._place.ledger.take_resting(self._place)
        finally:
            self._pool._leave(self._place)

    def _wait(self, place: Place[T], bell: Waiter) -> None:
        began = time.monotonic()
        until = began + (float("inf") if self._timeout is None else self._timeout)
        while True:
            bell.wait(min(until - time.monotonic(), LOOK_EVERY_S))
            if place.ledger.has(place):
                place.ledger.note_wait(began)
                return
            if time.monotonic() >= until and place.ledger.give_up(place):
                raise self._pool._timed_out(self._timeout, began)


class Bell:
    """Wakes a thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def wake(self) -> bool:
        """A thread that is gone has given its place up."""
        if self._lock.locked():
            self._lock.release()
        return True

    def wait(self, seconds: float) -> bool:
        """Whether it woke within that time."""
        return self._lock.acquire(timeout=max(0.0, seconds))


def _forget(thing: object) -> None:
    """What needs no closing."""


def _begin_anew() -> None:
    for pool in list(_pools):
        pool._begin_anew()


os.register_at_fork(after_in_child=_begin_anew)


ResourcePool.__module__ = "lineshaft"
