"""What processes of one machine say to each other in a second, ours beside others in one run.

    python benches/parallel queues [--seconds S] [--json]

`queues` has messages per second and the time that one takes: `lineshaft.multiprocessing.Queue` beside
`multiprocessing.Queue`, a bare pipe and faster-fifo, which is installed into an environment of its own below this
directory, and passed over where that cannot be done. Each figure is measured in processes of its own, systems in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".venv"
FASTER_FIFO = "faster-fifo==1.5.2"

SYSTEMS = {
    "lineshaft": "lineshaft.multiprocessing.Queue",
    "lineshaft_many": "the same, put_many and get_many",
    "standard": "multiprocessing.Queue",
    "pipe": "multiprocessing.Pipe, send_bytes",
    "faster_fifo": "faster-fifo",
    "faster_fifo_many": "the same, put_many and get_many",
}
PARTS = {
    "small_1_1": "100 B, 1 to 1, messages/s",
    "small_2_2": "100 B, 2 to 2, messages/s",
    "large_1_1": "1 MB, 1 to 1, messages/s",
    "latency_us": "one way, p50, us",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benches/parallel", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("subject", choices=["queues"])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long about each figure is measured (default 2)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {system: {} for system in SYSTEMS}
    for part in PARTS:
        for system in SYSTEMS:
            figure = measured(system, part, options.seconds)
            if figure is not None:
                figures[system][part] = figure
    print(json.dumps(figures) if options.json else table(figures))
    return 0


def measured(system: str, part: str, seconds: float) -> float | None:
    """None where a system has no such part, or is not here."""
    python = peers() if system.startswith("faster") else sys.executable
    if python is None:
        return None
    command = [python, str(HERE / "queues.py"), system, part, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=60 + 20 * seconds)
    except subprocess.TimeoutExpired:
        said = ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        print(f"{system} failed at {part}", file=sys.stderr)
    return float(said) if said.strip() else None


def peers() -> str | None:
    """The Python of the environment that others are installed into."""
    python, failed = PEERS / "bin" / "python", PEERS / "failed"
    if not python.exists():
        venv.create(PEERS, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", FASTER_FIFO]
        if subprocess.run(install, check=False).returncode:
            print(f"{FASTER_FIFO} cannot be installed here: it is passed over", file=sys.stderr)
            failed.touch()
    return None if failed.exists() else str(python)


def table(figures: dict[str, dict[str, float]]) -> str:
    lines = [f"{'':40}" + "".join(f"{name:>28}" for name in PARTS.values())]
    for system, name in SYSTEMS.items():
        cells = [figures[system].get(part) for part in PARTS]
        shown = "".join(f"{'-' if cell is None else format(cell, ',.1f'):>28}" for cell in cells)
        lines.append(f"{name:40}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
