"""An app for the tests: its jobs run in worker processes of the test session."""

from __future__ import annotations

import enum
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lineshaft import App, Cancel, Job, Retry, Snooze, Unique, current

app = App(os.environ.get("SHOP_HOME", "unused"))


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Size(NamedTuple):
    width: int
    height: int


@dataclass
class Order:
    item: str
    colour: Colour
    size: Size


class Bounced(Exception):
    """An exception that the app knows, with a constructor of its own."""

    def __init__(self, address: str, code: int) -> None:
        super().__init__(address, code)
        self.address = address
        self.code = code


class Peculiar(Exception):
    """An exception whose arguments do not fit its constructor."""

    def __init__(self, *, why: str) -> None:
        super().__init__(f"because {why}")


class Coded(Exception):
    """An exception whose constructor makes its text of what it is given."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")


@app.task
def be_silent() -> None:
    raise ValueError


@app.task
def be_coded() -> None:
    raise Coded(3)


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def repaint(order: Order, colour: Colour) -> Order:
    return Order(order.item, colour, order.size)


@app.task
def fail(message: str) -> None:
    raise ValueError(message, 3)


@app.task
def bounce(address: str) -> None:
    raise Bounced(address, 550)


@app.task
def be_peculiar() -> None:
    raise Peculiar(why="tests")


@app.task(result=False)
def forget() -> int:
    return 1


@app.task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.task(retries=Retry(3, first="10ms", cap="20ms"))
def flaky(failures: int) -> int:
    if current.attempt <= failures:
        raise ConnectionError("not yet")
    return current.attempt


@app.task(retries=Retry(5, first="10ms", never=KeyError))
def never_twice() -> None:
    raise KeyError("x")


@app.task
def talk(words: str) -> None:
    print(words)


@app.task
def append(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


@app.task(retries=2)
def ask_for_retry(path: str) -> str:
    append(path, "called")
    if current.attempt == 1:
        raise Retry(after="10ms")
    return "done"


@app.task
def snooze_once(path: str) -> str:
    if not Path(path).exists():
        append(path, "snoozed")
        raise Snooze("10ms")
    return "awake"


@app.task
def cancel_itself() -> None:
    raise Cancel("nobody wants it")


@app.task(unique="args", queue="nobody")
def once(a: int, b: int = 0) -> None: ...


@app.task(unique=Unique(by="user"), queue="nobody")
def per_user(user: str, words: str) -> None: ...


@app.task(unique=Unique(by=lambda things: sorted(things)), queue="nobody")
def by_callable(things: list[int]) -> None: ...


@app.task(queue="nobody")
def unserved(number: int = 0) -> None: ...


@app.task
async def wait_a_little(number: int) -> int:
    import asyncio

    await asyncio.sleep(0.001)
    return number


@app.task(timeout="300ms")
def too_slow() -> None:
    time.sleep(60)


@app.task
def unencodable() -> Any:
    return object()


@app.task
def wait_for_file(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return "gone"


@app.task
def follow_progress(path: str) -> None:
    current.progress({"done": 1, "of": 3})
    while not Path(path).exists():
        time.sleep(0.01)


@app.task
def tell(job: Job[Any]) -> dict[str, Any]:
    """What a handler can learn of a job that gave up."""
    attempts = job.attempts()
    error = attempts[-1].error.types[:1] if attempts and attempts[-1].error else ()
    reason = job.record.reason if job.record else None
    return {"id": job.id, "task": job.task, "state": job.state, "reason": reason, "error": next(iter(error), None)}


@app.task
async def atell(job: Job[Any]) -> str:
    return (await job.aattempts())[-1].error.types[0].rpartition(".")[2]


@app.task(on_failure=tell)
def tell_badly(job: Job[Any]) -> None:
    raise KeyError(job.id)


@app.task(queue="nobody", priority="high", retries=4, tags=["alarm"], expires="1h")
def tell_later(job: Job[Any]) -> None: ...


@app.task(on_failure=tell)
def give_up(how: str) -> Any:
    if how == "raise":
        raise ValueError(how)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sleep":
        time.sleep(60)
    return object() if how == "strange" else how


@app.task
def wait_for(job: Job[int]) -> int:
    return job.result(60)
