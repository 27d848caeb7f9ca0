"""What the jobs do, the same for every system, and what the bench sees of it: bytes appended to files."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

DIRECTORY = Path(os.environ["PEERS_DIRECTORY"])
DONE, STARTS, WORK = DIRECTORY / "done", DIRECTORY / "starts", DIRECTORY / "work"
_open: dict[Path, int] = {}


def _append(path: Path, record: bytes) -> None:
    """One write at the end of a file, which the kernel keeps whole beside those of other processes."""
    if path not in _open:
        _open[path] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_open[path], record)


def nothing(text: str) -> int:
    """A job whose body costs nothing but a byte that says that it ran."""
    _append(DONE, b".")
    return len(text)


def stamp(sent: float) -> float:
    """Records how long after its enqueue it began, in seconds."""
    waited = time.monotonic() - sent
    _append(STARTS, struct.pack("d", waited))
    return waited


def work(n: int) -> int:
    """50 ms of work between two lines with its number, its process and the time."""
    for event in ("begun", "ended"):
        _append(WORK, f"{event} {n} {os.getpid()} {time.monotonic()}\n".encode())
        time.sleep(0.05 * (event == "begun"))
    return n


BODIES = (nothing, stamp, work)
