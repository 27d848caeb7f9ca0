"""What the tests of the joblib backend have done in workers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

STATE: dict[str, Any] = {}


class Look(NamedTuple):
    """How an array came to a worker."""

    pid: int
    kind: str
    is_writable: bool
    file: tuple[int, int]
    """Device and inode of what it lies in; zeros for memory of the worker's own."""
    private_bytes: int
    """Of the mappings of that file."""
    total: float


def look_at(array: Any, seconds: float = 0.0) -> Look:
    time.sleep(seconds)
    total = float(array.sum())
    is_mapped = isinstance(array, np.memmap)
    name = os.stat(array.filename) if is_mapped else None
    file = (0, 0) if name is None else (name.st_dev, name.st_ino)
    return Look(os.getpid(), type(array).__name__, array.flags.writeable, file, private_bytes(), total)


def private_bytes() -> int:
    """Bytes of shared arrays that this process has a copy of."""
    total, is_ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            is_ours = "lineshaft-array" in line
        elif is_ours and words[0] == "Anonymous:":
            total += int(words[1]) << 10
    return total


def fill(array: Any) -> None:
    array[:] = 0


def give_back(array: Any) -> Any:
    return array


def kill_self_once(mark: str) -> str:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), 9)
    return "alive"


def kill_self(_: object) -> None:
    os.kill(os.getpid(), 9)


def set_up(**values: Any) -> None:
    STATE.update(values)


def recall(_: object) -> tuple[int, Any]:
    time.sleep(0.02)
    return os.getpid(), STATE.get("value")


def fail_to_set_up() -> None:
    raise ValueError("cannot be set up")


def chance(_: object) -> tuple[int, float]:
    time.sleep(0.05)
    return os.getpid(), float(np.random.random())


def threads_allowed(_: object) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def nest(backend: str | None) -> list[int]:
    return Parallel(n_jobs=2, backend=backend)(delayed(pid_after)(0.05) for _ in range(4))


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()
