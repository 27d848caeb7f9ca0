"""Queues and locks between processes."""

from __future__ import annotations

import asyncio

from typing_extensions import assert_type

from lineshaft import multiprocessing
from lineshaft.multiprocessing import (
    Barrier,
    Condition,
    Event,
    JoinableQueue,
    Lock,
    Process,
    Queue,
    ShutDown,
    SimpleQueue,
)

numbers: Queue[int] = Queue(maxsize=10)
numbers.put(1)
numbers.put(2, timeout=1.5)
assert_type(numbers.put_many([3, 4]), int)
assert_type(numbers.get(), int)
assert_type(numbers.get_nowait(), int)
assert_type(numbers.get_many(5, block=False), list[int])
assert_type(numbers.join(timeout=1), bool)
for number in numbers:
    assert_type(number, int)

texts = JoinableQueue[str](room="64MiB")
assert_type(texts.get(), str)
simple: SimpleQueue[bytes] = SimpleQueue()
assert_type(simple.get(), bytes)


async def main() -> None:
    assert_type(await numbers.aget(), int)
    await numbers.aput(5, timeout=1)
    async for number in numbers:
        assert_type(number, int)


def work(numbers: Queue[int], lock: Lock) -> None:
    try:
        while True:
            with lock:
                print(numbers.get())
            numbers.task_done()
    except ShutDown:
        pass


process = Process(target=work, args=(numbers, Lock()))
asyncio.run(main())
assert_type(Lock().acquire(timeout=1), bool)
assert_type(Event().wait(1), bool)
assert_type(Condition().wait(1), bool)
assert_type(Barrier(2).wait(), int)
made = multiprocessing.get_context("spawn").Queue()
