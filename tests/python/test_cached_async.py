"""`lineshaft.cached` on coroutine functions."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lineshaft import cached

DEADLINE_S = 30.0


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, DEADLINE_S))


def test_concurrent_calls_compute_once() -> None:
    calls = []

    @cached(ttl="1h")
    async def f(x: int, y: int = 0) -> int:
        calls.append(x)
        await asyncio.sleep(0.01)
        return x

    async def main() -> None:
        assert await asyncio.gather(*(f(1) for _ in range(1_000))) == [1] * 1_000
        assert await f(x=1, y=0) == 1

    run(main())
    assert calls == [1]
    assert f.cache.info()[:4] == (1, 1_000, 10_000, 1)


def test_loops_of_several_threads_compute_once() -> None:
    calls, go = [], threading.Event()

    @cached
    async def f(x: int) -> int:
        calls.append(x)
        while not go.is_set():
            await asyncio.sleep(0.001)
        return x

    async def main() -> int:
        waiting = asyncio.ensure_future(f(1))
        while f.cache.info().misses < 4:
            await asyncio.sleep(0.001)
        go.set()
        return await waiting

    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(run, main()) for _ in range(4)]
        assert [result.result(DEADLINE_S) for result in results] == [1] * 4
    assert calls == [1]


def test_an_exception_reaches_all_and_is_kept_on_request_only() -> None:
    calls = []

    async def f() -> None:
        calls.append(1)
        await asyncio.sleep(0)
        raise LookupError

    async def main(function: Any) -> int:
        calls.clear()
        for _ in range(2):
            errors = await asyncio.gather(*(function() for _ in range(5)), return_exceptions=True)
            assert [type(error) for error in errors] == [LookupError] * 5
        return len(calls)

    assert run(main(cached(f))) == 2
    assert run(main(cached(negative="1h")(f))) == 1


def test_who_is_cancelled_is_followed_by_who_waits() -> None:
    calls = []

    @cached
    async def f() -> int:
        calls.append(1)
        await asyncio.sleep(0 if len(calls) > 1 else DEADLINE_S)
        return len(calls)

    async def main() -> None:
        first = asyncio.ensure_future(f())
        await asyncio.sleep(0)
        second, third = asyncio.ensure_future(f()), asyncio.ensure_future(f())
        await asyncio.sleep(0.01)
        third.cancel()
        first.cancel()
        assert await second == 2
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main())


def test_a_coroutine_may_await_itself() -> None:
    @cached
    async def fib(n: int) -> int:
        return n if n < 2 else await fib(n - 1) + await fib(n - 2)

    assert run(fib(40)) == 102334155

    @cached
    async def endless() -> None:
        await endless()

    with pytest.raises(RecursionError):
        run(endless())


def test_a_stale_value_is_served_while_it_is_computed_anew() -> None:
    calls = []

    @cached(ttl=0.02, stale="1h")
    async def f() -> int:
        calls.append(1)
        return len(calls)

    async def main() -> None:
        assert await f() == 1
        while await f() == 1:
            await asyncio.sleep(0.005)

    run(main())
    assert f.cache.info().misses == 1


def test_methods_have_the_results_of_their_instance() -> None:
    class Shop:
        def __init__(self, rate: int) -> None:
            self.rate = rate

        @cached
        async def price(self, net: int) -> int:
            return net * self.rate

    async def main() -> None:
        one, two = Shop(2), Shop(3)
        assert (await one.price(10), await two.price(10), await Shop.price(one, 10)) == (20, 30, 20)
        assert one.price.cache.info()[:2] == (1, 1)
        await two.price.cache.warm(5)
        assert two.price.cache.peek(5) == 15

    run(main())


def test_what_is_invalidated_while_it_is_computed_is_not_kept() -> None:
    @cached
    async def f(x: int) -> object:
        f.cache.invalidate(x)
        return object()

    async def main() -> None:
        assert await f(1) is not await f(1)

    run(main())


def test_it_is_a_coroutine_function() -> None:
    @cached
    async def f() -> None:
        """Nothing."""

    assert asyncio.iscoroutinefunction(f)
    assert f.__doc__ == "Nothing."


@pytest.mark.parametrize("how", ["arguments", "tag", "clear"])
def test_a_coroutine_that_asks_after_an_invalidation_waits_for_none_from_before(how: str) -> None:
    source = ["old"]

    @cached(tags=["all"])
    async def read(name: str) -> str:
        value = source[0]
        if value == "old":
            await goes_on.wait()
        return value

    goes_on = asyncio.Event()

    async def main() -> None:
        first = asyncio.create_task(read("a"))
        while source[0] == "old":
            await asyncio.sleep(0.01)
            source[0] = "new"
        if how == "arguments":
            read.cache.invalidate("a")
        elif how == "clear":
            read.cache.clear()
        else:
            read.cache.invalidate(tag="all")
        assert await read("a") == "new"
        goes_on.set()
        assert await first == "old"
        assert await read("a") == "new"

    run(main())
