"""Loans of a pool: `hold.py ROUNDS SITE`, with SQLAlchemy in SITE."""

from __future__ import annotations

import asyncio
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from lineshaft import AsyncResourcePool, ResourcePool

sys.path.append(sys.argv[2])
from sqlalchemy.pool import QueuePool

LOANS = 100_000
SIZE = 4
THREADS = 8


class Connection:
    """What costs nothing to open, as a driver's connection looks to SQLAlchemy."""

    def close(self) -> None: ...

    def rollback(self) -> None: ...


def ours() -> Callable[[], None]:
    pool = ResourcePool(Connection, Connection.close, max=SIZE)

    def loan() -> None:
        with pool.get():
            pass

    return loan


def sqlalchemy() -> Callable[[], None]:
    # Without the rollback that it does at each return by default: ours asks nothing of what it lends.
    pool: Any = QueuePool(Connection, pool_size=SIZE, max_overflow=0, reset_on_return=None)

    def loan() -> None:
        pool.connect().close()

    return loan


def by_hand() -> Callable[[], None]:
    rest: queue.LifoQueue[Connection] = queue.LifoQueue()
    for _ in range(SIZE):
        rest.put(Connection())

    def loan() -> None:
        connection = rest.get()
        try:
            pass
        finally:
            rest.put(connection)

    return loan


SYSTEMS = {"lineshaft ResourcePool": ours, "SQLAlchemy QueuePool": sqlalchemy, "queue.LifoQueue by hand": by_hand}


def alone(loan: Callable[[], None]) -> float:
    """Nanoseconds of CPU for a loan that waits for nobody."""
    loan()
    began = time.process_time_ns()
    for _ in range(LOANS):
        loan()
    return (time.process_time_ns() - began) / LOANS


def together(loan: Callable[[], None]) -> float:
    """Nanoseconds until the next loan, with twice as many threads as there are things."""
    threads = [threading.Thread(target=lambda: [loan() for _ in range(LOANS // THREADS)]) for _ in range(THREADS)]
    began = time.perf_counter_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter_ns() - began) / LOANS


def in_a_loop() -> float:
    """Nanoseconds of CPU for a loan of the pool for coroutines."""

    async def main() -> float:
        async with AsyncResourcePool(Connection, Connection.close, max=SIZE) as pool:
            began = time.process_time_ns()
            for _ in range(LOANS):
                async with pool.get():
                    pass
            return (time.process_time_ns() - began) / LOANS

    return asyncio.run(main())


def main(rounds: int) -> None:
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make in SYSTEMS.items():
            figures.setdefault(f"{name}, alone", []).append(alone(make()))
            figures.setdefault(f"{name}, {THREADS} threads for {SIZE}", []).append(together(make()))
        figures.setdefault("lineshaft AsyncResourcePool, alone", []).append(in_a_loop())
    for name, some in figures.items():
        print(f"{name:44} {statistics.median(some):8,.0f} ns a loan ({min(some):,.0f} to {max(some):,.0f})")


if __name__ == "__main__":
    main(int(sys.argv[1]))
