"""The same verbs for coroutines."""

from __future__ import annotations

import asyncio
import time

import pytest

from lineshaft import AsyncJob, TaskFailed, WaitTimeout

WAIT = 20


def test_an_async_job_is_awaited_for_its_result(shop):
    async def main() -> None:
        job = await shop.add.aenqueue(2, 3)
        assert isinstance(job, AsyncJob)
        assert await job == 5
        assert await job.aresult(WAIT) == 5
        assert (await job.arefresh()).state == "completed"

    asyncio.run(main())


def test_a_job_of_enqueue_is_not_awaitable(shop):
    async def main() -> None:
        await shop.add.enqueue(1)

    with pytest.raises(TypeError, match="await"):
        asyncio.run(main())


def test_waits_of_one_loop_run_beside_each_other(shop):
    async def main() -> list[int]:
        jobs = await shop.add.amap(range(100))
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == list(range(1, 101))
    assert asyncio.run(main()) == list(range(1, 101)), "a second loop works as well"


def test_the_loop_goes_on_during_a_wait(shop):
    async def main() -> int:
        job = await shop.sleep.aenqueue(0.3)
        waiting = asyncio.create_task(job.aresult(WAIT))
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    assert asyncio.run(main()) > 10


def test_a_wait_times_out_and_can_be_cancelled(shop):
    async def main() -> None:
        job = await shop.sleep.aenqueue(0.4)
        with pytest.raises(WaitTimeout):
            await job.aresult(timeout=0.05)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(job.await_(), 0.05)
        assert await job == 0.4

    asyncio.run(main())


def test_failures_arrive(shop):
    async def main() -> None:
        with pytest.raises(TaskFailed):
            await (await shop.fail.aenqueue("x"))

    asyncio.run(main())


def test_jobs_arrive_as_they_complete(shop):
    async def main() -> list[float]:
        jobs = await shop.app.aenqueue_many([shop.sleep.si(0.3), shop.sleep.si(0.0)])
        return [await job async for job in shop.app.aas_completed(jobs, timeout=WAIT)]

    assert asyncio.run(main()) == [0.0, 0.3]


def test_verbs_have_their_twins(shop):
    async def main() -> None:
        job = await shop.unserved.aenqueue()
        assert await job.acancel() is True
        assert (await job.await_(WAIT)).state == "cancelled"
        done = await shop.talk.aenqueue("hi")
        await done
        assert await done.aoutput() == "hi\n"
        assert [attempt.outcome for attempt in await done.aattempts()] == ["succeeded"]
        assert await done.aprogress() is None
        assert await (await done.aretry()) is None

    asyncio.run(main())


def test_async_workers_wait_for_the_jobs_of_their_block(shop, tmp_path):
    async def main() -> None:
        async with shop.app.workers(1, queues=["nobody"]):
            await shop.unserved.amap(range(20))
            began = time.monotonic()
        assert time.monotonic() - began < WAIT

    asyncio.run(main())
