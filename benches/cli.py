"""What a person waits for at the prompt: `import lineshaft`, and `lineshaft job list` with fifty jobs to list.

The import is the difference to an interpreter that imports nothing. The list is asked of a running server, by the
console script of the Python package and, where cargo has built it, by the binary without Python. The programs are
started in turn, so that whatever slows the machine slows them alike.

Usage: python benches/cli.py [--rounds N] [--binary FILE]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rounds import LINESHAFT, show, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
JOBS = 50
ENQUEUE = """
import sys
from lineshaft import App

app = App(sys.argv[1])

@app.task(name="note")
def note(number: int) -> None: ...

note.map(range(int(sys.argv[2])))
print("made", flush=True)
sys.stdin.read()
"""


def took_ms(command: list[str]) -> float:
    """One run of a command, which has to work."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def built_binary() -> Path:
    """Where cargo puts the release build of the command."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "lineshaft"


@contextmanager
def home_with_jobs() -> Iterator[str]:
    """A home whose server runs, with fifty jobs in it."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-cli-", dir=Path.cwd()) as directory:
        home, app = str(Path(directory) / "home"), Path(directory) / "app.py"
        app.write_text(ENQUEUE)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        with subprocess.Popen([sys.executable, str(app), home, str(JOBS)], **pipes) as program:
            assert program.stdout is not None
            program.stdout.readline()
            yield home
            program.communicate("")
        stop(Path(home))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="runs of each program (default 20)")
    parser.add_argument("--binary", type=Path, default=built_binary(), help="the command as cargo built it")
    options = parser.parse_args()
    with home_with_jobs() as home:
        programs = {
            "an interpreter alone, ms": [sys.executable, "-c", "pass"],
            "with import lineshaft, ms": [sys.executable, "-c", "import lineshaft"],
            "lineshaft job list, ms": [LINESHAFT, "job", "list", "--home", home],
        }
        if options.binary.exists():
            programs["the same by the binary without Python, ms"] = [str(options.binary), "job", "list", "--home", home]
        else:
            print(f"{options.binary} is not built: left out", file=sys.stderr)
        for command in programs.values():
            took_ms(command)
        times = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, command in programs.items():
                times[name].append(took_ms(command))
    alone, imported = (times[name] for name in list(times)[:2])
    times["import of lineshaft, ms"] = [more - less for more, less in zip(imported, alone, strict=True)]
    goals = {"import of lineshaft, ms": "≤ 60", "lineshaft job list, ms": "≤ 80"}
    show(times, goals)


if __name__ == "__main__":
    main()
