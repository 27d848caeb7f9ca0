"""The client of examples/protocol, which knows only docs/protocol.md: against the golden vectors and a real server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import uuid
from pathlib import Path

import pytest

from lineshaft import App, ResultExpired, TaskCancelled, TaskCrashed, TaskError, TaskFailed, TaskTimeout
from support.processes import Program, Stage, children_of, is_alive, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "protocol"
VECTORS = json.loads((ROOT / "crates/lineshaft-wire/tests/it/messages.json").read_text())

sys.path.insert(0, str(EXAMPLE))
import messagepack  # noqa: E402
import tiny  # noqa: E402


def is_same(decoded: object, expected: object) -> bool:
    """Whether a decoded message is what the vectors say, where ids are text and bytes are lists of numbers."""
    if isinstance(decoded, dict) and isinstance(expected, dict):
        return decoded.keys() == expected.keys() and all(is_same(decoded[key], expected[key]) for key in decoded)
    if isinstance(decoded, list) and isinstance(expected, list):
        return len(decoded) == len(expected) and all(map(is_same, decoded, expected))
    if isinstance(decoded, bytes):
        return list(decoded) == expected or decoded.hex() == str(expected).replace("-", "")
    return type(decoded) is type(expected) and decoded == expected


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_tiny_client_reads_and_writes_every_golden_frame(vector):
    received = bytes.fromhex(vector["frame"])
    frame, length = tiny.decode_frame(received + b"more")
    assert length == len(received)
    assert (frame.kind, frame.request, frame.payload.hex()) == (vector["type"], vector["request_id"], vector["payload"])
    assert is_same(frame.message, vector["message"])
    assert tiny.decode_frame(frame.encode())[0] == frame
    assert all(tiny.decode_frame(received[:end]) is None for end in range(len(received)))


@pytest.mark.parametrize("value", [None, True, False, 0, 127, -1, 2**63, -(2**63), 1.5, "é", b"\0", [[]], {"a": (1,)}])
def test_its_values_come_back(value):
    back = messagepack.decode_value(messagepack.encode_value(value))
    assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize("hostile", ["c1", "dd00", "ddffffffff", "91" * 2000 + "90", "d9", "dbffffffff61", "c701"])
def test_hostile_bytes_are_an_error(hostile):
    with pytest.raises((ValueError, KeyError)):
        messagepack.Reader(bytes.fromhex(hostile)).value()


def test_the_client_is_small_and_needs_nothing():
    assert len((EXAMPLE / "tiny.py").read_text().splitlines()) <= 300
    imported = {line.split()[1] for name in ("tiny.py", "messagepack.py") for line in imports(EXAMPLE / name)}
    assert imported - {"messagepack"} <= sys.stdlib_module_names


def imports(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]


# ---- Against a server

APP = """
from lineshaft import App

app = App()

@app.task(name="shop.add")
def add(a: int, b: int) -> int:
    return a + b

@app.task(name="shop.repeat")
def repeat(text: str, times: int) -> str:
    return text * times

@app.task(name="shop.fail")
def fail(text: str) -> None:
    raise ValueError(text)
"""

WORKER = """
import os, signal, sys, time
sys.path.insert(0, {example!r})
import tiny

def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

def fail(text):
    print("about to fail")
    raise KeyError(text)

def add(a, b):
    return a + b

def slow(path, seconds):
    with open(path, "a") as marks:
        marks.write("x")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return "slept"

