"""Tasks that give up in several ways, and the handler of that, which leaves a line for each of its runs.

`python _kills_failures_app.py RUN` makes jobs of them until SIGTERM, each written to the ledger once it is durable.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from typing import Any

from lineshaft import App, Job, Retry

app = App(os.environ.get("KILLS_HOME", "unused"))


def append(variable: str, line: str) -> None:
    """One line in one write."""
    file = os.open(os.environ[variable], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{line}\n".encode())
    os.close(file)


@app.task
def handle(job: Job[Any]) -> None:
    append("KILLS_EFFECTS", f"handled {job.id} {os.getpid()}")


@app.task(on_failure=handle)
def give_up(how: str) -> None:
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.002)
    raise ValueError(how)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("raise", {}),
    ("retry", {"retries": Retry(1, first="1ms", cap="1ms")}),
    ("once", {"delivery": "at_most_once"}),
    ("late", {"queue": "nobody", "expires": "5ms"}),
    ("die", {"delivery": "at_most_once"}),
]
"""Ways to give up, with the options of the call; the last one is rare, since it costs a process."""


def produce(run: str) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    chance = random.Random(run)
    while not stopping.wait(0.005):
        how, options = chance.choices(OPTIONS, weights=(30, 20, 20, 20, 1))[0]
        call = give_up.using(**options).si(how)
        for job in app.enqueue_many([call] * chance.choice((1, 1, 8))):
            append("KILLS_LEDGER", job.id)


if __name__ == "__main__":
    produce(sys.argv[1])
