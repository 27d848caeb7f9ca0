"""The app of the kill tests. Each attempt leaves lines in a file of effects, which nothing in the engine knows of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lineshaft import App, current

app = App(os.environ.get("KILLS_HOME", "unused"))


def note(what: str, job: str, attempt: int, about: str) -> None:
    """One line in one write: lines of different processes are in the order in which they were written."""
    line = f"{what} {job} {attempt} {about} {os.getpid()} {time.monotonic()}\n"
    effects = os.open(os.environ["KILLS_EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(effects, line.encode())
    os.close(effects)


@app.task
def work(number: str, seconds: float) -> str:
    note("start", current.job.id, current.attempt, number)
    time.sleep(seconds)
    note("end", current.job.id, current.attempt, number)
    return number


@app.task
def echo(payload: bytes) -> bytes:
    return payload


@app.task
def grow(number: str) -> bytes:
    """Leaves a checkpoint, then a result, that do not become smaller when they are packed."""
    note("start", current.job.id, current.attempt, number)
    current.checkpoint(os.urandom(60_000))
    note("saved", current.job.id, current.attempt, number)
    return os.urandom(60_000)


@app.task
def stubborn(path: str) -> None:
    """Ignores every request to stop, and so does one of the two processes that it starts."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(1000)"
    ignoring = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    plain = subprocess.Popen(["sleep", "1000"])
    assert ignoring.stdout is not None
    ignoring.stdout.readline()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(f"{path}.new").write_text(f"{os.getpid()} {ignoring.pid} {plain.pid}")
    Path(f"{path}.new").rename(path)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
