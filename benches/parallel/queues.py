"""One figure of one system: `python queues.py SYSTEM PART SECONDS`. Prints nothing where it has no such part."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

CONTEXT = multiprocessing.get_context("fork")
SMALL = b"x" * 100
MANY = 128
FEW_BYTES = 10_000
LARGE_MAX = 1 << 28
"""Bytes that lie in a queue at a time; the standard library's would keep all."""


class OneByOne:
    """Whatever has `put` and `get`."""

    def __init__(self, make: Callable[[int], Any], large: Any) -> None:
        self.make = make
        self.large = large

    def put(self, channel: Any, messages: list[Any]) -> None:
        for message in messages:
            channel.put(message)

    def get(self, channel: Any) -> list[Any]:
        return [channel.get()]


class Many(OneByOne):
    """Those that have `put_many` and `get_many`, too."""

    def put(self, channel: Any, messages: list[Any]) -> None:
        channel.put_many(messages)

    def get(self, channel: Any) -> list[Any]:
        got: list[Any] = channel.get_many(MANY)
        return got


class FasterFifo(OneByOne):
    """Its `get` waits ten seconds unless told otherwise, and its room is given in bytes."""

    def put(self, channel: Any, messages: list[Any]) -> None:
        for message in messages:
            channel.put(message, timeout=3600)

    def get(self, channel: Any) -> list[Any]:
        return [channel.get(timeout=3600)]


class ManyFasterFifo(FasterFifo):
    def put(self, channel: Any, messages: list[Any]) -> None:
        # It takes no more at once than it has room for.
        many = 16 if messages and len(messages[0]) > FEW_BYTES else MANY
        for start in range(0, len(messages), many):
            channel.put_many(messages[start : start + many], timeout=3600)

    def get(self, channel: Any) -> list[Any]:
        got: list[Any] = channel.get_many(timeout=3600, max_messages_to_get=MANY)
        return got


class Pipe(OneByOne):
    def put(self, channel: Any, messages: list[Any]) -> None:
        for message in messages:
            channel[1].send_bytes(message)

    def get(self, channel: Any) -> list[Any]:
        return [channel[0].recv_bytes()]


def system(name: str) -> OneByOne:
    large = bytes(1_000_000)
    if name.startswith("lineshaft"):
        from lineshaft.multiprocessing import Queue

        kind = Many if name.endswith("many") else OneByOne
        return kind(lambda size: Queue(max(1, min(10_000, LARGE_MAX // size))), memoryview(large))
    if name.startswith("faster_fifo"):
        import faster_fifo

        faster = ManyFasterFifo if name.endswith("many") else FasterFifo
        return faster(lambda size: faster_fifo.Queue(max_size_bytes=64 * size + 4_000_000), large)
    if name == "pipe":
        return Pipe(lambda size: CONTEXT.Pipe(duplex=False), large)
    return OneByOne(lambda size: CONTEXT.Queue(max(1, min(10_000, LARGE_MAX // size))), large)


def produce(chosen: OneByOne, channel: Any, start: Any, message: Any, count: int) -> None:
    start.wait()
    batch = [message] * MANY
    for _ in range(count // MANY):
        chosen.put(channel, batch)


def consume(chosen: OneByOne, channel: Any) -> None:
    """Until an empty message comes."""
    while True:
        got = chosen.get(channel)
        ends = sum(not len(message) for message in got)
        if ends:
            # Those that are for the others.
            chosen.put(channel, [b""] * (ends - 1))
            return


def rate(chosen: OneByOne, message: Any, processes: int, seconds: float) -> float:
    count, spent = MANY * processes, 0.0
    while True:
        spent = run(chosen, message, processes, count)
        if spent > seconds / 2:
            return count / spent
        growth = min(20.0, 1.2 * seconds / spent)
        count = max(2 * count, int(count * growth)) // (MANY * processes) * MANY * processes


def run(chosen: OneByOne, message: Any, processes: int, count: int) -> float:
    """How long so many messages take, sent by as many processes as get them."""
    channel, start = chosen.make(len(message)), CONTEXT.Event()
    getters = [CONTEXT.Process(target=consume, args=(chosen, channel)) for _ in range(processes)]
    share = count // processes
    putters = [CONTEXT.Process(target=produce, args=(chosen, channel, start, message, share)) for _ in range(processes)]
    for process in getters + putters:
        process.start()
    time.sleep(0.1)
    begun = time.perf_counter()
    start.set()
    for process in putters:
        process.join()
    chosen.put(channel, [b""] * processes)
    for process in getters:
        process.join()
    return time.perf_counter() - begun


def echo(chosen: OneByOne, there: Any, back: Any) -> None:
    while message := chosen.get(there)[0]:
        chosen.put(back, [message])


def latency(chosen: OneByOne, seconds: float) -> float:
    """The median of half a round trip, in microseconds."""
    there, back, trips = chosen.make(len(SMALL)), chosen.make(len(SMALL)), []
    process = CONTEXT.Process(target=echo, args=(chosen, there, back))
    process.start()
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        chosen.put(there, [SMALL])
        chosen.get(back)
        trips.append(time.perf_counter() - begun)
    chosen.put(there, [b""])
    process.join()
    return statistics.median(trips) * 1e6 / 2


def main(name: str, part: str, seconds: float) -> None:
    chosen = system(name)
    if part == "latency_us":
        print(latency(chosen, seconds))
    elif part == "large_1_1":
        print(rate(chosen, chosen.large, 1, seconds))
    elif part == "small_1_1":
        print(rate(chosen, SMALL, 1, seconds))
    elif name != "pipe":
        print(rate(chosen, SMALL, 2, seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
