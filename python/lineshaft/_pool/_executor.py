"""`Executor`: functions in processes or threads, as `concurrent.futures` has it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import weakref
from concurrent import futures
from multiprocessing import TimeoutError as WaitTooLong
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._broken import WorkerDied
from ._call import Call, row_of
from ._ending import check_not_over
from ._labour import APPLY, MAP, STAR
from ._options import chunk_of, context_of, is_threaded, retries_of, size_of, whole
from ._outcomes import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess
    from types import TracebackType

    from typing_extensions import ParamSpec

    from ._crew import Crew

    P = ParamSpec("P")

__all__ = ["Executor", "PoolFuture"]

T = TypeVar("T")


class PoolFuture(futures.Future[T]):
    """A future of `Executor.submit`."""

    def __init__(self) -> None:
        super().__init__()
        self._origin: tuple[Crew, Call] | None = None
        self._is_killed = False

    def cancel(self, *, running: bool = False) -> bool:
        """Cancels the call unless it has begun; if it has, and `running` is true, by killing its worker.

        A worker that is killed is replaced. The future is done when it is really dead. Threads cannot be killed.
        """
        origin = self._origin
        if origin is None or self.done():
            return super().cancel()
        crew, call = origin
        if crew.cancel(call) > 0:
            self._be_cancelled()
            return True
        if not running or self.done():
            return False
        self._is_killed = True
        return crew.kill(call)

    def running(self) -> bool:
        """Whether a worker is at it."""
        origin = self._origin
        if self.done() or origin is None:
            return False
        crew, call = origin
        return crew.is_begun(call)

    def deliver(self, start: int, values: list[Any], failures: dict[int, BaseException]) -> None:
        """The result from the worker."""
        error = failures.get(0)
        if error is None:
            self.set_result(values[0])
            self._origin = None  # which has this future
        elif self._is_killed and isinstance(error, WorkerDied):
            self._be_cancelled()
        else:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """There will be no result."""
        self.set_exception(error)
        self._origin = None

    def _be_cancelled(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()
        self._origin = None


class Executor(futures.Executor):
    """Workers that call functions, with the methods of `concurrent.futures.ProcessPoolExecutor`.

    Workers are started when there is something to do, up to `max_workers`, by default the number of processors. They
    are fresh processes (`spawn`), which is safe in a program with threads, unless `mp_context` says otherwise. A worker
    that dies fails what it was at with `WorkerDied`, unless that is done again, up to `retries` times; it is replaced,
    and the others go on. One that has more than `memory` bytes (or `"512MiB"`) is killed. Workers that were not forked
    wait a while for the next executor, unless `warm` is false.

    With `kind="thread"` workers are threads of this process, as those of `ThreadPoolExecutor`, by default four more
    than there are processors and 32 at most; `OptionError` for what threads do not have, `mp_context` and `memory`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        kind: Literal["process", "thread"] = "process",
        max_tasks_per_child: int | None = None,
        retries: int = 0,
        memory: int | str | None = None,
        warm: bool = True,
    ) -> None:
        self._is_threaded = is_threaded(kind, mp_context=mp_context, memory=memory)
        if max_workers is None:
            max_workers = os.cpu_count() or 1
            if self._is_threaded:
                max_workers = min(32, max_workers + 4)
        max_workers = whole("max_workers", max_workers)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._mp_context: Any = context_of("mp_context", mp_context) or multiprocessing.get_context("spawn")
        is_forking = self._mp_context.get_start_method(allow_none=False) == "fork"
        self._is_forking = is_forking and not self._is_threaded
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
            if self._is_forking:
                raise ValueError("max_tasks_per_child is incompatible with the 'fork' multiprocessing start method")
        self._max_workers = max_workers
        self._max_tasks_per_child = max_tasks_per_child
        self._initializer = initializer
        self._initargs = tuple(initargs)
        self._retries = retries_of(retries)
        self._memory = size_of(memory)
        self._is_warm = warm
        self._lock = threading.Lock()
        self._crew: Crew | None = None
        self._lease: threading.Event | None = None
        self._end: weakref.finalize[..., Executor] | None = None
        self._is_shut_down = False

    @property
    def _processes(self) -> dict[int | None, BaseProcess]:
        crew = None if self._is_threaded else self._crew
        return {} if crew is None else {process.pid: process for process in crew.members}

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> PoolFuture[T]:
        """Has `fn(*args, **kwargs)` called in a worker."""
        future: PoolFuture[T] = PoolFuture()
        call = Call(APPLY, None, [(fn, args, kwargs)], future, share_items=1, retries=self._retries)
        crew = self._running_crew()
        future._origin = crew, call
        try:
            crew.add(call)
        except BaseException:
            future._origin = None
            raise
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[T]:
        """An iterator over what `fn` gives for the items of the iterables, in their order.

        `chunksize` is how many items a worker begins at a time; by default as many as take about a millisecond. What an
        item raised is raised in its place, which ends the iterator. `TimeoutError` if not all is there `timeout`
        seconds after the call.
        """
        chunk = chunk_of(chunksize, "chunksize must be >= 1.")
        deadline = None if timeout is None else time.monotonic() + timeout
        is_single = len(iterables) == 1
        items = row_of(iterables[0]) if is_single else list(zip(*iterables, strict=False))
        results: Results[T] = Results(is_ordered=True, length=len(items))
        crew = self._running_crew()
        call = Call(
            MAP if is_single else STAR,
            fn,
            items,
            results,
            share_items=None if self._max_tasks_per_child is None else chunk,
            at_a_time=chunk or 0,
            retries=self._retries,
            encode=crew.encode,
        )
        if items:
            crew.add(call)
        return _in_order(crew, call, results, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing more can be submitted; the workers end when all is done, which is waited for if `wait` is true.

        With `cancel_futures` what has not begun is cancelled.
        """
        with self._lock:
            self._is_shut_down = True
            crew = self._crew
        if crew is None:
            return
        if cancel_futures:
            for call in crew.calls():
                if isinstance(call.sink, PoolFuture):
                    call.sink.cancel()
                elif crew.cancel(call) > 0:
                    call.sink.fail(futures.CancelledError())
        lease = self._lease
        assert lease is not None
        crew.close(lease)
        if wait:
            crew.join(lease)
            self._let_go()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Shuts it down; after Ctrl-C without waiting for what runs."""
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._crew is not None:
            self._is_shut_down = True
            assert self._lease is not None
            self._crew.terminate(self._lease)
        return super().__exit__(kind, error, trace)

    def _let_go(self) -> None:
        """Its crew has nothing to do with it any more, though somebody may still have the executor."""
        if self._end is not None:
            self._end.detach()
        self._crew = None

    def _running_crew(self) -> Crew:
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._crew is None:
                self._crew = self._hire()
                self._lease = self._crew.released
                self._end = weakref.finalize(self, self._crew.close, self._lease)
                self._end.atexit = False
            return self._crew

    def _hire(self) -> Crew:
        check_not_over()
        from ._hiring import hire, hire_threads  # not before, since workers that import this are to start fast

        name = "lineshaft-executor"
        if self._is_threaded:
            return hire_threads(
                self._max_workers,
                name=name,
                initializer=self._initializer,
                initargs=self._initargs,
                tasks_max=self._max_tasks_per_child,
                is_pool=False,
            )
        return hire(
            self._mp_context,
            self._mp_context.Process,
            self._max_workers,
            name=name,
            initializer=self._initializer,
            initargs=self._initargs,
            tasks_max=self._max_tasks_per_child,
            memory=self._memory,
            is_pool=False,
            is_warm=self._is_warm,
            is_eager=self._is_forking,
        )


def _in_order(crew: Crew, call: Call, results: Results[T], deadline: float | None) -> Iterator[T]:
    """The results; what is not wanted any more is not done."""

    def generate() -> Iterator[T]:
        try:
            while True:
                try:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    taken = results.take(left)
                except StopIteration:
                    return
                except WaitTooLong:
                    raise futures.TimeoutError from None
                while taken:
                    # Without names for them: what the caller lets go of is not held here.
                    if taken[0][1] is not None:
                        raise taken.popleft()[1]  # type: ignore[misc]
                    yield taken.popleft()[0]
        finally:
            crew.cancel(call)

    return generate()


Executor.__module__ = "lineshaft"
