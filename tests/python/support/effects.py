"""What the outside files of the kill tests say, held against what the engine says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Effect:
    """One line: an attempt started or ended, or a client was told of the end."""

    what: str
    job: str
    attempt: int
    number: str
    pid: int
    at_s: float


def effects_in(path: Path) -> list[Effect]:
    """Every line, in the order of writing."""
    return parse(path.read_text()) if path.exists() else []


def newest_effects_in(path: Path) -> list[Effect]:
    """The last hundred or so lines."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 8_192), 2)
        return parse(file.read().decode().partition("\n")[2])


def parse(lines: str) -> list[Effect]:
    # A line across two pages of memory is seen by halves while it is written.
    words = (line.split() for line in lines.rpartition("\n")[0].splitlines())
    return [
        Effect(what, job, int(attempt), number, int(pid), float(at)) for what, job, attempt, number, pid, at in words
    ]


def ledger_in(path: Path) -> dict[str, str]:
    """The acknowledged ids with their numbers. A line that the client was killed in was not finished."""
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return dict(line.split() for line in whole.splitlines())


def by_job(effects: list[Effect]) -> dict[str, list[Effect]]:
    jobs: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        jobs[effect.job].append(effect)
    return jobs


def check_job(effects: list[Effect], killed: set[int]) -> None:
    """One attempt after another, each new one for a reason, and none after a promised end.

    Numbers grow. Only an attempt that was over when its process died, with nobody told yet, counts as never begun: its
    number is used again.
    """
    attempt, holder, ended, told = 0, 0, False, False
    for effect in effects:
        if effect.what == "start":
            assert not told, ("it ran again after its end was told", effects)
            assert effect.attempt > attempt - ended, ("attempt numbers do not grow", effects)
            assert attempt == 0 or holder in killed, ("it ran again, but nobody killed its process", effects)
            attempt, holder, ended = effect.attempt, effect.pid, False
        elif effect.what == "end":
            assert (effect.attempt, effect.pid) == (attempt, holder), ("two attempts ran at once", effects)
            ended = True
        else:
            told = True


def check_record(record: dict[str, Any], effects: list[Effect]) -> None:
    """The engine's record of a job agrees with its effects."""
    assert record["state"] == "completed", record
    ends = [effect.attempt for effect in effects if effect.what == "end"]
    outcomes = [attempt["outcome"] for attempt in record["attempts"]]
    assert outcomes.count("succeeded") == 1, record
    assert outcomes[-1] == "succeeded", record
    assert record["attempts"][-1]["number"] == ends[-1], (record, effects)


def reruns_s(effects: list[Effect], kills: dict[int, float]) -> list[float]:
    """How long after a kill of `kills` (pid and time) the attempts in it ran again, seconds."""
    waits = []
    for lines in by_job(effects).values():
        starts = [effect for effect in lines if effect.what == "start"]
        waits += [new.at_s - kills[old.pid] for old, new in pairwise(starts) if old.pid in kills]
    return waits
