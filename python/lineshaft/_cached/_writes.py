"""Writing through a cache to what it is a cache of: before a value is kept, or a while after."""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

WAITING_MAX = 10_000
"""Values at most that wait to be written; whoever puts one more writes it."""
PAUSE_FIRST_S = 0.1
"""How long a write waits that failed; twice as long each time until `PAUSE_MAX_S`."""
PAUSE_MAX_S = 60.0
END_S = 5.0
"""How long the process waits at its end for what is not written yet."""

_logger = logging.getLogger("lineshaft")
_all: weakref.WeakSet[Writes] = weakref.WeakSet()


class Call(NamedTuple):
    """What `write` is called with."""

    value: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class _Waiting:
    call: Call
    due: float
    failures: int = 0


class Writes:
    """Values that are to be written with `write(value, *args, **kwargs)` within `delay_s`: of each key the last one.

    A thread makes them, one after the other, while there are any. What fails is said once and tried again, until it
    succeeds or the process ends.
    """

    def __init__(self, write: Callable[..., object], delay_s: float, name: str) -> None:
        self._write, self._delay_s, self._name = write, delay_s, name
        self.forked()
        _all.add(self)

    def forked(self) -> None:
        """Nothing waits: what did is the parent's to write."""
        self._waiting: dict[Hashable, _Waiting] = {}
        self._order: list[tuple[float, int, Hashable]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._has_thread = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Hashable, call: Call) -> None:
        """Has it written soon; at once if too many wait."""
        with self._changed:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.call = call
                return
            if len(self._waiting) < WAITING_MAX:
                waiting = self._waiting[key] = _Waiting(call, 0.0)
                self._put_off(key, waiting, self._delay_s)
                if not self._has_thread:
                    self._has_thread = True
                    threading.Thread(target=self._run, name="lineshaft-writes", daemon=True).start()
                return
        self._write(call.value, *call.args, **call.kwargs)

    def value(self, key: Hashable) -> tuple[Any] | None:
        """The value that waits to be written under `key`: what is there is older."""
        waiting = self._waiting.get(key)
        return None if waiting is None else (waiting.call.value,)

    def flush(self, timeout_s: float | None) -> bool:
        """Has all that waits written now; false if that was not done in time."""
        with self._changed:
            for key, waiting in self._waiting.items():
                self._put_off(key, waiting, 0.0)
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def _put_off(self, key: Hashable, waiting: _Waiting, delay_s: float) -> None:
        waiting.due = time.monotonic() + delay_s
        heapq.heappush(self._order, (waiting.due, next(self._numbers), key))
        self._changed.notify_all()

    def _run(self) -> None:
        while (found := self._next()) is not None:
            key, waiting = found
            call = waiting.call
            try:
                self._write(call.value, *call.args, **call.kwargs)
            except Exception as error:
                self._failed(key, waiting, error)
                continue
            with self._changed:
                if waiting.call is call:
                    del self._waiting[key]
                    self._changed.notify_all()
                else:
                    self._put_off(key, waiting, self._delay_s)

    def _next(self) -> tuple[Hashable, _Waiting] | None:
        """The next one, when it is due. None, and there is no thread any more, if none waits."""
        with self._changed:
            while self._order:
                due, _, key = self._order[0]
                waiting = self._waiting.get(key)
                if waiting is None or waiting.due != due:
                    heapq.heappop(self._order)  # it was put off, or hurried
                elif (left := due - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    heapq.heappop(self._order)
                    return key, waiting
            self._has_thread = False
            return None

    def _failed(self, key: Hashable, waiting: _Waiting, error: Exception) -> None:
        with self._changed:
            waiting.failures += 1
            self._put_off(key, waiting, min(PAUSE_FIRST_S * 2 ** (waiting.failures - 1), PAUSE_MAX_S))
        if waiting.failures == 1:
            _logger.error(
                "%s: a value could not be written; it is tried again until it can be", self._name, exc_info=error
            )

    def end(self, until: float) -> None:
        """The process ends: what is not written is said."""
        if not self.flush(max(0.0, until - time.monotonic())):
            _logger.error("%s: %d values could not be written before the process ended", self._name, len(self))


def _end() -> None:
    until = time.monotonic() + END_S
    for writes in list(_all):
        if len(writes):
            writes.end(until)


def _forked() -> None:
    for writes in list(_all):
        writes.forked()


atexit.register(_end)
os.register_at_fork(after_in_child=_forked)
