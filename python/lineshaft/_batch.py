"""Many jobs at once: batches of up to 1,000 calls, each one commit, several on their way at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from . import _native
from ._connection import asettle, settle, teach_resend
from ._errors import DeclarationError, LineshaftError, OptionError, OutcomeUnknown, SerializationError
from ._guard import refuse_import_side_effect
from ._job import AsyncJob, Job
from ._outcome import add_note
from ._together import open_batch

if TYPE_CHECKING:
    from ._app import App
    from ._task import BaseTask, Enqueues
    from ._together import BatchBlock

__all__ = [
    "BATCH_JOBS",
    "ON_THEIR_WAY_MAX",
    "aenqueue_calls",
    "aenqueue_one",
    "blamed",
    "enqueue_calls",
    "enqueue_one",
    "jobs_of",
    "named",
    "refuse_other_home",
]

J = TypeVar("J", bound="Job[Any]")

BATCH_JOBS = 1_000
_NO_KEY = b""
ON_THEIR_WAY_MAX = 4
"""Batches sent before the first of them has to be durable."""


def enqueue_one(app: App, bound: Enqueues[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job[Any]:
    """Makes one job: as `enqueue_calls`, on a way that is short because a program may go it once for each job."""
    if app._hooks.before_enqueue:
        bound, args, kwargs = _changed(app, bound, args, kwargs)
    block = open_batch(app)
    if block is not None:
        return _kept(block, Job, [_native.Call(bound, args, kwargs)], None)[0]
    template = bound._template  # refuses what cannot be enqueued before a server is started for it
    reply = _sent(app, app._connection.client(), template, bound, args, kwargs)
    job: Job[Any] = Job(app, _NO_KEY, bound._first_snapshot)
    try:
        return _made(job, bound, args, kwargs, reply.wait())
    except OutcomeUnknown as error:
        teach_resend(error, partial(_made, job, bound, args, kwargs))
        raise


async def aenqueue_one(
    app: App, bound: Enqueues[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncJob[Any]:
    """`enqueue_one` for coroutines."""
    if app._hooks.before_enqueue:
        bound, args, kwargs = _changed(app, bound, args, kwargs)
    block = open_batch(app)
    if block is not None:
        return _kept(block, AsyncJob, [_native.Call(bound, args, kwargs)], None)[0]
    reply = _sent(app, await app._connection.aclient(), bound._template, bound, args, kwargs)
    job: AsyncJob[Any] = AsyncJob(app, _NO_KEY, bound._first_snapshot)
    return await asettle(reply, partial(_made, job, bound, args, kwargs))


def _kept(block: BatchBlock, kind: type[J], calls: list[_native.Call[Any]], before: int | None) -> list[J]:
    """The jobs of calls that wait in a batch."""
    try:
        return block.add(kind, calls)
    except (OptionError, SerializationError) as error:
        raise _of_call(error, calls, before) from error.__cause__


def _kept_many(
    block: BatchBlock, kind: type[J], calls: Iterable[_native.Call[Any]], only: BaseTask[..., Any] | None
) -> list[J]:
    """`_kept` of what `enqueue_many` takes: all of the calls, or none."""
    app = block.app
    kept = [app._hooks.changed(call) for call in calls] if app._hooks.before_enqueue else list(calls)
    _refuse_strangers(app, kept, 0)
    if only is not None:
        _refuse_others(only, kept, 0)
    return _kept(block, kind, kept, 0)


def _changed(
    app: App, bound: Enqueues[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Enqueues[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The call as the hooks want it."""
    call = app._hooks.changed(_native.Call(bound, args, kwargs))
    return call.bound, call.args, call.kwargs


