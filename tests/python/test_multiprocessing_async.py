"""Queues of `lineshaft.multiprocessing` in coroutines."""

from __future__ import annotations

import asyncio
import queue as queues
from pathlib import Path

import pytest

from lineshaft import multiprocessing
from lineshaft.multiprocessing import Queue, ShutDown
from queue_works import echo, put_numbers
from support.processes import until

LONG_S = 60.0


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    return multiprocessing.get_context(request.param)


def test_a_coroutine_gets_what_another_process_puts(context):
    queue = context.Queue()
    process = context.Process(target=put_numbers, args=(queue, 0, 100))

    async def main():
        process.start()
        return [await queue.aget(LONG_S) for _ in range(100)]

    assert asyncio.run(main()) == list(range(100))
    process.join(LONG_S)
    assert process.exitcode == 0


def test_a_coroutine_puts_when_there_is_room(context):
    queue, answers = context.Queue(maxsize=2), context.Queue()
    process = context.Process(target=echo, args=(queue, answers))

    async def main():
        await queue.aput(0)
        await queue.aput(1, 0.01)
        with pytest.raises(queues.Full):
            await queue.aput(2, 0.01)
        process.start()
        for number in range(3, 50):
            await queue.aput(number)
        assert await queue.ajoin(LONG_S)
        queue.shutdown()

    asyncio.run(main())
    process.join(LONG_S)
    assert process.exitcode == 0
    assert answers.get_many() == [0, 1, *range(3, 50)]


def test_many_coroutines_wait_for_one_queue_while_the_loop_goes_on():
    queue = Queue()

    async def main():
        getters = [asyncio.ensure_future(queue.aget()) for _ in range(100)]
        for number in range(100):
            await asyncio.sleep(0)
            queue.put(number)
        return await asyncio.wait_for(asyncio.gather(*getters), LONG_S)

    assert sorted(asyncio.run(main())) == list(range(100))


def test_one_that_is_cancelled_has_taken_nothing_and_leaves_nobody_waiting():
    queue = Queue()

    async def main():
        for _ in range(20):
            getter = asyncio.ensure_future(queue.aget())
            await asyncio.sleep(0.001)
            getter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getter
        queue.put("kept")
        assert queue.qsize() == 1
        return await queue.aget(LONG_S)

    assert asyncio.run(main()) == "kept"
    until(lambda: waiting_threads() == 0, "no thread waits any more")


def waiting_threads():
    return sum(path.read_text().strip() == "lineshaft-queue" for path in Path("/proc/self/task").glob("*/comm"))


def test_a_loop_over_a_queue_ends_with_it(context):
    queue, numbers = context.Queue(), []
    process = context.Process(target=put_numbers, args=(queue, 0, 10))

    async def main():
        async for number in queue:
            numbers.append(number)
            if len(numbers) == 10:
                queue.shutdown()

    process.start()
    asyncio.run(main())
    process.join(LONG_S)
    assert numbers == list(range(10))


def test_times_and_ends_are_told():
    queue = Queue()

    async def main():
        with pytest.raises(queues.Empty):
            await queue.aget(0.01)
        with pytest.raises(queues.Empty):
            await queue.aget(0)
        queue.put(1)
        assert not await queue.ajoin(0.01)
        queue.shutdown()
        with pytest.raises(ShutDown):
            await queue.aput(2)
        assert await queue.aget() == 1
        with pytest.raises(ShutDown):
            await queue.aget()

    asyncio.run(main())
