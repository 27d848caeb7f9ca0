"""`OutcomeUnknown`: nobody can say whether a request was carried out; `resend()` finds out and does nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lineshaft import App, OutcomeUnknown, _native
from lineshaft._connection import server_command
from lineshaft._job import Job


def cast(amount: int) -> int:
    return amount


@contextmanager
def stopped(home) -> Iterator[None]:
    """The server of `home` stands still, as in a machine that swaps or is suspended."""
    status = [sys.executable, "-m", "lineshaft", "status", "--home", str(home), "--json"]
    pid = json.loads(subprocess.run(status, capture_output=True, check=True).stdout)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def app(home) -> App:
    """Its requests do not wait for a minute."""
    app = App(home)
    app._connection.client()
    app._connection._client, _ = _native.connect(app.url, server_command(), deadline=0.2)
    return app


def test_a_request_without_an_answer_is_sent_again_and_makes_one_job(app, home):
    task = app.task(name="cast")(cast)
    task.enqueue(1)
    with stopped(home), pytest.raises(OutcomeUnknown) as caught:
        task.enqueue(2)
    job = caught.value.resend()
    assert isinstance(job, Job)
    assert job.refresh().state == "available"
    assert caught.value.resend() == job
    assert status_of(app).waiting[0] == 2, "the job was made once"


def test_coroutines_resend_as_well(app, home):
    task = app.task(name="cast")(cast)
    asyncio.run(task.aenqueue(1))
    with stopped(home), pytest.raises(OutcomeUnknown) as caught:
        asyncio.run(task.aenqueue(2))
    assert caught.value.resend().refresh().state == "available"
    assert status_of(app).waiting[0] == 2


def test_of_many_calls_it_is_said_what_is_known(app, home):
    task = app.task(name="cast")(cast)
    task.enqueue(1)
    with stopped(home), pytest.raises(OutcomeUnknown) as caught:
        task.enqueue_many(task.si(number) for number in range(3))
    assert getattr(caught.value, "__notes__", []) == [], "that no job was made is not known"
    assert [job.refresh().state for job in caught.value.resend()] == ["available"] * 3


def status_of(app: App) -> _native.Status:
    return app._connection.ask(lambda client: client.status(), lambda status: status)
