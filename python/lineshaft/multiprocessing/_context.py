"""Contexts: those of `multiprocessing`, with what this package has in place of its own.

Which start method is the default is said in one place, the standard library's, so that both agree whoever says it; a
child that is spawned is told there, too.
"""

from __future__ import annotations

from multiprocessing import context as standard
from typing import TYPE_CHECKING, Any

from ._barrier import Barrier
from ._conditions import Condition, Event
from ._locks import AnyLock, BoundedSemaphore, Lock, RLock, Semaphore
from ._queues import JoinableQueue, Queue, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.managers import SyncManager

    from .pool import Pool

__all__ = ["default_context"]


class _Ours(standard.BaseContext):
    """What is made here instead of there."""

    def Queue(self, maxsize: int = 0) -> Queue[Any]:  # type: ignore[override]  # noqa: N802
        """A queue between processes."""
        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> JoinableQueue[Any]:  # type: ignore[override]  # noqa: N802
        """A queue between processes that can be joined, as all can here."""
        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> SimpleQueue[Any]:  # type: ignore[override]  # noqa: N802
        """A queue between processes with little more than `put` and `get`."""
        return SimpleQueue(ctx=self.get_context())

    def Lock(self) -> Lock:  # type: ignore[override]  # noqa: N802
        """A lock between processes."""
        return Lock(ctx=self.get_context())

    def RLock(self) -> RLock:  # type: ignore[override]  # noqa: N802
        """A lock between processes that its thread may acquire again."""
        return RLock(ctx=self.get_context())

    def Condition(self, lock: AnyLock | None = None) -> Condition:  # type: ignore[override]  # noqa: N802
        """A condition between processes."""
        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> Semaphore:  # type: ignore[override]  # noqa: N802
        """A semaphore between processes."""
        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> BoundedSemaphore:  # type: ignore[override]  # noqa: N802
        """A semaphore between processes that is not released more often than it is acquired."""
        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> Event:  # type: ignore[override]  # noqa: N802
        """A flag between processes."""
        return Event(ctx=self.get_context())

    def Barrier(  # type: ignore[override]  # noqa: N802
        self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None
    ) -> Barrier:
        """A point at which processes wait for each other."""
        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Pool(  # type: ignore[override]  # noqa: N802
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Pool:
        """Worker processes that call functions."""
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def Manager(self) -> SyncManager:  # noqa: N802
        """A manager of the standard library, which has begun."""
        return _standard(self).Manager()


class _Concrete(_Ours):
    """One that stands for a start method."""

    def get_context(self, method: str | None = None) -> Any:
        """The same, or that of another start method."""
        return self if method is None else _find(method)


class ForkContext(_Concrete, standard.ForkContext):
    """Processes that are forked."""


class SpawnContext(_Concrete, standard.SpawnContext):
    """Processes that are started anew."""


class ForkServerContext(_Concrete, standard.ForkServerContext):
    """Processes that a server forks."""


class DefaultContext(_Ours, standard.DefaultContext):
    """That of the start method that is the default, which is the standard library's."""

    def __init__(self) -> None:
        pass

    def get_context(self, method: str | None = None) -> Any:
        """The context of a start method, or of the default one."""
        return _find(standard._default_context.get_context()._name if method is None else method)  # type: ignore[attr-defined]

    def get_start_method(self, allow_none: bool = False) -> Any:
        """The name of the default start method; None if none was chosen yet, where that is allowed."""
        return standard._default_context.get_start_method(allow_none)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Chooses the default start method, of `multiprocessing` too."""
        standard._default_context.set_start_method(method, force)


_contexts: dict[str, _Concrete] = {"fork": ForkContext(), "spawn": SpawnContext(), "forkserver": ForkServerContext()}

default_context = DefaultContext()


def _find(method: str) -> _Concrete:
    try:
        found = _contexts[method]
    except KeyError:
        raise ValueError(f"cannot find context for {method!r}") from None
    found._check_available()
    return found


def _standard(ours: standard.BaseContext) -> standard.BaseContext:
    return standard._default_context.get_context(ours.get_start_method())
