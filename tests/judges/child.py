"""A process that runs a suite: with a deadline, and ended together with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).resolve().parents[2] / "target")).resolve() / "judges"
"""What is fetched, and what suites write."""
_MARK = "LINESHAFT_JUDGED"
_LOOK_S = 0.2


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    deadline_s: float,
    env: Mapping[str, str] | None = None,
    look: Callable[[], object] = lambda: None,
) -> int | None:
    """Gives the exit code of `command`, or None if it had not ended after `deadline_s`.

    What it prints is appended to `log`. `look` is called again and again while it runs. It is told to print where it
    is, as `faulthandler` does on SIGABRT, before it is killed.
    """
    mark = uuid.uuid4().hex
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {}), _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = _wait(child, time.monotonic() + deadline_s, look)
        if code is None:
            child.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
        return code
    finally:
        _end(child, mark)


def _wait(child: subprocess.Popen[bytes], deadline: float, look: Callable[[], object]) -> int | None:
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_LOOK_S)
        look()
    return None


def _end(child: subprocess.Popen[bytes], mark: str) -> None:
    """Kills it and all who have its mark in their environment, wherever they went; those that they still start too."""
    child.kill()
    child.wait()
    while marked := list(_marked(mark)):
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        # Nobody reads the environment of another user, nor of a process that only waits to be reaped.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
