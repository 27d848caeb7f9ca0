"""An app for the tests of profiles of attempts."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import tracemalloc
import zlib

from lineshaft import App

app = App("unused")


def spin(seconds: float) -> int:
    """Busy in Python, by its own clock."""
    until, turns = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        turns += 1
    return turns


def doze(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def packs(seconds: float, dies: bool = False) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        zlib.compress(bytes(range(256)) * 4_000, 9)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)


@app.task
def works(seconds: float) -> None:
    spin(seconds)


@app.task(version=2, name="profileworks.versions")
def of_version(seconds: float) -> None:
    spin(seconds)


@app.task(profile=True)
def always(seconds: float) -> None:
    spin(seconds)


@app.task(profile=0.3)
def sometimes() -> None:
    spin(0.02)


@app.task
def fails(seconds: float) -> None:
    spin(seconds)
    raise ValueError("no stamp")


@app.task(timeout=1.5)
def hears_its_timeout() -> None:
    while True:
        spin(0.1)


@app.task(delivery="at_most_once")
def dies(seconds: float, number: int) -> None:
    spin(seconds)
    os.kill(os.getpid(), number)


@app.task(timeout=2.5)
def is_deaf() -> None:
    """Hears nothing, and is killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    doze(300)


@app.task
def forks(seconds: float) -> int:
    pid = os.fork()
    if not pid:
        spin(0.1)
        os._exit(0)
    spin(seconds)
    return os.waitpid(pid, 0)[1]


@app.task
def one_way(seconds: float) -> None:
    spin(seconds)


@app.task
def another_way(seconds: float) -> None:
    doze(seconds)


async def fetch(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def helper(seconds: float) -> None:
    spin(seconds)
    await fetch(seconds)


@app.task
async def waits_and_works(seconds: float) -> None:
    task = asyncio.create_task(helper(seconds))
    await fetch(seconds)
    await task


@app.task
async def neighbour(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        spin(0.01)
        await asyncio.sleep(0)


@app.task
def with_a_thread(seconds: float) -> None:
    thread = threading.Thread(target=spin, args=[seconds])
    thread.start()
    doze(seconds)
    thread.join()


@app.task
def mostly_quick(seconds: float) -> None:
    if seconds:
        spin(seconds)


kept: list[bytes] = []
"""What attempts leave in their process."""


def keep(count: int) -> None:
    kept.extend(bytes(1_000) for _ in range(count))


def keep_elsewhere(count: int) -> None:
    kept.extend(bytes(1_000) for _ in range(count))


@app.task
def keeps(count: int, seconds: float = 0.0) -> bytes:
    """And returns what it does not keep."""
    gone = [bytes(1_000) for _ in range(3 * count)]
    keep(count)
    spin(seconds)
    del gone
    return bytes(2_000_000)


@app.task(profile="memory")
def always_with_memory(count: int) -> None:
    keep(count)


@app.task
def keeps_elsewhere(count: int, seconds: float) -> None:
    spin(seconds / 2)
    keep_elsewhere(count)
    spin(seconds / 2)


@app.task
async def keeps_and_waits(count: int, seconds: float) -> None:
    await asyncio.sleep(seconds / 2)
    keep(count)
    await asyncio.sleep(seconds / 2)


@app.task
def keeps_and_fails(count: int) -> None:
    whole = [bytes(1_000) for _ in range(5 * count)]
    keep(count)
    raise ValueError(len(whole))


@app.task(delivery="at_most_once")
def keeps_and_dies(seconds: float) -> None:
    keep(1_000)
    spin(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def forks_and_is_traced() -> bool:
    """Whether the copy is."""
    pid = os.fork()
    if not pid:
        os._exit(tracemalloc.is_tracing())
    return bool(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@app.task
def traces_itself() -> bool:
    """Turns it on and leaves it so."""
    tracemalloc.start()
    return tracemalloc.is_tracing()


@app.task
def is_traced() -> bool:
    return tracemalloc.is_tracing()


@app.task(profile=False)
def never(seconds: float) -> None:
    if seconds:
        spin(seconds)
