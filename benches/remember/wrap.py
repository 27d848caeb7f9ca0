"""What decorators add to a call that there is nothing to do about: `wrap.py ROUNDS SITE`, with the others in SITE."""

from __future__ import annotations

import asyncio
import functools
import logging
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import lineshaft

sys.path.append(sys.argv[2])
import stamina
import tenacity
import wrapt

CALLS = 100_000
GOAL_NS = 100
WITH_GOAL = {"retry, lineshaft", "timed, lineshaft", "logged and off, lineshaft"}
logger = logging.getLogger("benches.wrap")
logger.setLevel("WARNING")


@lineshaft.decorator
def around(call):
    yield


@wrapt.decorator
def wrapt_around(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)


def functools_around(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def functools_logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("calling %s", function.__name__)
        return function(*args, **kwargs)

    return wrapper


def functools_timed(function: Any) -> Any:
    durations = []

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            durations.append(time.perf_counter() - began)

    return wrapper


def functools_retry(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            try:
                return function(*args, **kwargs)
            except ConnectionError:
                time.sleep(0.1)
        return function(*args, **kwargs)

    return wrapper


SYSTEMS: dict[str, Callable[[Any], Any]] = {
    "retry, lineshaft": lineshaft.retry(on=ConnectionError),
    "retry, functools": functools_retry,
    "retry, tenacity": tenacity.retry(
        retry=tenacity.retry_if_exception_type(ConnectionError), stop=tenacity.stop_after_attempt(4)
    ),
    "retry, stamina": stamina.retry(on=ConnectionError, attempts=4),
    "timed, lineshaft": lineshaft.timed,
    "timed, functools": functools_timed,
    "logged and off, lineshaft": lineshaft.logged(level="debug", logger=logger),
    "logged and off, functools": functools_logged,
    "limited, lineshaft": lineshaft.limited("1000000/1ms"),
    "a wrapper, functools": functools_around,
    "a wrapper, wrapt": wrapt_around,
    "a body of one's own, lineshaft": around,
}
WITHOUT_COROUTINES = ("functools", "wrapt")


def double(x: int) -> int:
    return x * 2


async def async_double(x: int) -> int:
    return x * 2


def measured(function: Callable[[int], int]) -> float:
    """Nanoseconds of CPU of a call, beside those of the loop."""
    numbers = range(CALLS)
    began = time.process_time_ns()
    for _ in numbers:
        pass
    between = time.process_time_ns()
    for number in numbers:
        function(number)
    return (time.process_time_ns() - between - (between - began)) / CALLS


async def ameasured(function: Callable[[int], Any]) -> float:
    """The same of a coroutine function."""
    numbers = range(CALLS // 5)
    began = time.process_time_ns()
    for number in numbers:
        await function(number)
    return (time.process_time_ns() - began) / len(numbers)


def shown(title: str, plain: list[float], figures: dict[str, list[float]]) -> None:
    """Prints what each adds to a plain call, by the medians of the rounds."""
    base = statistics.median(plain)
    print(f"{title}: a plain call {base:.0f} ns; more than that:")
    for name, some in figures.items():
        added = [each - base for each in some]
        goal = ""
        if name in WITH_GOAL and title == "functions":
            goal = f"  goal {GOAL_NS}: {'met' if statistics.median(added) <= GOAL_NS else 'MISSED'}"
        print(f"  {name:32} {statistics.median(added):7.0f} ns ({min(added):.0f} to {max(added):.0f}){goal}")


def main(rounds: int) -> None:
    functions = {name: decorate(double) for name, decorate in SYSTEMS.items()}
    coroutines = {
        name: decorate(async_double) for name, decorate in SYSTEMS.items() if not name.endswith(WITHOUT_COROUTINES)
    }
    plain, aplain = [], []
    figures: dict[str, list[float]] = {name: [] for name in functions}
    afigures: dict[str, list[float]] = {name: [] for name in coroutines}
    for _ in range(rounds):
        plain.append(measured(double))
        for name, function in functions.items():
            figures[name].append(measured(function))
        aplain.append(asyncio.run(ameasured(async_double)))
        for name, function in coroutines.items():
            afigures[name].append(asyncio.run(ameasured(function)))
    shown("functions", plain, figures)
    shown("coroutine functions", aplain, afigures)


if __name__ == "__main__":
    main(int(sys.argv[1]))
