"""The app of `lineshaft bench`. Its home is the one that the environment names."""

from __future__ import annotations

import os
import time

from lineshaft import App, current

app = App()


@app.task(name="nothing")
def nothing(text: str) -> int:
    """Costs nothing."""
    return len(text)


@app.task(name="stamp")
def stamp(text: str) -> int:
    """When its body began, in nanoseconds of a clock that all processes share."""
    return time.monotonic_ns()


@app.task(name="work")
def work(events: str) -> None:
    """50 ms of work between two lines with the job, the process and the time."""
    for what in ("begun", "ended"):
        line = f"{what} {current.job.id} {os.getpid()} {time.monotonic_ns()}\n"
        with open(events, "a") as file:
            file.write(line)
        time.sleep(0.05 * (what == "begun"))
