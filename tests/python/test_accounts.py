"""What attempts take is known, and what those of a task came to is counted."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time

import pytest

import accountworks as works
from conftest import stop_server
from lineshaft import App, Attempt, TaskCrashed, TaskStats, TaskTimeout
from support.processes import PATIENCE_S
from support.workers import Workers

MIB = 1 << 20


WORKERS = works.app, "accountworks"


def attempt_of(job) -> Attempt:
    job.wait(PATIENCE_S)
    return job.attempts()[-1]


def command(worker, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineshaft", *words, "--home", str(worker.home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def cli(worker, *words: str) -> str:
    ended = command(worker, *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_body_that_computes_takes_cpu_time_and_one_that_sleeps_hardly_any(worker):
    burnt, slept = attempt_of(works.burns.enqueue(0.3)), attempt_of(works.sleeps.enqueue(0.3))
    assert burnt.ran >= 0.3
    assert burnt.cpu >= 0.3
    assert slept.ran >= 0.3
    assert slept.cpu < 0.2
    assert (slept.cpu_of_children, burnt.cache_hits) == (0, 0)


def test_cpu_time_of_a_process_is_that_of_its_threads(worker):
    assert attempt_of(works.burns_in_a_thread.enqueue(0.3)).cpu >= 0.3


def test_processes_that_a_body_starts_count_for_it(worker):
    attempt = attempt_of(works.starts_one_that_burns.enqueue())
    assert attempt.cpu_of_children >= 0.35
    assert attempt.cpu < 0.3
    assert attempt_of(works.sleeps.enqueue(0.01)).cpu_of_children < 0.2


def test_growth_of_memory_is_that_of_the_attempt(worker):
    assert attempt_of(works.takes_memory.enqueue(200)).peak_growth > 150 * MIB
    time.sleep(0.2)
    assert attempt_of(works.sleeps.enqueue(0.01)).peak_growth < 50 * MIB
    assert attempt_of(works.takes_memory.enqueue(200)).peak_growth > 150 * MIB


def test_the_gil_is_had_by_who_computes_in_python_and_not_by_who_waits_or_is_over_soon(worker):
    burnt, slept = works.burns.enqueue(1.0), works.sleeps.enqueue(1.0)
    burnt, slept = attempt_of(burnt), attempt_of(slept)
    assert burnt.gil >= 0.9 * burnt.ran
    assert slept.gil <= 0.1 * slept.ran
    half = attempt_of(works.computes_and_waits_in_turns.enqueue(2.0))
    assert 0.25 * half.ran <= half.gil <= 0.75 * half.ran
    assert attempt_of(works.burns.enqueue(0.05)).gil is None


def test_the_collector_s_time_is_part_of_the_body_s(worker):
    attempt = attempt_of(works.collects.enqueue(300_000))
    assert 0.01 < attempt.collecting <= attempt.ran
    assert attempt_of(works.sleeps.enqueue(0.01)).collecting < 0.01


def test_calls_that_caches_answer_are_counted(worker):
    works.looks_up.enqueue(1).result(PATIENCE_S)
    assert attempt_of(works.looks_up.enqueue(5)).cache_hits == 5


def test_bytes_are_those_of_arguments_result_and_output(worker):
    burnt, printed = attempt_of(works.burns.enqueue(0.0)), attempt_of(works.prints.enqueue(secrets.token_hex(5_000)))
    assert 0 < burnt.bytes_in < 100
    assert 1_000 < burnt.bytes_out < 1_100
    assert printed.bytes_in > 5_000, "half of it at least, however it is packed"
    assert 10_000 <= printed.bytes_out < 10_100


def test_waiting_is_counted_from_when_a_job_is_ready(worker):
    first = works.sleeps.enqueue(0.6)
    second, later = works.sleeps.enqueue(0.0), works.sleeps.using(run_after=1.0).enqueue(0.0)
    assert attempt_of(first).waited < 0.5
    assert attempt_of(second).waited >= 0.4
    assert attempt_of(later).waited < 0.6


def test_each_attempt_has_its_own(worker):
    job = works.fails_once.enqueue()
    job.wait(PATIENCE_S)
    failed, again = job.attempts()
    assert (failed.outcome, again.outcome) == ("errored", "succeeded")
    assert failed.cpu >= 0.1
    assert again.cpu < 0.1
    assert again.waited < 0.25, "the delay before it is no waiting"


def test_what_was_stopped_or_killed_has_what_is_known_of_it(worker):
    slow, dead = works.is_too_slow.enqueue(), works.dies.enqueue(200)
    with pytest.raises(TaskTimeout):
        slow.result(PATIENCE_S)
    stopped = slow.attempts()[-1]
    assert stopped.outcome == "timed_out"
    assert stopped.cpu >= 0.2
    with pytest.raises(TaskCrashed):
        dead.result(PATIENCE_S)
    for crashed in dead.attempts():
        assert crashed.outcome == "crashed"
        assert crashed.peak_growth > 150 * MIB
        assert crashed.ran > 0
        assert (crashed.cpu, crashed.collecting) == (None, None)


def test_a_thread_has_its_own_cpu_time_and_no_memory(workers):
    with workers.one("--kind", "thread", "--slots", "2"):
        burns, sleeps = works.burns.enqueue(0.4), works.sleeps.enqueue(0.4)
        burnt, slept = attempt_of(burns), attempt_of(sleeps)
        assert burnt.cpu >= 0.4
        assert slept.cpu < 0.2
        assert (slept.peak_growth, slept.cpu_of_children) == (None, None)
        burns, beside = works.burns.enqueue(1.0), works.burns.enqueue(1.0)
        assert all(0.2 * each.ran <= each.gil <= 0.8 * each.ran for each in map(attempt_of, (burns, beside)))
        assert attempt_of(works.collects.enqueue(300_000)).collecting > 0.01
        works.looks_up.enqueue(1).result(PATIENCE_S)
        assert attempt_of(works.looks_up.enqueue(3)).cache_hits >= 2


def test_of_a_coroutine_only_times_and_bytes_are_known(workers):
    with workers.one("--kind", "async", "--slots", "4"):
        attempt = attempt_of(works.waits.enqueue(0.2))
        assert attempt.ran >= 0.2
        assert attempt.waited is not None
        assert (attempt.cpu, attempt.collecting, attempt.cache_hits, attempt.peak_growth, attempt.gil) == (None,) * 5
        assert attempt.bytes_in > 0


def stats(task, **wanted) -> TaskStats:
    (found,) = works.app.stats(task)
    return found


def test_what_attempts_came_to_is_counted(tmp_path):
    workers = Workers(works.app, "accountworks", tmp_path)
    try:
        with workers.one() as worker:
            jobs = [works.fails.using(retries=0).enqueue(index % 4 == 0) for index in range(40)]
            jobs += [works.sleeps.enqueue(0.05) for _ in range(25)]
            jobs.append(works.burns.enqueue(0.6))
            for job in jobs:
                job.wait(PATIENCE_S)
            versioned = works.versioned.enqueue()
            versioned.wait(PATIENCE_S)
            found = stats(works.fails)
            assert (found.outcomes["succeeded"], found.outcomes["errored"], found.attempts) == (30, 10, 40)
            assert (found.failures, found.failure_rate) == (10, 0.25)
            assert (found.calls, found.repeated, found.repetition) == (40, 38, 0.95)
            assert found.ran.count == found.cpu.count == found.waited.count == 40
            assert 0 < found.ran.p50 <= found.ran.p90 <= found.ran.p99 <= found.ran.max <= found.ran.total
            slept = stats(works.sleeps)
            assert 0.048 <= slept.ran.p50 < 5
            assert slept.bytes_in > 0
            assert slept.since <= slept.until
            assert slept.gil_share is None, "they are over too soon"
            assert stats(works.burns).gil_share > 0.9
            assert stats("accountworks.versioned v2").version == 2
            assert works.app.stats("accountworks.nobody") == []
            everything = works.app.stats()
            assert [task.task for task in everything] == [
                f"accountworks.{name}" for name in ("burns", "fails", "sleeps", "versioned")
            ]
            assert asyncio.run(works.app.astats()) == everything

            shown = json.loads(cli(worker, "--json", "task", "stats", "accountworks.fails"))
            assert (shown[0]["outcomes"]["errored"], shown[0]["failure_rate"]) == (10, 0.25)
            assert shown[0]["ran"]["count"] == 40
            assert "25.0 %" in cli(worker, "task", "list")
            assert "of longer attempts" in cli(worker, "task", "stats", "accountworks.burns")
            text = cli(worker, "task", "stats", "accountworks.fails")
            assert "30 succeeded, 10 errored" in text
            assert "95 % of 40 calls repeat arguments" in text
            shown = json.loads(cli(worker, "--json", "job", "show", versioned.id))
            assert shown["attempts"][0]["cpu_us"] >= 0
            assert "COLLECTING" in cli(worker, "job", "show", versioned.id)
            advised = command(worker, "profile", "accountworks.sleeps")
            assert (advised.returncode, "was profiled" in advised.stderr) == (6, True)
            repeat, *others = advised.stdout.splitlines()
            assert repeat.startswith('96 % of 25 calls repeat arguments of the hour before: cache="10m"')
            # Where others want the processors, it also says that the jobs had to wait.
            assert any(one.startswith("attempts had a processor for ") for one in others)
            advised = command(worker, "--json", "profile", "accountworks.sleeps")
            found = json.loads(advised.stdout)
            assert (found["attempts"], found["advice"]) == (0, [repeat, *others])

            # Killed with the server, and after it by a restart: nothing of what was counted is lost.
            worker.kill()
            stop_server(worker.home)
            for before in everything:
                after = stats(f"{before.task} v{before.version}" if before.version > 1 else before.task)
                assert after._replace(calls=0, repeated=0) == before._replace(calls=0, repeated=0)
    finally:
        workers.close()


app = App()


@app.task
def quiet() -> int:
    return 1


def test_jobs_of_a_test_have_accounts_too():
    job = quiet.enqueue()
    assert job.result() == 1
    (attempt,) = job.attempts()
    assert attempt.ran >= 0
    assert attempt.waited is not None
    assert app.stats(quiet)[0].attempts == 1
