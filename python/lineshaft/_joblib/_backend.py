"""What joblib talks to: one object for each `Parallel`, which has a crew of workers while it runs."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import queue
import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import joblib
from joblib.parallel import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend

from .._pool._call import Call
from .._pool._ending import check_not_over
from .._pool._hiring import hire
from .._pool._labour import APPLY
from .._pool._options import retries_of
from .._pool._report import remote, set_cause
from .._pool._warm import kind_of
from ._arrays import Segment, SharedArrays
from ._packing import pack
from ._template import template_for
from ._worker import begin, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LineshaftBackend", "prepare"]

_DEPTH_MAX = 3
"""Processes within processes; what is nested deeper runs where it is."""
_KEEP_S = 0.2
"""So long workers that are through may take to say so."""


class LineshaftBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs the tasks of `joblib.Parallel` in worker processes that are kept for the next `Parallel`.

    Options of `Parallel` and `parallel_config` beside joblib's own are `initializer` and `initargs`, which every new
    worker calls first, `retries`, how often a batch is done again whose worker died (0), and `memory`, the bytes (or
    `"2GiB"`) that a worker may have before it is killed.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._workers: _Workers | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers there will be: `n_jobs`, counted from the number of processors if it is negative."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs == 1:
            return 1
        if multiprocessing.current_process().daemon:
            return _one("Lineshaft-backed parallel loops cannot be called in a daemonic process")
        if self.nesting_level and not self.in_main_thread():
            return _one("Lineshaft-backed parallel loops cannot be nested below threads")
        if (self.nesting_level or 0) >= _DEPTH_MAX:
            return 1
        return n_jobs if n_jobs > 0 else max(joblib.cpu_count() + 1 + n_jobs, 1)

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: object = None, require: object = None, **options: Any
    ) -> int:
        """Called by `Parallel` before it begins; how many workers there will be."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self._workers is not None:
            # All of a `parallel_config` are given the same object. This one is another's, whose workers it has.
            raise FallbackToBackend(self._twin())
        self.parallel = parallel
        self._workers = _Workers(n_jobs, self._environment(n_jobs), **{**self.backend_kwargs, **options})
        _open.add(self)
        return n_jobs

    def _twin(self) -> LineshaftBackend:
        """One like it, without workers."""
        return type(self)(
            nesting_level=self.nesting_level, inner_max_num_threads=self.inner_max_num_threads, **self.backend_kwargs
        )

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Has a batch done; `callback` is called with what this gives when it is."""
        assert self._workers is not None
        return self._workers.submit(func, callback or _ignore)

    def retrieve_result_callback(self, out: Any) -> Any:
        """What a batch gave, or raises what it raised."""
        return out.result()

    def start_call(self) -> None:
        """A call of `Parallel` begins. Batches that one before it has left when it failed are none of its own."""
        left = getattr(self.parallel, "_ready_batches", None)
        if left is not None:
            with contextlib.suppress(queue.Empty):
                while True:
                    left.get_nowait()

    def stop_call(self) -> None:
        """A call of `Parallel` is over; there may be more of them."""
        if self._workers is not None:
            self._workers.arrays.clear()

    def terminate(self) -> None:
        """`Parallel` is over: leaves the workers to the next one."""
        if self._workers is not None:
            self._workers.leave()
            self._workers = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends the workers, whatever they do."""
        if self._workers is not None:
            self._workers.end()
            self._workers = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_kwargs)

    def _environment(self, n_jobs: int) -> dict[str, str]:
        """That of so many workers: libraries use no more threads than there are processors for them."""
        return {**os.environ, **self._prepare_worker_env(n_jobs=n_jobs)}


def prepare(n_jobs: int) -> None:
    """Starts what the workers of a `Parallel` are copied from, with what the program has imported."""
    backend = LineshaftBackend(nesting_level=0)
    workers = backend.effective_n_jobs(n_jobs)
    if workers > 1:
        template = template_for(backend._environment(workers))
        template.learn(sys.modules)
        template.start()


