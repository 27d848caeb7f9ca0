"""What the tests of the Python face share: homes that end with their test, and programs run as a person runs them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import lineshaft
from support.kernel import Kernel

ADD = """
    from lineshaft import App

    app = App()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b
"""
PACKAGE_ROOT = Path(lineshaft.__file__).parents[1]

# A shell's background jobs ignore Ctrl-C, and so would every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home(tmp_path):
    """A home of its own; its server ends when the directory goes."""
    path = tmp_path / "home"
    yield path
    stop_server(path)


def stop_server(home: Path) -> None:
    """Stops the server of `home`, if there is one; by a signal, since a command takes ten times as long."""
    from support.processes import command_of, is_alive, until  # which needs this module

    lock = home / "LOCK"
    found = re.search(r"^pid=(\d+)$", lock.read_text(), re.MULTILINE) if lock.exists() else None
    pid = int(found[1]) if found else 0
    command = command_of(pid) if found else []
    if b"serve" in command and os.fsencode(home.resolve()) in command:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_alive(pid), "the server ends")
    elif (home / "run" / "socket").exists():
        command = [sys.executable, "-m", "lineshaft", "stop", "--home", str(home)]
        subprocess.run(command, env=environment(), capture_output=True, timeout=30, check=False)


def environment(**more: str) -> dict[str, str]:
    """The environment of a program: it finds this build of the package and its commands, and no home by accident."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LINESHAFT_")}
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**kept, "PATH": commands, "PYTHONPATH": str(PACKAGE_ROOT), **more}


class Programs:
    """A directory with programs, which are run as a person runs them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, source: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source).lstrip())
        return path

    def configure(self, text: str) -> None:
        """The settings of the project that the programs are."""
        (self.directory / "lineshaft.toml").write_text(text)

    def start(self, *args: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *args],
            cwd=self.directory,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, timeout: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, **variables)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:  # what it started holds the pipes
                out, err = "", ""
            pytest.fail(f"{args} did not end within {timeout} s\n{out}\n{err}")
        return subprocess.CompletedProcess(args, process.returncode, out, err)


@pytest.fixture
def programs(tmp_path):
    """A directory for programs with a home beside them."""
    directory = tmp_path / "programs"
    directory.mkdir()
    yield Programs(directory)
    stop_server(directory / ".lineshaft")


@pytest.fixture
def project(programs, request):
    """A directory for programs whose `shop.py` is the `APP` of the test's module."""
    programs.write("shop.py", request.module.APP)
    return programs


@pytest.fixture(scope="module")
def workers(request, tmp_path_factory):
    """Workers for the `WORKERS` of the test's module, an app and its target; each starts when it is needed first."""
    from support.workers import Workers

    workers = Workers(*request.module.WORKERS, tmp_path_factory.mktemp("workers"))
    yield workers
    workers.close()


@pytest.fixture
def worker(workers):
    """One of them, of one child."""
    with workers.one() as worker:
        yield worker


@pytest.fixture
def kernel(programs):
    """A Jupyter kernel in the directory of `programs`."""
    kernel = Kernel(programs.directory, environment())
    yield kernel
    kernel.close()


@pytest.fixture
def stage():
    """A home and processes that end with the test."""
    from support.processes import Stage  # which needs this module

    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The app of `shop.py` with two worker processes for the whole session; queue `nobody` is not served."""
    home = tmp_path_factory.mktemp("shop") / "home"
    os.environ["SHOP_HOME"] = str(home)
    try:
        import shop

        with shop.app.workers(2, queues=["default"], wait=False):
            yield shop
    finally:
        stop_server(home)
        del os.environ["SHOP_HOME"]
