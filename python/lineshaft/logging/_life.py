"""The life of the process: what is written before it ends or forks, and that a fork begins anew."""

from __future__ import annotations

import atexit
import os
import sys
import threading

from .. import _native

EXIT_SECONDS = 3.0
"""So long an end of the interpreter waits for what was logged. What comes later is waited for one by one."""
FORK_SECONDS = 1.0

_has_begun = False


def begin() -> None:
    """Once, when the first handler is opened."""
    global _has_begun
    if _has_begun:
        return
    _has_begun = True
    atexit.register(_end)
    os.register_at_fork(before=write, after_in_child=_after_fork)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _end_with_multiprocessing()


def thread() -> tuple[int, str, threading.Thread | None, object]:
    """Number and name of this thread, and the thread and its name as `threading` has them, if it knows it."""
    number = threading.get_ident()
    known = threading._active.get(number)  # type: ignore[attr-defined]
    name = getattr(known, "name", None) or f"thread-{number}"
    return number, name.encode("utf-8", "replace").decode(), known, getattr(known, "_name", None)


def _end() -> None:
    _native.log_flush(EXIT_SECONDS, last=True)
    _native.log_late()


def write() -> None:
    """Waits until what was logged is written, handlers that fail or hang aside: a fork or the end comes next."""
    _native.log_flush(FORK_SECONDS, healthy=True)


def _after_fork() -> None:
    _native.log_forked()
    if "multiprocessing.util" in sys.modules:
        # Its processes forget at their beginning what was to be done at the end.
        from multiprocessing import util

        util.register_after_fork(_finalized, lambda _: _end_with_multiprocessing())


def _end_with_multiprocessing() -> None:
    """Processes of multiprocessing end without `atexit`."""
    from multiprocessing import util

    util.Finalize(None, _end, exitpriority=-100)


def _finalized() -> None:
    """What multiprocessing knows our hook by."""
