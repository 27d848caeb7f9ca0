"""Functions whose results processes share; which processes do what is up to `test_cached_host.py`."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import time
from pathlib import Path

from lineshaft import App

app = App(os.environ["HOST_CACHE_HOME"], host_cache=os.environ.get("HOST_CACHE_ROOM", "4MiB"))
marks = Path(os.environ["HOST_CACHE_MARKS"])


def mark(what: str) -> None:
    with (marks / what).open("ab") as file:
        file.write(b"x")


@dataclasses.dataclass
class Price:
    item: str
    cents: int


@app.cached(tags=lambda item, **_: [f"item:{item}"])
def price(item: str, *, tax: bool = False) -> Price:
    mark(f"price-{item}")
    return Price(item, len(item) * 100 + tax)


@app.cached
def slow(number: int) -> int:
    mark(f"slow-{number}")
    time.sleep(float(os.environ.get("HOST_CACHE_SLOW", "0.2")))
    return number + 1


@app.cached(negative="1h")
def fails(number: int) -> int:
    mark(f"fails-{number}")
    raise LookupError(f"no {number}", number)


@app.cached
async def later(number: int) -> list[int]:
    mark(f"later-{number}")
    await asyncio.sleep(0.05)
    return [number]


def numbers() -> None:
    """Gets and makes untrue, until it is killed; what it gets is what was computed."""
    seed = os.getpid()
    while True:
        seed = (seed * 1_103_515_245 + 12_345) % 2**31
        number = seed // 7 % 50
        if seed % 11 == 0:
            blob.cache.invalidate(number)
        assert blob(number) == bytes([number]) * (number * 40)


@app.cached
def blob(number: int) -> bytes:
    return bytes([number]) * (number * 40)


if __name__ == "__main__":
    exec(sys.argv[1])
