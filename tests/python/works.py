"""An app for the tests of workers: bodies that misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lineshaft import App, Cancel, Retry, Snooze, current

app = App("unused")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def note(path: str, seconds: float = 0.0) -> int:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


@app.task(timeout="500ms")
def too_long(path: str) -> None:
    """Cleans up while it unwinds."""
    try:
        while True:
            pass
    finally:
        Path(path).write_text("cleaned up")


@app.task
def deaf(path: str) -> None:
    """Starts a process that is deaf too, and listens to nothing."""
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(1000)"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    Path(f"{path}.new").write_text(f"{os.getpid()} {other.pid}")
    Path(f"{path}.new").rename(path)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


@app.task
def listens(path: str) -> None:
    """Waits until it is interrupted, and tells by what."""
    try:
        Path(path).write_text("waiting")
        time.sleep(60)
    except BaseException as error:
        Path(path).write_text(f"{type(error).__name__}: {error}; cancelled={current.cancelled}")
        raise


@app.task
def talk_and_die(path: str) -> None:
    print("first words")
    print("no end of line", end="", flush=True)
    print("an error", file=sys.stderr)
    subprocess.run(["echo", "from a child process"], check=True)
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


@app.task
def talk(words: str) -> None:
    print(words)


@app.task(retries=3)
def asks_again(path: str) -> int:
    note.function(path)
    if current.attempt == 1:
        raise Retry(after="10ms")
    return current.attempt


def doubling(attempt: int, error: BaseException) -> str:
    """Says so, and that the attempt is still known."""
    print(f"after {attempt} of {current.job.id}: {type(error).__name__}")
    return f"{attempt * 10}ms"


def at_a_loss(attempt: int, error: BaseException) -> object:
    if attempt == 1:
        raise LookupError("no table of delays")
    return "soon"


@app.task(retries=Retry(3, first="1h", cap="1h", after=doubling, never=KeyError))
def fails_twice(kind: str) -> int:
    if current.attempt < 3:
        raise {"value": ValueError, "key": KeyError, "retry": Retry}[kind]()
    return current.attempt


@app.task(retries=Retry(3, first="1h", cap="1h", after=lambda attempt, error: 3_600))
def knows_better() -> int:
    if current.attempt == 1:
        raise Retry(after="10ms")
    return current.attempt


@app.task(retries=Retry(2, first="10ms", cap="10ms", after=at_a_loss))
def loses_count() -> int:
    if current.attempt < 3:
        raise ValueError("not yet")
    return current.attempt


@app.task
def snoozes(path: str) -> str:
    note.function(path)
    if len(Path(path).read_text().split()) < 3:
        raise Snooze(0.01)
    return "awake"


@app.task
def gives_up() -> None:
    raise Cancel("nobody wants it")


@app.task
def exits() -> None:
    sys.exit(3)


@app.task
def forks() -> int:
    """Forgets that its copy returns from here too."""
    return os.fork()


@app.task
def unencodable() -> Any:
    return open


@app.task
def takes_an_int(number: int, *, twice: bool = False) -> int:
    return number * (2 if twice else 1)


@app.task
def sets_and_shows(value: str) -> str:
    """What one attempt puts into the context, another one must not see."""
    before = current_setting.get()
    current_setting.set(value)
    return before


@app.task(result=False)
def forgets() -> Any:
    return open


@app.task(delivery="at_most_once")
def only_once(path: str, seconds: float) -> None:
    note.function(path, seconds)


@app.task(delivery="at_most_once")
def says_and_dies(count: int) -> None:
    for _ in range(count):
        os.write(1, b"word ")
    os.write(1, b"last words\n")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def says_much(length: int) -> None:
    """More than a pipe holds."""
    for _ in range(length // 1_000):
        print("x" * 999)


from contextvars import ContextVar  # noqa: E402

current_setting: ContextVar[str] = ContextVar("current_setting", default="untouched")
