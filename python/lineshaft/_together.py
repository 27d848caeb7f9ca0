"""`app.batch()`: what is enqueued in its block leaves together when that ends well, and not at all otherwise.

A call is checked, shown to hooks and encoded where it is enqueued, so that all that is left for the end is one request.
Which batch is open is a context variable: a thread, or a coroutine that runs beside the block, makes its jobs at once;
coroutines that the block starts belong to it.
"""

from __future__ import annotations

import time
import weakref
from _thread import allocate_lock
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from . import _native
from ._connection import asettle, settle
from ._errors import LineshaftError, OptionError, OutcomeUnknown, WrongState
from ._guard import refuse_import_side_effect
from ._job import Job

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from ._app import App

__all__ = ["BATCH_BYTES_MAX", "BATCH_JOBS_MAX", "Batch", "BatchBlock", "open_batch"]

J = TypeVar("J", bound="Job[Any]")

BATCH_JOBS_MAX = 16_384
BATCH_BYTES_MAX = 64 << 20
"""What one request, and so one commit, may have."""

WAITS = "waits in a batch"

_innermost: ContextVar[weakref.ref[BatchBlock] | None] = ContextVar("lineshaft_batch", default=None)
"""Weak, so that a block which something raised between two steps of its end made end early takes no calls any more:
nobody but its `with` statement holds it."""


class Batch:
    """What `with app.batch() as batch:` gives: the jobs of the block."""

    def __init__(self) -> None:
        self._jobs: list[Job[Any]] = []

    def __repr__(self) -> str:
        return f"<batch of {len(self._jobs)} jobs>"

    def __len__(self) -> int:
        """How many jobs it has."""
        return len(self._jobs)

    @property
    def jobs(self) -> list[Job[Any]]:
        """The jobs in the order of their calls, those of batches within that ended well included."""
        return list(self._jobs)


