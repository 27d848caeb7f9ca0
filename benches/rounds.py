"""What the measurements share: rounds on homes of their own, and a table of the medians.

The machine is likely shared, so every figure is the median of several rounds, with the least and the greatest beside
it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LINESHAFT = str(Path(sys.executable).with_name("lineshaft"))


def rounds(name: str, count: int, app: str) -> Iterator[Path]:
    """A directory for each round, in which `{name}_app.py` is an app with a fresh home."""
    for number in range(1, count + 1):
        print(f"round {number} of {count} …", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix=f"lineshaft-{name}-", dir=Path.cwd()) as directory:
            (Path(directory) / f"{name}_app.py").write_text(app.format(home=str(Path(directory) / "home")))
            yield Path(directory)
            stop(Path(directory) / "home")


def run(directory: Path, code: str) -> str:
    """What a program in a process of its own prints; it finds the app of the round, and the measurements."""
    path = [str(directory), str(Path(__file__).parent)]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=directory).stdout


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


def stop(home: Path) -> None:
    subprocess.run([LINESHAFT, "stop", "--home", home], check=False, capture_output=True)


def show(figures: Mapping[str, Sequence[float]], goals: Mapping[str, str]) -> None:
    """Prints a line per figure, of which there is one value from each round."""
    print(f"{'figure':42} {'median':>12} {'least':>12} {'greatest':>12}  goal")
    for name, values in figures.items():
        digits = 3 if max(values) < 10 else 1 if max(values) < 1000 else 0
        shown = (f"{value:12,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
        print(f"{name:42} {' '.join(shown)}  {goals.get(name, '')}".rstrip())
