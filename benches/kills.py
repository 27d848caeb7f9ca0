"""What a kill costs: 200 jobs of 50 ms on two worker processes, `kill -9` at job 40.

Three runs, each on a fresh home: one worker process is killed, then the whole worker (its supervisor and all its
processes; another worker is started at once), then the server (started again at once). Printed for each: jobs lost,
jobs that ran more than once, and the time from the kill until the first interrupted job ran again, or until any job
began where none was interrupted.

Usage: python benches/kills.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rounds import LINESHAFT

JOBS, KILL_AT = 200, 40
APP = """
import os, time
from lineshaft import App

app = App({home!r})

@app.task
def work(n: int) -> int:
    line = f"{{n}} {{os.getpid()}} {{time.time()}}\\n"
    with open({effects!r}, "a") as file:
        file.write(line)
    time.sleep(0.05)
    return n
"""


def begun(effects: Path) -> list[tuple[int, int, float]]:
    """Job, process and time of every attempt that began."""
    lines = effects.read_text().splitlines() if effects.exists() else []
    return [(int(n), int(pid), float(at)) for n, pid, at in (line.split() for line in lines)]


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    output = open(directory / f"{arguments[0]}.log", "a")  # noqa: SIM115 - it lives as long as the process
    return subprocess.Popen([LINESHAFT, *arguments], cwd=directory, stdout=output, stderr=output, text=True)


def wait_for(what: str, condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not happen within {seconds} s")
        time.sleep(0.002)


def children(pid: int) -> list[int]:
    out = subprocess.run(["pgrep", "-P", str(pid)], check=False, capture_output=True, text=True).stdout
    return [int(line) for line in out.split()]


def run(kind: str, directory: Path) -> dict[str, float]:
    home, effects = directory / "home", directory / "effects"
    (directory / "kills_app.py").write_text(APP.format(home=str(home), effects=str(effects)))
    server = start(directory, "serve", "--home", str(home))
    wait_for("the server", lambda: (home / "run" / "socket").exists())
    worker = start(directory, "worker", "kills_app", "--processes", "2")
    code = f"from kills_app import work; work.enqueue_many(work.si(n) for n in range({JOBS}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=directory)
    wait_for("the first jobs", lambda: len(begun(effects)) >= KILL_AT)
    before = begun(effects)
    killed = time.time()
    if kind == "child":
        os.kill(before[-1][1], signal.SIGKILL)
    elif kind == "worker":
        for pid in [*children(worker.pid), worker.pid]:
            os.kill(pid, signal.SIGKILL)
        worker.wait()
        worker = start(directory, "worker", "kills_app", "--processes", "2")
    else:
        server.kill()
        server.wait()
        server = start(directory, "serve", "--home", str(home))
    wait_for("the end", lambda: completed(home) >= JOBS)
    attempts = begun(effects)
    worker.terminate()
    worker.wait()
    server.terminate()
    server.wait()
    per_job = [sum(1 for n, _, _ in attempts if n == job) for job in range(JOBS)]
    interrupted = {n for n, pid, _ in before} & {n for n, _, at in attempts if at > killed}
    again = [at - killed for n, _, at in attempts if at > killed and (n in interrupted or not interrupted)]
    return {
        "lost": sum(count == 0 for count in per_job) + JOBS - listed_as_completed(home, directory),
        "rerun": sum(count > 1 for count in per_job),
        "again_after_s": round(min(again), 3),
    }


def completed(home: Path) -> int:
    command = [LINESHAFT, "--json", "status", "--home", str(home)]
    out = subprocess.run(command, check=False, capture_output=True, text=True)
    if out.returncode:
        return -1
    status = json.loads(out.stdout)
    return status["archived"] + sum(queue["finished"] for queue in status["queues"])


def listed_as_completed(home: Path, directory: Path) -> int:
    """Jobs that the home itself calls completed, asked of a new server."""
    server = start(directory, "serve", "--home", str(home))
    wait_for("the server", lambda: completed(home) >= 0)
    command = [LINESHAFT, "--json", "job", "list", "--state", "completed", "--limit", "1000", "--home", str(home)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    server.terminate()
    server.wait()
    listed = json.loads(out)
    return len(listed["jobs"] if isinstance(listed, dict) else listed)


def main() -> int:
    parser = argparse.ArgumentParser(description="What a kill costs: 200 jobs of 50 ms, kill -9 at job 40.")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = {}
    for kind in ("child", "worker", "server"):
        with tempfile.TemporaryDirectory(prefix="lineshaft-kills-") as directory:
            figures[kind] = run(kind, Path(directory))
        cells = figures[kind]
        print(f"{kind:7} lost={cells['lost']} rerun={cells['rerun']} again_after_s={cells['again_after_s']}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(cells["lost"] for cells in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
