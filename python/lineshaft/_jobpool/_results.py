"""What a pool of jobs gives for a call, and what the end of a job is to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import TaskFailed
from .._outcome import REFUSALS, result_of
from .._pool._outcomes import AsyncResult, Results

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from .. import _native
    from .._job import Job

__all__ = ["JobResult", "JobResults", "outcome_of"]

T = TypeVar("T")


class JobResult(AsyncResult[T]):
    """The result of `apply_async`, `map_async` and `starmap_async` of `app.pool()`, which comes later."""

    def __init__(
        self,
        length: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._jobs: dict[int, Job[Any]] = {}
        super().__init__(length, callback, error_callback)

    @property
    def jobs(self) -> list[Job[Any]]:
        """The jobs that it stands for, in the order of the items: all of a durable pool, else those made by now."""
        return [self._jobs[place] for place in sorted(self._jobs.copy())]

    def note_jobs(self, first: int, jobs: list[Job[Any]]) -> None:
        """These were made of the items from `first` on."""
        self._jobs.update(enumerate(jobs, first))


class JobResults(Results[T]):
    """An iterator over the results of jobs, in the order of the items or as they come."""

    def __init__(self, *, is_ordered: bool, length: int | None, on_taken: Callable[[], object]) -> None:
        super().__init__(is_ordered=is_ordered, length=length)
        self._on_taken = on_taken

    def next(self, timeout: float | None = None) -> T:
        """The next one, or what its item raised; `multiprocessing.TimeoutError` after `timeout` seconds."""
        try:
            return super().next(timeout)
        finally:
            self._on_taken()

    def take(self, timeout: float | None = None) -> deque[tuple[T, BaseException | None]]:
        """All that are there, each with what its item raised, as soon as there is one; else as `next`."""
        try:
            return super().take(timeout)
        finally:
            self._on_taken()


def outcome_of(job: Job[Any], end: _native.End, *, keeps_result: bool) -> tuple[Any, BaseException | None]:
    """What the task returned, or what is raised in its place."""
    if end.state == "completed" and not end.has_result and not keeps_result:
        return None, None
    try:
        return result_of(job, end), None
    except TaskFailed as failed:
        return None, _original(failed)
    except Exception as error:
        return None, error.with_traceback(None)


def _original(failed: TaskFailed) -> BaseException:
    """What the body raised, if this process can make it; caused by `failed`, which has the traceback of the worker."""
    cause = failed.__cause__
    # A `StopIteration` would end the loop over the results, and a `SystemExit` the program.
    is_fit = isinstance(cause, Exception) and not isinstance(cause, StopIteration | StopAsyncIteration)
    if not is_fit or cause is None or failed.reason in REFUSALS:
        return failed.with_traceback(None)
    failed.__cause__ = None
    cause.__cause__ = failed.with_traceback(None)
    return cause
