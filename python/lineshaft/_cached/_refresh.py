"""Computing stale values anew while they are served."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_TOGETHER = 4
"""Threads at most: more would take the time of those who are served."""

_room = threading.BoundedSemaphore(_TOGETHER)


def in_background(compute: Callable[[], object]) -> None:
    """Has `compute` called by a thread of its own, if there is room for one; the next call of the function asks again.

    What it raises is nobody's: the stale value is served until its time is over, and then a call computes.
    """
    room = _room
    if not room.acquire(blocking=False):
        return

    def run() -> None:
        try:
            compute()
        except Exception:
            return
        finally:
            room.release()

    try:
        threading.Thread(target=run, name="lineshaft-refresh", daemon=True).start()
    except BaseException:
        room.release()
        raise


def _forked() -> None:
    # The threads that took room are not here.
    global _room
    _room = threading.BoundedSemaphore(_TOGETHER)


os.register_at_fork(after_in_child=_forked)
