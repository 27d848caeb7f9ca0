"""Cached results of tasks: `task.py ROUNDS`. A call that is answered from the cache beside one that makes a job."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lineshaft import App

TIMES = 500
KEPT = 10_000
"""Results in the cache."""

# Workers import this too, and have the environment of the program.
HOME = Path(os.environ.get("REMEMBER_HOME") or Path(tempfile.mkdtemp(dir=Path.cwd()), "home"))
os.environ["REMEMBER_HOME"] = str(HOME)
app = App(HOME)


@app.task
def plain(item: int) -> float:
    return item / 100


@app.task(cache="24h")
def cached(item: int) -> float:
    return item / 100


def main() -> int:
    rounds = int(sys.argv[1])
    try:
        with app.workers(1):
            cached.map(range(KEPT))
        made, found, results = [], [], []
        for _ in range(rounds):
            made.append(median_us(lambda: plain.enqueue(1)))
            found.append(median_us(lambda: cached.enqueue(1)))
            results.append(median_us(lambda: cached.enqueue(1).result()))
        ordinary, answered = statistics.median(made), statistics.median(found)
        print(f"a call that makes a job     {ordinary:9,.0f} us")
        print(f"one answered from the cache {answered:9,.0f} us  1/{ordinary / answered:.1f} of that, {KEPT:,} results")
        print(f"the same and its result     {statistics.median(results):9,.0f} us")
        began = time.perf_counter()
        cleared = cached.cache.clear()
        print(f"clear of {cleared:,} results    {1e3 * (time.perf_counter() - began):9,.0f} ms")
        return 0 if answered < ordinary and cleared == KEPT else 1
    finally:
        stop = [sys.executable, "-m", "lineshaft", "stop", "--home", str(HOME)]
        subprocess.run(stop, check=False, capture_output=True)
        shutil.rmtree(HOME.parent, ignore_errors=True)


def median_us(call: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
