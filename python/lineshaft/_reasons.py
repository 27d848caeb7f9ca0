"""Why a job has not ended, in words, and what can be done about it: for those who wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from . import _native

__all__ = ["NO_WORKER", "Reason", "reason_of"]

NO_WORKER = "a worker: none is connected"
ITS_TURN = "a free slot"
"""What a job waits for when nothing is missing."""


class Reason(NamedTuple):
    """What an unfinished job waits for."""

    key: str
    """The same as long as nothing new is to be said."""
    words: str
    fix: str | None
    """What can be done about it."""
    is_its_turn: bool = False
    """Nothing is missing."""


def reason_of(record: _native.JobRecord, command: str) -> Reason | None:
    """What the job of `record` waits for; None if it runs or has ended. `command` starts a worker for it."""
    missing = record.waits_for
    if missing is None:
        return None
    if record.state in ("scheduled", "retryable"):
        return Reason(record.state, _until(record, missing), "job.retry() runs it now")
    if missing.startswith("queue "):
        return Reason(missing, missing, f"`lineshaft queue resume {record.queue}`")
    fix = f"start one: {command}" if "worker" in missing else None
    return Reason(missing, missing, fix, is_its_turn=missing == ITS_TURN)


def _until(record: _native.JobRecord, missing: str) -> str:
    """What a job waits for that waits for a time, with that time and what put it off."""
    what, _, why = missing.partition(": ")
    at = record.scheduled_at
    when = "" if at is None else f", in {_period(at / 1000 - time.time())}"
    because = why or _of_last_attempt(record)
    return f"{what}{when}: {because}" if because else f"{what}{when}"


def _of_last_attempt(record: _native.JobRecord) -> str:
    last = next((attempt for attempt in reversed(record.attempts) if attempt.outcome is not None), None)
    if last is None:
        return ""
    if last.error is None:
        return f"attempt {last.number} {last.outcome}"
    kind = last.error.types[0].removeprefix("builtins.") if last.error.types else ""
    said = ": ".join(part for part in (kind, last.error.message) if part)
    return f"attempt {last.number} {last.outcome} ({said})"


def _period(seconds: float) -> str:
    """A time to come, rounded up."""
    left = max(1, -int(-seconds // 1))
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if left >= 2 * size:
            return f"{-(-left // size)} {unit}"
    return f"{left} s"
