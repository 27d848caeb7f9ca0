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
    waited: float | None = None
    """Seconds for which its job had been ready: since it was made, since its time came, or since the attempt before.

    This and what follows is None while it runs, and where it is not known: of what neighbours share, as coroutines of a
    process do, of attempts that were killed or lost, and of workers that do not measure it.
    """
    ran: float | None = None
    """Seconds that its body took."""
    cpu: float | None = None
    """Seconds of CPU time: of the process and all of its threads where that is the slot, else of the body's thread."""
    cpu_of_children: float | None = None
    """Seconds of CPU time in processes that it started and waited for."""
    collecting: float | None = None
    """Seconds for which Python's garbage collector held it up."""
    peak_growth: int | None = None
    """By how many bytes the peak of its process's memory grew."""
    cache_hits: int | None = None
    """Calls that `cached` functions answered from what they keep in the process or on the host."""
    bytes_in: int | None = None
    """Bytes of its arguments, as they are kept."""
    bytes_out: int | None = None
    """Bytes of its result and of what it printed."""
    gil: float | None = None
    """Seconds for which its thread had the GIL, as looks show that are taken while it runs: not known of attempts that
    are over within some tenths of a second."""


def attempts_of(record: _native.JobRecord) -> list[Attempt]:
    """The attempts of a record, oldest first."""
    return [_attempt(record, attempt) for attempt in record.attempts]


def output_of(record: _native.JobRecord) -> str:
    """What the newest attempt printed."""
    attempts = record.attempts
    return attempts[-1].output.decode(errors="replace") if attempts else ""


def error_of(error: _native.ErrorRecord) -> AttemptError:
    """An error as the face shows it."""
    return AttemptError(tuple(error.types), error.message, error.traceback, error.signal, error.rss_peak_bytes)


def _attempt(record: _native.JobRecord, attempt: _native.AttemptRecord) -> Attempt:
    ran, cpu, of_children, collecting, peak_growth, cache_hits, gil = attempt.measures
    has_ended = attempt.finished_at is not None
    result = record.result_bytes if attempt.outcome == "succeeded" else 0
    return Attempt(
        number=attempt.number,
        outcome=attempt.outcome,
        worker=attempt.worker,
        started_at=_instant(attempt.started_at),
        finished_at=None if attempt.finished_at is None else _instant(attempt.finished_at),
        error=None if attempt.error is None else error_of(attempt.error),
        output=attempt.output.decode(errors="replace"),
        waited=None if attempt.waited is None else attempt.waited / 1e3,
        ran=_seconds(ran),
        cpu=_seconds(cpu),
        cpu_of_children=_seconds(of_children),
        collecting=_seconds(collecting),
        peak_growth=peak_growth,
        cache_hits=cache_hits,
        bytes_in=record.arguments_bytes if has_ended else None,
        bytes_out=result + len(attempt.output) if has_ended else None,
        gil=_seconds(gil),
    )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
