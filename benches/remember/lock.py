"""Locks of the engine: `lock.py ROUNDS`. Alone beside what the disk takes to write twice, and by 64 clients at once."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lineshaft import App

TIMES = 500
PROCESSES, CLIENTS = 4, 16
SECONDS = 5.0
GOAL_OVER_US, GOAL_RATE = 200.0, 10_000.0


def main() -> int:
    rounds = int(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        home = Path(directory, "home")
        app = App(home)
        try:
            syncs, alone = [], []
            for _ in range(rounds):
                syncs.append(median_us(probe(Path(directory, "probe"))))
                alone.append(median_us(taken(app)))
            sync, ours = statistics.median(syncs), statistics.median(alone)
            over = ours - 2 * sync
            print(f"acquire and release, alone  {ours:9,.0f} us  fdatasync {sync:,.0f} us, twice and {over:,.0f} us; "
                  f"goal {GOAL_OVER_US:,.0f}: {word(over <= GOAL_OVER_US)}")  # fmt: skip
            rate = statistics.median(by_many(home) for _ in range(rounds))
            print(f"locks by {PROCESSES * CLIENTS} clients        {rate:9,.0f} /s  "
                  f"goal {GOAL_RATE:,.0f}: {word(rate >= GOAL_RATE)}")  # fmt: skip
        finally:
            stop = [sys.executable, "-m", "lineshaft", "stop", "--home", str(home)]
            subprocess.run(stop, check=False, capture_output=True)
    return 0 if over <= GOAL_OVER_US and rate >= GOAL_RATE else 1


def word(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def median_us(call: Callable[[], None]) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


def probe(path: Path) -> Callable[[], None]:
    """A small write into a file that has its length, and its way to the disk: what a commit does."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(4 << 20), 0)
    os.fsync(file)
    offset = 0

    def write() -> None:
        nonlocal offset
        os.pwrite(file, b"x" * 256, offset % (4 << 20))
        os.fdatasync(file)
        offset += 256

    return write


def taken(app: App) -> Callable[[], None]:
    def take() -> None:
        with app.lock("alone"):
            pass

    return take


def by_many(home: Path) -> float:
    """Locks a second by clients that each have a key of their own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        counts = pool.starmap(of_clients, [(str(home), number) for number in range(PROCESSES)])
    return sum(counts) / SECONDS


def of_clients(home: str, process: int) -> int:
    counts = [0] * CLIENTS
    ready = threading.Barrier(CLIENTS)

    def run(number: int) -> None:
        take = App(home).lock(f"{process} {number}")
        with take:
            pass
        ready.wait()
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            with take:
                counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


if __name__ == "__main__":
    sys.exit(main())
