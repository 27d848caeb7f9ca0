"""`app.batch()`: what is enqueued in the block leaves together, or not at all."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lineshaft import (
    App,
    AsyncJob,
    Hooks,
    Job,
    OptionError,
    OutcomeUnknown,
    QueueFull,
    SerializationError,
    Unique,
    WrongState,
    _together,
)
from lineshaft.testing import enqueued
from support.faults import at_each_await, at_each_line
from support.processes import PATIENCE_S

app = App()


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(unique=Unique(by="a"))
def once(a: int, b: int = 0) -> int:
    return a


@app.task
def follows(job: Job[int]) -> str:
    return job.id


def made() -> list[tuple[object, ...]]:
    """The calls that became jobs in this test."""
    return [call.args for call in enqueued()]


def raises_in(block) -> Job[int]:
    """A job of a block that raises."""
    jobs = []
    with pytest.raises(LookupError, match="mine"):
        enqueue_and_raise(block, jobs)
    return jobs[0]


def enqueue_and_raise(block, jobs: list[Job[int]]) -> None:
    with block:
        jobs.append(add.enqueue(3))
        raise LookupError("mine")


def enqueue_within_and_raise(jobs: list[Job[int]]) -> None:
    with app.batch():
        with app.batch():
            jobs.append(add.enqueue(1))
        raise LookupError


# ---- Together, or not at all.


def test_the_jobs_are_made_when_the_block_ends_well():
    with app.batch() as batch:
        first = add.enqueue(1)
        rest = [*add.map([2, 3]), *add.enqueue_many([add.si(4)]), *app.enqueue_many([total.si([5])]), add.delay(6)]
        assert made() == []
    assert made() == [(1,), (2,), (3,), (4,), ([5],), (6,)]
    assert batch.jobs == [first, *rest]
    assert (len(batch), repr(batch)) == (6, "<batch of 6 jobs>")
    assert [job.result(PATIENCE_S) for job in batch.jobs] == [2, 3, 4, 5, 5, 7]
    assert (first.state, first.existing, first.task) == ("completed", False, add.name)


def test_all_of_them_are_one_request(monkeypatch):
    requests = []
    connection = app._connection
    client = connection.client()

    class Counted:
        def enqueue_packed(self, calls):
            requests.append(len(calls))
            return client.enqueue_packed(calls)

    monkeypatch.setattr(connection, "client", Counted)
    with app.batch():
        for number in range(3_000):
            add.using(priority=1 + number % 9).enqueue(number)
    assert requests == [3_000]


def test_none_is_made_when_the_block_raises():
    job = raises_in(app.batch())
    assert made() == []
    with pytest.raises(WrongState, match="was never made: LookupError ended its batch"):
        _ = job.id
    assert "was never made" in repr(job)


def test_an_empty_one_asks_nobody(monkeypatch):
    monkeypatch.setattr(app._connection, "client", lambda: pytest.fail("asked"))
    with app.batch() as batch:
        pass
    assert batch.jobs == []


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (QueueFull("full"), "was never made: QueueFull ended its batch"),
        (OutcomeUnknown("late"), "may have been made: OutcomeUnknown ended the wait"),
        (KeyboardInterrupt(), "may have been made: KeyboardInterrupt ended the wait"),
    ],
)
def test_jobs_know_what_became_of_a_batch_that_did_not_leave(monkeypatch, error, fate):
    class Failing:
        def enqueue_packed(self, calls):
            return self

        def wait(self):
            raise error

    monkeypatch.setattr(app._connection, "client", Failing)
    block, jobs = app.batch(), []
    with pytest.raises(type(error)):
        enqueue_in(block, jobs)
    with pytest.raises(WrongState, match=fate):
        jobs[0].result()


def enqueue_in(block, jobs: list[Job[int]]) -> None:
    with block:
        jobs.append(add.enqueue(1))


def test_arguments_are_as_they_were_when_they_were_enqueued():
    numbers = [1, 2]
    with app.batch():
        job = total.enqueue(numbers)
        numbers.append(100)
    assert job.result(PATIENCE_S) == 3


def test_what_cannot_be_sent_is_refused_where_it_is_enqueued():
    with app.batch() as batch:
        with pytest.raises(TypeError, match="missing"):
            add.enqueue()
        with pytest.raises(SerializationError, match=add.name):
            add.enqueue(object())
        with pytest.raises(SerializationError, match=r"calls\[1\]: .*add"):
            add.enqueue_many([add.si(1), add.si(object())])
        with pytest.raises(TypeError, match=r"calls\[0\] is of type int"):
            app.enqueue_many([1])
        add.enqueue(7)
    assert made() == [(7,)]
    assert len(batch) == 1


def test_more_than_one_commit_takes_is_refused_and_what_was_taken_leaves(monkeypatch):
    monkeypatch.setattr(_together, "BATCH_JOBS_MAX", 3)
    with app.batch():
        add.map([1, 2])
        with pytest.raises(OptionError, match="takes at most 3 calls"):
            add.map([3, 4])
        add.enqueue(5)
    assert made() == [(1,), (2,), (5,)]
    monkeypatch.setattr(_together, "BATCH_BYTES_MAX", 100)
    with app.batch(), pytest.raises(OptionError, match="these would be 1 calls with"):
        total.enqueue([1_000_000] * 100)


# ---- Before they are made.


def test_a_job_that_has_not_left_says_so():
    with app.batch():
        job = add.enqueue(1)
        assert (job.state, job.task, job.existing) == (None, add.name, False)
        assert repr(job) == f"<Job of {add.name}, which waits in a batch>"
        verbs = (job.result, job.wait, job.refresh, job.cancel, job.retry, job.attempts, job.output, job.progress)
        for verb in (*verbs, lambda: job.id, lambda: hash(job), lambda: list(app.as_completed([job]))):
            with pytest.raises(WrongState, match="waits in a batch"):
                verb()
        with pytest.raises(Exception, match="waits in a batch"):
            follows.enqueue(job)
    assert follows.enqueue(job).result(PATIENCE_S) == job.id


def test_a_block_is_entered_once():
    block = app.batch()
    with block:
        add.enqueue(1)
    with pytest.raises(WrongState, match="entered before"), block:
        pass


# ---- Batches in batches, threads and coroutines.


def test_one_within_another_leaves_with_it_or_is_dropped_alone():
    with app.batch() as outer:
        add.enqueue(1)
        with app.batch() as kept:
            add.enqueue(2)
        dropped = raises_in(app.batch())
        add.enqueue(4)
        assert made() == []
    assert made() == [(1,), (2,), (4,)]
    assert outer.jobs[1:2] == kept.jobs
    with pytest.raises(WrongState, match="was never made"):
        _ = dropped.id


def test_the_outer_one_takes_the_inner_one_with_it():
    inner: list[Job[int]] = []
    with pytest.raises(LookupError):
        enqueue_within_and_raise(inner)
    assert made() == []
    with pytest.raises(WrongState, match="was never made: LookupError"):
        inner[0].result()


def test_apps_have_batches_of_their_own():
    other = App()
    there = other.task(name="there")(add.function)
    with app.batch(), other.batch():
        there.enqueue(1)
        add.enqueue(2)
        with app.batch():
            add.enqueue(3)
        assert made() == []
    assert [call.args for call in enqueued(add)] == [(2,), (3,)]
    assert [call.args for call in enqueued(there)] == [(1,)]


def test_a_thread_makes_its_jobs_at_once():
    with app.batch():
        add.enqueue(1)
        thread = threading.Thread(target=add.enqueue, args=(2,))
        thread.start()
        thread.join()
        assert made() == [(2,)]
    assert made() == [(2,), (1,)]


def test_coroutines_started_in_the_block_belong_to_it_and_others_do_not():
    async def beside(goes_on: asyncio.Event) -> None:
        await goes_on.wait()
        await add.aenqueue(1)

    async def main() -> list[AsyncJob[int]]:
        goes_on = asyncio.Event()
        task = asyncio.create_task(beside(goes_on))
        async with app.batch() as batch:
            await asyncio.gather(*(add.aenqueue(number) for number in (2, 3)), add.amap([4]))
            await asyncio.to_thread(add.enqueue, 5)
            goes_on.set()
            await task
            assert made() == [(1,)]
            late = asyncio.create_task(beside(asyncio.Event()))
        late.cancel()
        return batch.jobs

    jobs = asyncio.run(main())
    assert made() == [(1,), (2,), (3,), (4,), (5,)]
    assert [job.result(PATIENCE_S) for job in jobs] == [3, 4, 5, 6]


def test_a_coroutine_that_outlives_the_block_makes_its_jobs_at_once():
    async def main() -> None:
        left = asyncio.Event()

        async def late() -> None:
            await left.wait()
            await add.aenqueue(2)

        async with app.batch():
            await add.aenqueue(1)
            task = asyncio.create_task(late())
        left.set()
        await task

    asyncio.run(main())
    assert made() == [(1,), (2,)]


def test_the_result_of_an_async_batch_can_be_awaited_after_it():
    async def main() -> list[int]:
        async with app.batch():
            jobs = [await add.aenqueue(number) for number in (1, 2)]
            with pytest.raises(WrongState, match="waits in a batch"):
                await jobs[0]
        return [await job for job in jobs]

    assert asyncio.run(main()) == [2, 3]


# ---- Keys.


def test_of_two_with_one_key_the_first_is_the_job_of_both():
    with app.batch():
        first, twin, other = once.enqueue(1), once.enqueue(1, 2), once.enqueue(2)
        keyed = [add.using(idempotency_key="k").enqueue(number) for number in (5, 6)]
    assert (first, first.existing, twin.existing) == (twin, False, True)
    assert other != first
    assert keyed[0] == keyed[1]
    assert keyed[1].result(PATIENCE_S) == 6
    assert len({call.job for call in enqueued()}) == 3


def test_a_key_that_was_there_answers_with_its_job():
    before = add.using(idempotency_key="k").enqueue(1)
    with app.batch():
        answered = [add.using(idempotency_key="k").enqueue(number) for number in (2, 3)]
    assert answered == [before, before]
    assert [job.existing for job in answered] == [True, True]


# ---- Hooks and workers.


def test_hooks_hear_of_the_call_in_the_block_and_of_the_job_after_it():
    told: list[object] = []

    class Told(Hooks):
        def before_enqueue(self, call):
            told.append(call.args)

        def after_enqueue(self, job):
            told.append(job)

    heard = App(hooks=[Told()])
    task = heard.task(name="heard")(add.function)
    with heard.batch():
        job = task.enqueue(1)
        assert told == [(1,)]
        jobs = task.map([2, 3])
        assert told == [(1,), (2,), (3,)]
    assert told[3:] == [job, *jobs]


# ---- Faults.


def enqueues() -> list[Job[int]]:
    with app.batch():
        jobs = [add.enqueue(1), add.enqueue(2)]
        jobs += add.map([3])
    return jobs


async def aenqueues() -> list[AsyncJob[int]]:
    async with app.batch():
        jobs = [await add.aenqueue(1), await add.aenqueue(2)]
        jobs += await add.amap([3])
    return jobs


def check_all_or_none(before: int, run) -> None:
    count = len(made()) - before
    assert count in (0, 3), run
    assert (count, run.error) == (3, None) if run.where is None else run.error is not None
    assert _together.open_batch(app) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_exception_at_any_line_makes_all_or_none_and_leaves_no_batch_open(error):
    before = len(made())
    for run in at_each_line(enqueues, "_together.py", "_batch.py", enqueues, error=error):
        if run.where is not None:
            assert type(run.error) is error, run
        check_all_or_none(before, run)
        before = len(made())
    assert run.number > 100


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_the_same_in_a_coroutine(error):
    before = len(made())
    for run in at_each_line(lambda: asyncio.run(aenqueues()), "_together.py", "_batch.py", aenqueues, error=error):
        check_all_or_none(before, run)
        before = len(made())
    assert run.number > 100


@pytest.mark.parametrize("when", ["waiting", "woken"])
def test_a_cancellation_at_any_await_makes_all_or_none(when):
    app._connection.client()
    before = len(made())
    for run in at_each_await(aenqueues, when):
        assert run.where is None or isinstance(run.error, asyncio.CancelledError)
        before = len(made())
    assert run.number == 2
    assert len(made()) - before in (0, 3)
