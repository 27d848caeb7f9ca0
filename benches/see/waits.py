"""What a profile says threads waited for: `waits.py SECONDS`, for so long each kind of work.

Beside it how often, and for how long, a thread that merely wakes 100 times a second had to wait for the interpreter's
lock in the same work: what that says is much the same for one busy thread as for four.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
import zlib
from collections.abc import Callable

import lineshaft

DATA = bytes(range(256)) * 4_096
LOCK = threading.Lock()
PERIOD = 0.01
LATE = 0.001

Work = Callable[[], object]


def computes() -> int:
    return sum(number * number for number in range(1_000))


def compresses() -> bytes:
    return zlib.compress(DATA, 6)


def rests() -> None:
    time.sleep(0.009)
    for _ in range(8_000):
        pass


def takes_turns() -> None:
    with LOCK:
        time.sleep(0.02)


WORKS: list[tuple[str, Work, int]] = [
    ("one, plain Python", computes, 1),
    ("four, plain Python", computes, 4),
    ("two in zlib, without the lock", compresses, 2),
    ("four that mostly sleep", rests, 4),
    ("four that take turns with a lock", takes_turns, 4),
]


def main(seconds: float) -> None:
    print(
        "  by a thread that wakes 100 times a second: how many wakings came over 1 ms late, and by how much on average;"
    )
    print("  by a profile: time that waited for the interpreter's lock and for locks, of that of the threads")
    for name, work, count in WORKS:
        late = woken_late(work, count, seconds)
        of_interpreter, of_locks, whole = profiled(work, count, seconds)
        shares = f"{of_interpreter:6.2f} s {of_locks:6.2f} s of {whole:5.2f} s"
        print(f"  {name:34} {share(late):5.0%} {statistics.mean(late) * 1e3:8.2f} ms    {shares}")


def share(late: list[float]) -> float:
    return sum(one > LATE for one in late) / len(late)


def running(work: Work, count: int, seconds: float) -> list[threading.Thread]:
    until = time.monotonic() + seconds

    def run() -> None:
        while time.monotonic() < until:
            work()

    threads = [threading.Thread(target=run, name=f"worker {number}") for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def woken_late(work: Work, count: int, seconds: float) -> list[float]:
    threads = running(work, count, seconds)
    late = []
    while threads[0].is_alive():
        due = time.perf_counter() + PERIOD
        time.sleep(PERIOD)
        late.append(time.perf_counter() - due)
    for thread in threads:
        thread.join()
    return late


def profiled(work: Work, count: int, seconds: float) -> tuple[float, float, float]:
    with lineshaft.profile(threads="all") as found:
        threads = running(work, count, seconds)
        while any(thread.is_alive() for thread in threads):
            time.sleep(PERIOD)
    functions = found.hot_functions(1_000)
    waits = {one.function: one.wall for one in functions}
    own = [one.total_wall for one in functions if one.file == __file__ and one.function.endswith("run")]
    return waits.get("(waits for the interpreter's lock)", 0.0), waits.get("(waits for a lock)", 0.0), sum(own)


if __name__ == "__main__":
    main(float(sys.argv[1]))
