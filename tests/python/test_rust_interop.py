"""Jobs between languages: what Python enqueued runs in a Rust worker, and the reverse, with records as results.

The Rust side is `examples/rust/checksums.rs`, which `cargo test` and `make test-python` build.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

import lineshaft
from conftest import environment
from lineshaft import App, TaskFailed

ROOT = Path(__file__).resolve().parents[2]


@lineshaft.value("files.Checksum")
@dataclass
class Checksum:
    path: str
    bytes: int
    crc32: int


@pytest.fixture
def checksums():
    """The newest build of the example."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for kind in ("release", "debug") if (path := target / kind / "examples" / "checksums").exists()]
    assert built, "build it first: cargo build -p lineshaft --example checksums"
    return max(built, key=lambda path: path.stat().st_mtime)


@pytest.fixture
def files(tmp_path):
    """Some files of different sizes, and their checksums."""
    contents = {"empty": b"", "small": b"hello", "large": bytes(range(256)) * 1_000}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {str(tmp_path / name): (len(content), zlib.crc32(content)) for name, content in contents.items()}


PYTHON_WORKER = """
import os, zlib
from dataclasses import dataclass
from pathlib import Path

import lineshaft
from lineshaft import App

app = App(os.environ["LINESHAFT_URL"])

@lineshaft.value("files.Checksum")
@dataclass
class Checksum:
    path: str
    bytes: int
    crc32: int

@app.task(name="files.checksum", queue="files")
def checksum(path: str, block: int = 0) -> Checksum:
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    content = Path(path).read_bytes()
    return Checksum(path, len(content), zlib.crc32(content))
"""


@pytest.fixture
def task(home):
    app = App(str(home))
    app.register(Checksum)
    return app.task(name="files.checksum", queue="files")(_checksum)


def _checksum(path: str, block: int = 1 << 20) -> Checksum:
    raise AssertionError("it runs in Rust")


def test_a_rust_worker_runs_what_python_enqueued(task, home, checksums, files):
    jobs = [task.enqueue(path) for path in files]
    jobs += [task.enqueue(path, block=3) for path in files]
    missing = task.enqueue("/no/such/file")
    wrong = task.using(retries=5).enqueue("x", block="many")
    worker = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    try:
        results = [job.result(timeout=60) for job in jobs]
        with pytest.raises(TaskFailed, match="/no/such/file is not there"):
            missing.result(timeout=60)
        with pytest.raises(TaskFailed, match='block: invalid type: string "many"'):
            wrong.result(timeout=60)
        assert len(wrong.attempts()) == 1
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert results == 2 * [Checksum(path, size, crc) for path, (size, crc) in files.items()]


def test_a_rust_worker_hands_back_what_a_later_version_is_for(home, checksums):
    later = App(str(home)).task(name="files.checksum", version=3, queue="files")(_checksum)
    job = later.enqueue("x", block="many")
    worker = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    try:
        deadline = time.monotonic() + 60
        while "version 3 of files.checksum, not just 1" not in str(job.refresh().record.waits_for):
            assert time.monotonic() < deadline, job.record
            time.sleep(0.005)
        assert (job.state, job.attempts()) == ("available", [])
    finally:
        worker.kill()
        worker.wait()


def test_a_rust_worker_that_is_killed_loses_no_job(task, home, checksums, tmp_path):
    content = bytes(range(256)) * 4_000
    (tmp_path / "large").write_bytes(content)
    # Byte by byte, so that it takes a while.
    job = task.enqueue(str(tmp_path / "large"), block=1)
    killed = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    deadline = time.monotonic() + 60
    while job.progress() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    worker = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    try:
        assert job.result(timeout=60) == Checksum(str(tmp_path / "large"), len(content), zlib.crc32(content))
    finally:
        worker.kill()
        worker.wait()
    assert [attempt.outcome for attempt in job.attempts()] == ["lost", "succeeded"]


def test_a_python_worker_runs_what_rust_enqueued(home, checksums, files, programs):
    programs.write("files.py", PYTHON_WORKER)
    # The command with which Rust starts the server on demand.
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"LINESHAFT_URL": str(home), "PATH": scripts}
    worker = programs.start("-m", "lineshaft", "worker", "files", "--processes", "1", **variables)
    try:
        command = [checksums, "sum", *files, "/no/such/file"]
        process = subprocess.run(
            command, env=environment(**variables), capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
    lines = process.stdout.splitlines()
    expected = {f"{crc:08x} {size} {path}" for path, (size, crc) in files.items()}
    failed = next(line for line in lines if line not in expected)
    assert set(lines) - {failed} == expected
    assert re.fullmatch(r"files\.checksum \(\S+\) failed: FileNotFoundError: /no/such/file \(attempt 3\)", failed)