class BatchBlock:
    """The block of a `with` or `async with`."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._batch = Batch()
        self._waiting: list[_Waiting] = []
        self._lock = allocate_lock()
        self._around: BatchBlock | None = None
        self._was_entered = self._is_open = False
        self._bytes = 0

    def __enter__(self) -> Batch:
        refuse_import_side_effect("batch()")
        if self._was_entered:
            raise WrongState("this batch was entered before", hint="make another one: app.batch()")
        self._around = _here()
        self._was_entered = self._is_open = True
        _innermost.set(weakref.ref(self))
        return self._batch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        waiting, reply = self._close(error), None
        try:
            if waiting:
                sent = _without_twins(waiting)
                reply = self.app._connection.client().enqueue_packed([one.packed for one in sent])
                settle(reply, partial(self._made, waiting, sent))
        except BaseException as failure:
            _say(waiting, _fate(failure, reply is not None))
            raise

    async def __aenter__(self) -> Batch:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        waiting, reply = self._close(error), None
        try:
            if waiting:
                sent = _without_twins(waiting)
                client = await self.app._connection.aclient()
                reply = client.enqueue_packed([one.packed for one in sent])
                await asettle(reply, partial(self._made, waiting, sent))
        except BaseException as failure:
            _say(waiting, _fate(failure, reply is not None))
            raise

    def add(self, kind: type[J], calls: Iterable[_native.Call[Any]]) -> list[J]:
        """Takes calls, all or none; their jobs are made when the batch leaves."""
        jobs = []
        waiting = []
        for call in calls:
            packed = _native.Packed(self.app._types.registry, call.bound._template, call.bound, call.args, call.kwargs)
            job = kind(self.app, b"", call.bound._first_snapshot._replace(state=None))
            del job._key
            job._unmade = WAITS
            jobs.append(job)
            waiting.append(_Waiting(job, call, packed))
        if not self._take(waiting):
            raise WrongState("the batch left while this thread enqueued in it")
        return jobs

    def _take(self, waiting: list[_Waiting]) -> bool:
        """Whether it is still open, and they leave with it."""
        with self._lock:
            if self._is_open:
                self._bytes = self._checked_bytes(waiting)
                self._waiting += waiting
                self._batch._jobs += [one.job for one in waiting]
            return self._is_open

    def _checked_bytes(self, more: list[_Waiting]) -> int:
        """One request takes no more: to let the rest follow would not be to leave together."""
        count = len(self._waiting) + len(more)
        size = self._bytes + sum(one.packed.bytes for one in more)
        if count > BATCH_JOBS_MAX or size > BATCH_BYTES_MAX:
            raise OptionError(
                f"batch() takes at most {BATCH_JOBS_MAX:,} calls with {BATCH_BYTES_MAX >> 20} MiB of arguments; "
                f"these would be {count:,} calls with {size:,} bytes",
                hint="enqueue_many() outside of a batch makes any number of jobs, in several commits",
            )
        return size

    def _close(self, error: BaseException | None) -> list[_Waiting]:
        """Takes no more; gives what is to leave now rather than with a batch around it."""
        with self._lock:
            self._is_open = False
        waiting = self._waiting
        try:
            _innermost.set(None if self._around is None else weakref.ref(self._around))
            if error is not None:
                _say(waiting, _fate(error, is_sent=False))
                return []
            outer = _open_around(self._around, self.app)
            return [] if outer is not None and outer._take(waiting) else waiting
        except BaseException as failure:
            _say(waiting, _fate(failure, is_sent=False))
            raise

    def _made(
        self, waiting: list[_Waiting], sent: list[_Waiting], made: tuple[bytes, list[int], list[int]]
    ) -> list[Job[Any]]:
        """The server has made them."""
        ids, existing, completed = made
        app, now, old, done = self.app, time.time(), frozenset(existing), frozenset(completed)
        app._attendance.enqueued(ids)
        for position, one in enumerate(sent):
            one.become(ids[position * 16 : position * 16 + 16], position in old, position in done, now)
        for one in waiting:
            if one.twin is not None:
                one.become(one.twin.job._key, True, one.twin.job.state == "completed", now)
        jobs = [one.job for one in waiting]
        if app._connection.engine is not None:
            app._connection.engine.note(jobs, [one.call for one in waiting])
        if app._hooks.after_enqueue:
            app._hooks.tell_enqueued(jobs)
        return jobs


class _Waiting:
    """A call that has not left."""

    __slots__ = ("call", "job", "packed", "twin")

    def __init__(self, job: Job[Any], call: _native.Call[Any], packed: _native.Packed) -> None:
        self.job = job
        self.call = call
        self.packed = packed
        self.twin: _Waiting | None = None
        """The call that leaves with its key, and whose job is its own."""

    def become(self, key: bytes, existing: bool, is_completed: bool, now: float) -> None:
        """Its job was made, or was there."""
        snapshot = self.call.bound._first_snapshot
        self.job._snapshot = snapshot.found(is_completed) if existing else snapshot
        self.job._as_of = now
        self.job._key = key


def open_batch(app: App) -> BatchBlock | None:
    """The innermost batch of `app` that is open here."""
    return _open_around(_here(), app)


def _here() -> BatchBlock | None:
    ref = _innermost.get()
    return None if ref is None else ref()


def _open_around(block: BatchBlock | None, app: App) -> BatchBlock | None:
    while block is not None and not (block._is_open and block.app is app):
        block = block._around
    return block


def _without_twins(waiting: list[_Waiting]) -> list[_Waiting]:
    """Those that leave: of two with one key the server would have to know the first to answer the second with it."""
    firsts: dict[tuple[int, str], _Waiting] = {}
    # What is computed anew comes first: it takes the place of what the others would be answered with.
    for one in sorted(waiting, key=lambda one: not one.packed.anew):
        keys = [(place, key) for place, key in enumerate(one.packed.keys) if key is not None]
        one.twin = next((firsts[key] for key in keys if key in firsts), None)
        if one.twin is None:
            firsts.update(dict.fromkeys(keys, one))
    return [one for one in waiting if one.twin is None]


def _fate(error: BaseException, is_sent: bool) -> str:
    name = type(error).__name__
    is_refused = isinstance(error, LineshaftError) and not isinstance(error, OutcomeUnknown)
    if is_sent and not is_refused:
        return f"may have been made: {name} ended the wait for the answer to its batch"
    return f"was never made: {name} ended its batch"


def _say(waiting: list[_Waiting], words: str) -> None:
    for one in waiting:
        one.job._unmade = words