class _Workers:
    """The workers of a `Parallel`, and the arrays that they see."""

    def __init__(
        self,
        size: int,
        environment: dict[str, str],
        *,
        max_nbytes: int | None = 1 << 20,
        mmap_mode: str | None = "r",
        temp_folder: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        retries: int = 0,
        memory: int | str | None = None,
        verbose: int = 0,
        context: object = None,
    ) -> None:
        folder = temp_folder or environment.get("JOBLIB_TEMP_FOLDER")
        self.arrays = SharedArrays(max_nbytes, mmap_mode, folder)
        self._retries = retries_of(retries)
        self._template = template_for(environment)
        beginning, _ = pack((initializer, tuple(initargs)), SharedArrays(None, None, None))
        like = multiprocessing.get_context("spawn")
        kind = None  # In a worker they are not kept: its end waits for them.
        if multiprocessing.parent_process() is None:
            kind = kind_of(like, "joblib", tuple(sorted(environment.items())), beginning, memory)
        check_not_over()
        self._crew = hire(
            like,
            self._template.make_process,
            size,
            name="lineshaft-joblib",
            initializer=begin,
            initargs=(beginning,),
            tasks_max=None,
            memory=memory,
            is_pool=False,
            is_warm=True,
            is_eager=False,
            kind=kind,
        )
        self._lease = self._crew.released

    def submit(self, batch: Any, callback: Callable[[_Task], object]) -> _Task:
        """Has it done; what cannot be packed or sent has failed at once."""
        packed, refusal = b"", None
        try:
            packed, modules = pack(batch, self.arrays)
            self._template.learn(modules)
        except Exception as error:
            refusal = _unpicklable(batch, error)
        task = _Task(callback, self.arrays.take_used())
        if refusal is not None:
            task.fail(refusal)
            return task
        try:
            item: tuple[Any, ...] = run, (pickle.PickleBuffer(packed),), {}
            self._crew.add(Call(APPLY, None, [item], task, share_items=1, retries=self._retries))
        except Exception as error:  # Raised here, where a callback of another batch may be, it would be lost.
            task.fail(error)
        return task

    def leave(self) -> None:
        """They are through, and kept for others."""
        self.arrays.clear()
        self._crew.close(self._lease)
        self._crew.join(self._lease, _KEEP_S)

    def end(self) -> None:
        """Ends them now."""
        self.arrays.clear()
        self._crew.terminate(self._lease)


class _Task:
    """A batch that is under way, and then what came of it. The `Sink` of its call."""

    def __init__(self, callback: Callable[[_Task], object], segments: Sequence[Segment]) -> None:
        self._callback = callback
        self._segments = segments
        """What its worker maps."""
        self._packed: tuple[bytes, list[Any], str] | None = None
        self._error: BaseException | None = None

    def deliver(self, start: int, values: list[Any], failures: dict[int, BaseException]) -> None:
        """From the worker, or in its stead if it died."""
        self._segments = ()
        self._packed, self._error = values[0], failures.get(0)
        self._callback(self)

    def fail(self, error: BaseException) -> None:
        """There will be nothing more."""
        self.deliver(0, [None], {0: error})

    def result(self) -> Any:
        """What the batch gave, or raises what it raised."""
        if self._error is not None:
            raise self._error
        assert self._packed is not None
        data, buffers, text = self._packed
        value = pickle.loads(data, buffers=buffers)
        if not text:
            return value
        assert isinstance(value, BaseException)
        set_cause(value, remote(text, is_pool=False))
        raise value


def _one(why: str) -> int:
    warnings.warn(f"{why}, setting n_jobs=1", stacklevel=4)
    return 1


def _ignore(_: object) -> None:
    pass


def _unpicklable(batch: Any, error: Exception) -> pickle.PicklingError:
    functions = {getattr(task[0], "__qualname__", repr(task[0])) for task in batch.items}
    names = ", ".join(sorted(functions))
    refusal = pickle.PicklingError(
        f"could not pickle the task to send to the workers, a call of {names}: {type(error).__name__}: {error}"
    )
    refusal.__cause__ = error
    return refusal


_open: weakref.WeakSet[LineshaftBackend] = weakref.WeakSet()


def _finish() -> None:
    """What nobody waits for any more does not keep the program from ending."""
    for backend in list(_open):
        backend.abort_everything(ensure_ready=False)


atexit.register(_finish)
os.register_at_fork(after_in_child=_open.clear)
