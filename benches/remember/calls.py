"""Decorated calls that are answered from the cache: `calls.py ROUNDS SITE`, with cachetools in SITE."""

from __future__ import annotations

import functools
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from lineshaft import cached

sys.path.append(sys.argv[2])
import cachetools

CALLS = 200_000
THREADS = 1_000
GOAL_NS = 150


def double(x: int) -> int:
    return x * 2


SYSTEMS: dict[str, Callable[..., Any]] = {
    "lineshaft, ttl": cached(ttl="1h")(double),
    "lineshaft, no ttl": cached(double),
    "functools.lru_cache, no ttl": functools.lru_cache(10_000)(double),
    "cachetools, ttl and lock": cachetools.cached(cachetools.TTLCache(10_000, 3_600), lock=threading.Lock())(double),
}


def measured(function: Callable[[int], int]) -> float:
    """Nanoseconds of CPU of a call, beside those of the loop."""
    numbers = [number % 100 for number in range(CALLS)]
    for number in numbers[:100]:
        function(number)
    began = time.process_time_ns()
    for _ in numbers:
        pass
    between = time.process_time_ns()
    for number in numbers:
        function(number)
    return (time.process_time_ns() - between - (between - began)) / CALLS


def misses() -> int:
    """How often a thousand threads that miss one key at once compute it."""
    computed = []

    @cached
    def slow(x: int) -> int:
        computed.append(x)
        time.sleep(0.5)
        return x

    threads = [threading.Thread(target=slow, args=(1,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(computed)


def main(rounds: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    for _ in range(rounds):
        for name, function in SYSTEMS.items():
            figures[name].append(measured(function))
    for name, some in figures.items():
        goal = f"  goal {GOAL_NS}" if name == "lineshaft, ttl" else ""
        print(f"{name:30} {statistics.median(some):7.0f} ns a hit ({min(some):.0f} to {max(some):.0f}){goal}")
    print(f"{THREADS:,} concurrent misses of one key: computed {misses()} time(s), goal 1")


if __name__ == "__main__":
    main(int(sys.argv[1]))
