"""Threads that a body starts belong to its attempt: `current` works there, and what they print is its output.

A new thread starts with empty context variables (free-threaded Python 3.14 is the first to pass them on), so a crawler
that checkpoints from its pool would keep nothing, without a word. Where attempts run, `threading.Thread.start` and
`ThreadPoolExecutor.submit` therefore hand on the attempt of their caller and the fields of its log context, and nothing
else; for callers outside of an attempt they are what they were.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ._belongings import belongings, within
from ._current import _running

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["belong_to_attempts"]

T = TypeVar("T")
_start, _submit = threading.Thread.start, ThreadPoolExecutor.submit


def belong_to_attempts() -> None:
    """From here on, in this process."""
    threading.Thread.start = start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign, assignment]


def start(self: threading.Thread) -> None:
    """As `Thread.start`."""
    if _running.get() is not None:
        whose = belongings()
        run = self.run
        own = self.__dict__.get("run")

        def run_within() -> None:
            if own is None:
                del self.run  # the thread and this function would keep each other
            else:
                self.run = own  # type: ignore[method-assign]
            within(whose, run)

        self.run = run_within  # type: ignore[method-assign]
    _start(self)


def submit(self: ThreadPoolExecutor, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
    """As `ThreadPoolExecutor.submit`."""
    if _running.get() is None:
        return _submit(self, fn, *args, **kwargs)
    whose = belongings()
    # The pool's threads outlive the attempt that happens to be the first to need them.
    token = _running.set(None)
    try:
        return _submit(self, within, whose, fn, *args, **kwargs)
    finally:
        _running.reset(token)
