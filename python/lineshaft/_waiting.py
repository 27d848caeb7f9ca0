"""Waiting for jobs to end. Ends are pushed by the server; nothing is polled.

Blocking waits release the GIL and look for signals every 50 ms; an interrupted or timed-out wait leaves its jobs
running.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _native
from ._errors import JobNotFound, WaitTimeout, WorkerFailed
from ._guard import refuse_import_side_effect
from ._options import duration

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._app import App
    from ._attendance import Attendance
    from ._job import Job
    from ._options import Duration

__all__ = ["LOOK_EVERY_S", "Patience", "aas_completed", "as_completed", "await_end", "wait_for_end"]

J = TypeVar("J", bound="Job[Any]")

WARN_AFTER_S = 2.0
"""Waiting time after which it is said what a job waits for."""
WARN_EVERY_MAX_S = 30.0
"""How often it is looked later whether the job waits for something else by then; the time doubles up to this."""
LOOK_EVERY_S = 0.25
"""How often a wait looks up from waiting."""
SETTLED_AFTER_S = 0.05
"""What ends that the server has sent need to be here; it answers in order."""
ENDS_S = 1.0
"""What the end of a job may take that is known to have ended: its result may be large."""
FINISHED = frozenset(("completed", "cancelled", "discarded"))


def wait_for_end(job: Job[Any], results: bool, timeout: Duration | None) -> _native.End:
    """Blocks until `job` has ended."""
    __tracebackhide__ = True
    key = job._key  # of one that waits in a batch there is none, and no worker has to start for it
    with _begin(job._app, timeout) as patience:
        if job.state not in FINISHED:  # one whose result was cached needs no worker
            job._app._attendance.ensure(job)
        waiting = job._app._connection.client().wait(key, results)
        try:
            while True:
                ends = waiting.next(patience.slice())
                if ends:
                    return ends[0]
                if patience.is_over():
                    record = job._app._attendance.look(job)
                    if ends := waiting.next(ENDS_S if _has_ended(record) else 0.0):
                        return ends[0]
                    raise _too_late(job, record)
                if patience.is_time_to_warn():
                    job._app._attendance.complain(job, job._app._attendance.look(job), patience.said)
        finally:
            waiting.close()


async def await_end(job: Job[Any], results: bool, timeout: Duration | None) -> _native.End:
    """`wait_for_end` for coroutines."""
    __tracebackhide__ = True
    key = job._key
    with _begin(job._app, timeout) as patience:
        if job.state not in FINISHED:
            await job._app._attendance.aensure(job)
        waiting = (await job._app._connection.aclient()).wait(key, results)
        try:
            while True:
                ends = await _next(waiting, patience.slice())
                if ends:
                    return ends[0]
                if patience.is_over():
                    record = await job._app._attendance.alook(job)
                    if ends := await _next(waiting, ENDS_S if _has_ended(record) else 0.0):
                        return ends[0]
                    raise _too_late(job, record)
                if patience.is_time_to_warn():
                    job._app._attendance.complain(job, await job._app._attendance.alook(job), patience.said)
        finally:
            waiting.close()


def as_completed(app: App, jobs: Iterable[J], timeout: Duration | None) -> Iterator[J]:
    """Gives the jobs in the order in which they end, each with its result at hand."""
    watch = _Watch(app, jobs)
    if watch.is_done:
        return
    with _begin(app, timeout) as patience:
        app._attendance.ensure(watch.any())
        waiting, process = app._connection.client().wait(watch.keys(), True), os.getpid()
        try:
            while not watch.is_done:
                if os.getpid() != process:  # forked in the body of the loop: what was asked before is the parent's
                    waiting, process = app._connection.client().wait(watch.keys(), True), os.getpid()
                ends = waiting.next(patience.slice())
                yield from watch.close(ends or ())
                if not ends and patience.is_over():
                    record = app._attendance.look(watch.any())
                    ends = waiting.next(ENDS_S if _has_ended(record) else SETTLED_AFTER_S)
                    yield from watch.close(ends or ())
                    if not ends:
                        raise watch.too_late(record)
                if not ends and patience.is_time_to_warn():
                    app._attendance.complain(watch.any(), app._attendance.look(watch.any()), patience.said)
        finally:
            waiting.close()


async def aas_completed(app: App, jobs: Iterable[J], timeout: Duration | None) -> AsyncIterator[J]:
    """`as_completed` for coroutines."""
    watch = _Watch(app, jobs)
    if watch.is_done:
        return
    with _begin(app, timeout) as patience:
        await app._attendance.aensure(watch.any())
        waiting = (await app._connection.aclient()).wait(watch.keys(), True)
        try:
            while not watch.is_done:
                ends = await _next(waiting, patience.slice())
                for job in watch.close(ends or ()):
                    yield job
                if not ends and patience.is_over():
                    record = await app._attendance.alook(watch.any())
                    ends = await _next(waiting, ENDS_S if _has_ended(record) else SETTLED_AFTER_S)
                    for job in watch.close(ends or ()):
                        yield job
                    if not ends:
                        raise watch.too_late(record)
                if not ends and patience.is_time_to_warn():
                    app._attendance.complain(watch.any(), await app._attendance.alook(watch.any()), patience.said)
        finally:
            waiting.close()


class _Watch(Generic[J]):
    """The jobs that `as_completed` still waits for, by id."""

    def __init__(self, app: App, jobs: Iterable[J]) -> None:
        self._open: dict[bytes, J] = {_checked(app, job)._key: job for job in jobs}

    @property
    def is_done(self) -> bool:
        return not self._open

    def any(self) -> J:
        return next(iter(self._open.values()))

    def keys(self) -> bytes:
        return b"".join(self._open)

    def close(self, ends: Iterable[_native.End]) -> Iterator[J]:
        for end in ends:
            job = self._open.pop(end.key, None)
            if job is not None:
                job._end = job._ended(end)
                yield job

    def too_late(self, record: _native.JobRecord | None) -> WaitTimeout:
        return _too_late(self.any(), record, len(self._open))


def _checked(app: App, job: J) -> J:
    """`job`, if it is one that the server of `app` can be asked about."""
    if not hasattr(job, "_key"):
        raise TypeError(f"as_completed() takes jobs, this is of type {type(job).__name__}")
    if job._app is not app and job._app.url != app.url:
        raise JobNotFound(
            f"job {job.id} is one of the home {job._app.url}, not of {app.url}", hint="follow it with its own app"
        )
    return job


class Patience:
    """How long a wait goes on, and when it starts to wonder."""

    __slots__ = ("_attendance", "_deadline", "_warn_at", "_warn_every_s", "said")

    def __init__(self, attendance: Attendance, timeout_s: float | None) -> None:
        now = time.monotonic()
        self._attendance = attendance
        self._deadline = float("inf") if timeout_s is None else now + timeout_s
        self._warn_every_s = WARN_AFTER_S
        self._warn_at = now + self._warn_every_s
        self.said: set[str] = set()
        """What was said already."""

    def __enter__(self) -> Self:
        self._attendance.given_up = False
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Ctrl-C, the end of an event loop, an exit by a signal's handler; not the end of a loop over `as_completed`.
        self._attendance.given_up = kind is not None and not issubclass(kind, (Exception, GeneratorExit))

    def slice(self) -> float:
        """Seconds until something has to be looked at."""
        return max(0.0, min(self._deadline - time.monotonic(), LOOK_EVERY_S))

    def is_over(self) -> bool:
        """Whether the time is up; raises if the workers of this process, which would do the job, have ended."""
        try:
            self._attendance.check()
        except WorkerFailed as failure:
            raise failure.with_traceback(None) from failure.__cause__  # where it was found out is nobody's business
        return time.monotonic() >= self._deadline

    def is_time_to_warn(self) -> bool:
        """True after a while, and then less and less often."""
        now = time.monotonic()
        is_time = now >= self._warn_at
        if is_time:
            self._warn_every_s = min(2 * self._warn_every_s, WARN_EVERY_MAX_S)
            self._warn_at = now + self._warn_every_s
        return is_time


def _begin(app: App, timeout: Duration | None) -> Patience:
    refuse_import_side_effect("a wait")
    return Patience(app._attendance, None if timeout is None else duration("timeout", timeout))


def _has_ended(record: _native.JobRecord | None) -> bool:
    """Whether the end of a job is on its way: a wait gives what has ended by its time, and `timeout=0` asks once."""
    return record is not None and record.state in FINISHED


def _too_late(job: Job[Any], record: _native.JobRecord | None, count: int = 1) -> WaitTimeout:
    which = f"job {job.id} ({job.task or 'of a task unknown here'})"
    late = f"{which} has not ended in time; it" if count == 1 else f"{count} jobs have not ended in time; {which}"
    if record is None:
        return WaitTimeout(f"{late} goes on")
    reason = job._app._attendance.reason_of(record)
    if reason is None:
        goes_on = " and goes on" if record.state == "running" else " by now"
        return WaitTimeout(f"{late} is {record.state}{goes_on}", state=record.state)
    message = f"{late} is {record.state} and waits for {reason.words}"
    return WaitTimeout(message, state=record.state, waits_for=reason.words, hint=reason.fix)


async def _next(waiting: _native.Waiting, timeout: float) -> list[_native.End] | None:
    from ._loop import ready

    await ready(waiting, timeout)
    return waiting.next(0.0)
