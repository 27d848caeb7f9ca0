"""The cache of the engine: `engine.py ROUNDS SITE`. A hit, a stored value and an invalidated tag, beside Redis.

That is `redis-server` in a directory of its own, without and with a write of the disk for each change.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lineshaft import App

TIMES = 2_000
ENTRIES = 100_000
VALUE = {"user": 7, "name": "somebody", "roles": ["one", "two"], "score": 0.5}


def main() -> int:
    rounds, site = int(sys.argv[1]), sys.argv[2]
    directory = Path(tempfile.mkdtemp(dir=Path.cwd()))
    app = App(directory / "home")

    @app.cached(scope="engine")
    def user(number: int) -> dict[str, Any]:
        return VALUE

    try:
        rows = {
            "hit of a function": lambda: user(1),
            "app.cache.get": lambda: app.cache.get("user:1"),
            "app.cache.set, durable": lambda: app.cache.set("user:1", VALUE),
            "app.cache.invalidate(tag)": lambda: app.cache.invalidate(tag="nobody"),
        }
        app.cache.set("user:1", VALUE)
        user(1)
        with redis(site, directory, "no") as volatile, redis(site, directory, "always") as durable:
            if volatile is not None and durable is not None:
                packed = pickle.dumps(VALUE)
                volatile.set("user:1", packed)
                rows["redis-py, get"] = lambda: pickle.loads(volatile.get("user:1"))
                rows["redis-py, set in memory"] = lambda: volatile.set("user:1", pickle.dumps(VALUE))
                rows["redis-py, set, appendfsync always"] = lambda: durable.set("user:1", pickle.dumps(VALUE))
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
            for _ in range(rounds):
                for name, call in rows.items():
                    found[name].append(measured(call))
        print(f"{'':36} median us   CPU us of this process")
        for name, figures in found.items():
            took, cpu = (statistics.median(one) for one in zip(*figures, strict=True))
            print(f"{name:36} {took:9.1f} {cpu:9.1f}")
        tag_of_many(app)
        return 0
    finally:
        stop = [sys.executable, "-m", "lineshaft", "stop", "--home", str(directory / "home")]
        subprocess.run(stop, check=False, capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """The median time of a call and its CPU in this process, microseconds."""
    times, cpu = [], time.process_time()
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times), 1e6 * (time.process_time() - cpu) / TIMES


def tag_of_many(app: App) -> None:
    """What it takes to make a tag of many entries untrue."""

    async def fill() -> None:
        for first in range(0, ENTRIES, 500):
            await asyncio.gather(
                *(app.cache.aset(f"item:{number}", number, tags=["items"]) for number in range(first, first + 500))
            )

    began = time.perf_counter()
    asyncio.run(fill())
    filled = time.perf_counter() - began
    began = time.perf_counter()
    app.cache.invalidate(tag="items")
    took = 1e6 * (time.perf_counter() - began)
    found = app.cache.get("item:7")
    assert found is None
    print(f"a tag of {ENTRIES:,} entries              {took:9.1f}   stored by coroutines at {ENTRIES / filled:,.0f} /s")


@contextlib.contextmanager
def redis(site: str, directory: Path, fsync: str) -> Iterator[Any]:
    """A client of a server of its own; None where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        print("no redis-server here: not compared")
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = directory / f"redis-{fsync}"
    place.mkdir()
    keeps = ["--appendonly", "yes", "--appendfsync", "always"] if fsync == "always" else ["--appendonly", "no"]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(place), "--save", "", *keeps]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sys.path.append(site)
    try:
        import redis as library

        client = library.Redis(port=port)
        for _ in range(100):
            with contextlib.suppress(library.ConnectionError):
                client.ping()
                break
            time.sleep(0.1)
        yield client
        client.close()
    finally:
        sys.path.remove(site)
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
