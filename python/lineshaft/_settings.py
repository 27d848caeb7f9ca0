"""What a worker of this program is: as the code says, else `LINESHAFT_*`, the project's files, the user's, the default.

Which settings there are, and who says what, is one table in the extension; here is what the code may say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native
from ._options import duration, name, wrong

if TYPE_CHECKING:
    from ._app import App
    from ._options import Duration

__all__ = ["Slots", "WorkerSettings", "cores", "slots_of", "worker_settings"]

PROCESSES_MAX = 1_024
SLOTS_MAX = 16_384
GRACE_S = 30.0
"""What running attempts get when a worker stops before they end."""


class Slots(NamedTuple):
    """What the slots of a child are, and how many it has."""

    kind: str
    per_child: int


class WorkerSettings(NamedTuple):
    """What a worker of this program is."""

    processes: int
    slots: Slots
    queues: tuple[str, ...]
    """Empty is all."""
    grace_s: float


def worker_settings(
    app: App,
    *,
    processes: int | None = None,
    slots: int | None = None,
    kind: str | None = None,
    queues: Iterable[str] | None = None,
    grace: Duration | None = None,
    count_option: str = "processes",
) -> WorkerSettings:
    """The settings of a worker of `app`; None is said elsewhere. `count_option` is what `processes` is called."""
    found = {key: (origin, value) for key, value, origin in _native.worker_settings(app._file)}

    def first(key: str, given: object, option: str = "") -> tuple[str, Any]:
        return (option or key, given) if given is not None else found.get(key, (option or key, None))

    said_kind, said_slots, said_grace = first("kind", kind), first("slots", slots), first("grace", grace)
    return WorkerSettings(
        processes=process_count(*first("processes", processes, count_option)),
        slots=slots_of(said_slots[1], "process" if said_kind[1] is None else said_kind[1], said_slots[0]),
        queues=queue_names(first("queues", queues)[1]),
        grace_s=GRACE_S if said_grace[1] is None else duration(*said_grace),
    )


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


def queue_names(value: Iterable[str] | None) -> tuple[str, ...]:
    """The queues to serve; empty is all."""
    if value is None:
        return ()
    if isinstance(value, str):
        raise wrong("queues", value, "a list of names of queues")
    return tuple(name("queues", item) for item in value)
