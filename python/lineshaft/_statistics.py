"""What the attempts of tasks came to and took, as the engine counts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import TypeAlias

    from . import _native
    from ._app import App

    _Row: TypeAlias = tuple[
        tuple[str, int, int, int, list[int]],
        list[list[int]],
        tuple[int, int, int | None, int, int, int],
        tuple[int, int],
        tuple[int, int],
    ]

__all__ = ["Spread", "TaskStats", "astats_of", "stats_of"]

_OUTCOMES = ("succeeded", "errored", "timed_out", "crashed", "lost", "cancelled", "snoozed", "released")
_FAILURES = ("errored", "timed_out", "crashed", "lost")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Spread:
    """How long something took, in seconds: quantiles to 3.2 %, the rest exactly; all 0 if nothing was measured."""

    count: int
    """How many there were."""
    total: float
    p50: float
    """Half of them took at most this."""
    p90: float
    p99: float
    max: float


class TaskStats(NamedTuple):
    """What the attempts of a task in one version came to and took, since the first that is counted.

    It outlives the jobs and restarts of the server. The engine counts 1,000 tasks and versions, beyond them those whose
    last attempts are newest.
    """

    task: str
    version: int
    since: datetime
    """When the first attempt that is counted ended, in UTC."""
    until: datetime
    """When the last one did."""
    outcomes: dict[str, int]
    """Attempts by how they ended: all the outcomes that an `Attempt` may have."""
    ran: Spread
    """How long bodies ran."""
    waited: Spread
    """How long jobs had been ready before attempts began."""
    cpu: Spread
    """CPU time, of attempts of which it is known."""
    cpu_of_children: float
    """Seconds of CPU time in processes that attempts started."""
    collecting: float
    """Seconds in Python's garbage collector."""
    peak_growth: int | None
    """The greatest growth of the peak of a process's memory in one attempt, bytes; None if it is known of none."""
    cache_hits: int
    """Calls that caches in workers answered."""
    bytes_in: int
    """Bytes of arguments."""
    bytes_out: int
    """Bytes of results and of what was printed."""
    calls: int
    """Calls that were enqueued in the last hour, to five minutes, or since the server started."""
    repeated: int
    """Those of them whose arguments had come in the hour before: at least so many, see the guide."""
    gil: float
    """Seconds for which attempts had the GIL, of those of which it is known, which ran for some tenths of a second."""
    gil_of: float
    """Seconds that these ran."""

    @property
    def attempts(self) -> int:
        """Attempts that ended."""
        return sum(self.outcomes.values())

    @property
    def failures(self) -> int:
        """Attempts that errored, timed out, crashed or were lost."""
        return sum(self.outcomes[outcome] for outcome in _FAILURES)

    @property
    def failure_rate(self) -> float:
        """The part of these among them and those that succeeded; 0 without any."""
        return self.failures / max(self.failures + self.outcomes["succeeded"], 1)

    @property
    def gil_share(self) -> float | None:
        """The part of their time for which longer attempts had the GIL, 0 to 1; None without any."""
        return self.gil / self.gil_of if self.gil_of else None

    @property
    def repetition(self) -> float:
        """The part of the calls of the last hour that repeat arguments; 0 without calls."""
        return self.repeated / max(self.calls, 1)


def stats_of(app: App, task: str | None) -> list[TaskStats]:
    """What is counted of a task, or of all."""
    return app._connection.ask(partial(_ask, task), _stats)


async def astats_of(app: App, task: str | None) -> list[TaskStats]:
    """`stats_of` for coroutines."""
    return await app._connection.aask(partial(_ask, task), _stats)


def _ask(task: str | None, client: _native.Client) -> _native.Reply[list[_Row]]:
    return client.tasks(task)


def _stats(rows: list[_Row]) -> list[TaskStats]:
    return [_of_row(row) for row in rows]


def _of_row(row: _Row) -> TaskStats:
    (task, version, since, until, outcomes), spreads, sums, gil, calls = row
    of_children, collecting, peak_growth, cache_hits, bytes_in, bytes_out = sums
    ran, waited, cpu = (Spread(count, *(each / 1e6 for each in times)) for count, *times in spreads)
    return TaskStats(
        task,
        version,
        _EPOCH + timedelta(milliseconds=since),
        _EPOCH + timedelta(milliseconds=until),
        dict(zip(_OUTCOMES, outcomes, strict=True)),
        ran,
        waited,
        cpu,
        of_children / 1e6,
        collecting / 1e6,
        peak_growth,
        cache_hits,
        bytes_in,
        bytes_out,
        *calls,
        *(each / 1e6 for each in gil),
    )
