"""What an attempt costs whose memory is profiled: `memory.py PAIRS`.

The same attempts without a profile, with one of their time and with one of their memory, in turns, in one worker with
one process; by how much the last ones are slower is the median of the ratios. Seconds are those of processors, which
the process took from before the attempt until after it, so that reading all blocks at the end counts, and what else
runs on the machine does not; a millisecond or two of them are what any job takes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from typing import Any

from lineshaft import App, Task

app = App(tempfile.mkdtemp(prefix="lineshaft-memory"))
kept: list[Any] = []


def fib(number: int) -> int:
    return number if number < 2 else fib(number - 1) + fib(number - 2)


@app.task
def calls() -> None:
    """Functions and numbers, which take no memory that Python asks for."""
    for _ in range(60):
        fib(19)


@app.task
def allocates() -> None:
    """Small objects that are given back, and little else."""
    for _ in range(60):
        [[number] for number in range(20_000)]


@app.task
def keeps(blocks: int) -> None:
    kept[:] = [bytes(100) for _ in range(blocks)]


@app.task
def spent() -> float:
    return time.process_time()


def seconds(task: Task[..., None], profile: Any, *arguments: int) -> float:
    before = spent.enqueue().result(600)
    task.using(profile=profile).enqueue(*arguments).result(600)
    return spent.enqueue().result(600) - before


def compare(pairs: int, name: str, task: Task[..., None], *arguments: int) -> None:
    rows = []
    for _ in range(pairs):
        none, plain, memory = (seconds(task, look, *arguments) for look in (False, True, "memory"))
        rows.append((none, plain, memory, memory / plain))
    none, plain, memory, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    low, high = (pick(row[3] for row in rows) for pick in (min, max))
    print(f"  {name:24} {none:8.3f} s {plain:8.3f} s {memory:8.3f} s   {ratio:5.2f} ({low:.2f} to {high:.2f})")


def main(pairs: int) -> None:
    print(f"processor time of attempts, median of {pairs}: none, profile=True, profile='memory', ratio of the last two")
    with app.workers(1):
        seconds(calls, False)
        compare(pairs, "calls and numbers", calls)
        compare(pairs, "small objects", allocates)
        for blocks in (10_000, 100_000, 1_000_000):
            compare(pairs, f"keeps {blocks:,} blocks", keeps, blocks)


if __name__ == "__main__":
    main(int(sys.argv[1]))
