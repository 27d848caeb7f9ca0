"""Every public verb gives the type that the task's annotations promise."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

from typing_extensions import assert_type

from lineshaft import App, Attempt, Call, Job, JobRecord, Retry, Using

app = App("home")


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(retries=3, timeout="2m", priority="high", tags=["mail"])
def send(to: str, *, tenant: str) -> str | None:
    return tenant or None


def call() -> None:
    assert_type(add(2), int)
    assert_type(add(2, b=3), int)
    assert_type(send("a@b", tenant="x"), str | None)
    assert_type(add.name, str)
    assert_type(add.queue, str)
    assert_type(add.__name__, str)
    assert_type(add.function(1, 2), int)


def enqueue() -> None:
    assert_type(add.enqueue(2, 3), Job[int])
    assert_type(add.enqueue(a=2), Job[int])
    assert_type(add.delay(2, b=3), Job[int])
    assert_type(send.enqueue("a@b", tenant="x"), Job[str | None])
    assert_type(add.si(2), Call[int])
    assert_type(send.si("a@b", tenant="x"), Call[str | None])
    assert_type(send.si("a@b", tenant="x").task, str)


def enqueue_many() -> None:
    assert_type(add.enqueue_many(add.si(n) for n in range(3)), list[Job[int]])
    assert_type(app.enqueue_many(add.si(n) for n in range(3)), list[Job[int]])
    assert_type(app.enqueue_many([add.using(queue="x").si(1), add.si(2)]), list[Job[int]])
    assert_type(app.enqueue_many([add.si(1), send.si("a", tenant="x")]), list[Job[int | str | None]])
    mixed: list[Call[int] | Call[str | None]] = [add.si(1), send.si("a", tenant="x")]
    assert_type(app.enqueue_many(mixed), list[Job[int | str | None]])
    assert_type(add.map([1, 2]), list[Job[int]])
    assert_type(add.map(range(3)), list[Job[int]])


def using() -> None:
    later = send.using(run_after="5m", priority=1, idempotency_key="order-7", metadata="m", queue="mail")
    assert_type(later.enqueue("a@b", tenant="x"), Job[str | None])
    assert_type(later.delay("a@b", tenant="x"), Job[str | None])
    assert_type(later.si("a@b", tenant="x"), Call[str | None])
    assert_type(add.using(timeout=None).map([1]), list[Job[int]])
    assert_type(add.using(tags=("a",)).using(result=False).enqueue(1), Job[int])
    add.using(run_after=datetime.now(timezone.utc) + timedelta(hours=1), retries=Retry(max=3, on=(OSError, ValueError)))
    add.using(run_after=1.5, unique="args", delivery="at_most_once")
    kept: Using[[str], int] = app.task(lambda_free).using(queue="q")
    assert_type(kept.enqueue("x"), Job[int])


def lambda_free(text: str) -> int:
    return len(text)


def follow(job: Job[int]) -> None:
    assert_type(job.result(), int)
    assert_type(job.result(timeout="1m"), int)
    assert_type(job.wait(timeout=timedelta(seconds=1)), Job[int])
    assert_type(job.refresh(), Job[int])
    assert_type(job.retry(), Job[int])
    assert_type(job.cancel(), bool)
    assert_type(job.attempts(), list[Attempt])
    assert_type(job.attempts()[0].outcome, str | None)
    assert_type(job.attempts()[0].finished_at, datetime | None)
    assert_type(job.output(), str)
    assert_type(job.id, str)
    assert_type(job.state, str | None)
    assert_type(job.task, str | None)
    assert_type(job.as_of, datetime | None)
    assert_type(job.existing, bool)
    assert_type(job.record, JobRecord | None)


def follow_many(numbers: list[Job[int]], texts: list[Job[str]]) -> None:
    for number in app.as_completed(numbers, timeout=5):
        assert_type(number, Job[int])
        assert_type(number.result(), int)
    both: list[Job[int] | Job[str]] = [*numbers, *texts]
    for either in app.as_completed(both):
        assert_type(either.result(), int | str)


def together() -> None:
    with app.batch() as batch:
        assert_type(add.enqueue(1), Job[int])
    assert_type(len(batch), int)
    for job in batch.jobs:
        assert_type(job.id, str)


def by_id(text: str, number: UUID) -> None:
    app.job(text).wait()
    app.job(number).wait()


def names() -> None:
    assert_type(app.url, str)
    assert_type(app.find_task("add").name, str)
    assert_type([task.name for task in app.tasks.values()], list[str])


if __name__ == "__main__":
    with app.workers(2, queues=["default"], wait=False):
        enqueue()
    app.run_worker(2, queues=["default"], grace="10s")
