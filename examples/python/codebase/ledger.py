"""The ledger: which job was made for which file, written down before anything else happens.

It lives outside of Lineshaft, so that what Lineshaft says at the end can be held against it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lineshaft import App, Attempt, Job, JobNotFound


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    id: str
    label: str
    """The file as the report calls it."""


@dataclass(frozen=True)
class Audit:
    """How the jobs of a ledger ended."""

    enqueued: int
    completed: int
    discarded: int
    rerun: int
    """Jobs of which an attempt ended with its process, so that another one was needed."""
    lost: list[str]
    """Those that did not end exactly once, with what is wrong about them."""


def write_ledger(path: Path, entries: Iterable[Entry]) -> None:
    """One JSON object per line, on the disk when this returns."""
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps({"id": entry.id, "label": entry.label}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_ledger(path: Path) -> list[Entry]:
    """The entries in the order in which they were written."""
    with path.open(encoding="utf-8") as file:
        return [Entry(**json.loads(line)) for line in file]


def audit(app: App, entries: list[Entry]) -> Audit:
    """Asks for every job of the ledger how it ended: each must have, and exactly once."""
    states: Counter[str | None] = Counter()
    rerun = 0
    lost = [f"{id} is in the ledger {count} times" for id, count in Counter(e.id for e in entries).items() if count > 1]
    for entry in entries:
        job: Job[object] = app.job(entry.id)
        try:
            attempts = job.attempts()
        except JobNotFound:
            lost.append(f"{entry.label}: job {entry.id} is unknown")
            continue
        states[job.state] += 1
        rerun += any(attempt.outcome in ("crashed", "lost") for attempt in attempts)
        if not _ended_once(job.state, attempts):
            outcomes = ", ".join(str(attempt.outcome) for attempt in attempts) or "none"
            lost.append(f"{entry.label}: job {entry.id} is {job.state}, outcomes of its attempts: {outcomes}")
    return Audit(len(entries), states["completed"], states["discarded"], rerun, lost)


def _ended_once(state: str | None, attempts: list[Attempt]) -> bool:
    succeeded = [attempt.outcome for attempt in attempts].count("succeeded")
    return (state, succeeded) in (("completed", 1), ("discarded", 0))
