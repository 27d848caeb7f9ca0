"""What a worker of this program is: as the code says, else `LINESHAFT_*`, the project's files, the user's, the default.

Which settings there are, and who says what, is one table in the extension; here is what the code may say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native
from ._options import duration, name, size, wrong

if TYPE_CHECKING:
    from ._app import App
    from ._options import Duration, Size

__all__ = [
    "NEVER",
    "WATCHDOG_S",
    "Recycle",
    "Slots",
    "WorkerSettings",
    "cores",
    "garbage_setting",
    "slots_of",
    "worker_settings",
]

PROCESSES_MAX = 1_024
SLOTS_MAX = 16_384
GRACE_S = 30.0
"""What running attempts get when a worker stops before they end."""

WATCHDOG_S = 60.0
"""How long a child may have a job and a free slot and not begin, before it is replaced."""
JOBS_MAX = 1_000_000_000


class Slots(NamedTuple):
    """What the slots of a child are, and how many it has."""

    kind: str
    per_child: int


class Recycle(NamedTuple):
    """When a child is replaced by a fresh one; None for never."""

    jobs: int | None = None
    age_s: float | None = None
    growth_bytes: int | None = None


NEVER = Recycle()


class WorkerSettings(NamedTuple):
    """What a worker of this program is."""

    processes: int
    slots: Slots
    queues: tuple[str, ...]
    """Empty is all."""
    grace_s: float
    recycle: Recycle
    watchdog_s: float


def worker_settings(
    app: App,
    *,
    processes: int | None = None,
    slots: int | None = None,
    kind: str | None = None,
    queues: Iterable[str] | None = None,
    grace: Duration | None = None,
    recycle_jobs: int | None = None,
    recycle_age: Duration | None = None,
    recycle_growth: Size | None = None,
    count_option: str = "processes",
) -> WorkerSettings:
    """The settings of a worker of `app`; None is said elsewhere. `count_option` is what `processes` is called."""
    found = {key: (origin, value) for key, value, origin in _native.worker_settings(app._file)}

    def first(key: str, given: object, option: str = "") -> tuple[str, Any]:
        return (option or key, given) if given is not None else found.get(key, (option or key, None))

    def maybe(check: Callable[[str, Any], Any], key: str, given: object) -> Any:
        option, value = first(key, given)
        return None if value is None else check(option, value)

    said_kind, said_slots = first("kind", kind), first("slots", slots)
    grace_s, watchdog_s = maybe(duration, "grace", grace), maybe(duration, "watchdog", None)
    return WorkerSettings(
        processes=process_count(*first("processes", processes, count_option)),
        slots=slots_of(said_slots[1], "process" if said_kind[1] is None else said_kind[1], said_slots[0]),
        queues=queue_names(first("queues", queues)[1]),
        grace_s=GRACE_S if grace_s is None else grace_s,
        recycle=Recycle(
            maybe(_job_count, "recycle_jobs", recycle_jobs),
            maybe(duration, "recycle_age", recycle_age),
            maybe(size, "recycle_growth", recycle_growth),
        ),
        watchdog_s=WATCHDOG_S if watchdog_s is None else watchdog_s,
    )


def garbage_setting(app: App) -> str:
    """When the children of a worker of `app` collect garbage: "between" jobs, or "automatic"."""
    return next((value for key, value, _ in _native.worker_settings(app._file) if key == "gc"), "between")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count(option: str, value: object) -> int:
    """How many worker processes; None is one per core."""
    if value is None:
        return cores()
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= PROCESSES_MAX:
        raise wrong(option, value, f"a number of processes, 1 to {PROCESSES_MAX}, or None for one per core")
    return value


def slots_of(count: object, kind: object, option: str = "slots") -> Slots:
    """The slots of a child; None is as many as their kind has by default."""
    most = {"process": 1, "thread": SLOTS_MAX, "async": SLOTS_MAX}
    if not isinstance(kind, str) or kind not in most:
        raise wrong("kind", kind, '"process" (default), "thread" or "async"')
    if count is None:
        return Slots(kind, {"process": 1, "thread": 4 * cores(), "async": 1_000}[kind])
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most[kind]:
        accepted = f"a number from 1 to {SLOTS_MAX:,}" if kind != "process" else '1, unless kind is "thread" or "async"'
        raise wrong(option, count, accepted)
    return Slots(kind, count)


def _job_count(option: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= JOBS_MAX:
        raise wrong(option, value, f"a number of jobs, 1 to {JOBS_MAX:,}, or None for never")
    return value


def queue_names(value: Iterable[str] | None) -> tuple[str, ...]:
    """The queues to serve; empty is all."""
    if value is None:
        return ()
    if isinstance(value, str):
        raise wrong("queues", value, "a list of names of queues")
    return tuple(name("queues", item) for item in value)
