"""The first figures, each beside a probe of the same disk in the same run.

No-op jobs from Python on a fresh home: enqueued in batches, drained by two worker children, and gone to the archive;
the server's memory per queued job; and the time from nothing running to the first result. The machine is likely
shared, so every figure is the median of several rounds, with the least and the greatest beside it.

Usage: python benches/first_figures.py [--jobs N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    command = [Path(sys.executable).with_name("lineshaft"), "--json", "status", "--home", home]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def stop(home: Path) -> None:
    command = [Path(sys.executable).with_name("lineshaft"), "stop", "--home", home]
    subprocess.run(command, check=False, capture_output=True)


def one_round(directory: Path, jobs: int) -> dict[str, float]:
    home = directory / "home"
    (directory / "figures_app.py").write_text(APP.format(home=str(home)))
    code = f"import sys; sys.path.insert(0, {str(directory)!r}); sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"import first_figures; first_figures.inside({jobs})"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=directory)
    figures = json.loads(run.stdout)
    stop(home)
    cold = subprocess.run([sys.executable, "-c", COLD], check=True, capture_output=True, text=True, cwd=directory)
    figures["cold_start_s"] = float(cold.stdout)
    figures["probe_fdatasync_per_s"] = probe(directory)
    stop(home)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200_000, help="jobs of one round (default 200000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds} …", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="lineshaft-figures-", dir=Path.cwd()) as directory:
            rounds.append(one_round(Path(directory), options.jobs))
    goals = {
        "enqueue_many_python_per_s": "≥ 150,000",
        "drain_python_per_s": "≥ 40,000",
        "bytes_per_queued_job": "≤ 100",
        "cold_start_s": "≤ 0.4",
        "probe_fdatasync_per_s": "",
    }
    flat = {}
    print(f"{'figure':28} {'median':>12} {'least':>12} {'greatest':>12}  goal")
    for key, goal in goals.items():
        values = [figures[key] for figures in rounds]
        flat |= {key: statistics.median(values), f"{key}_min": min(values), f"{key}_max": max(values)}
        digits = 3 if flat[key] < 10 else 0
        shown = " ".join(f"{value:12,.{digits}f}" for value in (flat[key], min(values), max(values)))
        print(f"{key:28} {shown}  {goal}")
    if options.json:
        options.json.write_text(json.dumps(flat, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
