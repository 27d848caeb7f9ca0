"""Computing once what several coroutines ask for, in whichever event loops they run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

_waits: dict[asyncio.Task[Any], Flight] = {}
"""Which flight each task waits for."""


class Flight:
    """One computing of one key, by one task."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.task = asyncio.current_task()
        self.end: Future[Any] = Future()
        """Its value or its error; cancelled if the task was, so that somebody else computes."""
        self.is_open: Callable[[], bool] = lambda: True
        """Whether it is for those, too, who ask now: nothing was invalidated since it began."""

    def comes_back(self) -> bool:
        """Whether it waits for something of the task that asks, by whatever way, so that waiting would not end."""
        here, at = asyncio.current_task(), self
        seen: set[int] = set()
        while at.task is not None and id(at) not in seen:
            if at.task is here:
                return True
            seen.add(id(at))
            if (following := _waits.get(at.task)) is None:
                return False
            at = following
        return False


class Flights:
    """What is being computed, by key."""

    def __init__(self) -> None:
        self._of: dict[Any, Flight] = {}

    def __contains__(self, key: Any) -> bool:
        return key in self._of

    def close(self, key: Any = None) -> None:
        """Who asks from now on waits for no computing of `key`, or of all without one."""
        for flight in list(self._of.values()) if key is None else filter(None, [self._of.get(key)]):
            flight.is_open = lambda: False

    async def once(self, key: Any, compute: Callable[[Flight], Awaitable[Any]]) -> Any:
        """What `compute` gives, or what somebody else's gives who was first and whose flight is open."""
        while True:
            mine = Flight()
            flight = self._of.setdefault(key, mine)
            if flight is not mine and (flight.pid != mine.pid or flight.end.cancelled() or not flight.is_open()):
                # Of a task that is in the process that this one was forked from, or on its way out; or too old.
                if self._of.get(key) is flight:
                    del self._of[key]
                continue
            if flight is mine:
                return await self._fly(key, mine, compute)
            if flight.comes_back():
                return await compute(mine)
            if await _over(flight):
                return flight.end.result()

    async def _fly(self, key: Any, flight: Flight, compute: Callable[[Flight], Awaitable[Any]]) -> Any:
        try:
            value = await compute(flight)
        except Exception as error:
            self._drop(key, flight)
            flight.end.set_exception(error)
            raise
        except BaseException:
            self._drop(key, flight)
            flight.end.cancel()
            raise
        self._drop(key, flight)
        flight.end.set_result(value)
        return value

    def _drop(self, key: Any, flight: Flight) -> None:
        if self._of.get(key) is flight:
            del self._of[key]


async def _over(flight: Flight) -> bool:
    """Waits until it is over; false if its task was cancelled."""
    task = asyncio.current_task()
    if task is not None:
        _waits[task] = flight
    try:
        # A waiter that is cancelled must not cancel what the others wait for.
        await asyncio.wait([asyncio.wrap_future(_follower(flight.end))])
    finally:
        if task is not None:
            _waits.pop(task, None)
    return not flight.end.cancelled()


def _follower(end: Future[Any]) -> Future[None]:
    """Is done when `end` is."""
    follower: Future[None] = Future()

    def follow(_: Future[Any]) -> None:
        if follower.set_running_or_notify_cancel():
            follower.set_result(None)

    end.add_done_callback(follow)
    return follower
