"""The ledger: which job was made for which file, written down before anything else happens.

It lives outside of Lineshaft, so that what Lineshaft says at the end can be held against it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE_JOBS = 5_000
"""Jobs asked for at a time."""


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


def audit(home: str, entries: list[Entry]) -> Audit:
    """Holds the list of all jobs against the ledger: each must have ended, and exactly once."""
    return judge(entries, listed_jobs(home))


def judge(entries: list[Entry], jobs: Iterable[dict[str, Any]]) -> Audit:
    """What `jobs`, as the command line lists them, say about the entries."""
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in jobs:
        records[job["id"]].append(job)
    lost = _named_twice(entries)
    for entry in entries:
        problem = _problem(records.get(entry.id, []))
        if problem is not None:
            lost.append(f"{entry.label}: job {entry.id} {problem}")
    known = {entry.id for entry in entries}
    lost += [f"job {job} is not in the ledger" for job in records if job not in known]
    states = Counter(job["state"] for job, *_ in records.values())
    rerun = sum(_was_hit(job) for job, *_ in records.values())
    return Audit(len(entries), states["completed"], states["discarded"], rerun, lost)


def listed_jobs(home: str) -> Iterator[dict[str, Any]]:
    """Every job of a home, page by page, as `lineshaft job list --json` gives them."""
    command = [sys.executable, "-m", "lineshaft", "job", "list", "--json", "--home", home, "--limit", str(PAGE_JOBS)]
    cursor = None
    while True:
        words = command if cursor is None else [*command, "--cursor", cursor]
        page = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        yield from page["jobs"]
        cursor = page["cursor"]
        if cursor is None:
            return


def _named_twice(entries: list[Entry]) -> list[str]:
    """Two files with the same job: one of them has none."""
    counts = Counter(entry.id for entry in entries)
    return [f"job {job} stands for {count} files" for job, count in counts.items() if count > 1]


def _problem(records: list[dict[str, Any]]) -> str | None:
    """What is wrong with a job, given the records that bear its id."""
    if len(records) != 1:
        return f"is listed {len(records)} times"
    state, outcomes = records[0]["state"], [attempt["outcome"] for attempt in records[0]["attempts"]]
    if (state, outcomes.count("succeeded")) in (("completed", 1), ("discarded", 0)):
        return None
    return f"is {state}, with attempts that {', '.join(map(str, outcomes)) or 'never began'}"


def _was_hit(job: dict[str, Any]) -> bool:
    return any(attempt["outcome"] in ("crashed", "lost") for attempt in job["attempts"])
