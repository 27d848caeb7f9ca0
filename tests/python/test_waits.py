"""Waits that take long say why, and what can be done about it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from conftest import environment, stop_server
from lineshaft import App, WaitTimeout, _waiting
from lineshaft._reasons import NO_WORKER, reason_of

PATIENCE_S = 60
UNREACHABLE = 8


@pytest.fixture
def app(home):
    """An app whose only worker is started by the tests that want one."""
    yield App(home)
    stop_server(home)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Waits of this process wonder after a fifth of a second rather than two."""
    monkeypatch.setattr(_waiting, "WARN_AFTER_S", 0.2)
    monkeypatch.setattr(_waiting, "WARN_EVERY_MAX_S", 0.2)


def waited(job, timeout=0.8) -> WaitTimeout:
    with pytest.raises(WaitTimeout) as raised:
        job.result(timeout=timeout)
    return raised.value


def warned(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def queued(n: int = 0) -> int:
    return n


@pytest.mark.parametrize(
    ("prepare", "state", "words", "fix"),
    [
        (lambda task: task.using(run_after="1h").enqueue(), "scheduled", r"its time, in 60 min", "job.retry"),
        (
            lambda task: task.enqueue(),
            "available",
            r"a worker: none is connected",
            "start one: lineshaft worker test_waits",
        ),
    ],
)
def test_a_wait_in_vain_says_why_once_and_so_does_its_end(app, caplog, prepare: Callable, state, words, fix):
    """A job that waited for a time was waited for without a word, and the end of a wait told no reason."""
    job = prepare(app.task(queued))
    error = waited(job)
    assert (error.state, job.state) == (state, state)
    assert re.fullmatch(words, error.waits_for)
    assert str(error).startswith(
        f"job {job.id} (test_waits.queued) has not ended in time; it is {state} and waits for {error.waits_for}"
    )
    assert (error.hint or "").startswith(fix)
    (message,) = warned(caplog)
    assert message == f"job {job.id} (test_waits.queued) waits: {error.waits_for}; {error.hint}"


def test_a_wait_for_a_paused_queue_names_the_command_that_resumes_it(app, programs, caplog):
    job = app.task(queued).using(queue="mail").enqueue()
    paused = programs.run("-m", "lineshaft", "queue", "pause", "mail", "--home", app.url)
    assert paused.returncode == 0, paused.stderr
    error = waited(job)
    assert (error.waits_for, error.hint) == ("queue mail is paused", "`lineshaft queue resume mail`")
    assert warned(caplog) == [
        f"job {job.id} (test_waits.queued) waits: queue mail is paused; `lineshaft queue resume mail`"
    ]


def test_the_end_of_a_short_wait_tells_the_reason_too_and_says_nothing_else(app, caplog):
    error = waited(app.task(queued).enqueue(), timeout=0)
    assert (error.state, error.waits_for, warned(caplog)) == ("available", "a worker: none is connected", [])


def test_the_end_of_a_wait_for_several_jobs_tells_of_the_first(app):
    jobs = app.task(queued).map(range(3))
    with pytest.raises(WaitTimeout) as raised:
        list(app.as_completed(jobs, timeout=0))
    assert str(raised.value).startswith(
        f"3 jobs have not ended in time; job {jobs[0].id} (test_waits.queued) is available and waits for a worker"
    )


def test_coroutines_hear_of_it_too(app, caplog):
    async def main() -> WaitTimeout:
        job = await app.task(queued).using(run_after="1h").aenqueue()
        with pytest.raises(WaitTimeout) as raised:
            await job.aresult(timeout=0.8)
        return raised.value

    assert asyncio.run(main()).state == "scheduled"
    assert len(warned(caplog)) == 1


PROGRAM = """
    import signal
    import time
    from pathlib import Path

    from lineshaft import App, Retry, Snooze, WaitTimeout, _waiting, current

    _waiting.WARN_AFTER_S = _waiting.WARN_EVERY_MAX_S = 0.2
    here = Path(__file__).parent
    app = App("home")


    @app.task(name="later")
    def later() -> None:
        raise Snooze("1h")


    @app.task(name="again", retries=Retry(3, first="1h", cap="1h", after=lambda attempt, error: 3_600))
    def again() -> None:
        raise ConnectionError("refused")


    @app.task(name="goes_on")
    def goes_on() -> None:
        (here / "begun").touch()
        time.sleep(600)


    def wait(job, timeout=0.8):
        try:
            job.result(timeout=timeout)
        except WaitTimeout as error:
            print(error.state, "|", error.waits_for)
"""


def test_snoozed_retried_and_running_jobs_tell_what_they_wait_for(programs):
    programs.write("works.py", PROGRAM)
    programs.write(
        "main.py",
        """
        from works import *

        if __name__ == "__main__":
            with app.workers(1, wait=False):
                for job in later.enqueue(), again.enqueue():
                    until = time.monotonic() + 8
                    while job.refresh().state in ("available", "running") and time.monotonic() < until:
                        time.sleep(0.01)
                    wait(job)
                job = goes_on.enqueue()
                while not (here / "begun").exists():
                    time.sleep(0.01)
                wait(job, 0)
                job.cancel()
        """,
    )
    try:
        ended = programs.run("main.py", timeout=120)
        assert ended.stdout.splitlines() == [
            "scheduled | its time, in 60 min: attempt 1 snoozed",
            "retryable | its next attempt, in 60 min: attempt 1 errored (ConnectionError: refused)",
            "running | None",
        ], ended.stderr
        said = [line for line in ended.stderr.splitlines() if " waits: " in line]
        assert [line.partition(" waits: ")[2] for line in said] == [
            "its time, in 60 min: attempt 1 snoozed; job.retry() runs it now",
            "its next attempt, in 60 min: attempt 1 errored (ConnectionError: refused); job.retry() runs it now",
        ]
    finally:
        stop_server(programs.directory / "home")


def test_a_worker_that_vanishes_during_a_wait_is_mentioned(programs):
    """Only a worker that was missing at the first look, after two seconds, was."""
    programs.write("works.py", PROGRAM)
    programs.write(
        "main.py",
        """
        import subprocess
        import sys
        import threading

        from works import *

        if __name__ == "__main__":
            job = goes_on.enqueue()
            with subprocess.Popen([sys.executable, "-m", "lineshaft", "worker", "works"]) as worker:
                try:
                    while not (here / "begun").exists():
                        time.sleep(0.01)
                    threading.Timer(0.5, worker.kill).start()
                    wait(job, 3)
                finally:
                    worker.kill()
        """,
    )
    try:
        ended = programs.run("main.py", timeout=120)
        assert ended.stdout.splitlines() == ["available | a worker: none is connected"], ended.stderr
        said = [line for line in ended.stderr.splitlines() if " waits: " in line]
        assert [line.partition(" waits: ")[2] for line in said] == [
            "a worker: none is connected; start one: lineshaft worker works"
        ]
    finally:
        stop_server(programs.directory / "home")


class Record:
    """What `reason_of` reads of a record."""

    def __init__(self, state: str, waits_for: str | None, seconds: float = 0.0) -> None:
        self.state, self.waits_for, self.queue = state, waits_for, "mail"
        self.scheduled_at = int((time.time() + seconds) * 1_000)
        self.attempts: list[object] = []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "1 s"), (59.5, "60 s"), (119, "119 s"), (121, "3 min"), (7_300, "3 h"), (200_000, "3 days")],
)
def test_times_to_come_are_told_in_large_units(seconds: float, words: str):
    reason = reason_of(Record("scheduled", "its time: resource db did not open: OSError: down", seconds), "")  # type: ignore[arg-type]
    assert reason is not None
    assert reason.words == f"its time, in {words}: resource db did not open: OSError: down"


