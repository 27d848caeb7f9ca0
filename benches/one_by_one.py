"""One job at a time from one program: each is durable, or has its result, before the next is enqueued.

With `serve --durability os` the disk is out of the way, and what is left is computed or waited for by the program and
the server. With the default a sync comes between two calls, so that all that is computed is computed on cold caches.

Usage: python benches/one_by_one.py [--seconds S] [--rounds N] [--beside PATH]

`--beside PATH` measures another build of the package, whose `lineshaft/` is in PATH, in turns with this one and on the
same server: pairs of the same minute can be compared where the figures of two runs cannot.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rounds import LINESHAFT, probe, rounds, run, show

APP = """
from lineshaft import App

app = App({home!r})

@app.task
def nothing(text: str) -> None:
    pass
"""

INSIDE = """
import os
import statistics
import sys
import time
from pathlib import Path

from one_by_one_app import app, nothing

TEXT = "x" * 100
WARM = 300


def cpu_s(pid):
    fields = Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(step, seconds):
    for _ in range(WARM):
        step()
    server = app._connection.ask(lambda client: client.status(), lambda status: status).pid
    took, clock = [], time.perf_counter
    own, others, end = time.process_time(), cpu_s(server), clock() + seconds
    before = clock()
    while before < end:
        step()
        after = clock()
        took.append(after - before)
        before = after
    own, others = time.process_time() - own, cpu_s(server) - others
    print(statistics.median(took) * 1e6, own / len(took) * 1e6, others / len(took) * 1e6)


measure({step}, {seconds})
sys.stdout.flush()
os._exit(0)  # nobody is to be told of the jobs that wait
"""

STEPS = {
    "enqueue": "lambda: nothing.enqueue(TEXT)",
    "enqueue and result": "lambda: nothing.enqueue(TEXT).result()",
}
WHAT = ("median, us", "CPU of the program, us", "CPU of the server, us")


@contextmanager
def engine(directory: Path, durability: str, has_worker: bool) -> Iterator[None]:
    """A server, and a worker with one process."""
    serve = [LINESHAFT, "serve", "--home", directory / "home", "--durability", durability]
    work = [LINESHAFT, "worker", "one_by_one_app", "--processes", "1", "--python", sys.executable]
    with ExitStack() as processes:
        server = processes.enter_context(running(serve, directory))
        server.stdout.readline()  # it is ready
        if has_worker:
            processes.enter_context(running(work, directory))
        yield


@contextmanager
def running(command: list[str | Path], directory: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--beside", help="directory with another build of the package")
    options = parser.parse_args()
    builds = [("", "")] if options.beside is None else [("", ""), (", beside", options.beside)]
    figures: dict[str, list[float]] = {}
    for directory in rounds("one_by_one", options.rounds, APP):
        figures.setdefault("fdatasync of 4 KiB, us", []).append(1e6 / probe(directory))
        for durability in ("os", "sync"):
            for step, code in STEPS.items():
                with engine(directory, durability, has_worker=step != "enqueue"):
                    builds.reverse()  # whichever comes first may find the server cold
                    for build, path in builds:
                        first = f"sys.path.insert(0, {path!r})\n" if path else ""
                        words = run(directory, first + INSIDE.format(step=code, seconds=options.seconds)).split()
                        for what, word in zip(WHAT, words, strict=True):
                            figures.setdefault(f"{step}, {durability}{build}: {what}", []).append(float(word))
    show(figures, {})


if __name__ == "__main__":
    main()
