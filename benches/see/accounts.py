"""What accounts of attempts cost: `accounts.py JOBS PAIRS [SITE]`, beside the Lineshaft without them in SITE.

Each round has a home of its own with so many jobs of an empty body, and one worker with one child that runs them. CPU
time of the child and of the server between the first job and the last is read from `/proc`. The two take turns.
"""

from __future__ import annotations

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

app = App("home")

@app.task(result=False)
def nothing() -> None:
    pass

if __name__ == "__main__":
    import sys
    app.enqueue_many(nothing.si() for _ in range(int(sys.argv[1])))
"""
OURS = "with accounts"
BEFORE = "before"
GOAL_US = 1.0


def main() -> int:
    jobs, pairs = int(sys.argv[1]), int(sys.argv[2])
    sites = {OURS: ""} | ({BEFORE: sys.argv[3]} if len(sys.argv) > 3 else {})
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sites}
    for pair in range(pairs):
        order = list(sites.items())
        for name, site in order if pair % 2 else reversed(order):
            found[name].append(a_round(jobs, site))
    print(f"{jobs} jobs of an empty body, medians of {pairs}:")
    for name, rounds in found.items():
        child, server, rate = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(
            f"  {name:14} {child:6.2f} us of CPU a job in the child, {server:5.2f} us in the server, {rate:8.0f} jobs/s"
        )
    if BEFORE in found:
        cost = statistics.median(
            sum(one[:2]) - sum(other[:2]) for one, other in zip(found[OURS], found[BEFORE], strict=True)
        )
        print(f"  accounts cost {cost:.2f} us of CPU a job, median of the pairs' differences; goal: {GOAL_US} us")
    return 0


def a_round(jobs: int, site: str) -> tuple[float, float, float]:
    """Microseconds of CPU time of a job in the child and in the server, and jobs a second."""
    environment = os.environ | ({"PYTHONPATH": site} if site else {})
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as directory:
        Path(directory, "empty.py").write_text(APP)

        def cli(*words: str) -> list[str]:
            return [sys.executable, "-m", "lineshaft", *words, "--home", f"{directory}/home"]

        def run(command: list[str]) -> str:
            return subprocess.run(
                command, cwd=directory, env=environment, check=True, capture_output=True, text=True
            ).stdout

        run([sys.executable, "empty.py", str(jobs)])
        server = json.loads(run(cli("--json", "status")))["pid"]
        command = cli("worker", "empty", "--processes", "1")
        worker = subprocess.Popen(command, cwd=directory, env=environment, stderr=subprocess.DEVNULL)
        try:
            while not (before := int(json.loads(run(cli("--json", "status")))["ended"])):
                time.sleep(0.02)
            child = newest_child(worker.pid)
            began_at, began = time.monotonic(), (cpu_ns(child), cpu_ns(server))
            before = int(json.loads(run(cli("--json", "status")))["ended"])
            while (ended := int(json.loads(run(cli("--json", "status")))["ended"])) < jobs:
                time.sleep(0.05)
            took, count = time.monotonic() - began_at, ended - before
            used = [now - then for now, then in zip((cpu_ns(child), cpu_ns(server)), began, strict=True)]
            return used[0] / count / 1e3, used[1] / count / 1e3, count / took
        finally:
            worker.terminate()
            worker.wait()
            run(cli("stop"))


def newest_child(worker: int) -> int:
    """Pid of the child that the worker started last."""
    children = [(thread / "children").read_text().split() for thread in Path(f"/proc/{worker}/task").iterdir()]
    return max(int(child) for each in children for child in each)


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


if __name__ == "__main__":
    sys.exit(main())