def test_a_wait_starts_no_server_in_place_of_one_that_was_stopped(app, home, caplog, monkeypatch):
    """What it asked on the side, to say why it waits, started one."""
    job = app.task(queued).using(run_after="1h").enqueue()
    waits, look = threading.Event(), _waiting.Patience.slice
    monkeypatch.setattr(_waiting.Patience, "slice", lambda patience: (waits.set(), look(patience))[1])

    def stop_while_it_waits():
        waits.wait(PATIENCE_S)
        stop_server(home)

    stopper = threading.Thread(target=stop_while_it_waits)
    stopper.start()
    with pytest.raises(WaitTimeout):
        job.result(timeout=1)
    stopper.join()
    command = [sys.executable, "-m", "lineshaft", "status", "--home", str(home)]
    assert subprocess.run(command, env=environment(), capture_output=True, check=False).returncode == UNREACHABLE


def test_while_workers_of_the_program_itself_are_about_to_connect_nothing_is_said(app, caplog):
    record = SimpleNamespace(waits_for=NO_WORKER, state="available", queue="default", task="queued")
    job = app.task(queued).using(run_after="1h").enqueue()
    app._attendance.blocks.append(object())
    app._attendance.complain(job, record, said := set())
    assert (warned(caplog), said) == ([], set())
    app._attendance.blocks.clear()
    app._attendance.complain(job, record, said)
    assert warned(caplog)
    assert said == {NO_WORKER}
