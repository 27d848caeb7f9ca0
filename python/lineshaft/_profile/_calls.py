"""The calls of one profiled function, of which those that overlap are measured once."""

from __future__ import annotations

import os
import threading
from types import FrameType
from typing import Any

from ._profile import Profile
from ._run import Options, Run, is_running

_lock = threading.Lock()
"""Held for a few steps, so that a forked child makes it anew."""


class _Overlapping:
    """Calls that began before one of the others ended, and what measures them."""

    def __init__(self, run: Run) -> None:
        self.run, self.count = run, 0


class Calls:
    """What measures the calls of a function.

    A call in another one, of a function that calls itself or of coroutines at the same time, would be seen by what
    measures each of them, and count as often. So that is one for each thread of the program, or one if it sees all.
    """

    def __init__(self, options: Options) -> None:
        self.profile = Profile()
        self._options = options
        self._now: dict[int | None, _Overlapping] = {}

    def begin(self, entry: FrameType) -> Any:
        """A call begins; what this gives is for `end`."""
        key = None if self._options.threads == "all" else threading.get_ident()
        with _lock:
            calls = self._now.get(key)
            if calls is None or not is_running(calls.run):
                calls = self._now[key] = _Overlapping(Run(self._options, self.profile, entry))
            calls.count += 1
        return key, calls

    def end(self, begun: Any) -> None:
        """It is over."""
        key, calls = begun
        with _lock:
            calls.count -= 1
            is_last = not calls.count
            if is_last and self._now.get(key) is calls:
                del self._now[key]
        if is_last:
            calls.run.stop()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
