"""Results that the processes of a host share: `host.py ROUNDS SITE`, with diskcache in SITE."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineshaft import App

sys.path.append(sys.argv[2])
import diskcache

CALLS = 50_000
KEYS = 100
READERS = 8
GOAL_NS = 2_000
GOAL_SCALE = 0.8

HOME = Path(tempfile.mkdtemp(), "home")
app = App(HOME, host_cache="256MiB")


@app.cached(ttl="1h", tags=["some"])
def double(x: int) -> int:
    return x * 2


@app.cached
def slow(x: int, marks: str) -> int:
    with open(marks, "ab") as file:
        file.write(b"x")
    time.sleep(1)
    return x


def cpu_of_a_hit(function: Callable[[int], int]) -> float:
    """Nanoseconds of CPU."""
    numbers = [number % KEYS for number in range(CALLS)]
    for number in numbers[:KEYS]:
        function(number)
    began = time.process_time_ns()
    for number in numbers:
        function(number)
    return (time.process_time_ns() - began) / CALLS


def read(calls: int, barrier: Any, spent: Any) -> None:
    """Puts the nanoseconds of CPU of a call into `spent`: what waiting for others costs shows there."""
    for number in range(KEYS):
        double(number)
    barrier.wait()
    began = time.process_time_ns()
    for number in range(calls):
        double(number % KEYS)
    spent.put((time.process_time_ns() - began) / calls)


def scale() -> float:
    """How fast a reader is among as many as there are, beside one that is alone."""
    context = multiprocessing.get_context("fork")

    def spent_by(readers: int) -> float:
        barrier, spent = context.Barrier(readers), context.SimpleQueue()
        processes = [context.Process(target=read, args=(CALLS, barrier, spent)) for _ in range(readers)]
        for process in processes:
            process.start()
        times = [spent.get() for _ in processes]
        for process in processes:
            process.join()
        return statistics.median(times)

    return spent_by(1) / spent_by(READERS)


def ask(barrier: Any, marks: str) -> None:
    barrier.wait()
    threads = [threading.Thread(target=slow, args=(1, marks)) for _ in range(1_000 // READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def misses() -> int:
    """How often 1,000 threads of eight processes that miss one key at once compute it."""
    context = multiprocessing.get_context("fork")
    marks, barrier = str(HOME.with_name("marks")), context.Barrier(READERS)
    processes = [context.Process(target=ask, args=(barrier, marks)) for _ in range(READERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return os.path.getsize(marks)


def tag_us() -> float:
    """Microseconds of invalidating a tag that a million entries have, of nine such tags."""
    tags = [f"all {number}" for number in range(9)]

    @app.cached(tags=tags)
    def number(x: int) -> int:
        return x

    for x in range(1_000_000):
        number(x)
    took = []
    for tag in tags:
        began = time.perf_counter()
        number.cache.invalidate(tag=tag)
        took.append(time.perf_counter() - began)
    assert number.cache.peek(999_999) is None
    return statistics.median(took) * 1e6


def main(rounds: int) -> None:
    disk = diskcache.Cache(str(HOME.with_name("disk")))
    systems = {"lineshaft, host": double, "diskcache": disk.memoize(expire=3_600)(double.__wrapped__)}
    figures: dict[str, list[float]] = {name: [] for name in systems}
    scales = []
    for _ in range(rounds):
        for name, function in systems.items():
            figures[name].append(cpu_of_a_hit(function))
        scales.append(scale())
    for name, some in figures.items():
        goal = f"  goal {GOAL_NS}" if name == "lineshaft, host" else ""
        print(f"{name:20} {statistics.median(some):7.0f} ns of CPU a hit ({min(some):.0f} to {max(some):.0f}){goal}")
    print(f"{READERS} readers: each {statistics.median(scales):.2f} times as fast as one alone, goal {GOAL_SCALE}")
    print(f"1,000 concurrent misses of one key over {READERS} processes: computed {misses()} time(s), goal 1")
    print(f"a tag of a million entries: {tag_us():.1f} us, goal 20")


if __name__ == "__main__":
    main(int(sys.argv[1]))
