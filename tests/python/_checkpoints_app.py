"""The app of the tests of checkpoints: jobs of many pages, which note outside of the engine how far they are."""

from __future__ import annotations

import asyncio
import os
import time

from lineshaft import App, current

app = App(os.environ.get("KILLS_HOME", "unused"))


def note(what: str, page: int | str) -> None:
    """One line in one write, so that lines of different processes are in the order in which they were written."""
    line = f"{what} {current.job.id} {page} {os.getpid()}\n"
    effects = os.open(os.environ["KILLS_EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(effects, line.encode())
    os.close(effects)


@app.task(retries=100)
def copy(pages: int, pause_s: float) -> int:
    first = current.resume_from or 0
    note("from", first)
    for page in range(first + 1, pages + 1):
        time.sleep(pause_s)
        current.checkpoint(page)
        note("left", page)
    return pages


@app.task(retries=100)
async def acopy(pages: int, pause_s: float) -> int:
    first = current.resume_from or 0
    note("from", first)
    for page in range(first + 1, pages + 1):
        await asyncio.sleep(pause_s)
        await current.acheckpoint(page)
        note("left", page)
    return pages


@app.task(timeout="800ms")
def waits_in_vain() -> None:
    """Leaves one page, and cannot leave the next."""
    current.checkpoint(1)
    note("left", 1)
    try:
        while True:
            current.checkpoint(2)
            time.sleep(0.001)
    except BaseException as error:
        note("raised", type(error).__name__)
        raise


@app.task(timeout="800ms")
async def awaits_in_vain() -> None:
    await current.acheckpoint(1)
    note("left", 1)
    try:
        while True:
            await current.acheckpoint(2)
    except BaseException as error:
        note("raised", type(error).__name__)
        raise
