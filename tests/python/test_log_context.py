"""The fields of a context go along with the jobs that are made in it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

import lineshaft
import logworks as works
from lineshaft import App, Executor, Pool
from lineshaft.logging import context, current_context
from support.processes import PATIENCE_S

app = App()


@app.task
def knows() -> dict[str, object]:
    return current_context()


WORKERS = works.app, "logworks"


def fields_of(job) -> list[dict]:
    job.wait(PATIENCE_S)
    return [entry.fields for entry in job.logs()]


def test_jobs_have_it_and_the_jobs_that_they_make(worker):
    with context(request=7, tenant="acme"):
        first = works.passes_on.enqueue(2)
    second = works.app.job(first.result(PATIENCE_S))
    third = works.app.job(second.result(PATIENCE_S))
    both = {"request": 7, "tenant": "acme"}
    assert fields_of(first) == [both | {"known": ["request", "tenant"]}]
    assert fields_of(second) == [both | {"depth": 2, "known": ["depth", "request", "tenant"]}]
    assert fields_of(third) == [both | {"depth": 1, "known": ["depth", "request", "tenant"]}]
    assert third.refresh().record.context == both | {"depth": 1}


def test_all_that_a_request_led_to_is_found_by_it(worker):
    with context(request="r-18"):
        first = works.passes_on.enqueue(1)
    second = works.app.job(first.result(PATIENCE_S))
    second.wait(PATIENCE_S)
    command = [sys.executable, "-m", "lineshaft", "--jsonl", "logs", "request=r-18", "--home", str(worker.home)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    assert [line.count("r-18") for line in ended.stdout.splitlines()] == [1, 1]


def test_what_is_made_outside_has_none(worker):
    with context(request=7):
        pass
    job = works.looks_at_it.enqueue()
    assert job.result(PATIENCE_S) == {}
    assert fields_of(job) == [{"request": "its own"}, {}]
    assert job.refresh().record.context == {}


def test_a_block_in_the_body_wins(worker):
    with context(request=7, big=True):
        job = works.looks_at_it.enqueue()
    assert job.result(PATIENCE_S) == {"request": 7, "big": True}
    assert fields_of(job) == [{"request": "its own", "big": True}, {"request": 7, "big": True}]


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_slots_of_one_process_do_not_mix_them(workers, kind):
    task = works.passes_on_in_a_coroutine if kind == "async" else works.passes_on
    with workers.one("--kind", kind, "--slots", "4"):
        jobs = []
        for number in range(20):
            with context(request=number):
                jobs.append(task.enqueue(number if kind == "async" else 0))
        assert [fields_of(job)[0]["request"] for job in jobs] == list(range(20))


def test_threads_of_an_attempt_have_what_is_its_own(worker):
    for name in ("a", "b"):
        with context(request=7):
            job = works.logs_in_threads.enqueue(name)
        own = {"request": 7, "name": name}
        assert job.result(PATIENCE_S) == [(job.id, own)] * 3
        assert fields_of(job) == [own] * 3


def test_each_call_of_many_has_that_of_its_time(worker):
    def calls():
        for number in range(6):
            with context(request=number // 2):
                yield works.looks_at_it.si()

    jobs = works.app.enqueue_many(calls())
    assert [job.result(PATIENCE_S)["request"] for job in jobs] == [0, 0, 1, 1, 2, 2]


def test_secrets_do_not_leave_the_process(worker):
    with context(password="sesame", url="https://ada:swordfish@example.org/"):
        job = works.looks_at_it.enqueue()
    assert job.result(PATIENCE_S) == {"password": "***", "url": "https://ada:***@example.org/"}


def test_what_is_too_large_is_left_out_and_said(worker):
    with context(request=7, page="x" * 5_000):
        job = works.looks_at_it.enqueue()
    assert job.result(PATIENCE_S) == {"request": 7, "left_out": 1}


def test_what_handles_a_failure_and_what_is_tried_again_has_it_too(worker):
    with context(request=7):
        job = works.gives_up.enqueue()
    job.wait(PATIENCE_S)
    handler = works.app.job(job.refresh().record.handled_by)
    assert fields_of(handler) == [{"request": 7, "failed": job.id}]
    assert job.retry().refresh().record.context == {"request": 7}


def test_a_job_that_outlived_a_killed_server_has_it(worker):
    with context(request=7):
        job = works.looks_at_it.using(run_after="1s").enqueue()
    lock = (worker.home / "LOCK").read_text()
    os.kill(int(re.search(r"^pid=(\d+)$", lock, re.MULTILINE)[1]), signal.SIGKILL)
    assert job.result(PATIENCE_S) == {"request": 7}


def test_the_kit_has_it_too():
    with context(request=7):
        job = knows.enqueue()
    assert job.result() == {"request": 7}
    assert current_context() == {}


def known_in_pool(_: int = 0) -> dict[str, object]:
    lineshaft.get_logger("pooled").warning("in a pool")
    return current_context()


@pytest.mark.parametrize("make", [lambda: Pool(2), lambda: Executor(2)], ids=["pool", "executor"])
def test_processes_of_a_pool_have_the_context_of_each_call(make):
    with context(request="of the pool"):
        pool = make()
    with pool:
        for expected in ({"request": "a"}, {"request": "b", "deep": [1, {"x": None}]}):
            with context(**expected):
                assert list(pool.map(known_in_pool, range(8))) == [expected] * 8
        assert list(pool.map(known_in_pool, range(8))) == [{}] * 8


def test_processes_of_a_pool_have_what_the_job_came_with(worker):
    with context(request="r-19"):
        job = works.asks_a_pool.enqueue()
    assert job.result(PATIENCE_S) == [{"request": "r-19"}, {"request": "r-19", "step": 2}]
