"""`current`: what the body of a task may ask and tell about its own attempt.

Outside of a job the harmless ones do nothing, so that a task can be called as an ordinary function; only what cannot
be answered raises `NoCurrentJob`.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from . import _native
from ._errors import Cancelled, NoCurrentJob
from ._locks import refuse_lost

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ._job import Job

__all__ = ["current"]

P = ParamSpec("P")
R = TypeVar("R")

_running: ContextVar[_native.RunningAttempt | None] = ContextVar("lineshaft_attempt", default=None)
"""Set by the extension for each attempt, in a context of its own."""


LOST = "the attempt is over, or belongs to another worker by now"
in_worker = False
"""Whether this process is a worker's child, where a thread that no attempt is known in is likely a mistake."""
STOP_WITHIN_S = 5.0
"""A coroutine that must stop hears of it within this time."""


@final
class Current:
    """The attempt that runs here. There is one instance, `lineshaft.current`."""

    __slots__ = ()

    def __repr__(self) -> str:
        attempt = _running.get()
        return "<no current job>" if attempt is None else f"<attempt {attempt.number} of job {attempt.id}>"

    @property
    def job(self) -> Job[Any]:
        """The job of this attempt. Raises `NoCurrentJob` outside of one."""
        attempt = _attempt("job")
        job: Job[Any] = attempt.app.job(attempt.id)
        return job

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. Raises `NoCurrentJob` outside of a job."""
        return _attempt("attempt").number

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was asked to stop: its job was cancelled, its time is over or its worker stops.

        The request also raises `Cancelled` or `TimedOut` in the main thread; this is for other threads, and for
        bodies that hold it back. False outside of a job.
        """
        attempt = _running.get()
        return attempt is not None and attempt.is_stopping()

    def shield(self) -> AbstractContextManager[None]:
        """While it is open, a request to stop is held back from the body; closing the outermost one raises it.

        For steps that must not be torn apart; `with` in coroutines too. The grace of the worker goes on: what takes
        longer is killed. It is the whole attempt that is shielded, whichever of its threads or coroutines opened it.
        What the body does itself, such as `asyncio.timeout()`, is not held back. Does nothing outside of a job.
        """
        return _native.Shield(_running.get())

    def progress(self, value: Any, /) -> None:
        """Says how far this attempt is: `job.progress()` gives the newest value, at most 4 KiB of it encoded.

        Cheap to call often: what comes too fast is left out. Raises `LockLost` if a lock that this
        attempt holds is lost. Does nothing outside of a job.
        """
        attempt = _running.get()
        if attempt is not None:
            refuse_lost(attempt)
            attempt.report_progress(value)

    def checkpoint(self, value: Any, /) -> None:
        """Keeps `value` as the place from which the next attempt of this job goes on; durable when this returns.

        It replaces the checkpoint before, takes the time of one write to the disk, and has at most 64 KiB encoded
        (`SerializationError`). The next attempt finds it in `resume_from`, however this one ends; when the job is
        completed it is dropped. While the server is away this waits; a request to stop ends the wait as it ends any
        other code of the body. In an event loop it raises RuntimeError: use `acheckpoint`. Does nothing outside of a
        job; in a worker's thread that belongs to no attempt it warns that nothing is kept. Raises `LockLost`, and keeps
        nothing, if a lock that this attempt holds is lost.
        """
        attempt = _running.get()
        if attempt is None:
            _warn_of_lost_thread("checkpoint")
            return
        _refuse_loop("checkpoint")
        refuse_lost(attempt)
        left = attempt.checkpoint(value)
        while (is_durable := left.wait()) is None:
            pass  # a request to stop is raised into a thread here, between two steps of the interpreter
        if not is_durable:
            attempt.stop_here()
            raise Cancelled(LOST)

    async def acheckpoint(self, value: Any, /) -> None:
        """`checkpoint` for coroutines."""
        attempt = _running.get()
        if attempt is None:
            _warn_of_lost_thread("acheckpoint")
            return
        from ._loop import ready

        refuse_lost(attempt)
        left = attempt.checkpoint(value)
        await ready(left)
        if not left.wait():
            await _be_cancelled(attempt)

    def cleanup(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """Calls `function` with these arguments when the body is over, however it ends; the last one left comes first.

        Before the resources of the attempt close and before its end is told. What one of them raises does not keep the
        others from being called; it is an error of the attempt if the body raised none, and is logged otherwise. A
        request to stop that comes meanwhile is held back, as by `shield`. An `async def` task waits for coroutine
        functions; in others they are a TypeError. In a task that is called as an ordinary function it is the end of
        that call. Gives `function` back. Raises `NoCurrentJob` where no task runs, RuntimeError when its body is over.
        """
        from ._cleanup import leave

        return leave(function, args, kwargs)

    @property
    def resume_from(self) -> Any:
        """The newest value given to `checkpoint` by an earlier attempt of this job, or by this one; None if none was.

        Each look at it decodes the value anew, so what is done to it changes nothing. A job that `job.retry()` makes of
        one that gave up or was cancelled begins with the checkpoint of that one. None outside of a job.
        """
        attempt = _running.get()
        return None if attempt is None else attempt.resume_from()


def _warn_of_lost_thread(verb: str) -> None:
    if in_worker:
        import warnings

        warnings.warn(
            f"current.{verb}() in a thread that belongs to no attempt: nothing is kept. Threads that a body starts "
            "itself and what it submits to a ThreadPoolExecutor belong to its attempt; into others take "
            "contextvars.copy_context() along",
            RuntimeWarning,
            stacklevel=3,
        )


def _refuse_loop(verb: str) -> None:
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError(f"current.{verb}() would hold up the event loop: use `await current.a{verb}()`")


async def _be_cancelled(attempt: _native.RunningAttempt) -> None:
    """The lease is somebody else's, and the request to stop on its way."""
    import asyncio

    if not attempt.is_shielded():
        await asyncio.sleep(STOP_WITHIN_S)
    raise asyncio.CancelledError(LOST)


def _attempt(asked: str) -> _native.RunningAttempt:
    attempt = _running.get()
    if attempt is None:
        raise NoCurrentJob(
            f"current.{asked}: no job runs here",
            hint="it is known in the body of a task that a worker runs, and in threads that take its context along",
        )
    return attempt


current = Current()
"""The attempt that runs here."""
