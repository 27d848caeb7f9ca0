"""The app of the tests of cleanups: bodies that end in every way, and write down what is called afterwards."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from lineshaft import App, Cancel, Retry, Snooze, current

app = App(os.environ.get("CLEANUPS_HOME", "unused"))


def note(path: str, *words: object) -> None:
    with Path(path).open("a") as file:
        print(*words, file=file)


async def anote(path: str, *words: object) -> None:
    await asyncio.sleep(0)
    note(path, *words)


def refuse(path: str, word: str) -> None:
    note(path, word)
    raise OSError(word)


def late(path: str) -> None:
    """Longer than the time that is left for it to be interrupted in."""
    time.sleep(0.3)
    note(path, "late", current.cancelled)


@app.resource(scope="attempt")
def place() -> Iterator[list[str]]:
    opened: list[str] = []
    try:
        yield opened
    finally:
        note(opened[0], "closed")


def end(how: str) -> str:
    if how == "raise":
        raise ValueError("of the body")
    if how == "retry" and current.attempt == 1:
        raise Retry(after=0)
    if how == "snooze" and (current.resume_from or 0) == 0:
        current.checkpoint(1)
        raise Snooze(0)
    if how == "cancel":
        raise Cancel("enough")
    if how == "exit":
        raise SystemExit(3)
    return how


@app.task(retries=Retry(max=3, never=(ValueError, SystemExit)))
def ends(path: str, how: str, *, opened: list[str] = app.use(place)) -> str:
    opened.append(path)
    current.cleanup(note, path, "first")
    thread = threading.Thread(target=current.cleanup, args=(note, path, "of a thread"))
    thread.start()
    thread.join()
    current.cleanup(note, path, "last", current.attempt)
    return end(how)


@app.task(retries=Retry(max=3, never=(ValueError, SystemExit)))
async def aends(path: str, how: str, *, opened: list[str] = app.use(place)) -> str:
    opened.append(path)
    current.cleanup(note, path, "first")
    await asyncio.to_thread(current.cleanup, anote, path, "of a thread")
    current.cleanup(anote, path, "last", current.attempt)
    if how == "snooze" and (current.resume_from or 0) == 0:
        await current.acheckpoint(1)
        raise Snooze(0)
    return end(how) if how != "snooze" else how


@app.task(timeout="500ms")
def sleeps(path: str) -> None:
    current.cleanup(note, path, "first")
    current.cleanup(late, path)
    note(path, "sleeps")
    while True:
        time.sleep(0.01)


@app.task(timeout="500ms")
async def asleeps(path: str) -> None:
    current.cleanup(anote, path, "first")
    current.cleanup(late, path)
    note(path, "sleeps")
    await asyncio.sleep(60)


@app.task
def refuses(path: str, is_failing: bool) -> str:
    current.cleanup(note, path, "first")
    current.cleanup(refuse, path, "one")
    current.cleanup(refuse, path, "two")
    if is_failing:
        raise ValueError("of the body")
    return "done"


@app.task
async def arefuses(path: str, is_failing: bool) -> str:
    current.cleanup(anote, path, "first")
    current.cleanup(refuse, path, "one")
    current.cleanup(refuse, path, "two")
    if is_failing:
        raise ValueError("of the body")
    return "done"


def linger(path: str) -> None:
    note(path, "lingers")
    time.sleep(1.0)
    note(path, "lingered")


@app.task(timeout=None)
def lingers(path: str) -> str:
    """Is asked to stop when its body is over, and only its cleanup runs."""
    current.cleanup(note, path, "first")
    current.cleanup(linger, path)
    return "done"


@app.task
def calls_another(path: str) -> str:
    current.cleanup(note, path, "outer")
    inner(path)
    note(path, "inner is over")
    return "done"


@app.task
def inner(path: str) -> None:
    current.cleanup(note, path, "inner")
