"""How a pool comes to its workers: new ones, or some that another pool of this program has left."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from . import _warm
from ._crew import Crew
from ._ending import awaited
from ._options import size_of
from ._processes import Processes
from ._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from multiprocessing.process import BaseProcess

__all__ = ["hire", "hire_threads"]


def hire(
    context: Any,
    make_process: Callable[..., BaseProcess],
    size: int,
    *,
    name: str,
    initializer: Callable[..., object] | None,
    initargs: Sequence[Any],
    tasks_max: int | None,
    memory: int | str | None,
    is_pool: bool,
    is_warm: bool,
    is_eager: bool = True,
    kind: Hashable | None = None,
) -> Crew:
    """A crew of `size` processes, some of which may be there already: one of the same `kind`, where that is given."""
    # The end of a child waits for those that it started, and so for those that it would keep.
    is_warm = is_warm and multiprocessing.parent_process() is None
    memory_max = size_of(memory)
    if kind is None and is_warm and initializer is None and tasks_max is None:
        kind = _warm.kind_of(context, is_pool, memory_max)
    while kind is not None and (kept := _warm.take(kind, size)) is not None:
        if kept.lease(size, is_eager=is_eager):
            return kept
    workers = Processes(make_process, initializer, initargs, memory_max=memory_max, wraps_errors=is_pool)
    among = None if is_pool else awaited()
    return Crew(workers, size, name=name, kind=kind, tasks_max=tasks_max, is_eager=is_eager, among=among)


def hire_threads(
    size: int,
    *,
    name: str,
    initializer: Callable[..., object] | None,
    initargs: Sequence[Any],
    tasks_max: int | None,
    is_pool: bool,
) -> Crew:
    """A crew of `size` threads: those of an executor are started as they are needed."""
    workers, among = Threads(name, initializer, initargs), None if is_pool else awaited()
    return Crew(workers, size, name=name, tasks_max=tasks_max, is_eager=is_pool, among=among)
