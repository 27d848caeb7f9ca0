"""What being profiled costs: `profiles.py PAIRS SITE`, with pyinstrument in SITE.

The same work without and with, in turns, in this process; the overhead is the median over the pairs. One of those that
are compared is nothing at all: what that differs by is what the machine does, not a profiler.
"""

from __future__ import annotations

import cProfile
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lineshaft

GOAL = 0.03
WORDS = [f"word{number % 97}" for number in range(400)]

Around = Callable[[], AbstractContextManager[Any]]


def fib(number: int) -> int:
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def count(words: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word.upper()] = found.get(word.upper(), 0) + len(word)
    return found


def work() -> None:
    """Calls, loops and dictionaries of plain Python, for somewhat less than a second."""
    for _ in range(400):
        fib(17)
        for _ in range(30):
            count(WORDS)
        sorted(WORDS, key=lambda word: word[::-1])


def systems(site: str) -> dict[str, Around]:
    found: dict[str, Around] = {
        "nothing": nullcontext,
        "lineshaft, 100 a second": lineshaft.profile,
        "lineshaft, all threads": lambda: lineshaft.profile(threads="all"),
        "lineshaft, 1,000 a second": lambda: lineshaft.profile(hz=1_000),
        "cProfile": cProfile.Profile,
    }
    sys.path.append(site)
    try:
        from pyinstrument import Profiler
    except ImportError as error:
        print(f"  pyinstrument is left out: {error}")
    else:
        found["pyinstrument"] = Profiler
    return found


def seconds(around: Around) -> tuple[float, float]:
    """Of the clock, and of the processor for all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    with around():
        work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main(pairs: int, site: str) -> None:
    kinds = systems(site)
    work()
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(pairs):
        for name, around in kinds.items():
            plain, profiled = seconds(nullcontext), seconds(around)
            ratios[name].append((profiled[0] / plain[0] - 1, profiled[1] / plain[1] - 1))
    print(f"overhead on plain Python, median of {pairs} pairs, on the clock and of processors:")
    for name, found in ratios.items():
        wall, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        low, high = min(found)[0], max(found)[0]
        goal = f"  goal {GOAL:.0%}: {'met' if wall <= GOAL else 'MISSED'}" if name.endswith("100 a second") else ""
        print(f"  {name:26} {wall:+7.1%} ({low:+.1%} to {high:+.1%}), processors {cpu:+.1%}{goal}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
