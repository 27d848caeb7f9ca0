"""The app of the kill tests of slots: every attempt leaves its mark in a file, from a thread or a coroutine."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from lineshaft import App, current

app = App(os.environ.get("KILLS_HOME", "unused"))
effects = os.environ.get("KILLS_EFFECTS", "")


def mark(what: str, number: str) -> None:
    line = f"{what} {current.job.id} {current.attempt} {number} {os.getpid()} {time.monotonic()}\n"
    file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@app.task
def work(number: str, seconds: float) -> str:
    mark("start", number)
    time.sleep(seconds)
    mark("end", number)
    return number


@app.task
async def awork(number: str, seconds: float) -> str:
    mark("start", number)
    await asyncio.sleep(seconds)
    mark("end", number)
    return number


@app.task
async def holds(number: str) -> str:
    """Until there is enough."""
    mark("start", number)
    while not enough():
        await asyncio.sleep(0.02)
    mark("end", number)
    return number


def enough() -> bool:
    return Path(effects).with_name("enough").exists()


@app.task(delivery="at_most_once")
async def once(number: str, seconds: float) -> str:
    mark("start", number)
    await asyncio.sleep(seconds)
    mark("end", number)
    return number


@app.task(timeout="150ms")
async def deaf(number: str) -> None:
    """Blocks its loop, so that its child has to be killed for it."""
    mark("start", number)
    while not enough():
        time.sleep(0.05)
