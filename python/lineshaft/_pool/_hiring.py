"""How a pool comes to its workers: new ones, or some that another pool of this program has left."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import weakref
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from . import _warm
from ._crew import Crew
from ._options import size_of
from ._processes import Processes
from ._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from multiprocessing.process import BaseProcess

__all__ = ["hire", "hire_threads"]

_hired: weakref.WeakSet[Crew] = weakref.WeakSet()
"""Those that work for executors, which are done before the program ends."""
_finished_by = -1
"""The process at whose end `_finish` is called."""
_is_over = False
"""Whether that is so: nobody would wait for another one."""


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
    _check_time(is_pool=is_pool)
    # The end of a child waits for those that it started, and so for those that it would keep.
    is_warm = is_warm and multiprocessing.parent_process() is None
    memory_max = size_of(memory)
    if kind is None and is_warm and initializer is None and tasks_max is None:
        kind = _warm.kind_of(context, is_pool, memory_max)
    while kind is not None and (kept := _warm.take(kind, size)) is not None:
        if kept.lease(size, is_eager=is_eager):
            return kept
    workers = Processes(make_process, initializer, initargs, memory_max=memory_max, wraps_errors=is_pool)
    among = None if is_pool else _awaited()
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
    _check_time(is_pool=is_pool)
    workers, among = Threads(name, initializer, initargs), None if is_pool else _awaited()
    return Crew(workers, size, name=name, tasks_max=tasks_max, is_eager=is_pool, among=among)


def _awaited() -> weakref.WeakSet[Crew]:
    """Where those are noted whose work is done before this process ends.

    One that `multiprocessing` has started does not call what is registered with `atexit`, but waits for its children.
    """
    global _finished_by
    if _finished_by != os.getpid():
        _finished_by = os.getpid()
        if multiprocessing.parent_process() is None:
            return _hired  # `atexit` does it; finalizers may be run before the end.
        Finalize(None, _finish, exitpriority=20)
    return _hired


def _check_time(*, is_pool: bool) -> None:
    if _is_over and not is_pool:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _finish() -> None:
    """What was submitted to executors is done before the program ends, and who waits for another pool ends.

    After Ctrl-C nothing is waited for.
    """
    global _is_over
    _is_over = True
    hired = [(crew, crew.released) for crew in list(_hired)]
    was_interrupted = issubclass(getattr(sys, "last_type", None) or Exception, KeyboardInterrupt)
    for crew, lease in hired:
        if was_interrupted:
            crew.terminate(lease)
        crew.close(lease)
    for crew, lease in hired:
        crew.join(lease)
    for crew in _warm.kept():
        crew.dismiss()
        crew.join(crew.released, 1.0)


atexit.register(_finish)
os.register_at_fork(after_in_child=_hired.clear)
