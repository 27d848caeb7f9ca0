"""Checkpoints a second from one job, beside a probe of the same disk in the same run.

One job leaves checkpoints of 100 bytes as fast as it can, each durable before the next; then eight jobs in eight
children do so at once and share the syncs. The machine is likely shared, so every figure is the median of several
rounds, with the least and the greatest beside it.

Usage: python benches/checkpoints.py [--seconds S] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from first_figures import probe

APP = """
import time

from lineshaft import App, current

app = App({home!r})

@app.task
def leaves(seconds: float) -> float:
    value, count, started = "x" * 96, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        current.checkpoint(value)
        count += 1
    return count / (time.perf_counter() - started)
"""

JOBS = 8


def inside(seconds: float) -> None:
    """One round, in a process of its own."""
    from checkpoints_app import app, leaves

    with app.workers(JOBS):
        for job in [leaves.enqueue(0.1) for _ in range(JOBS)]:
            job.result()
        print(leaves.enqueue(seconds).result())
        print(sum(job.result() for job in [leaves.enqueue(seconds) for _ in range(JOBS)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    options = parser.parse_args()
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds} …", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="lineshaft-checkpoints-", dir=Path.cwd()) as directory:
            home = Path(directory) / "home"
            (Path(directory) / "checkpoints_app.py").write_text(APP.format(home=str(home)))
            code = f"import sys; sys.path[:0] = [{directory!r}, {str(Path(__file__).parent)!r}]\n"
            code += f"import checkpoints; checkpoints.inside({options.seconds})"
            syncs = probe(Path(directory))
            run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            rounds.append([syncs, *(float(word) for word in run.stdout.split())])
            stop = [Path(sys.executable).with_name("lineshaft"), "stop", "--home", home]
            subprocess.run(stop, check=False, capture_output=True)
    names = ("fdatasync of 4 KiB, the probe", "checkpoints of one job", f"checkpoints of {JOBS} jobs at once")
    for name, figures in zip(names, zip(*rounds, strict=True), strict=True):
        median, least, most = statistics.median(figures), min(figures), max(figures)
        print(f"{name:32} {median:10,.0f} /s   ({least:,.0f} to {most:,.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
