"""Servers, workers and clients as processes of their own, which a test may kill. All of them are ended by their pid."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

from conftest import environment, stop_server

T = TypeVar("T")

TESTS = Path(__file__).parents[1]
PATIENCE_S = 60.0
"""For what takes a few seconds at most, on a machine that does ten other things."""


def until(check: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """What `check` gives as soon as that is true; fails if it is not within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not (found := check()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {patience_s} s")
        time.sleep(0.005)
    return found


def text_of(path: Path) -> str:
    """What is written there, as soon as something is."""
    return until(lambda: path.exists() and path.read_text(), f"{path.name} is written")


def stat_of(pid: int) -> list[str] | None:
    """State, parent and so on of a process; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [child for child in pids if (stat := stat_of(child)) and stat[1] == str(pid) and stat[0] not in "ZX"]


def crew_of(worker: Program) -> list[int]:
    """The processes of a worker that run jobs, as soon as there is one. What looks at the app before them is none."""

    def found() -> list[int]:
        assert not worker.has_ended(), worker.text()
        return [child for child in children_of(worker.pid) if b"lineshaft._child" in command_of(child)]

    return until(found, "the worker has children")


def command_of(pid: int) -> list[bytes]:
    """The command line of a process; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to all of them, as close to each other as can be."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class Program:
    """A process whose output goes to a file, so that nobody has to read it."""

    def __init__(self, log: Path, command: list[str], **variables: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=TESTS,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def exit_code(self) -> int:
        """Waits for the end."""
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.log.name} did not end within {PATIENCE_S} s:\n{self.text()[-4_000:]}")

    def terminate(self) -> int:
        """Asks it to end, and gives its exit code."""
        self._process.terminate()
        return self.exit_code()

    def kill(self) -> None:
        """Kills it alone."""
        self._process.kill()
        self._process.wait()


class Stage:
    """A short directory with a home and the processes that a test runs on it."""

    def __init__(self) -> None:
        # A socket's path has room for 107 bytes, which pytest's own directories may exceed.
        self.directory = Path(tempfile.mkdtemp(prefix="ls-", dir="/tmp"))
        self.home = self.directory / "home"
        self.effects = self.directory / "effects"
        self.ledger = self.directory / "ledger"
        self._programs: list[Program] = []

    def variables(self) -> dict[str, str]:
        return {"KILLS_HOME": str(self.home), "KILLS_EFFECTS": str(self.effects), "KILLS_LEDGER": str(self.ledger)}

    def start(self, name: str, *command: str, **variables: str) -> Program:
        log = self.directory / f"{name}-{len(self._programs)}.log"
        program = Program(log, [sys.executable, *command], **self.variables(), **variables)
        self._programs.append(program)
        return program

    def server(self, **variables: str) -> Program:
        """A `lineshaft serve` that is ready."""
        server = self.start("server", "-m", "lineshaft", "serve", "--home", str(self.home), **variables)
        until(lambda: "ready " in server.text() or server.has_ended(), "the server is ready")
        assert not server.has_ended(), server.text()
        return server

    def worker(self, *options: str, target: str = "_kills_app", processes: int = 2) -> Program:
        """A `lineshaft worker`; its children take a moment to come."""
        common = ("worker", target, "--home", str(self.home), "--processes", str(processes))
        return self.start("worker", "-m", "lineshaft", *common, *options)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `lineshaft` command, to its end."""
        command = [sys.executable, "-m", "lineshaft", *arguments, "--home", str(self.home)]
        variables = environment(**self.variables())
        return subprocess.run(
            command, cwd=TESTS, env=variables, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    @contextmanager
    def imported(self, app: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
        """The module of an app, with this home."""
        for name, value in self.variables().items():
            monkeypatch.setenv(name, value)
        sys.modules.pop(app, None)
        yield importlib.import_module(app)
        del sys.modules[app]

    def close(self) -> None:
        """Ends what is left and removes everything."""
        for program in self._programs:
            if not program.has_ended():
                children = children_of(program.pid)
                program.kill()
                kill(children)
        stop_server(self.home)
        shutil.rmtree(self.directory)
