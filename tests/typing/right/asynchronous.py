"""The async twins give what their models give, and an `AsyncTask` promises what is awaited, not the coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from typing_extensions import assert_type

from lineshaft import App, AsyncJob, AsyncTask, Attempt, Call, Job

app = App("home")


@app.task
async def fetch(url: str, *, tries: int = 3) -> bytes:
    return url.encode()


@app.task(queue="net", retries=2)
async def size(url: str) -> int | None:
    return len(url)


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


async def twins_of_a_task() -> None:
    assert_type(await add.aenqueue(1, b=2), AsyncJob[int])
    assert_type(await add.amap([1, 2]), list[AsyncJob[int]])
    assert_type(await add.aenqueue_many(add.si(n) for n in range(3)), list[AsyncJob[int]])
    assert_type(await add.using(run_after="1m").aenqueue(1), AsyncJob[int])
    assert_type(await add.using(run_after="1m").amap([1]), list[AsyncJob[int]])
    assert_type(await app.aenqueue_many([add.si(1), add.si(2)]), list[AsyncJob[int]])
    mixed: list[Call[int | bytes]] = [add.si(1), fetch.si("u")]
    assert_type(await app.aenqueue_many(mixed), list[AsyncJob[int | bytes]])


async def async_tasks() -> None:
    coroutine: Coroutine[Any, Any, bytes] = fetch("u")
    assert_type(await coroutine, bytes)
    assert_type(await fetch("u"), bytes)
    assert_type(await size("u"), int | None)
    assert_type(fetch.enqueue("u", tries=1), Job[bytes])
    assert_type(fetch.delay("u"), Job[bytes])
    assert_type(fetch.si("u"), Call[bytes])
    assert_type(fetch.map(["u"]), list[Job[bytes]])
    assert_type(size.enqueue("u").result(), int | None)
    assert_type(await fetch.aenqueue("u"), AsyncJob[bytes])
    assert_type(await size.using(priority="low").aenqueue("u"), AsyncJob[int | None])
    one: AsyncTask[[str], int | None] = size
    assert_type(await one("u"), int | None)


async def follow(job: AsyncJob[int]) -> None:
    assert_type(await job, int)
    assert_type(await job.aresult(timeout="1m"), int)
    assert_type(await job.await_(timeout=1), AsyncJob[int])
    assert_type(await job.arefresh(), AsyncJob[int])
    assert_type(await job.aretry(), AsyncJob[int])
    assert_type(await job.acancel(), bool)
    assert_type(await job.aattempts(), list[Attempt])
    assert_type(await job.aoutput(), str)
    assert_type(job.result(), int)
    assert_type(job.retry(), AsyncJob[int])


async def follow_many(jobs: list[AsyncJob[int]], others: list[AsyncJob[str]]) -> None:
    async for job in app.aas_completed(jobs, timeout=5):
        assert_type(job, AsyncJob[int])
        assert_type(await job, int)
    assert_type(await asyncio.gather(jobs[0], others[0]), tuple[int, str])
    assert_type(await asyncio.gather(*jobs), list[int])


async def main() -> None:
    async with app.workers(1):
        await twins_of_a_task()