tasks = {{"shop.add": add, "shop.fail": fail, "shop.die": die, "shop.slow": slow, "shop.odd": lambda: {{1, 2}}}}
worker = tiny.Worker({home!r}, tasks)
signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "stopping", True))
worker.run()
print("drained")
"""


@pytest.fixture
def stage(stage):
    """A home with a server."""
    stage.server()
    return stage


@pytest.fixture
def tiny_worker(stage):
    """The worker of the example in a process of its own; it drains at the end."""
    worker = start_tiny_worker(stage)
    yield worker
    assert worker.terminate() == 0, worker.text()
    assert worker.text() == "drained\n"


def start_tiny_worker(stage: Stage) -> Program:
    program = stage.directory / "tiny_worker.py"
    program.write_text(WORKER.format(example=str(EXAMPLE), home=str(stage.home)))
    return stage.start("tiny", str(program))


@pytest.fixture
def app(stage):
    """An app of the package at the same home."""
    app = App(stage.home)
    for name in ("add", "fail", "die", "slow", "odd"):
        app.task(name=f"shop.{name}", retries=1 if name == "fail" else 0)(BODIES[name])
    return app


def add(a: int, b: int) -> int:
    raise AssertionError("the other worker runs it")


def fail(text: str) -> None: ...


def die() -> None: ...


def slow(path: str, seconds: float) -> str: ...


def odd() -> None: ...


BODIES = {"add": add, "fail": fail, "die": die, "slow": slow, "odd": odd}


def test_the_tiny_worker_runs_what_python_enqueued(app, tiny_worker):
    jobs = app.enqueue_many(app.tasks["shop.add"].si(n, b=n) for n in range(20))
    assert [job.result(timeout=60) for job in jobs] == [2 * n for n in range(20)]
    forgotten = app.tasks["shop.add"].using(result=False).enqueue(1, 2)
    with pytest.raises(ResultExpired):
        forgotten.result(timeout=60)
    with pytest.raises(TaskError) as error:
        app.tasks["shop.add"].enqueue(shared := [], shared).result(timeout=60)
    assert error.value.reason == "arguments_undecodable"


def test_the_tiny_worker_hands_back_what_a_later_version_is_for(app, stage, tiny_worker):
    job = app.task(name="shop.add", version=2)(add).enqueue(1, 2)
    until(
        lambda: "version 2 of the task, not just 1" in stage.run("job", "show", str(job.id), "--json").stdout,
        "the job is parked",
    )
    assert (job.state, job.attempts()) == ("available", [])


def test_the_tiny_worker_reports_an_error_with_its_classes_and_output(app, tiny_worker):
    job = app.tasks["shop.fail"].using(retries=0).enqueue("milk")
    with pytest.raises(TaskFailed) as failed:
        job.result(timeout=60)
    assert failed.value.is_a(LookupError)
    assert isinstance(failed.value.__cause__, KeyError | None)
    assert "raise KeyError(text)" in failed.value.traceback
    assert job.output() == "about to fail\n"


def test_the_tiny_worker_tells_a_crash_and_a_result_that_is_no_value(app, tiny_worker):
    crashed = app.tasks["shop.die"].enqueue()
    with pytest.raises(TaskCrashed) as error:
        crashed.result(timeout=60)
    assert (error.value.signal, len(crashed.attempts())) == (signal.SIGKILL, 3)
    with pytest.raises(TaskError) as error:
        app.tasks["shop.odd"].enqueue().result(timeout=60)
    assert error.value.reason == "result_unencodable"


def test_the_tiny_worker_stops_what_is_cancelled_or_takes_too_long(app, tiny_worker, tmp_path):
    slow = app.tasks["shop.slow"]
    cancelled = slow.enqueue(str(tmp_path / "marks"), 600)
    until((tmp_path / "marks").exists, "the job runs")
    cancelled.cancel()
    with pytest.raises(TaskCancelled):
        cancelled.result(timeout=60)
    with pytest.raises(TaskTimeout):
        slow.using(timeout="200ms").enqueue(str(tmp_path / "other"), 600).result(timeout=60)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_tiny_worker_keeps_its_attempt_across_a_restart_of_the_server(how, stage, app, tiny_worker, tmp_path):
    marks = tmp_path / "marks"
    job = app.tasks["shop.slow"].enqueue(str(marks), 600)
    until(marks.exists, "the job runs")
    if how == "killed":
        os.kill(status(stage)["pid"], signal.SIGKILL)
    else:
        stage.run("stop")
    stage.server()
    until(lambda: status(stage)["workers"], "the worker is back")
    assert job.refresh().state == "running"
    marks.with_name("marks.go").touch()
    assert job.result(timeout=60) == "slept"
    assert marks.read_text() == "x"


def test_what_a_killed_tiny_worker_ran_is_killed_too_and_runs_again(stage, app, tmp_path):
    marks = tmp_path / "marks"
    worker = start_tiny_worker(stage)
    job = app.tasks["shop.slow"].enqueue(str(marks), 600)
    until(marks.exists, "the job runs")
    [body] = children_of(worker.pid)
    worker.kill()
    until(lambda: not is_alive(body), "the body is gone")
    marks.with_name("marks.go").touch()
    start_tiny_worker(stage)
    assert job.result(timeout=60) == "slept"
    assert marks.read_text() == "xx"
    assert [attempt.outcome for attempt in job.attempts()] == ["lost", "succeeded"]


def test_the_status_shows_the_tiny_worker(stage, tiny_worker):
    [worker] = until(lambda: status(stage)["workers"], "the worker attaches")
    assert (worker["pid"], worker["children"], "shop.add" in worker["tasks"]) == (tiny_worker.pid, 1, True)


def test_a_python_worker_runs_what_the_tiny_client_enqueued(stage):
    (stage.directory / "shopapp.py").write_text(APP)
    stage.start("worker", "-m", "lineshaft", "worker", f"{stage.directory}/shopapp.py", "--home", str(stage.home))
    client = tiny.Client(stage.home)
    assert client.result(client.enqueue("shop.add", 2, 3)) == 5
    assert client.result(client.enqueue("shop.repeat", "long ", 10_000)) == "long " * 10_000
    with pytest.raises(tiny.Failed) as failed:
        client.result(client.enqueue("shop.fail", "no milk"))
    assert failed.value.args[0]["failed"][0]["error"]["message"] == "no milk"
    with pytest.raises(tiny.Refused) as refused:
        client.enqueue("no such name!", 1)
    assert refused.value.args[0]["code"] == "bad_request"


def test_a_request_that_is_sent_again_makes_no_second_job(stage):
    with CutsAnswers(stage.home) as cuts:
        job = tiny.Client(cuts.home).enqueue("shop.add", 1, 2)
        assert cuts.connections == 2
    listed = json.loads(stage.run("job", "list", "--json").stdout)["jobs"]
    assert [entry["id"] for entry in listed] == [str(uuid.UUID(bytes=job))]


def status(stage: Stage) -> dict:
    return json.loads(stage.run("status", "--json").stdout)


class CutsAnswers:
    """Stands between a client and a server, and cuts the first connection instead of passing on its second answer."""

    def __init__(self, home: Path) -> None:
        self.server = (home / "run" / "address").read_text().splitlines()[0]
        self.home = home.parent / "cut"
        self.connections = 0
        (self.home / "run").mkdir(parents=True)
        path = self.home / "run" / "socket"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        (self.home / "run" / "address").write_text(f"{path}\n")
        self.thread = threading.Thread(target=self.pass_on)

    def __enter__(self) -> CutsAnswers:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def pass_on(self) -> None:
        """Serves one connection after the other, until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.connections += 1
                with near, socket.socket(socket.AF_UNIX) as far:
                    far.connect(self.server)
                    self.relay(near, far, answers=1 if self.connections == 1 else None)

    def relay(self, near: socket.socket, far: socket.socket, answers: int | None) -> None:
        answered = b""
        while True:
            ready = select.select([near, far, self.listener], [], [])[0]
            if near in ready:
                if not (data := near.recv(1 << 16)):
                    return
                far.sendall(data)
            if far in ready:
                answered += (data := far.recv(1 << 16))
                if not data or (answers is not None and frames_in(answered) > answers):
                    return
                near.sendall(data)
            if self.listener in ready:
                return


def frames_in(received: bytes) -> int:
    count = 0
    while (found := tiny.decode_frame(received)) is not None:
        count, received = count + 1, received[found[1] :]
    return count
