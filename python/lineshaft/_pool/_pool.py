"""`Pool`: functions in processes or threads, as `multiprocessing.Pool` does it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from functools import partial
from itertools import islice
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .._belongings import belongings, within
from ._call import Call, row_of
from ._labour import APPLY, MAP, STAR
from ._options import chunk_of, context_of, is_threaded, retries_of, whole
from ._outcomes import AsyncResult, Results
from ._progress import followed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess
    from types import TracebackType

    from typing_extensions import Self

    from ._crew import Crew

__all__ = ["Pool"]

S = TypeVar("S")
T = TypeVar("T")

_AHEAD_S = 0.04
"""How far an iterable is read ahead of the workers."""
_AHEAD_MIN = 64


class Pool:
    """Workers that call functions, with the methods and the behaviour of `multiprocessing.Pool`.

    Workers get as many items at a time as take some ten milliseconds, which is learned from the first ones, and begin
    `chunksize` of them at a time, or as many as take about a millisecond; whoever has nothing left to do takes over
    items that others have not begun. A worker that dies
    fails what it was at with `WorkerDied`, unless that is done again, up to `retries` times; it is replaced, and the
    other items are not touched. One that has more than `memory` bytes (or `"512MiB"`) is killed. Workers that were not
    forked wait a while for the next pool, unless `warm` is false.

    With `kind="thread"` workers are threads of this process, for functions that release the interpreter: nothing is
    encoded, and nobody can be killed. Errors are those of `OptionError` for what threads do not have, `context` and
    `memory`.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
        *,
        kind: Literal["process", "thread"] = "process",
        retries: int = 0,
        memory: int | str | None = None,
        warm: bool = True,
    ) -> None:
        self._state = "INIT"
        processes = (os.cpu_count() or 1) if processes is None else whole("processes", processes)
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        self._retries = retries_of(retries)
        self._tasks_max = maxtasksperchild
        from ._hiring import hire, hire_threads  # not before, since workers that import `Pool` are to start fast

        name, initargs = "lineshaft-pool", tuple(initargs)
        if is_threaded(kind, context=context, memory=memory):
            self._crew = hire_threads(
                processes,
                name=name,
                initializer=initializer,
                initargs=initargs,
                tasks_max=maxtasksperchild,
                is_pool=True,
            )
        else:
            self._ctx: Any = context_of("context", context) or multiprocessing.get_context()
            self._crew = hire(
                self._ctx,
                partial(_make_process, self._ctx),
                processes,
                name=name,
                initializer=initializer,
                initargs=initargs,
                tasks_max=maxtasksperchild,
                memory=memory,
                is_pool=True,
                is_warm=warm,
            )
        self._lease = self._crew.released
        self._maker = os.getpid()
        # Before daemonic processes are ended by the standard library.
        self._finalizer = Finalize(self, self._crew.terminate, (self._lease,), exitpriority=15)
        self._state = "RUN"

    @property
    def _pool(self) -> list[Any]:
        return self._crew.members

    def __repr__(self) -> str:
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={self._processes}>"

    _state = "NEW"  # as long as its options are looked at

    def __del__(self, _warn: Any = warnings.warn, _pid: Any = os.getpid) -> None:
        if self._state == "RUN" and self._maker == _pid():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
            self._crew.close(self._lease)

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> T:
        """What `func(*args, **kwds)` gives in a worker."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """The same, without waiting. A callback is called in a thread of the pool, and should not take long."""
        self._check_running()
        result: AsyncResult[T] = AsyncResult(None, callback, error_callback)
        items = [(func, tuple(args), dict(kwds))]
        result.pool = self
        self._crew.add(Call(APPLY, None, items, result, share_items=1, retries=self._retries))
        return result

    def map(
        self,
        func: Callable[[S], T],
        iterable: Iterable[S],
        chunksize: int | None = None,
        *,
        progress: bool | str = False,
    ) -> list[T]:
        """What `func` gives for each item, in their order; or what it raised for the first that failed, after all.

        With `progress`, true or a text to stand before it, a terminal shows how much is done.
        """
        return followed(self._map_async(func, iterable, MAP, chunksize, None, None), progress)

    def starmap(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: bool | str = False,
    ) -> list[T]:
        """As `map`, but each item has the arguments of a call."""
        return followed(self._map_async(func, iterable, STAR, chunksize, None, None), progress)

    def map_async(
        self,
        func: Callable[[S], T],
        iterable: Iterable[S],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """As `map`, without waiting."""
        return self._map_async(func, iterable, MAP, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """As `starmap`, without waiting."""
        return self._map_async(func, iterable, STAR, chunksize, callback, error_callback)

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        style: int,
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult[Any]:
        self._check_running()
        items = row_of(iterable)
        result: AsyncResult[Any] = AsyncResult(len(items), callback, error_callback)
        if items:
            result.pool = self
            self._add(style, func, items, result, chunksize)
        return result

    def imap(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None) -> Results[T]:
        """An iterator over what `func` gives for each item, in their order, as soon as it is there.

        An iterable without a length is read in a thread, a little ahead of the workers.
        """
        return self._imap(func, iterable, chunksize, is_ordered=True)

    def imap_unordered(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None) -> Results[T]:
        """As `imap`, in the order in which items are done."""
        return self._imap(func, iterable, chunksize, is_ordered=False)

    def _imap(
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None, *, is_ordered: bool
    ) -> Results[T]:
        self._check_running()
        if isinstance(iterable, (list, tuple, range)):
            results: Results[T] = Results(is_ordered=is_ordered, length=len(iterable))
            if len(iterable) > 0:
                results.pool = self
                self._add(MAP, func, row_of(iterable), results, chunksize)
            return results
        results = Results(is_ordered=is_ordered, length=None)
        results.pool = self
        call = self._add(MAP, func, {}, results, chunksize)
        if call is not None:
            args = (belongings(), _read, self._crew, call, results, iterable, call.at_a_time or 1)
            threading.Thread(target=within, args=args, name="lineshaft-pool-items", daemon=True).start()
        return results

    def _add(
        self,
        style: int,
        func: Callable[..., Any],
        items: list[Any] | range | dict[int, Any],
        sink: AsyncResult[Any] | Results[Any],
        chunksize: int | None,
    ) -> Call | None:
        """Has it done; more items may come where they are a dict. None if the function cannot be encoded."""
        chunk = chunk_of(chunksize, "Chunksize must be 1+, not {}")
        try:
            call = Call(
                style,
                func,
                items,
                sink,
                # Workers that end after so many tasks are given them one by one.
                share_items=None if self._tasks_max is None else chunk,
                at_a_time=chunk or 0,
                retries=self._retries,
                is_open=isinstance(items, dict),
                encode=self._crew.encode,
            )
        except Exception as error:
            sink.fail(error)
            return None
        self._crew.add(call)
        return call

    def close(self) -> None:
        """Nothing more can be given to the pool; its workers end when all is done."""
        if self._state == "RUN":
            self._state = "CLOSE"
            self._crew.close(self._lease)

    def terminate(self) -> None:
        """Ends the workers now, whatever they do; threads when they are done with what they have begun."""
        self._state = "TERMINATE"
        self._finalizer()

    def join(self) -> None:
        """Waits until the workers of a closed or terminated pool have ended."""
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        if self._state not in ("CLOSE", "TERMINATE"):
            raise ValueError("In unknown state")
        self._crew.join(self._lease)

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()


def _make_process(context: Any, **keywords: Any) -> BaseProcess:
    process: BaseProcess = context.Process(**keywords)
    process.name = process.name.replace("Process", "PoolWorker")
    process.daemon = True
    return process


def _read(crew: Crew, call: Call, results: Results[Any], iterable: Iterable[Any], chunk: int) -> None:
    """Gives the items of an iterable to a crew, so many at a time, not far ahead of what is done."""
    began, came = time.monotonic(), 0
    try:
        iterator = iter(iterable)
        # Where it raises, the items of its last chunk are not done, as in the standard library.
        while items := tuple(islice(iterator, chunk)):
            if not crew.extend(call, items):
                return  # the pool has ended
            came += len(items)
            while call.left >= _AHEAD_MIN and call.left > _rate(began, came - call.left) * _AHEAD_S:
                results.wait_for_more(0.05)
                if not crew.has(call):
                    return
    except BaseException as error:  # What ends the thread shall not leave those waiting who read the results.
        results.set_length(came + 1)
        results.deliver(came, [None], {0: error})
    else:
        results.set_length(came)
    finally:
        crew.complete(call)


def _rate(began: float, done: int) -> float:
    """How many items are done in a second."""
    return done / max(time.monotonic() - began, 1e-6)


Pool.__module__ = "lineshaft"
