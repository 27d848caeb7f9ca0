"""`JobPool`: the verbs of a pool, each item a job of the app."""

from __future__ import annotations

import os
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _native
from .._batch import refuse_other_home
from .._drain import drain
from .._guard import refuse_import_side_effect
from .._job import Job
from .._pool._call import row_of
from .._pool._options import chunk_of
from .._pool._progress import followed
from .._task import BaseTask, Enqueues, Using
from ._driver import SLICE_S, Driver
from ._results import JobResult, JobResults
from ._source import Inbox, Row, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from .._app import App
    from .._task import _TakesOne

__all__ = ["AHEAD", "JobPool"]

R = TypeVar("R")
Item = TypeVar("Item")

AHEAD = 4_096
"""How many jobs are made ahead of what has ended."""


class JobPool:
    """A pool whose workers are the engine's: each item is a job of a task. Made by `app.pool()`.

    It has the methods of `Pool`. What is called is a task of the app, or `task.using(...)`; its options count for each
    item. `chunksize` changes nothing, since there is one job for each item, made in batches. What a task raises is
    raised again where this process can make it, caused by the `TaskFailed` that tells the worker's traceback; other
    ends of a job are `TaskCrashed`, `TaskTimeout`, `TaskCancelled` and `TaskFailed` themselves.
    """

    def __init__(self, app: App, *, queue: str | None, is_durable: bool, ahead: int) -> None:
        refuse_import_side_effect("app.pool()")
        self._app = app
        self._queue = queue
        self._is_durable = is_durable
        self._ahead = ahead
        self._driver = Driver(app, is_durable=is_durable, ahead=ahead)
        self._maker = os.getpid()
        self._state = "RUN"  # last: from here on `__del__` has something to end

    def __repr__(self) -> str:
        kind = "durable " if self._is_durable else ""
        return f"<{kind}pool of {self._app!r} state={self._state}>"

    def __del__(self, _warn: Any = warnings.warn, _pid: Any = os.getpid) -> None:
        if getattr(self, "_state", None) == "RUN" and self._maker == _pid():
            _warn(f"unclosed running pool {self!r}", ResourceWarning, source=self)
            self._driver.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def apply(self, func: Enqueues[..., R], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> R:
        """What the job of `func(*args, **kwds)` gives."""
        return self._apply("apply", func, args, kwds, None, None).get()

    def apply_async(
        self,
        func: Enqueues[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> JobResult[R]:
        """The same, without waiting. A callback is called in a thread of the pool, and should not take long."""
        return self._apply("apply_async", func, args, kwds, callback, error_callback)

    def map(
        self,
        func: _TakesOne[Item, R],
        iterable: Iterable[Item],
        chunksize: int | None = None,
        *,
        progress: bool | str = False,
    ) -> list[R]:
        """What the jobs of the items give, in their order; or what is raised for the first that failed, after all.

        With `progress`, true or a text to stand before it, a terminal shows how much is done.
        """
        return followed(self._all("map", func, iterable, chunksize), progress)

    def starmap(
        self,
        func: Enqueues[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: bool | str = False,
    ) -> list[R]:
        """As `map`, but each item has the arguments of a call."""
        return followed(self._all("starmap", func, iterable, chunksize, is_starred=True), progress)

    def map_async(
        self,
        func: _TakesOne[Item, R],
        iterable: Iterable[Item],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> JobResult[list[R]]:
        """As `map`, without waiting for the jobs. Those of a durable pool are all durable when this returns."""
        return self._all("map_async", func, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Enqueues[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> JobResult[list[R]]:
        """As `starmap`, without waiting for the jobs. Those of a durable pool are all durable when this returns."""
        return self._all("starmap_async", func, iterable, chunksize, callback, error_callback, is_starred=True)

    def imap(self, func: _TakesOne[Item, R], iterable: Iterable[Item], chunksize: int | None = None) -> JobResults[R]:
        """An iterator over what the jobs of the items give, in their order, as soon as it is there.

        An iterable that is no list, tuple or range is read in a thread, `ahead` items at most before those whose
        results were taken.
        """
        return self._each("imap", func, iterable, chunksize, is_ordered=True)

    def imap_unordered(
        self, func: _TakesOne[Item, R], iterable: Iterable[Item], chunksize: int | None = None
    ) -> JobResults[R]:
        """As `imap`, in the order in which jobs end."""
        return self._each("imap_unordered", func, iterable, chunksize, is_ordered=False)

    def close(self) -> None:
        """Nothing more can be given to the pool."""
        if self._state == "RUN":
            self._state = "CLOSE"
            self._driver.close()

    def terminate(self) -> None:
        """Cancels what has not ended, and does not wait until running attempts have stopped: `join` does.

        Of a durable pool all jobs go on; it is only not waited for them any more.
        """
        self._leave(is_hurried=False)

    def join(self) -> None:
        """Waits until everything is done that a closed pool was given, or until nothing runs of a terminated one."""
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        self._driver.free()
        stopping = self._driver.wait()
        if stopping:
            drain(self._app, stopping, self._app._attendance.check)

    def __enter__(self) -> Self:
        if self._state != "RUN":
            raise ValueError("Pool not running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(is_hurried=kind is not None and not issubclass(kind, Exception))

    def _begin(self, verb: str, func: Any, chunksize: int | None = None) -> Enqueues[..., Any]:
        """The task as this pool makes jobs of it, once it is known that somebody will run them."""
        if self._state != "RUN":
            raise ValueError("Pool not running")
        chunk_of(chunksize, "Chunksize must be 1+, not {}")
        bound = _own(self._app, verb, func)
        if self._queue is not None:
            bound = bound.using(queue=self._queue)
        self._app._connection.client()
        attendance = self._app._attendance
        attendance.given_up = False
        attendance.ensure(Job(self._app, b"", bound._first_snapshot))
        return bound

    def _apply(
        self,
        verb: str,
        func: Enqueues[..., R],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        callback: Callable[[R], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> JobResult[R]:
        bound = self._begin(verb, func)
        given, named = tuple(args), dict(kwds)
        result: JobResult[R] = JobResult(None, callback, error_callback)
        self._add(result, Source(bound, lambda _: bound.si(*given, **named), Row([None]), result))
        return result

    def _all(
        self,
        verb: str,
        func: Any,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        is_starred: bool = False,
    ) -> JobResult[Any]:
        bound = self._begin(verb, func, chunksize)
        items = row_of(iterable)
        result: JobResult[Any] = JobResult(len(items), callback, error_callback)
        if items:
            make = (lambda item: bound.si(*item)) if is_starred else bound.si
            self._add(result, Source(bound, make, Row(items), result))
        return result

    def _each(
        self, verb: str, func: Any, iterable: Iterable[Any], chunksize: int | None, *, is_ordered: bool
    ) -> JobResults[Any]:
        bound = self._begin(verb, func, chunksize)
        driver = self._driver
        if isinstance(iterable, (list, tuple, range)):
            items = row_of(iterable)
            results: JobResults[Any] = JobResults(is_ordered=is_ordered, length=len(items), on_taken=driver.poke)
            if items:
                self._add(results, Source(bound, bound.si, Row(items), results))
            return results
        inbox = Inbox(None if self._is_durable else self._ahead, driver.bell.ring)

        def taken() -> None:
            inbox.poke()
            driver.poke()

        results = JobResults(is_ordered=is_ordered, length=None, on_taken=taken)
        self._add(results, Source(bound, bound.si, inbox, results))
        reading = partial(inbox.read, iterable, results)
        threading.Thread(target=reading, name="lineshaft-pool-items", daemon=True).start()
        return results

    def _add(self, sink: JobResult[Any] | JobResults[Any], source: Source) -> None:
        sink.pool = self
        self._driver.add(source)
        if self._is_durable and isinstance(sink, JobResult) and not self._driver.is_here:
            while not source.sent.wait(SLICE_S):
                pass

    def _leave(self, *, is_hurried: bool) -> None:
        if self._maker != os.getpid():
            return
        self._driver.leave(is_hurried=is_hurried)
        self._state = "TERMINATE"  # not before: what is raised between the two leaves a pool that can still be ended
        self._driver.wait()
        self._app._attendance.given_up = is_hurried


def _own(app: App, verb: str, func: Any) -> Enqueues[..., Any]:
    """The task that `func` is, as one of this app; TypeError for what is no task."""
    if not isinstance(func, Enqueues):
        raise TypeError(_no_task(verb, func))
    known = app._declared.get(func.task.name)
    if known is not None and known.function is func.task.function:
        # One of `Tasks` that several apps include: this pool's is meant.
        return known if isinstance(func, BaseTask) else Using(known, dict(func._given))
    refuse_other_home(app, func)
    return func


def _no_task(verb: str, func: Any) -> str:
    name = getattr(func, "__qualname__", None)
    what = repr(func) if name is None else f"{getattr(func, '__module__', None) or '?'}.{name}"
    fix = f"declare it with @app.task; lineshaft.Pool().{verb}() calls any function of this program"
    if isinstance(func, _native.Call):
        what, fix = repr(func), "give the task itself, and its arguments as items; app.enqueue_many() takes calls"
    return f"app.pool().{verb}() takes a task of the app, and {what} is none: {fix}"
