"""Pools of two processes, ours beside those of the standard library, and of loky and mpire where they are installed.

That of an app has a durable job for each item, in a home on the disk where temporary files are.

`python benches/parallel/pool.py [--rounds 3] [--only NAME]`. Each figure is the median of the rounds, with the least
and the greatest beside it; the pools take turns.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from lineshaft import App, Executor, Pool
from lineshaft.testing import private_engine

PROCESSES = 2
app = App()
Map = Callable[..., Any]
"""Function, items and, by name, `chunksize`."""


def add_one(number: int) -> int:
    return number + 1


def last_byte(array: Any) -> int:
    return int(array[-1])


def spin(seconds: float) -> float:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


TASKS = {function: app.task(function) for function in (add_one, last_byte, spin)}
"""The same functions for the engine's workers; those of other pools call them as they are."""


@contextmanager
def our_jobs(_: str) -> Iterator[Map]:
    with private_engine("tmp"), app.workers(PROCESSES), app.pool() as pool:
        yield lambda function, items, **chunksize: pool.map(TASKS[function], items, **chunksize)


@contextmanager
def ours(method: str) -> Iterator[Map]:
    with Pool(PROCESSES, context=multiprocessing.get_context(method)) as pool:
        yield pool.map


@contextmanager
def theirs(method: str) -> Iterator[Map]:
    with multiprocessing.get_context(method).Pool(PROCESSES) as pool:
        yield pool.map


@contextmanager
def our_executor(method: str) -> Iterator[Map]:
    with Executor(PROCESSES, multiprocessing.get_context(method)) as executor:
        yield lambda function, items, **chunksize: list(executor.map(function, items, **chunksize))


@contextmanager
def their_executor(method: str) -> Iterator[Map]:
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context(method)) as executor:
        yield lambda function, items, **chunksize: list(executor.map(function, items, **chunksize))


@contextmanager
def loky(_: str) -> Iterator[Map]:
    executor = importlib.import_module("loky").ProcessPoolExecutor(PROCESSES)
    try:
        yield lambda function, items, **chunksize: list(executor.map(function, items, **chunksize))
    finally:
        executor.shutdown(kill_workers=True)


@contextmanager
def mpire(method: str) -> Iterator[Map]:
    with importlib.import_module("mpire").WorkerPool(PROCESSES, start_method=method) as pool:
        yield lambda function, items, chunksize=None: pool.map(function, items, chunk_size=chunksize)


POOLS = {
    "lineshaft Pool": ours,
    "lineshaft Executor": our_executor,
    "lineshaft app.pool()": our_jobs,
    "multiprocessing Pool": theirs,
    "ProcessPoolExecutor": their_executor,
    "loky": loky,
    "mpire": mpire,
}


def items_per_second(open_pool: Any, items: Any, function: Any, **chunksize: int) -> float:
    """Of a hundredth of them, where that takes so long that all would take minutes."""
    with open_pool("fork") as do:
        do(add_one, range(100))
        for some in (items[: len(items) // 100], items):
            began = time.perf_counter()
            do(function, some, **chunksize)
            took = time.perf_counter() - began
            rate = len(some) / took
            if took > 0.5:
                break
    return rate


def over_bound(open_pool: Any, times: list[float]) -> float:
    """How much longer a map takes than it must."""
    with open_pool("fork") as do:
        do(add_one, range(100))
        began = time.perf_counter()
        do(spin, times)
        took = time.perf_counter() - began
    return took / max(sum(times) / PROCESSES, max(times))


def start_ms(open_pool: Any, method: str) -> float:
    """From nothing to the first result of both processes."""
    began = time.perf_counter()
    with open_pool(method) as do:
        do(spin, [0.001] * PROCESSES, chunksize=1)
        return (time.perf_counter() - began) * 1e3


def shapes() -> dict[str, list[float]]:
    """Seconds of 2,000 items, about a millisecond each."""
    chance = random.Random(7)
    return {
        "near-constant": [1e-3 * chance.uniform(0.95, 1.05) for _ in range(2_000)],
        "log-normal": [0.6e-3 * chance.lognormvariate(0, 1) for _ in range(2_000)],
        "Pareto": [0.25e-3 * chance.paretovariate(1.2) for _ in range(2_000)],
    }


def measurements() -> dict[str, Callable[[Any], float]]:
    """What is measured, by name with its unit."""
    rate = items_per_second
    found: dict[str, Callable[[Any], float]] = {
        "x + 1, M items/s": lambda pool: rate(pool, range(2_000_000), add_one) / 1e6,
        "x + 1 one by one, k items/s": lambda pool: rate(pool, range(20_000), add_one, chunksize=1) / 1e3,
        "arrays of 1 MB/s": lambda pool: rate(pool, arrays(), last_byte),
        "start by fork, ms": lambda pool: start_ms(pool, "fork"),
        "start by spawn, ms": lambda pool: start_ms(pool, "spawn"),
    }
    for shape, times in shapes().items():
        found[f"{shape} items, time over bound"] = functools.partial(over_bound, times=times)
    return found


@functools.cache
def arrays() -> list[Any]:
    numpy = importlib.import_module("numpy")
    return [numpy.full(1_000_000, number % 250, dtype=numpy.uint8) for number in range(400)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a part of the names of what is measured")
    options = parser.parse_args()
    pools = {name: pool for name, pool in POOLS.items() if "line" in name or is_there(name)}
    print(f"{PROCESSES} processes, median of {options.rounds} (least to greatest)")
    for what, measure in measurements().items():
        if options.only and options.only not in what:
            continue
        print(what)
        found: dict[str, list[float]] = {name: [] for name in pools}
        for _ in range(options.rounds):
            for name, pool in pools.items():
                found[name].append(measure(pool))
        for name, values in found.items():
            print(
                f"  {name:22} {statistics.median(values):10.3f}  ({min(values):.3f} to {max(values):.3f})", flush=True
            )


def is_there(name: str) -> bool:
    return name not in ("loky", "mpire") or importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    main()
