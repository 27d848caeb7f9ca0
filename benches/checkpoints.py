"""Checkpoints a second from one job, beside a probe of the same disk in the same run.

One job leaves checkpoints of 100 bytes as fast as it can, each durable before the next; then eight jobs in eight
children do so at once and share the syncs.

Usage: python benches/checkpoints.py [--seconds S] [--rounds N]
"""

from __future__ import annotations

import argparse

from rounds import probe, rounds, run, show

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    options = parser.parse_args()
    names = (
        "fdatasync of 4 KiB a second, the probe",
        "checkpoints a second, one job",
        f"the same, {JOBS} jobs at once",
    )
    figures = {name: [] for name in names}
    for directory in rounds("checkpoints", options.rounds, APP):
        syncs = probe(directory)
        words = run(directory, f"import checkpoints; checkpoints.inside({options.seconds})").split()
        for name, value in zip(names, (syncs, *map(float, words)), strict=True):
            figures[name].append(value)
    show(figures, {})


if __name__ == "__main__":
    main()
