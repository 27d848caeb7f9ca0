"""`multiprocessing.pool` on workers of Lineshaft: the same names, and the same calls.

A worker that dies fails its item, where the standard library's pool waits for ever.
"""

from __future__ import annotations

from multiprocessing import TimeoutError  # noqa: A004
from multiprocessing.pool import (  # type: ignore[attr-defined]
    CLOSE,
    INIT,
    RUN,
    TERMINATE,
    MaybeEncodingError,
    RemoteTraceback,
)
from typing import TYPE_CHECKING, Any

from lineshaft._pool import _pool as ours
from lineshaft._pool._outcomes import AsyncResult
from lineshaft._pool._outcomes import Results as IMapIterator

from ._context import default_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext

__all__ = [
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
    "TimeoutError",
]

ApplyResult = MapResult = AsyncResult
IMapUnorderedIterator = IMapIterator


class Pool(ours.Pool):
    """`lineshaft.Pool` as programs expect it that were written for the standard library's: its workers end with it.

    The start method is that of `context`, by default the one that is set for `multiprocessing`.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
        *,
        retries: int = 0,
        memory: int | str | None = None,
        warm: bool = False,
    ) -> None:
        super().__init__(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context or default_context.get_context(),
            retries=retries,
            memory=memory,
            warm=warm,
        )

    def _repopulate_pool(self) -> None:
        """Starts workers where some are missing now, which is done soon anyway."""
        self._crew.refill()


class ThreadPool(Pool):
    """The same with threads of this process. What they have begun when it is terminated, they finish."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        ours.Pool.__init__(self, processes, initializer, initargs, kind="thread")
