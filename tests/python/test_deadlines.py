"""Jobs that must begin or end by a time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from lineshaft import OptionError, Retry, TaskFailed, TaskTimeout

WAIT = 20


def test_a_job_that_nobody_began_in_time_is_discarded_without_an_attempt(shop):
    job = shop.unserved.using(expires="50ms").enqueue()
    with pytest.raises(TaskFailed) as caught:
        job.result(WAIT)
    assert (caught.value.reason, caught.value.attempt) == ("expired", 0)
    assert str(caught.value) == f"shop.unserved ({job.id}) was discarded: no attempt began before it expired"
    assert (job.refresh().state, job.attempts()) == ("discarded", [])


def test_a_scheduled_job_expires_too(shop):
    job = shop.add.using(run_after="1h", expires="50ms").enqueue(1)
    job.wait(WAIT)
    assert (job.refresh().state, job.record.reason) == ("discarded", "expired")


def test_a_job_that_begins_in_time_runs(shop):
    job = shop.add.using(expires="1h", deadline=timedelta(hours=2)).enqueue(1, 2)
    assert job.result(WAIT) == 3
    record = job.refresh().record
    assert 3_599_000 < record.expires_at - record.created_at <= 3_600_000
    assert 7_199_000 < record.deadline_at - record.created_at <= 7_200_000


def test_an_instant_that_has_passed_expires_the_job_at_once(shop):
    job = shop.add.using(expires=datetime.now(timezone.utc) - timedelta(seconds=1)).enqueue(1)
    job.wait(WAIT)
    assert (job.refresh().state, job.record.reason, job.attempts()) == ("discarded", "expired", [])


def test_a_running_attempt_is_stopped_at_the_deadline(shop):
    job = shop.sleep.using(deadline="300ms", retries=5).enqueue(60)
    with pytest.raises(TaskTimeout, match=r"shop.sleep \(.*\) was stopped at its deadline$") as caught:
        job.result(WAIT)
    assert caught.value.reason == "deadline"
    assert [attempt.outcome for attempt in job.attempts()] == ["timed_out"]


def test_a_job_that_waits_to_be_retried_ends_at_the_deadline(shop):
    job = shop.fail.using(deadline="500ms", retries=Retry(5, first="1h", cap="1h")).enqueue("no")
    with pytest.raises(TaskFailed) as caught:
        job.result(WAIT)
    # The jitter of a first delay of an hour is below the deadline once in seven thousand runs.
    assert caught.value.reason == "deadline"
    assert str(caught.value).startswith(f"shop.fail ({job.id}) was discarded because its deadline passed: ValueError: ")


def test_retry_of_an_expired_job_is_a_new_one_that_does_not_expire(shop):
    job = shop.add.using(expires=0).enqueue(1)
    job.wait(WAIT)
    assert job.retry().result(WAIT) == 2


@pytest.mark.parametrize("option", ["expires", "deadline"])
def test_a_naive_datetime_is_refused_with_the_fix(shop, option):
    with pytest.raises(OptionError) as caught:
        shop.add.using(**{option: datetime(2030, 1, 1)})
    assert f"option `{option}`: datetime.datetime(2030, 1, 1, 0, 0) is not accepted" in str(caught.value)
    assert "a datetime with a time zone: datetime.now(timezone.utc) or .astimezone()" in str(caught.value)


def test_many_jobs_expire_while_others_run(shop):
    late = shop.unserved.using(expires="20ms").map(range(3_000))
    time.sleep(0.05)
    assert shop.add.enqueue(2, 2).result(WAIT) == 4
    for job in late:
        job.wait(WAIT)
    assert {job.refresh().record.reason for job in late[::100]} == {"expired"}
