"""A point that processes wait for each other at, on shared memory. It breaks if one is killed while it waits."""

from __future__ import annotations

import time
from multiprocessing import context
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from lineshaft import _native

from ._conditions import Event
from ._heap import take
from ._locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Barrier"]

_DEATH_S = 0.1
"""How often the parties look whether all of them live."""


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
