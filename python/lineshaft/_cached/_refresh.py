"""Computing stale values anew while they are served."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

_TOGETHER = 4
"""Threads at most: more would take the time of those who are served."""

_room = threading.BoundedSemaphore(_TOGETHER)


def in_background(compute: Callable[[], object], otherwise: Callable[[], object] = lambda: None) -> None:
    """Has `compute` called by a thread of its own, if there is room for one, or calls `otherwise`; the next call of the
    function asks again.

    What it raises is nobody's: the stale value is served until its time is over, and then a call computes.
    """
    room = _room
    if not room.acquire(blocking=False):
        otherwise()
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


class Refreshes:
    """The same for coroutine functions: tasks of the event loops in which they were called."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, compute: Callable[[], Awaitable[Any]]) -> None:
        """Has `compute` awaited by a task of its own."""

        async def refresh() -> None:
            with contextlib.suppress(Exception):
                await compute()

        task = asyncio.get_running_loop().create_task(refresh())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _forked() -> None:
    # The threads that took room are not here.
    global _room
    _room = threading.BoundedSemaphore(_TOGETHER)


os.register_at_fork(after_in_child=_forked)
