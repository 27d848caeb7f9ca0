"""Ten thousand sleeping jobs in one child: how soon they have all started, and what memory each of them takes.

The child is warm. The clock starts when the first of them is enqueued and stops when the last one has begun; memory is
what the child grew by, divided by the jobs.

Usage: python benches/async_slots.py [--jobs N] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000, help="sleeping jobs (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    options = parser.parse_args()
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds} …", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="lineshaft-slots-", dir=Path.cwd()) as directory:
            home = Path(directory) / "home"
            (Path(directory) / "slots_app.py").write_text(APP.format(home=str(home)))
            code = f"import sys; sys.path[:0] = [{directory!r}, {str(Path(__file__).parent)!r}]\n"
            code += f"import async_slots; async_slots.inside({options.jobs})"
            run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            rounds.append([float(word) for word in run.stdout.split()])
            stop = [Path(sys.executable).with_name("lineshaft"), "stop", "--home", home]
            subprocess.run(stop, check=False, capture_output=True)
    names = (
        "all started after the first enqueue, s",
        "all started after the last enqueue, s",
        "bytes per sleeping job",
    )
    goals = ("", "≤ 1", "≤ 4,096")
    print(f"{'figure':42} {'median':>10} {'least':>10} {'greatest':>10}  goal")
    for name, goal, values in zip(names, goals, zip(*rounds, strict=True), strict=True):
        digits = 3 if max(values) < 100 else 0
        shown = " ".join(f"{value:10,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
        print(f"{name:42} {shown}  {goal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
