"""Many jobs at once: batches of up to 1,000 calls, each one commit, several on their way at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from . import _native
from ._connection import asettle, settle
from ._errors import DeclarationError, OptionError
from ._guard import refuse_import_side_effect
from ._job import AsyncJob, Job
from ._unique import of_item

if TYPE_CHECKING:
    from ._app import App
    from ._task import Enqueues

__all__ = ["aenqueue_calls", "aenqueue_one", "enqueue_calls", "enqueue_one"]

J = TypeVar("J", bound="Job[Any]")

BATCH_JOBS = 1_000
ON_THEIR_WAY_MAX = 4
"""Batches sent before the first of them has to be durable."""


def enqueue_one(app: App, call: _native.Call[Any]) -> Job[Any]:
    """Makes one job."""
    if app._hooks.before_enqueue:
        call = app._hooks.changed(call)
    _ = call.bound._template  # refuses what cannot be enqueued before a server is started for it
    reply, _ = app._connection.client().enqueue(app._types.registry, [call])
    return settle(reply, lambda made: _jobs(Job, app, [call], made)[0])


async def aenqueue_one(app: App, call: _native.Call[Any]) -> AsyncJob[Any]:
    """`enqueue_one` for coroutines."""
    if app._hooks.before_enqueue:
        call = app._hooks.changed(call)
    reply, _ = (await app._connection.aclient()).enqueue(app._types.registry, [call])
    return await asettle(reply, lambda made: _jobs(AsyncJob, app, [call], made)[0])


def enqueue_calls(app: App, calls: Iterable[_native.Call[Any]]) -> list[Job[Any]]:
    """Makes a job of every call; the jobs come in the order of the calls.

    Each batch is made whole or not at all. Where one fails, the batches before it stay.
    """
    refuse_import_side_effect("enqueue_many()")
    jobs: list[Job[Any]] = []
    pending: deque[_Sent] = deque()
    try:
        for sent in _send(app, app._connection.client(), calls):
            pending.append(sent)
            if len(pending) >= ON_THEIR_WAY_MAX:
                jobs += _settled(app, pending.popleft())
    except Exception:
        # What was sent before a call that is refused stands: when this raises, it is durable.
        jobs += _settled_all(app, pending)
        raise
    return jobs + _settled_all(app, pending)


async def aenqueue_calls(app: App, calls: Iterable[_native.Call[Any]]) -> list[AsyncJob[Any]]:
    """`enqueue_calls` for coroutines."""
    refuse_import_side_effect("aenqueue_many()")
    jobs: list[AsyncJob[Any]] = []
    for sent in _send(app, await app._connection.aclient(), calls):
        jobs += await asettle(sent.reply, partial(_jobs, AsyncJob, app, sent.calls))
    return jobs


class _Sent:
    """A batch on its way."""

    __slots__ = ("calls", "reply")

    def __init__(self, calls: list[_native.Call[Any]], reply: _native.Reply[tuple[bytes, list[int]]]) -> None:
        self.calls = calls
        self.reply = reply


def _send(app: App, client: _native.Client, calls: Iterable[_native.Call[Any]]) -> Iterator[_Sent]:
    calls = iter(calls) if not app._hooks.before_enqueue else map(app._hooks.changed, calls)
    before = 0
    while batch := list(islice(calls, BATCH_JOBS)):
        _refuse_strangers(app, batch)
        while batch:
            try:
                reply, taken = client.enqueue(app._types.registry, batch)
            except OptionError as error:
                raise of_item(error, batch, before) from error.__cause__
            before += taken
            yield _Sent(batch[:taken], reply)
            batch = batch[taken:]


def _refuse_strangers(app: App, batch: list[_native.Call[Any]]) -> None:
    """A job of another app's task would wait for ever in a home where nobody runs it."""
    for bound in {call.bound for call in batch if isinstance(call, _native.Call)}:
        if bound.app is not app and bound.app.url != app.url:
            raise DeclarationError(
                f"{bound.task.name} is a task of an app with the home {bound.app.url}, not {app.url}",
                hint="enqueue its calls with that app, or declare it with `Tasks` that both apps include",
            )


def _settled_all(app: App, pending: deque[_Sent]) -> list[Job[Any]]:
    return [job for sent in pending for job in _settled(app, sent)]


def _settled(app: App, sent: _Sent) -> list[Job[Any]]:
    return settle(sent.reply, partial(_jobs, Job, app, sent.calls))


def _jobs(kind: type[J], app: App, calls: list[_native.Call[Any]], made: tuple[bytes, list[int]]) -> list[J]:
    ids, existing = made
    now = time.time()
    jobs = []
    bound: Enqueues[..., Any] | None = None
    for position, call in enumerate(calls):
        if call.bound is not bound:
            bound = call.bound
            snapshot = bound._first_snapshot(now)
        jobs.append(kind(app, ids[position * 16 : position * 16 + 16], snapshot))
    for position in existing:
        jobs[position]._snapshot = calls[position].bound._first_snapshot(now)._replace(state=None, existing=True)
    app._attendance.enqueued(ids)
    if app._connection.engine is not None:
        app._connection.engine.note(jobs, calls)
    if app._hooks.after_enqueue:
        app._hooks.tell_enqueued(jobs)
    return jobs
