"""`multiprocessing.dummy`: the names of `multiprocessing` for threads, of the standard library but for `Pool`."""

from __future__ import annotations

from multiprocessing.dummy import (
    Array,
    Barrier,
    BoundedSemaphore,
    Condition,
    DummyProcess,
    Event,
    JoinableQueue,
    Lock,
    Manager,
    Namespace,
    Pipe,
    Process,
    Queue,
    RLock,
    Semaphore,
    Value,
    active_children,
    connection,
    current_process,
    freeze_support,
)
from typing import TYPE_CHECKING, Any

from .pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "DummyProcess",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "Value",
    "active_children",
    "connection",
    "current_process",
    "freeze_support",
]


def Pool(  # noqa: N802
    processes: int | None = None, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
) -> ThreadPool:
    """Threads that call functions."""
    return ThreadPool(processes, initializer, initargs)