def _sent(
    app: App,
    client: _native.Client,
    template: _native.Template,
    bound: Enqueues[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> _native.Reply[tuple[bytes, list[int], list[int]]]:
    try:
        return client.enqueue_one(app._types.registry, template, bound, args, kwargs)
    except SerializationError as error:
        raise _of_call(error, [_native.Call(bound, args, kwargs)], None) from error.__cause__


def _made(
    job: J,
    bound: Enqueues[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    made: tuple[bytes, list[int], list[int]],
) -> J:
    """The job that was sent, now that it is made."""
    job._key, existing, completed = made
    job._as_of = time.time()
    app = job._app
    if existing:
        job._snapshot = bound._first_snapshot.found(bool(completed))
    app._attendance.enqueued(job._key)
    if app._connection.engine is not None:
        app._connection.engine.note([job], [_native.Call(bound, args, kwargs)])
    if app._hooks.after_enqueue:
        app._hooks.tell_enqueued([job])
    return job


def enqueue_calls(
    app: App, calls: Iterable[_native.Call[Any]], only: BaseTask[..., Any] | None = None
) -> list[Job[Any]]:
    """Makes a job of every call, of the task `only` if one is given; the jobs come in the order of the calls.

    Each batch is made whole or not at all. Where one fails, the batches before it stay, and the error says so.
    """
    refuse_import_side_effect("enqueue_many()")
    block = open_batch(app)
    if block is not None:
        return _kept_many(block, Job, calls, only)
    made: list[list[Job[Any]]] = []
    pending: deque[_Sent] = deque()
    stand: list[_Sent] = []

    def settle_next() -> None:
        sent = pending.popleft()
        made.append(settle(sent.reply, partial(jobs_of, Job, app, sent.calls)))
        stand.append(sent)

    try:
        for sent in _send(app, app._connection.client(), calls, only):
            pending.append(sent)
            if len(pending) >= ON_THEIR_WAY_MAX:
                settle_next()
        while pending:
            settle_next()
    except BaseException as error:
        # What was sent before a call that is refused stands: when this raises, it is durable.
        while pending:
            with suppress(LineshaftError):
                settle_next()
        _say_what_stands(error, stand)
        raise
    return [job for jobs in made for job in jobs]


async def aenqueue_calls(
    app: App, calls: Iterable[_native.Call[Any]], only: BaseTask[..., Any] | None = None
) -> list[AsyncJob[Any]]:
    """`enqueue_calls` for coroutines."""
    refuse_import_side_effect("aenqueue_many()")
    block = open_batch(app)
    if block is not None:
        return _kept_many(block, AsyncJob, calls, only)
    jobs: list[AsyncJob[Any]] = []
    stand: list[_Sent] = []
    try:
        for sent in _send(app, await app._connection.aclient(), calls, only):
            jobs += await asettle(sent.reply, partial(jobs_of, AsyncJob, app, sent.calls))
            stand.append(sent)
    except BaseException as error:
        _say_what_stands(error, stand)
        raise
    return jobs


def _say_what_stands(error: BaseException, stand: list[_Sent]) -> None:
    """Who tries again after `error` wants to know where to go on."""
    ranges: list[tuple[int, int]] = []
    for sent in stand:
        begins = ranges.pop()[0] if ranges and ranges[-1][1] == sent.first else sent.first
        ranges.append((begins, sent.first + len(sent.calls)))
    of = " and ".join(f"calls[{begins}:{ends}]" for begins, ends in ranges)
    if not isinstance(error, OutcomeUnknown):
        add_note(error, f"jobs were made of {of}, and stay; of the rest none was" if of else "no job was made")
    elif of:
        add_note(error, f"jobs were made of {of}, and stay")


class _Sent:
    """A batch on its way."""

    __slots__ = ("calls", "first", "reply")

    def __init__(
        self, first: int, calls: list[_native.Call[Any]], reply: _native.Reply[tuple[bytes, list[int], list[int]]]
    ) -> None:
        self.first = first
        """Position of the first of its calls among all."""
        self.calls = calls
        self.reply = reply


def _send(
    app: App, client: _native.Client, calls: Iterable[_native.Call[Any]], only: BaseTask[..., Any] | None
) -> Iterator[_Sent]:
    calls = iter(calls) if not app._hooks.before_enqueue else map(app._hooks.changed, calls)
    before = 0
    while batch := list(islice(calls, BATCH_JOBS)):
        _refuse_strangers(app, batch, before)
        if only is not None:
            _refuse_others(only, batch, before)
        while batch:
            try:
                reply, taken = client.enqueue(app._types.registry, batch)
            except (OptionError, SerializationError) as error:
                raise _of_call(error, batch, before) from error.__cause__
            yield _Sent(before, batch[:taken], reply)
            before += taken
            batch = batch[taken:]


def _of_call(
    error: OptionError | SerializationError, calls: list[_native.Call[Any]], before: int | None
) -> OptionError | SerializationError:
    """`error` with the task of the call that it is about, and its number if `before` says that of the first."""
    position = blamed(error, calls)
    if position is None:
        return error
    return named(error, calls[position], "" if before is None else f"calls[{before + position}]: ")


def blamed(error: OptionError | SerializationError, calls: list[_native.Call[Any]]) -> int | None:
    """Which of the calls `error` is about."""
    args = error.__dict__.get("call_args", error)
    return next((position for position, call in enumerate(calls) if call.args is args), None)


def named(
    error: OptionError | SerializationError, call: _native.Call[Any], which: str
) -> OptionError | SerializationError:
    """`error` with the task of the call that it is about, after `which`, a word for the call."""
    # What a function of the user raised names its task already.
    task = f"{call.task}: " if isinstance(error, SerializationError) else ""
    return type(error)(f"{which}{task}{error.args[0]}", hint=error.hint)


def _refuse_strangers(app: App, batch: list[_native.Call[Any]], before: int) -> None:
    """What is no call, and calls of tasks of another home."""
    things: list[object] = [*batch]
    for position, thing in enumerate(things):
        if not isinstance(thing, _native.Call):
            kind = type(thing).__name__
            raise TypeError(
                f"enqueue_many() takes calls such as task.si(1, 2), calls[{before + position}] is of type {kind}"
            )
    for bound in {call.bound for call in batch}:
        refuse_other_home(app, bound)


def refuse_other_home(app: App, bound: Enqueues[..., Any]) -> None:
    """A job of another app's task would wait for ever in a home where nobody runs it."""
    if bound.app is not app and bound.app.url != app.url:
        raise DeclarationError(
            f"{bound.task.name} is a task of an app with the home {bound.app.url}, not {app.url}",
            hint="enqueue its calls with that app, or declare it with `Tasks` that both apps include",
        )


def _refuse_others(task: BaseTask[..., Any], batch: list[_native.Call[Any]], before: int) -> None:
    """The types say that the jobs are of this task."""
    for position, call in enumerate(batch):
        if call.task != task.name:
            raise TypeError(
                f"{task.name}.enqueue_many() takes calls of {task.name}, calls[{before + position}] is {call!r}; "
                "app.enqueue_many() takes calls of any task"
            )


def jobs_of(
    kind: type[J], app: App, calls: list[_native.Call[Any]], made: tuple[bytes, list[int], list[int]]
) -> list[J]:
    """The jobs of calls that were sent, now that they are made."""
    ids, existing, completed = made
    done = frozenset(completed)
    now = time.time()
    jobs = []
    bound: Enqueues[..., Any] | None = None
    for position, call in enumerate(calls):
        if call.bound is not bound:
            bound = call.bound
            snapshot = bound._first_snapshot
        jobs.append(kind(app, ids[position * 16 : position * 16 + 16], snapshot, now))
    for position in existing:
        jobs[position]._snapshot = calls[position].bound._first_snapshot.found(position in done)
    app._attendance.enqueued(ids)
    if app._connection.engine is not None:
        app._connection.engine.note(jobs, calls)
    if app._hooks.after_enqueue:
        app._hooks.tell_enqueued(jobs)
    return jobs
