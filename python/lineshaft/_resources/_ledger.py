"""Who has a thing of a pool, who waits for one, and which ones rest: the same for threads and event loops.

A *place* is the right to one of at most `max` things. Whoever has it holds a thing, opens one or closes one, so that
there are never more, also while opening fails. Places are given in the order in which they were asked for. Nothing of
the user's runs in here: a thing rests as it was given back, and is looked at by whoever gets it next.
"""

from __future__ import annotations

import time
from _thread import allocate_lock, get_ident
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .._current import _running
from .._errors import ResourceClosed
from ._report import Counts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from typing_extensions import Self

__all__ = ["Item", "Ledger", "Place", "Waiter"]

T = TypeVar("T")


class Item(Generic[T]):
    """A thing from before it is opened until it is closed."""

    __slots__ = ("is_broken", "loop", "rested_at", "things")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.things: list[T] = []
        """The thing while it is open; whoever takes it out closes it, so that nobody does twice."""
        self.loop = loop
        """What it lives in; None if it may be used anywhere."""
        self.is_broken = False
        """It is to be closed rather than lent."""
        self.rested_at = 0.0


class Waiter(Protocol):
    """Somebody who waits for a place."""

    def wake(self) -> bool:
        """It has one, or the pool closes; False if nobody is there any more. Called under the lock of the ledger."""

    def wait(self, seconds: float) -> Any:
        """Waits to be woken, at most so long."""


class Place(Generic[T]):
    """The right to one thing, and what is said of whoever has it."""

    __slots__ = ("attempt", "code", "items", "ledger", "line", "loop", "since", "task", "thread")

    def __init__(self, ledger: Ledger[T], frame: FrameType, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.ledger = ledger
        self.items: list[Item[T]] = []
        """What whoever has it holds, one at most."""
        self.loop = loop
        self.code, self.line = frame.f_code, frame.f_lineno
        self.thread = get_ident()
        self.task: str | None = None
        self.attempt = _running.get()
        self.since = 0.0

    def of(self, ledger: Ledger[T]) -> Self:
        """The same one of another ledger."""
        place = copy(self)
        place.ledger, place.items, place.thread = ledger, [], get_ident()
        return place


class Ledger(Generic[T]):
    """The places of a pool. A copy of the process that is made by a fork begins a ledger of its own."""

    def __init__(self, places_max: int) -> None:
        self.max = places_max
        self.counts = Counts()
        self.given: dict[Place[T], None] = {}
        self.waiting: dict[Place[T], Waiter] = {}
        """In the order in which they came."""
        self.resting: list[Item[T]] = []
        """Those that were used last at the end: they are lent first, so that what is too much comes to rest."""
        self.is_closing = False
        self._closers: list[Waiter] = []
        self._lock = allocate_lock()
        self._lost: deque[Place[T]] = deque()
        """Places whose blocks are gone without a word, put here by a collector of garbage, which may run anywhere."""

    def ask(self, place: Place[T], waits: Callable[[], Waiter]) -> Waiter | None:
        """Gives a place or, where none is free or others came before, what waits for it."""
        with self._lock:
            if self.is_closing:
                raise ResourceClosed("the pool is closed")
            if not self.waiting and len(self.given) < self.max:
                self._give(place)
                return None
            waiter = self.waiting[place] = waits()
            self.counts.waits += 1
        self._find_lost()
        return waiter

    def has(self, place: Place[T]) -> bool:
        """Whether it is given by now; asked now and then by whoever waits for it."""
        self._find_lost()
        with self._lock:
            if self.is_closing and place not in self.given:
                raise ResourceClosed("the pool was closed")
            self._serve()
            return place in self.given

    def give_up(self, place: Place[T]) -> bool:
        """Stops to wait; False if it was given the place meanwhile."""
        with self._lock:
            self.waiting.pop(place, None)
            return place not in self.given

    def give_back(self, place: Place[T]) -> None:
        """Ends the wait for a place, or gives it back with what it holds. Nothing if that was done."""
        with self._lock:
            self._take_back(place)
        self._find_lost()

    def give_back_lost(self, place: Place[T]) -> None:
        """`give_back` for a collector of garbage: whoever has the lock now does it."""
        self._lost.append(place)
        self._find_lost()

    def take_resting(self, place: Place[T]) -> bool:
        """Gives a place with a thing that rests, in order to close it."""
        with self._lock:
            if self.resting:
                self._give(place)
            return place in self.given

    def close(self) -> None:
        """Gives no places any more."""
        with self._lock:
            self.is_closing = True
            for waiter in self.waiting.values():
                waiter.wake()
            self.waiting.clear()

    def is_empty(self, closer: Waiter) -> bool | None:
        """Whether a pool that closes has nothing any more. None if it waits for those who have places: then `closer` is
        woken when one is given back.
        """
        with self._lock:
            if self.given and not self.resting:
                self._closers.append(closer)
                return None
            return not self.resting

    def note_opened(self) -> None:
        """One more."""
        with self._lock:
            self.counts.opened += 1

    def note_closed(self) -> None:
        """One less."""
        with self._lock:
            self.counts.closed += 1

    def note_wait(self, began: float, is_in_vain: bool = False) -> None:
        """Somebody has waited."""
        with self._lock:
            self.counts.waited_s += time.monotonic() - began
            self.counts.timeouts += is_in_vain

    def find(self, thing: T) -> Item[T] | None:
        """What is known of a thing that somebody has."""
        with self._lock:
            items = [item for place in self.given for item in place.items]
        return next((item for item in items if any(one is thing for one in item.things)), None)

    def holders(self) -> list[Place[T]]:
        """Who has a place, those that have had it longest first."""
        with self._lock:
            return list(self.given)

    def _take_back(self, place: Place[T]) -> None:
        self.waiting.pop(place, None)
        if place.items and place.items[0].things:
            place.items[0].rested_at = time.monotonic()
            self.resting.append(place.items.pop())
        place.items.clear()
        self.given.pop(place, None)
        if self.waiting:
            self._serve()
        while self._closers:
            self._closers.pop().wake()

    def _serve(self) -> None:
        """Gives those that came first what is free."""
        while self.waiting:
            place, waiter = next(iter(self.waiting.items()))
            if place not in self.given:
                if len(self.given) >= self.max:
                    return
                self._give(place)
            if not waiter.wake():
                self._take_back(place)
            self.waiting.pop(place, None)

    def _give(self, place: Place[T]) -> None:
        place.since = time.monotonic()
        position = self._position_for(place)
        if position is None:
            self.given[place] = None
        else:  # both in one line
            self.given[place] = place.items.append(self.resting.pop(position))  # type: ignore[func-returns-value]
        self.counts.loans += 1

    def _position_for(self, place: Place[T]) -> int | None:
        """Of what rests in the loop of the place; of another one if there has to be one less."""
        resting = self.resting
        for position in range(len(resting) - 1, -1, -1):
            if resting[position].loop is place.loop:
                return position
        is_one_too_many = self.is_closing or len(resting) + len(self.given) >= self.max
        return 0 if resting and is_one_too_many else None

    def _find_lost(self) -> None:
        while self._lost and self._lock.acquire(blocking=False):
            try:
                while self._lost:
                    self._take_back(self._lost.popleft())
            finally:
                self._lock.release()
