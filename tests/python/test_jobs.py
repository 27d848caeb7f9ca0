"""Jobs from enqueue to result, on a real server with real workers."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lineshaft import (
    Job,
    JobNotFound,
    OptionError,
    ResultExpired,
    SerializationError,
    TaskCancelled,
    TaskFailed,
    TaskTimeout,
    WaitTimeout,
)

WAIT = 20


def test_a_job_gives_what_the_task_returns(shop):
    job = shop.add.enqueue(2, 3)
    assert job.result(WAIT) == 5
    assert job.result(WAIT) == 5, "a result may be asked for again"
    assert (job.state, job.task) == ("completed", "shop.add")


def test_the_callee_applies_its_own_defaults(shop):
    assert shop.add.enqueue(2).result(WAIT) == 3
    assert shop.add.enqueue(a=2, b=7).result(WAIT) == 9
    assert shop.add.delay(1).result(WAIT) == 2


def test_a_new_job_knows_its_id_state_and_task_without_asking(shop):
    job = shop.unserved.enqueue()
    assert uuid.UUID(job.id).version == 7
    assert (job.state, job.task, job.existing) == ("available", "shop.unserved", False)
    assert abs((datetime.now(timezone.utc) - job.as_of).total_seconds()) < 5
    later = shop.unserved.using(run_after="1h").enqueue()
    assert (later.state, later.refresh().state) == ("scheduled", "scheduled")


def test_values_come_back_with_their_types(shop):
    order = shop.Order("hat", shop.Colour.RED, shop.Size(1, 2))
    assert shop.repaint.enqueue(order, shop.Colour.BLUE).result(WAIT) == shop.Order(
        "hat", shop.Colour.BLUE, shop.Size(1, 2)
    )
    values = [None, True, 1 << 200, 1.5, "ü", b"\0", (1, [2]), {1: {2}}, frozenset("a"), timedelta(1), uuid.uuid4()]
    assert shop.echo.enqueue(values).result(WAIT) == values


def test_an_argument_that_is_no_value_fails_at_the_caller_with_its_path(shop):
    with pytest.raises(SerializationError, match=r"args\[0\]\[1\].*lock"):
        shop.echo.enqueue([1, threading.Lock()])


def test_an_argument_too_large_fails_at_the_caller(shop):
    with pytest.raises(SerializationError, match="64 MiB"):
        shop.echo.enqueue(bytes(65 << 20))


def test_jobs_compare_by_id_and_are_found_by_it(shop):
    job = shop.add.enqueue(1)
    same = shop.app.job(job.id)
    assert same == job == shop.app.job(uuid.UUID(job.id))
    assert len({job, same}) == 1
    assert (same.state, same.task, same.as_of, same.record) == (None, None, None, None)
    assert same.result(WAIT) == 2
    assert same.refresh().record.task == "shop.add"


def test_ids_that_are_none_are_refused(shop):
    with pytest.raises(OptionError, match="is not a job id"):
        shop.app.job("nonsense")
    missing = shop.app.job("0199b1c2-7a5e-7800-8000-000000000001")
    with pytest.raises(JobNotFound):
        missing.refresh()
    with pytest.raises(JobNotFound):
        missing.result(WAIT)
    with pytest.raises(JobNotFound):
        missing.wait(WAIT)


def test_a_failed_task_tells_what_happened_where(shop):
    job = shop.fail.enqueue("boom")
    with pytest.raises(TaskFailed) as caught:
        job.result(WAIT)
    error = caught.value
    assert str(error) == f"shop.fail ({job.id}) raised ValueError: ('boom', 3)"
    assert (error.job, error.task, error.attempt, error.types[0]) == (job, "shop.fail", 1, "builtins.ValueError")
    assert error.is_a(ValueError)
    assert error.is_a(Exception)
    assert not error.is_a(KeyError)
    assert "raise ValueError(message, 3)" in "".join(error.__notes__)
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.args == ("boom", 3)


def test_the_command_line_cancels_no_job_that_has_ended(shop):
    """It said of a completed job that it is cancelled."""
    for job, what in (
        (shop.add.enqueue(1), "had completed before"),
        (shop.be_silent.enqueue(), "had been discarded before"),
    ):
        job.wait(WAIT)
        command = [sys.executable, "-m", "lineshaft", "job", "cancel", job.id, "--home", shop.app.url]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{job.id} {what}\n"


def test_an_exception_without_a_text_is_named_alone(shop):
    job = shop.be_silent.enqueue()
    with pytest.raises(TaskFailed) as caught:
        job.result(WAIT)
    assert str(caught.value) == f"shop.be_silent ({job.id}) raised ValueError"


def test_the_cause_is_rebuilt_for_classes_that_the_app_knows(shop):
    with pytest.raises(TaskFailed) as caught:
        shop.bounce.enqueue("a@b").result(WAIT)
    cause = caught.value.__cause__
    assert isinstance(cause, shop.Bounced)
    assert (cause.address, cause.code) == ("a@b", 550)
    with pytest.raises(TaskFailed) as caught:
        shop.be_peculiar.enqueue().result(WAIT)
    assert isinstance(caught.value.__cause__, shop.Peculiar | None)
    assert caught.value.types[0] == "shop.Peculiar"


def test_the_cause_says_what_the_exception_said(shop):
    """Its constructor was called with the finished text, and made `code code 3` of it."""
    with pytest.raises(TaskFailed) as caught:
        shop.be_coded.enqueue().result(WAIT)
    assert isinstance(caught.value.__cause__, shop.Coded)
    assert str(caught.value.__cause__) == "code 3"


def test_a_result_that_is_not_kept_is_expired_but_can_be_waited_for(shop):
    job = shop.forget.enqueue().wait(WAIT)
    assert job.state == "completed"
    with pytest.raises(ResultExpired):
        job.result(WAIT)


def test_a_result_that_is_no_value_discards_the_job(shop):
    job = shop.unencodable.enqueue()
    with pytest.raises(TaskFailed, match="its result cannot be sent"):
        job.result(WAIT)
    assert job.refresh().record.reason == "result_unencodable"


def test_a_wait_that_ends_too_early_leaves_the_job_running(shop, tmp_path):
    job = shop.wait_for_file.enqueue(str(tmp_path / "go"))
    with pytest.raises(WaitTimeout, match=r"it is (available|running) and (goes on|waits for)"):
        job.result(timeout="100ms")
    (tmp_path / "go").touch()
    assert job.result(WAIT) == "gone"


def test_an_interrupted_wait_leaves_the_job_running(shop, tmp_path):
    """The job cannot end by itself, so only the signal ends the wait."""
    job = shop.wait_for_file.enqueue(str(tmp_path / "go"))
    threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        job.result(WAIT)
    (tmp_path / "go").touch()
    assert job.result(WAIT) == "gone"


def test_other_threads_run_during_a_wait(shop):
    job = shop.sleep.enqueue(0.3)
    steps = []
    thread = threading.Thread(target=lambda: [steps.append(time.sleep(0.01)) for _ in range(10)])
    thread.start()
    job.result(WAIT)
    thread.join()
    assert len(steps) == 10


def test_retries_run_until_one_succeeds(shop):
    job = shop.flaky.enqueue(2)
    assert job.result(WAIT) == 3
    attempts = job.attempts()
    assert [attempt.outcome for attempt in attempts] == ["errored", "errored", "succeeded"]
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert attempts[0].error.types[0] == "builtins.ConnectionError"
    assert attempts[0].started_at <= attempts[0].finished_at <= attempts[1].started_at
    assert attempts[2].error is None


def test_attempts_are_the_same_from_memory_and_from_the_archive(shop):
    job = shop.flaky.enqueue(2)
    job.wait(WAIT)
    before = job.attempts()
    archive = Path(shop.app.url) / "archive"
    blocks = sizes(archive)
    deadline = time.monotonic() + 300
    while sizes(archive) == blocks:  # a block closes at a thousand jobs
        assert time.monotonic() < deadline, "the archive takes nothing"
        [one.wait(WAIT) for one in shop.add.map(range(500))]
    same = shop.app.job(job.id)
    assert same.attempts() == before
    assert [attempt.number for attempt in before] == [1, 2, 3]
    assert (same.state, same.result(WAIT)) == ("completed", 3)


def sizes(archive: Path) -> dict[str, int]:
    return {str(file): file.stat().st_size for file in archive.rglob("*") if file.is_file()}


def test_retries_give_up_after_the_last_one(shop):
    job = shop.flaky.enqueue(9)
    with pytest.raises(TaskFailed, match=r"raised ConnectionError: not yet \(attempt 4\)") as caught:
        job.result(WAIT)
    assert caught.value.attempt == 4


def test_exceptions_named_never_are_not_retried(shop):
    with pytest.raises(TaskFailed) as caught:
        shop.never_twice.enqueue().result(WAIT)
    assert caught.value.attempt == 1


def test_the_body_steers_its_job(shop, tmp_path):
    assert shop.ask_for_retry.enqueue(str(tmp_path / "a")).result(WAIT) == "done"
    assert (tmp_path / "a").read_text() == "called\ncalled\n"
    job = shop.snooze_once.enqueue(str(tmp_path / "b"))
    assert job.result(WAIT) == "awake"
    assert job.attempts()[0].outcome == "snoozed"
    with pytest.raises(TaskCancelled, match="nobody wants it"):
        shop.cancel_itself.enqueue().result(WAIT)


def test_an_attempt_that_takes_too_long_times_out(shop):
    with pytest.raises(TaskTimeout, match="ran longer than its timeout"):
        shop.too_slow.enqueue().result(WAIT)


def test_a_waiting_job_is_cancelled_at_once(shop):
    job = shop.unserved.enqueue()
    assert job.cancel() is True
    assert job.refresh().state == "cancelled"
    assert job.cancel() in (True, False)
    with pytest.raises(TaskCancelled):
        job.result(WAIT)


def test_a_running_job_is_cancelled_when_its_attempt_has_ended(shop):
    job = shop.sleep.enqueue(30)
    while job.refresh().state != "running":
        time.sleep(0.01)
    assert job.cancel() is True
    assert job.wait(WAIT).state == "cancelled"


def test_cancelling_a_finished_job_changes_nothing(shop):
    job = shop.add.enqueue(1).wait(WAIT)
    assert job.cancel() is False
    assert job.refresh().state == "completed"


def test_retry_of_a_finished_job_is_a_new_one(shop):
    job = shop.add.enqueue(1)
    job.result(WAIT)
    again = job.retry()
    assert again != job
    assert again.result(WAIT) == 2
    assert again.refresh().record.retry_of == job.id


def test_retry_of_a_waiting_job_runs_it_now(shop):
    job = shop.add.using(run_after="1h").enqueue(1)
    assert job.retry() == job
    assert job.result(WAIT) == 2


def test_output_and_progress_are_kept(shop, tmp_path):
    job = shop.talk.enqueue("hello\nworld")
    job.wait(WAIT)
    assert job.output() == "hello\nworld\n"
    job = shop.follow_progress.enqueue(str(tmp_path / "go"))
    deadline = time.monotonic() + WAIT
    while job.progress() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.progress() == {"done": 1, "of": 3}
    (tmp_path / "go").touch()
    job.wait(WAIT)


def test_an_async_task_runs_to_its_end(shop):
    assert shop.wait_a_little.enqueue(7).result(WAIT) == 7


def test_options_of_a_call_arrive(shop):
    using = shop.unserved.using(
        priority="high", queue="other", tags=["a", "b"], metadata='{"x": 1}', retries=2, timeout=None, run_after=60
    )
    record = using.enqueue().refresh().record
    assert (record.priority, record.queue, record.tags, record.metadata) == (2, "other", ["a", "b"], '{"x": 1}')
    assert record.max_attempts == 3
    assert 50_000 < record.scheduled_at - record.created_at <= 61_000
    instant = datetime.now(timezone.utc) + timedelta(hours=1)
    record = shop.unserved.using(run_after=instant).enqueue().refresh().record
    assert abs(record.scheduled_at - instant.timestamp() * 1000) < 2


def test_the_same_idempotency_key_gives_the_same_job(shop):
    key = f"order-{uuid.uuid4()}"
    first = shop.add.using(idempotency_key=key).enqueue(1)
    second = shop.add.using(idempotency_key=key).enqueue(1)
    assert first == second
    assert (first.existing, second.existing, second.state) == (False, True, None)
    assert second.result(WAIT) == 2


def test_equal_arguments_make_one_unique_job(shop):
    first = shop.once.enqueue(1)
    assert shop.once.enqueue(1, 0) == shop.once.enqueue(b=0, a=1) == first
    assert shop.once.enqueue(1, 2) != first
    first.cancel()
    assert shop.once.enqueue(1) != first


def test_unique_by_a_name_or_a_callable_looks_at_nothing_else(shop):
    assert shop.per_user.enqueue("ann", "x") == shop.per_user.enqueue("ann", words="y")
    assert shop.per_user.enqueue("bob", "x") != shop.per_user.enqueue("ann", "x")
    assert shop.by_callable.enqueue([2, 1]) == shop.by_callable.enqueue([1, 2])


def test_many_jobs_come_in_the_order_of_their_calls(shop):
    jobs = shop.add.enqueue_many(shop.add.si(number, 0) for number in range(2_500))
    assert len(set(jobs)) == 2_500
    assert [job.result(WAIT) for job in jobs[::100]] == list(range(0, 2_500, 100))


def test_many_jobs_of_different_tasks_and_options_keep_their_order(shop):
    calls = [
        shop.add.si(1),
        shop.echo.si("x"),
        shop.add.using(tags=["t"]).si(2),
        shop.add.si(3),
        shop.once.si(100),
        shop.once.si(100),
    ]
    jobs = shop.app.enqueue_many(calls)
    assert [job.result(WAIT) for job in jobs[:4]] == [2, "x", 3, 4]
    assert [job.task for job in jobs] == ["shop.add", "shop.echo", "shop.add", "shop.add", "shop.once", "shop.once"]
    assert jobs[4] == jobs[5]
    assert (jobs[4].existing, jobs[5].existing) == (False, True)


def test_map_makes_one_job_per_item(shop):
    assert [job.result(WAIT) for job in shop.add.map(range(5))] == [1, 2, 3, 4, 5]
    assert shop.add.map([]) == []


def test_what_is_no_call_is_refused(shop):
    with pytest.raises(TypeError, match=r"takes calls such as task.si\(1, 2\), calls\[1\] is of type int"):
        shop.app.enqueue_many([shop.add.si(1), 1])


def test_as_completed_gives_each_job_once_with_its_result(shop):
    slow = shop.sleep.enqueue(0.5)
    quick = shop.add.map(range(50))
    failed = shop.fail.enqueue("x")
    order = list(shop.app.as_completed([slow, *quick, *quick, failed], timeout=WAIT))
    assert len(order) == 52
    assert order[-1] is slow
    assert sorted(job.result() for job in order if job in set(quick)) == list(range(1, 51))
    assert failed.state == "discarded"
    assert list(shop.app.as_completed([])) == []


def test_as_completed_raises_when_its_time_is_over(shop):
    jobs = [shop.add.enqueue(1).wait(WAIT), shop.unserved.enqueue()]
    completed = shop.app.as_completed(jobs, timeout=0.5)
    assert next(completed) == jobs[0]
    with pytest.raises(WaitTimeout, match=r"^job \S+ \(shop.unserved\) has not ended in time; it is available and "):
        next(completed)


def test_a_wait_without_time_asks_once(shop):
    """It raised `WaitTimeout` of jobs that had ended, too."""
    ended, open_one = shop.add.enqueue(1).wait(WAIT), shop.unserved.enqueue()
    anew = lambda: shop.app.job(ended.id)  # noqa: E731 - knows nothing yet
    assert (anew().result(timeout=0), anew().wait(timeout=0).state) == (2, "completed")
    with pytest.raises(WaitTimeout):
        open_one.result(timeout=0)
    completed = shop.app.as_completed([open_one, anew()], timeout=0)
    assert next(completed).result() == 2
    with pytest.raises(WaitTimeout):
        next(completed)

    async def check() -> None:
        assert await anew().aresult(timeout=0) == 2
        assert (await anew().await_(timeout=0)).state == "completed"
        with pytest.raises(WaitTimeout):
            await open_one.aresult(timeout=0)
        completed = shop.app.aas_completed([open_one, anew()], timeout=0)
        assert await (await anext(completed)).aresult() == 2
        with pytest.raises(WaitTimeout):
            await anext(completed)

    asyncio.run(check())


def test_a_wait_without_a_worker_says_so_with_the_command(shop, caplog):
    job = shop.unserved.enqueue()
    with pytest.raises(WaitTimeout):
        job.result(timeout=2.6)
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert message.startswith(f"job {job.id} (shop.unserved) waits: ")
    assert message.endswith("start one: lineshaft worker shop")


def test_jobs_are_small(shop):
    gc.collect()
    job = shop.add.enqueue(1)
    assert not hasattr(job, "__dict__")
    assert isinstance(job, Job)
