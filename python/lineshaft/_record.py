"""What is known about jobs, shaped for people: snapshots, attempts, and what went wrong in them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

from . import _native

__all__ = ["Attempt", "AttemptError", "Snapshot", "attempts_of", "error_of", "output_of"]


class Snapshot(NamedTuple):
    """What the last reply said of a job."""

    state: str | None
    task: str | None
    existing: bool = False
    """`enqueue` answered with a job that was there already."""
    queue: str | None = None

    def found(self, is_completed: bool) -> Snapshot:
        """The same of a job that was there already: no more is known, unless its result was cached."""
        return self._replace(state="completed" if is_completed else None, existing=True)


class AttemptError(NamedTuple):
    """What went wrong in an attempt."""

    types: tuple[str, ...]
    """Canonical names of the exception's classes, most derived first; empty for a timeout, a crash and a loss."""
    message: str
    traceback: str | None
    signal: int | None
    """The signal that killed the process, if one did."""
    rss_peak: int | None
    """Peak resident memory in bytes of a process that died, where known."""


class Attempt(NamedTuple):
    """One execution of a job."""

    number: int
    """From 1."""
    outcome: str | None
    """succeeded, errored, timed_out, crashed, lost, cancelled, snoozed or released; None while it runs."""
    worker: str
    """`host:pid/child`."""
    started_at: datetime
    finished_at: datetime | None
    error: AttemptError | None
    output: str
    """What it printed, at most 64 KiB: the beginning and the end."""


def attempts_of(record: _native.JobRecord) -> list[Attempt]:
    """The attempts of a record, oldest first."""
    return [_attempt(attempt) for attempt in record.attempts]


def output_of(record: _native.JobRecord) -> str:
    """What the newest attempt printed."""
    attempts = record.attempts
    return attempts[-1].output.decode(errors="replace") if attempts else ""


def error_of(error: _native.ErrorRecord) -> AttemptError:
    """An error as the face shows it."""
    return AttemptError(tuple(error.types), error.message, error.traceback, error.signal, error.rss_peak_bytes)


def _attempt(attempt: _native.AttemptRecord) -> Attempt:
    return Attempt(
        number=attempt.number,
        outcome=attempt.outcome,
        worker=attempt.worker,
        started_at=_instant(attempt.started_at),
        finished_at=None if attempt.finished_at is None else _instant(attempt.finished_at),
        error=None if attempt.error is None else error_of(attempt.error),
        output=attempt.output.decode(errors="replace"),
    )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
