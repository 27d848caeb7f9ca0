"""From the end of a job to its result or the exception that tells what happened."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from . import _native
from ._connection import OF_THIS_TEST
from ._errors import (
    JobNotFound,
    ResultExpired,
    SerializationError,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFailed,
    TaskTimeout,
)

if TYPE_CHECKING:
    from ._app import App
    from ._job import Job

__all__ = ["add_note", "check_found", "result_of"]

REFUSALS = {
    "maybe_ran": "it was lost with its worker and may have run; at_most_once forbids another attempt",
    "result_unencodable": "its result cannot be sent",
    "arguments_undecodable": "its arguments do not fit the task as the worker knows it",
    "checkpoint_undecodable": "its checkpoint does not read",
    "purged": "its queue was purged",
    "expired": "no attempt began before it expired",
    "deadline": "its deadline passed",
}


def result_of(job: Job[Any], end: _native.End, raw: bool = False) -> Any:
    """What the task returned; raises what stands for any other end."""
    __tracebackhide__ = True
    job._app._learn_types()
    if end.state == "completed":
        return _result(job, end, raw)
    check_found(job, end)
    raise _error(job, end)


def check_found(job: Job[Any], end: _native.End) -> None:
    """Raises `JobNotFound` if the server knows no such job."""
    __tracebackhide__ = True
    if end.state == "missing":
        raise JobNotFound(
            f"no job has the id {job.id} in {job._app.url}",
            hint="it was deleted, outlived its retention, or belongs to another home"
            if job._app._connection.engine is None
            else f"this is {OF_THIS_TEST}",
        )


def _result(job: Job[Any], end: _native.End, raw: bool) -> Any:
    if not end.has_result:
        raise ResultExpired(
            f"the result of job {job.id} is not kept",
            hint="results are kept for 24 hours after the end, and not at all with result=False; wait() works without",
        )
    if raw:
        return end.decode_raw()
    try:
        return end.decode(job._app._types.registry)
    except SerializationError as error:
        if error.missing is not None:
            error.hint = f"{error.hint}; or read it as it is: result(raw=True)"
        add_note(error, f"in the result of job {job.id}")
        raise


def _error(job: Job[Any], end: _native.End) -> TaskError:
    about: dict[str, Any] = {"job": job, "task": end.task, "attempt": end.attempt, "reason": end.reason}
    if end.state == "cancelled":
        return TaskCancelled(f"{_subject(end, job)} was cancelled{_because(end)}", **about)
    output = end.output.decode(errors="replace")
    if end.outcome == "crashed":
        return _crashed(job, end, output, about)
    if end.outcome == "timed_out":
        how = "was stopped at its deadline" if end.reason == "deadline" else "ran longer than its timeout"
        message = f"{_subject(end, job)} {how}{_attempts(end)}"
        return TaskTimeout(message, last_output=output, **about)
    return _failed(job, end, about)


def _crashed(job: Job[Any], end: _native.End, output: str, about: dict[str, Any]) -> TaskCrashed:
    error = end.error
    signal = None if error is None else error.signal
    rss_peak = None if error is None else error.rss_peak_bytes
    how = "" if error is None or not error.message else f": {error.message}"
    message = f"{_subject(end, job)} crashed{_attempts(end)}{how}"
    crash = TaskCrashed(message, signal=signal, rss_peak=rss_peak, last_output=output, **about)
    if output.strip():
        add_note(crash, f"its last output:\n{output.rstrip()}")
    return crash


def _failed(job: Job[Any], end: _native.End, about: dict[str, Any]) -> TaskFailed:
    error = end.error
    if error is None:
        why = REFUSALS.get(end.reason or "", end.reason or "nobody knows why")
        return TaskFailed(f"{_subject(end, job)} was discarded: {why}", **about)
    known = REFUSALS.get(end.reason or "")
    prefix = f"was discarded because {known}: " if known else "raised "
    said = ": ".join(part for part in (_short(error.types), error.message) if part)
    failed = TaskFailed(
        f"{_subject(end, job)} {prefix}{said}{_attempts(end)}",
        types=tuple(error.types),
        traceback=error.traceback,
        remote_message=error.message,
        **about,
    )
    if error.traceback:
        add_note(failed, f"remote traceback:\n{error.traceback.rstrip()}")
    failed.__cause__ = _cause(job._app, error)
    return failed


def _subject(end: _native.End, job: Job[Any]) -> str:
    return f"{end.task} ({job.id})"


def _because(end: _native.End) -> str:
    return "" if end.reason in (None, "cancelled") else f": {REFUSALS.get(end.reason or '', end.reason)}"


def _attempts(end: _native.End) -> str:
    return f" (attempt {end.attempt})" if end.attempt > 1 else ""


def _short(types: list[str]) -> str:
    return types[0].removeprefix("builtins.") if types else ""


def _cause(app: App, error: _native.ErrorRecord) -> BaseException | None:
    """The original exception, if its class is a builtin one or known to the app; never imports anything."""
    cls = _exception_class(app, error.types[0]) if error.types else None
    if cls is None:
        return None
    arguments = _arguments(app, error)
    try:
        cause = cls(*arguments)
        # A constructor that makes a text of what it is given would make another one of that text.
        is_same = cause.args == arguments
    except Exception:  # it wants something else than `args`
        is_same = False
    return cause if is_same else _without_constructor(cls, arguments)


def _arguments(app: App, error: _native.ErrorRecord) -> tuple[Any, ...]:
    if error.arguments is None:
        return (error.message,)
    try:
        return tuple(app._types.decode(error.arguments))
    except SerializationError:  # an argument of a class that is unknown here
        return (error.message,)


def _without_constructor(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException | None:
    try:
        cause = cls.__new__(cls, *arguments)
        cause.args = arguments
    except Exception:
        return None
    return cause


def _exception_class(app: App, name: str) -> type[BaseException] | None:
    module, _, plain = name.rpartition(".")
    found: Any = getattr(builtins, plain, None) if module == "builtins" else app._types.find(name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def add_note(error: BaseException, note: str) -> None:
    """Adds a note to what Python prints of `error`."""
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 has no notes, but later readers of the exception look there
        error.__dict__.setdefault("__notes__", []).append(note)
