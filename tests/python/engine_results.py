"""Functions whose results programs of a home share; which programs do what is up to `test_cached_engine.py`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from lineshaft import App

app = App(os.environ["ENGINE_CACHE_HOME"])
marks = Path(os.environ["ENGINE_CACHE_MARKS"])


def mark(what: str) -> None:
    with (marks / what).open("ab") as file:
        file.write(b"x")


@app.cached(scope="engine")
def slow(number: int) -> int:
    mark(f"slow-{number}")
    time.sleep(float(os.environ.get("ENGINE_CACHE_SLOW", "0.3")))
    return number + 1


@app.cached(scope="engine")
def ping(number: int) -> int:
    """Needs `pong` of the same number, and that one this."""
    mark("ping")
    time.sleep(0.3)
    return pong(number) if number else 1


@app.cached(scope="engine")
def pong(number: int) -> int:
    mark("pong")
    time.sleep(0.3)
    return ping(0) + (ping(number - 1) if number > 1 else 0)


if __name__ == "__main__":
    exec(sys.argv[1])
