"""The first figures, each beside a probe of the same disk in the same run.

No-op jobs from Python on a fresh home: enqueued in batches, drained by two worker children, and gone to the archive;
the server's memory per queued job; and the time from nothing running to the first result.

Usage: python benches/first_figures.py [--jobs N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from rounds import LINESHAFT, rounds, run, show, stop

APP = """
from lineshaft import App

app = App({home!r})

@app.task
def nothing(n: int) -> int:
    return n

@app.task
def add(a: int, b: int) -> int:
    return a + b
"""

COLD = """
import time
started = time.perf_counter()
from figures_app import add, app
with app.workers(1):
    assert add.enqueue(2, 3).result() == 5
    print(time.perf_counter() - started)
"""


def probe(directory: Path, seconds: float = 0.5) -> float:
    """Writes of 4 KiB, each synced, per second."""
    with open(directory / "probe", "wb+") as file:
        file.write(b"\0" * (4 << 20))
        os.fsync(file.fileno())
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            os.pwrite(file.fileno(), b"x" * 4096, count % 1024 * 4096)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - started)


def status(home: Path) -> dict:
    command = [LINESHAFT, "--json", "status", "--home", home]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one_round(directory: Path, jobs: int) -> dict[str, float]:
    figures = json.loads(run(directory, f"import first_figures; first_figures.inside({jobs})"))
    stop(directory / "home")
    figures["cold_start_s"] = float(run(directory, COLD))
    figures["probe_fdatasync_per_s"] = probe(directory)
    return figures


def inside(jobs: int) -> None:
    """The figures that need the app, in a process of its own."""
    from figures_app import app, nothing

    home = Path(app.url)
    nothing.enqueue_many(nothing.si(n) for n in range(1_000))
    before = status(home)["rss_bytes"]
    started = time.perf_counter()
    handles = nothing.enqueue_many(nothing.si(n) for n in range(jobs))
    enqueued = time.perf_counter() - started
    memory = status(home)["rss_bytes"] - before
    archived = status(home)["archived"]
    started = time.perf_counter()
    with app.workers(2):
        assert handles[-1].result() == jobs - 1
        while status(home)["archived"] - archived < jobs:
            time.sleep(0.02)
        drained = time.perf_counter() - started
    figures = {
        "enqueue_many_python_per_s": jobs / enqueued,
        "drain_python_per_s": (jobs + 1_000) / drained,
        "bytes_per_queued_job": memory / jobs,
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200_000, help="jobs of one round (default 200000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    goals = {
        "enqueue_many_python_per_s": "≥ 150,000",
        "drain_python_per_s": "≥ 40,000",
        "bytes_per_queued_job": "≤ 100",
        "cold_start_s": "≤ 0.4",
        "probe_fdatasync_per_s": "",
    }
    found = [one_round(directory, options.jobs) for directory in rounds("figures", options.rounds, APP)]
    figures = {name: [one[name] for one in found] for name in goals}
    show(figures, goals)
    if options.json:
        flat = {}
        for name, values in figures.items():
            flat |= {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
        options.json.write_text(json.dumps(flat, indent=2) + "\n")


if __name__ == "__main__":
    main()
