"""Shared functions that depend on each other, for `test_cached_dependencies_shared.py`; prices are in a file, so that
whoever changes one changes it for all processes. `depending_results.py CODE`, with the home, the scope and the file in
the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lineshaft import App

app = App(os.environ["DEPENDING_HOME"], host_cache="4MiB")
scope = os.environ["DEPENDING_SCOPE"]
prices = Path(os.environ["DEPENDING_PRICES"])


@app.cached(scope=scope, tags=lambda item: [f"item:{item}"])
def price(item: str) -> str:
    return (prices / item).read_text()


@app.cached(scope=scope, depends_on=lambda item: [price.cache.key(item)])
def offer(item: str) -> str:
    return f"{item} for {price(item)}"


@app.cached(scope=scope, depends_on=lambda *items: [offer.cache.key(item) for item in items])
def page(*items: str) -> str:
    if os.environ.get("DEPENDING_WAITS"):
        print("computing", flush=True)
        shown = ", ".join(offer(item) for item in items)
        sys.stdin.readline()
        return shown
    return ", ".join(offer(item) for item in items)


if __name__ == "__main__":
    exec(sys.argv[1])
