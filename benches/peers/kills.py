"""What a system loses: 200 jobs of 50 ms on two worker processes, `kill -9` at job 40."""

from __future__ import annotations

import itertools
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bodies
import processes
import servers
from throughput import start_workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

JOBS, KILL_AT = 200, 40


@dataclass
class Event:
    """A line of the file that the bodies write."""

    what: str
    job: int
    pid: int
    at: float


def measure(system: ModuleType, patience: float, victim: str) -> dict[str, Any]:
    """Kills one worker process, the whole worker (another is started at once) or the server (started again)."""
    workers = start_workers(system)
    try:
        system.enqueue_many(system.work, range(JOBS))
        _wait(lambda: sum(event.what == "begun" for event in events()) >= KILL_AT, 60)
        killed, interrupted = time.monotonic(), _running()
        if victim == "child":
            killed, interrupted = _kill_amid(lambda: [event.pid for event in _running()[-1:]])
        elif victim == "worker":
            killed, interrupted = _kill_amid(lambda: processes.tree(workers.pid))
            workers.wait()
            workers = start_workers(system)
        else:
            system.server.kill()
            system.server.start()
        _wait(lambda: len(_ended()) == JOBS, killed + patience - time.monotonic())
    finally:
        servers.kill(workers)
    return _figures(killed, {event.job for event in interrupted}) | {"victim": victim}


def _kill_amid(choose: Callable[[], list[int]]) -> tuple[float, list[Event]]:
    """Kills processes that are in the midst of jobs: stopped first, so that what they run is what is interrupted."""
    while True:
        pids = choose()
        processes.send(signal.SIGSTOP, pids)
        if interrupted := [event for event in _running() if event.pid in pids]:
            killed = time.monotonic()
            processes.kill(pids)
            return killed, interrupted
        processes.send(signal.SIGCONT, pids)
        time.sleep(0.005)


def _figures(killed: float, interrupted: set[int]) -> dict[str, Any]:
    """What was lost or done twice, when the last interrupted job ran again, the longest time in which none began."""
    seen = events()
    begun = [event for event in seen if event.what == "begun" and event.at > killed]
    again: dict[int, float] = {}
    for event in begun:
        if event.job in interrupted:
            again.setdefault(event.job, event.at - killed)
    moments = [killed, *sorted(event.at for event in begun)]
    return {
        "not_run": JOBS - len(_ended()),
        "done_twice": sum(event.what == "ended" for event in seen) - len(_ended()),
        "interrupted": len(interrupted),
        "again_after_s": max(again.values(), default=None),
        "pause_s": max((after - before for before, after in itertools.pairwise(moments)), default=None),
    }


def events() -> list[Event]:
    """What the bodies said so far."""
    lines = bodies.WORK.read_text().splitlines() if bodies.WORK.exists() else []
    return [Event(what, int(job), int(pid), float(at)) for what, job, pid, at in map(str.split, lines)]


def _ended() -> set[int]:
    return {event.job for event in events() if event.what == "ended"}


def _running() -> list[Event]:
    ended = _ended()
    return [event for event in events() if event.what == "begun" and event.job not in ended]


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
