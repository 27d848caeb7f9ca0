"""The logging decorator that everybody writes once, and the one that is there already.

Both print the same lines. The plain one does so for functions alone: of a coroutine function it would log that a
coroutine was made, and of a generator that there is one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from lineshaft import logged

P = ParamSpec("P")
R = TypeVar("R")


def log_calls(function: Callable[P, R]) -> Callable[P, R]:
    """With the standard library alone."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        print(f"Calling {function.__name__} with arguments {args} and keyword arguments {kwargs}")
        result = function(*args, **kwargs)
        print(f"{function.__name__} returned {result!r}")
        return result

    return wrapper


@log_calls
def plain_add(a: int, b: int) -> int:
    return a + b


@logged
def add(a: int, b: int) -> int:
    return a + b


@logged
async def fetch(url: str, retries: int = 3) -> str:
    await asyncio.sleep(0.01)
    return f"page of {url}"


@logged
def countdown(start: int) -> Iterator[int]:
    while start:
        yield start
        start -= 1


@logged(redact="password")
def log_in(user: str, password: str) -> bool:
    return password == "correct horse"


if __name__ == "__main__":
    plain_add(3, 5)
    add(3, 5)
    asyncio.run(fetch("https://example.org", retries=1))
    print(list(countdown(3)))
    log_in("ada", password="correct horse")
