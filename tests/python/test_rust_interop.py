"""Jobs between languages: what Python enqueued runs in a Rust worker, and the reverse, with records as results; and
functions with several implementations, of which both learn together.

The Rust side is `examples/rust/checksums.rs` and `largest.rs`, which `cargo test` and `make test-python` build.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import lineshaft
from conftest import environment
from lineshaft import App, ResultExpired, Retry, TaskCancelled, TaskFailed, TaskTimeout
from support.processes import until

ROOT = Path(__file__).resolve().parents[2]


@lineshaft.value("files.Checksum")
@dataclass
class Checksum:
    path: str
    bytes: int
    crc32: int


@pytest.fixture
def checksums():
    return newest("checksums")


def newest(example):
    """Its newest build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for kind in ("release", "debug") if (path := target / kind / "examples" / example).exists()]
    assert built, f"build it first: cargo build -p lineshaft --example {example}"
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


@contextmanager
def working(program, home):
    """One that is killed in the end."""
    worker = subprocess.Popen([program, "work"], env=environment(LINESHAFT_URL=str(home)))
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def test_the_profile_of_a_rust_attempt_reads_as_any_other(task, home, checksums, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    with working(checksums, home):
        job = task.using(profile=True).enqueue(str(large))
        assert job.result(timeout=120).bytes == 64 << 20
    found = job.profile()
    of_task = [one for one in found.hot_functions(100) if one.function.endswith("checksum")]
    assert of_task
    assert of_task[0].file.endswith("checksums.rs")
    assert any((line.source and "fold" in line.source) or "crc" in (line.source or "") for line in found.hot_lines(10))
    (entry,) = job.logs()
    # Not of checksums.rs where nothing is inlined.
    assert re.match(r"profiled [\d.]+ s, \d+ samples: \w+.rs:\d+ ", entry.message)
    shown = subprocess.run(
        [sys.executable, "-m", "lineshaft", "job", "profile", job.id],
        env=environment(LINESHAFT_URL=str(home)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "checksums.rs" in shown.stdout


def test_a_rust_worker_that_is_killed_leaves_no_profile_of_that_attempt(task, home, checksums, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(4 << 30)
    job = task.using(profile=True).enqueue(str(large))
    with working(checksums, home):
        deadline = time.monotonic() + 60
        while not job.progress():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(2)  # a worker of Python would have written what was seen so far
    with large.open("wb") as file:
        file.truncate(32 << 20)
    with working(checksums, home):
        job.result(timeout=120)
    assert job.profile(attempt=1) is None
    assert job.profile(attempt=2) is not None


def test_a_rust_worker_leaves_alone_what_a_later_version_is_for(home, checksums):
    later = App(str(home)).task(name="files.checksum", version=3, queue="files")(_checksum)
    job = later.enqueue("x", block="many")
    worker = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    try:
        deadline = time.monotonic() + 60
        while "no worker knows files.checksum v3" not in str(job.refresh().record.waits_for):
            assert time.monotonic() < deadline, job.record
            time.sleep(0.005)
        assert (job.state, job.attempts()) == ("available", [])
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def rust_worker(home, checksums):
    """A Rust worker of the home."""
    worker = subprocess.Popen([checksums, "work"], env=environment(LINESHAFT_URL=str(home)))
    yield worker
    worker.kill()
    worker.wait()


def test_a_rust_worker_keeps_to_the_options_that_python_gave(task, rust_worker, tmp_path):
    """Each option of a call is a rule that the Rust worker or its body meets."""
    large = tmp_path / "large"
    large.write_bytes(bytes(4_000_000))
    slow = {"path": str(large), "block": 1}  # byte by byte
    directory = str(tmp_path)

    retried = task.using(retries=Retry(1, first="1ms", cap="2ms"), tags=["x"], metadata="m").enqueue(directory)
    named = task.using(retries=Retry(5, never=IsADirectoryError, on=OSError)).enqueue(directory)
    once = task.using(delivery="at_most_once", retries=5).enqueue(directory)
    unkept = task.using(result=False).enqueue(str(large))
    timed_out = task.using(timeout="50ms").enqueue(**slow)
    cancelled = task.using(priority="high").enqueue(**slow)
    keyed = [task.using(idempotency_key="k").enqueue(str(large), block=size) for size in (1 << 20, 1 << 10)]
    aliased = lineshaft.App(task.app.url).task(name="files.crc32", queue="files")(_by_an_older_name).enqueue(str(large))

    with pytest.raises(TaskFailed) as failed:
        retried.result(timeout=60)
    assert failed.value.is_a("std.io.error.Error")
    assert "directory" in str(failed.value)
    attempts = retried.attempts()
    assert [attempt.outcome for attempt in attempts] == ["errored", "errored"]
    assert re.match(r"at \S*examples/rust/checksums\.rs:\d+", attempts[0].error.traceback)
    with pytest.raises(TaskFailed):
        named.result(timeout=60)
    assert len(named.attempts()) == 1, "an error of Rust is no OSError"
    with pytest.raises(TaskFailed):
        once.result(timeout=60)
    assert len(once.attempts()) == 1
    with pytest.raises(ResultExpired):
        unkept.result(timeout=60)
    assert unkept.output() == "4000000 bytes\n"
    with pytest.raises(TaskTimeout):
        timed_out.result(timeout=60)
    while cancelled.progress() is None:
        time.sleep(0.005)
    cancelled.cancel()
    with pytest.raises(TaskCancelled):
        cancelled.result(timeout=60)
    assert keyed[0] == keyed[1]
    assert aliased.result(timeout=60).bytes == 4_000_000


def _by_an_older_name(path: str) -> Checksum:
    raise AssertionError("it runs in Rust")


def test_options_that_rust_gave_are_those_that_python_sees(task, home, checksums, tmp_path):
    """A unique call is the same job, whichever language makes it."""
    paths = [str(tmp_path / "ä file"), "other"]
    process = subprocess.Popen([checksums, "sum", *paths], env=environment(LINESHAFT_URL=str(home), USER="ada"))
    try:
        ids = _job_ids(home, 2)
        record = task.app.job(ids[0]).refresh().record
        assert (record.task, record.queue, record.priority, record.max_attempts) == ("files.checksum", "files", 8, 3)
        assert (record.tags, record.metadata) == (["files"], "ada")
        assert abs(record.deadline_at - record.created_at - 7 * 86_400_000) < 60_000
        same = [task.using(unique="args").enqueue(path, block=1 << 16).id for path in paths]
        assert sorted(same) == sorted(ids)
        assert task.using(unique="args").enqueue("other").id not in ids, "another block"
        for job in ids:
            task.app.job(job).cancel()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def _job_ids(home, count):
    """The jobs of the home, once so many are there."""
    command = [sys.executable, "-m", "lineshaft", "job", "list", "--json", "--home", str(home)]
    deadline = time.monotonic() + 60
    while True:
        listed = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        jobs = [job["id"] for job in json.loads(listed.stdout)["jobs"]] if listed.returncode == 0 else []
        if len(jobs) >= count:
            return jobs
        assert time.monotonic() < deadline
        time.sleep(0.02)


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


# ---- Several implementations.


def shared_largest(home, **options):
    """What `examples/rust/largest.rs` has, and its calls in Python."""
    called = []

    def by_sort(orders: list[int]) -> int:
        called.append("by_sort")
        return sorted(orders)[0 if options else -1]

    def largest(orders: list[int]) -> int:
        called.append("largest")
        time.sleep(0.002)
        return max(orders)

    largest.__module__, largest.__qualname__ = "orders", "largest"
    return App(str(home)).alternatives(by_sort, **options)(largest), called


@pytest.fixture
def rust_largest(home):
    """Has the Rust program look for the largest of so many, and gives what it writes then."""
    variables = environment(LINESHAFT_URL=str(home))
    pipe = subprocess.PIPE
    with subprocess.Popen([newest("largest")], env=variables, stdin=pipe, stdout=pipe, text=True) as process:

        def find(count):
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
            return "".join(iter(process.stdout.readline, "\n"))

        yield find
        process.kill()


def test_python_learns_from_rust_which_implementation_is_the_fastest(home, rust_largest):
    function, called = shared_largest(home)
    while "does the work" not in (known := rust_largest(300)):
        pass
    fastest = re.search(r"^  (\w+) +does the work", known, re.MULTILINE)[1]
    sharing = function._classes.sharing
    until(lambda: sharing._app.cache.get(sharing.key((9,))) is not None, "it is told")
    function([7] * 300)
    until(lambda: any(row.standing == "best" for row in function.implementations()[(9,)]), "it is learned")
    assert len(called) == 1, "one call says nothing"
    assert [row.name for row in function.implementations()[(9,)] if row.standing == "best"] == [fastest]


def test_rust_hears_from_python_that_an_implementation_gives_another_result(home, rust_largest):
    function, _ = shared_largest(home, verify=1.0)
    until(lambda: function([3, 7, 5]) == 7 and "pinned" in function.explain(), "it is found out")
    sharing = function._classes.sharing
    until(lambda: sharing._found((2,)) is not None, "it is told")
    pinned = "orders.largest for arguments of class (2,): "
    until(lambda: pinned in (known := rust_largest(3)) and "pinned: another one gave" in known, "it is heard of")
    assert "pinned" not in rust_largest(300).partition("class (9,)")[2], "of one class alone"
