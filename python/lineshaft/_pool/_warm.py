"""Crews that wait for the next pool of this program, instead of being started anew."""

from __future__ import annotations

import multiprocessing.context
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ._crew import Crew

__all__ = ["IDLE_S", "keep", "kept", "kind_of", "let_go", "take"]

IDLE_S = 10.0
"""So long a crew waits."""
_WORKERS_MAX = 2 * (os.cpu_count() or 1)
"""Most workers that wait."""

_lock = threading.Lock()
_kept: list[Crew] = []


def kind_of(context: Any, *more: Hashable) -> Hashable | None:
    """What a crew must have in common with the one that is wanted; None if it must be a new one.

    Workers that were forked have what their parent had then. Others begin with its directory, path and environment.
    """
    start = context.Process
    if start not in (multiprocessing.context.SpawnProcess, multiprocessing.context.ForkServerProcess):
        return None
    try:
        place = os.getcwd()
    except FileNotFoundError:
        return None
    environment = tuple(os.environ.items())
    return start, place, tuple(sys.path), tuple(sys.argv), environment, more


def take(kind: Hashable, size: int) -> Crew | None:
    """A crew of this kind with at most so many workers, the more the better."""
    with _lock:
        fitting = [crew for crew in _kept if crew.kind == kind and len(crew.members) <= size]
        if not fitting:
            return None
        crew = max(fitting, key=lambda crew: len(crew.members))
        _kept.remove(crew)
        return crew


def keep(crew: Crew) -> bool:
    """Whether it may wait. Those that have waited longest make room for it."""
    room = _WORKERS_MAX - len(crew.members)
    with _lock:
        while room >= 0 and sum(len(other.members) for other in _kept) > room:
            _kept.pop(0).expire()
        if room >= 0:
            _kept.append(crew)
        return room >= 0


def let_go(crew: Crew) -> None:
    """It does not wait any more."""
    with _lock:
        if crew in _kept:
            _kept.remove(crew)


def kept() -> list[Crew]:
    """Those that wait."""
    with _lock:
        return list(_kept)


def _forget() -> None:
    """What waits is the parent's."""
    global _lock
    _lock = threading.Lock()
    _kept.clear()


os.register_at_fork(after_in_child=_forget)
