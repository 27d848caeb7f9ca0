"""Ten thousand sleeping jobs in one child: how soon they have all started, and what memory each of them takes.

The child is warm. The clock starts when the first of them is enqueued and stops when the last one has begun; memory is
what the child grew by, divided by the jobs.

Usage: python benches/async_slots.py [--jobs N] [--rounds N]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rounds import rounds, run, show

APP = """
import asyncio
import os
import time

from lineshaft import App

app = App({home!r})

@app.task
async def sleeps(n: int, seconds: float) -> tuple[float, int]:
    started = time.time()
    await asyncio.sleep(seconds)
    return started, os.getpid()
"""


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def inside(jobs: int) -> None:
    """One round, in a process of its own."""
    import slots_app

    with slots_app.app.workers(1, kind="async", slots=jobs):
        # As many as will come, so that what grows once has grown.
        warm = slots_app.sleeps.enqueue_many(slots_app.sleeps.si(n, 0.0) for n in range(2_000))
        pid = warm[-1].result()[1]
        for job in warm:
            job.wait()
        time.sleep(1.0)
        before = rss_bytes(pid)
        began = time.time()
        handles = slots_app.sleeps.enqueue_many(slots_app.sleeps.si(n, 6.0) for n in range(jobs))
        enqueued = time.time()
        time.sleep(3.0)
        grown = rss_bytes(pid) - before
        started = [job.result()[0] for job in slots_app.app.as_completed(handles)]
    print(max(started) - began, max(started) - enqueued, grown / jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000, help="sleeping jobs (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    options = parser.parse_args()
    goals = {
        "all started after the first enqueue, s": "",
        "all started after the last enqueue, s": "≤ 1",
        "bytes per sleeping job": "≤ 4,096",
    }
    figures = {name: [] for name in goals}
    for directory in rounds("slots", options.rounds, APP):
        words = run(directory, f"import async_slots; async_slots.inside({options.jobs})").split()
        for values, word in zip(figures.values(), words, strict=True):
            values.append(float(word))
    show(figures, goals)


if __name__ == "__main__":
    main()
