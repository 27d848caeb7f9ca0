"""What became of records."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _native
from .._options import Duration, duration


@dataclass(frozen=True)
class HandlerStatus:
    """What became of the records of one handler.

    `name`; `handled` records are where they belong, `lost` went past it while it hung or failed, `failed` it gave up.
    `unformatted` are those that the callable which is its `format` failed of, so that they were written as text.
    `retries` is how often it was to try again, `is_healthy` whether it neither hangs nor fails now: false while it
    tries again, while it gives up all that it is given, and after a `flush` that ended without it; true again once it
    takes a record.
    """

    name: str
    handled: int
    lost: int
    failed: int
    unformatted: int
    retries: int
    is_healthy: bool


@dataclass(frozen=True)
class Status:
    """What became of all records, as of now.

    `taken` went into the ring, `dropped` found no room there, `limited` were too many of their place, `sampled` were
    not in their share. `handlers` has what became of those that were taken, by handler.
    """

    taken: int
    dropped: int
    limited: int
    sampled: int
    handlers: tuple[HandlerStatus, ...]


def status() -> Status:
    """What became of the records of this process under the configuration that is in force."""
    counts = _native.log_counts()
    handlers = tuple(HandlerStatus(**each) for each in counts.pop("handlers", ()))
    empty = {"taken": 0, "dropped": 0, "limited": 0, "sampled": 0}
    return Status(**{**empty, **counts}, handlers=handlers)


def flush(timeout: Duration | None = None) -> bool:
    """Waits until all that was logged is written, and gives True; False if `timeout` is over before."""
    return _native.log_flush(None if timeout is None else duration("timeout", timeout))


def records(logger: str | None = None) -> list[_native.LogRecord]:
    """What handlers of kind `"memory"` keep, the oldest first; of one logger and those below it, if one is named.

    What was logged before the call is there.
    """
    flush(timeout=5)
    kept = _native.log_kept()
    if not logger:
        return kept
    return [record for record in kept if record.logger == logger or record.logger.startswith(f"{logger}.")]
