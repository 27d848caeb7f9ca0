"""Whether the processes of a worker stay as they are, and what collecting garbage between jobs is good for.

- Memory of a process after many jobs that do nothing, beside that after the first of them.
- The most that a leaking process has above its bound.
- How long quick bodies take that make garbage, in an app with much in memory, and what a job costs: with the collector
  between jobs, and as Python has it.

Usage: python benches/wear.py [--jobs N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from rounds import rounds, run, show

APP = """
import os
import time

from lineshaft import App

app = App({home!r})
HEAP = [{{"id": i, "tags": [i, i + 1], "of": (i, {{}})}} for i in range(200_000 if "BIG" in os.environ else 0)]
kept, base, recent, took = [], [], {{}}, []


class Node:
    def __init__(self, number):
        self.number, self.own, self.data = number, self, [number]


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@app.task(result=False)
def nothing():
    pass


@app.task
def memory():
    return os.getpid(), resident()


@app.task
def leak():
    if not base:
        base.append(resident())
    kept.append(bytearray(b"x") * (1 << 20))
    return os.getpid(), resident() - base[0]


@app.task(result=False)
def litter(number):
    began = time.perf_counter()
    nodes = [Node(one) for one in range(100)]
    recent[number % 20_000] = [nodes[0].data, {{"number": number}}]
    took.append(time.perf_counter() - began)


@app.task
def times():
    times = sorted(took)
    took.clear()
    cpu = time.process_time()
    return [times[int(len(times) * part)] for part in (0.5, 0.99, 0.999)] + [times[-1], cpu]
"""

WARM, LEAKS, LITTER = 10_000, 300, 50_000
GROWTH = 50 << 20


def nothing_but_jobs(jobs: int) -> None:
    """Memory of the only process after so many jobs over that after 10,000."""
    from wear_app import app, memory, nothing

    with app.workers(1):
        after = []
        for count in (WARM, jobs - WARM):
            _run(nothing, [()] * count)
            after.append(memory.enqueue().result())
    (pid, first), (same, last) = after
    assert pid == same, "it was replaced"
    print(last / first, first / 2**20)


def leaking() -> None:
    """What the largest process had above its bound, of processes that leak a MiB with every job."""
    from wear_app import app, leak

    with app.workers(1, recycle_growth=GROWTH):
        grown = [job.result() for job in leak.enqueue_many(leak.si() for _ in range(LEAKS))]
    print((max(more for _, more in grown) - GROWTH) / 2**20, len({pid for pid, _ in grown}))


def littering() -> None:
    """Microseconds of a body: half of them, the slowest hundredth, thousandth and one; CPU of the process per job."""
    from wear_app import app, litter, times

    with app.workers(1):
        _run(litter, [(number,) for number in range(LITTER // 10)])
        *_, before = times.enqueue().result()
        _run(litter, [(number,) for number in range(LITTER)])
        *bodies, after = times.enqueue().result()
    print(*(seconds * 1e6 for seconds in (*bodies, (after - before) / LITTER)))


def _run(task: Any, calls: list[tuple[Any, ...]]) -> None:
    for start in range(0, len(calls), 10_000):
        last = task.enqueue_many(task.si(*call) for call in calls[start : start + 10_000])[-1]
    last.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs that do nothing (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}

    def add(directory: Any, call: str, names: list[str], **variables: str) -> None:
        os.environ.update(variables)
        words = run(directory, f"import wear; wear.{call}").split()
        for variable in variables:
            del os.environ[variable]
        for name, word in zip(names, words, strict=True):
            figures.setdefault(name, []).append(float(word))

    for directory in rounds("wear", options.rounds, APP):
        of_jobs = f"memory after {options.jobs:,} jobs over that after {WARM:,}"
        add(directory, f"nothing_but_jobs({options.jobs})", [of_jobs, "MiB after the first"])
        add(directory, "leaking()", ["MiB above its bound, leaking 1 a job", f"processes for {LEAKS} MiB"])
        for when in ("between", "automatic"):
            parts = ("half", "99 %", "99.9 %", "all")
            names = [f"gc {when}: us within which {part} of quick bodies end" for part in parts]
            names.append(f"gc {when}: us of CPU per job")
            add(directory, "littering()", names, LINESHAFT_GC=when, BIG="1")
    show(figures, {})


if __name__ == "__main__":
    main()
