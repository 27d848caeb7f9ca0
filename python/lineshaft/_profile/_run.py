"""Measuring, from when it begins until it is stopped."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
import warnings
from types import FrameType
from typing import Any

from .. import _native
from ._memory import Watch
from ._profile import Profile

_OWN = os.path.dirname(__file__) + os.sep
"""Frames of files here are left out."""
_running: set[Run] = set()
"""They end before the interpreter does, which their threads need."""
_samplers: set[int] = set()
"""Threads that look at others."""


class Options:
    """What is to be measured, and how often."""

    def __init__(self, hz: float, threads: str, memory: bool, native: bool) -> None:
        self.hz, self.threads, self.memory, self.native = hz, threads, memory, native

    def given(self) -> dict[str, object]:
        """Those that are not the default."""
        defaults = {"hz": 100.0, "threads": "current", "memory": False, "native": False}
        return {name: value for name, value in vars(self).items() if value != defaults[name]}


class Run:
    """One block or call, until it is stopped; what it has found is then added to `profile`."""

    def __init__(self, options: Options, profile: Profile, entry: FrameType) -> None:
        self.profile = profile
        self._memory = Watch() if options.memory else None
        self._garbage = _native.GarbageWatch()
        everyone = options.threads == "all"
        try:
            self._sampler = _native.Sampler(
                options.hz, entry, everyone, options.native, _running_loop(), _OWN, _samplers
            )
            if options.native and not self._sampler.native:
                _warn_once()
        except BaseException:
            if self._memory is not None:
                self._memory.leave()
            raise
        gc.callbacks.append(self._garbage)
        _running.add(self)

    def stop(self) -> None:
        """Ends it, if it has not ended before."""
        if self not in _running:
            return
        _running.discard(self)
        found = self._sampler.stop()
        self.forget()
        found.collected(*self._garbage.counted())
        try:
            if self._memory is not None:
                rows, bytes_max = self._memory.end()
                found.allocated(rows)
                found.peaked(bytes_max)
        finally:
            self.profile._data.merge(found)

    def forget(self) -> None:
        """No collection of garbage is looked at any more."""
        if self._garbage in gc.callbacks:
            gc.callbacks.remove(self._garbage)


@functools.cache
def _warn_once() -> None:
    version = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    warnings.warn(
        f"native frames are not in this profile: they are seen on Linux in CPython 3.11 to 3.13, and this is {version} "
        "(or one without a free real-time signal, or whose functions are not exported)",
        RuntimeWarning,
        stacklevel=1,
    )


def _running_loop() -> Any:
    """The loop that runs in this thread; asyncio need not be there."""
    asyncio = sys.modules.get("asyncio")
    find = getattr(asyncio, "_get_running_loop", None)
    return find() if find is not None else None


def is_running(run: Run) -> bool:
    """Whether it was not stopped; in a forked child none of its parent's are."""
    return run in _running


def _end() -> None:
    for run in list(_running):
        run.stop()


def _forked() -> None:
    """The threads that look are not in a forked child, where what is being measured ends without a result."""
    for run in _running:
        run.forget()
    _running.clear()
    _samplers.clear()


atexit.register(_end)
os.register_at_fork(after_in_child=_forked)
