"""Processes as /proc shows them: who descends from whom, what they took, and how to end them all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> None:
    """From now on a descendant whose parent ends is a child of this process, daemons too, and so can be found."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def tree(root: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and (fields := _stat(int(directory.name))):
            children.setdefault(int(fields[1]), []).append(int(directory.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def kill(pids: list[int]) -> None:
    """SIGKILL to each, in this order, and waits until all are gone with their sockets."""
    send(signal.SIGKILL, pids)
    while any(_lives(pid) for pid in pids):
        time.sleep(0.001)


def send(what: signal.Signals, pids: list[int]) -> None:
    """A signal to each; one that has ended is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def _lives(pid: int) -> bool:
    """A zombie is gone if it was its last thread, though nobody has waited for it."""
    fields = _stat(pid)
    return bool(fields) and not (fields[0] in "ZX" and int(fields[17]) < 2)


def end_descendants() -> None:
    """Ends and reaps all that descend from this process."""
    while others := tree(os.getpid())[1:]:
        kill(others)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def cpu_seconds(roots: list[int]) -> float:
    """What these processes and all that descend from them took, with those that ended and were waited for."""
    stats = [fields for root in roots for pid in tree(root) if (fields := _stat(pid))]
    return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / _TICKS_PER_S


def resident_bytes(root: int) -> int:
    """Resident memory of a process and all that descend from it."""
    return sum(int(fields[21]) for pid in tree(root) if (fields := _stat(pid))) * _PAGE_BYTES


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: state, parent...; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
