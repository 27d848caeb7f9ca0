"""`AsyncResourcePool`: in one event loop and in several, and nothing lost whatever is raised or cancelled where."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import re
import threading
import warnings

import pytest

from lineshaft import App, AsyncResourcePool, ResourceClosed, ResourceTimeout, WrongState
from support.faults import at_each_await, at_each_line
from support.processes import PATIENCE_S, until

OURS = "_resources"


class Things:
    """Opens numbers that belong to the loop in which they were opened."""

    def __init__(self) -> None:
        self.loops: dict[int, asyncio.AbstractEventLoop] = {}
        self.closed: list[int] = []
        self.torn: list[int] = []
        self.most = 0
        self.sick: set[int] = set()
        self.fails = 0
        self._numbers = itertools.count()

    async def open(self) -> int:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("nobody listens")
        thing = next(self._numbers)
        self.loops[thing] = asyncio.get_running_loop()
        self.most = max(self.most, len(self.left()))
        return thing

    async def close(self, thing: int) -> None:
        assert thing not in self.closed + self.torn
        assert self.loops[thing] is asyncio.get_running_loop()
        self.torn.append(thing)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.torn.remove(thing)
        self.closed.append(thing)

    async def is_healthy(self, thing: int) -> bool:
        await asyncio.sleep(0)
        return thing not in self.sick

    def left(self) -> set[int]:
        return set(self.loops) - set(self.closed)


@pytest.fixture
def things():
    return Things()


async def use(pool, seconds: float = 0.0, **options) -> int:
    async with pool.get(**options) as thing:
        await asyncio.sleep(seconds)
        return thing


# ---- In one loop.


def test_what_is_given_back_is_lent_again_and_closed_at_the_end(things):
    async def main() -> None:
        async with AsyncResourcePool(things.open, things.close, max=2) as pool:
            assert [await use(pool), await use(pool)] == [0, 0]
            assert sorted(await asyncio.gather(*(use(pool, 0.001) for _ in range(20)))) == [0] * 10 + [1] * 10
            assert pool.info()[:6] == (2, 0, 2, 0, 2, 0)
        assert things.left() == set()
        with pytest.raises(ResourceClosed):
            await use(pool)

    asyncio.run(main())


def test_coroutines_are_served_in_the_order_of_asking_and_cancelled_ones_are_passed_over(things):
    async def main() -> list[int]:
        pool = AsyncResourcePool(things.open, max=1)
        served: list[int] = []

        async def wait(number: int) -> None:
            async with pool.get():
                served.append(number)

        async with pool.get():
            tasks = [asyncio.create_task(wait(number)) for number in range(5)]
            await asyncio.sleep(0.01)
            assert pool.info().waiting == 5
            tasks[0].cancel()
            tasks[3].cancel()
        await asyncio.wait(tasks)
        return served

    assert asyncio.run(main()) == [1, 2, 4]


def test_a_wait_that_is_too_long_names_the_tasks_that_have_them(things):
    async def main() -> str:
        pool = AsyncResourcePool(things.open, max=1, name="db")
        async with pool.get():
            task = asyncio.create_task(use(pool, timeout="10ms"))
            with pytest.raises(ResourceTimeout) as caught:
                await task
        assert await use(pool) == 0
        return str(caught.value)

    said = asyncio.run(main())
    place = rf"{re.escape(__file__)}:\d+"
    assert re.fullmatch(rf"no resource of db .* 0\.01 s: 1 of 1 are lent: Task-\d+ for \d+\.\d s \({place}\)", said), (
        said
    )


def test_what_is_broken_is_replaced(things):
    async def main() -> None:
        pool = AsyncResourcePool(things.open, things.close, max=1, healthy=things.is_healthy, broken=LookupError)
        assert await use(pool) == 0
        things.sick.add(0)
        assert await use(pool) == 1
        with pytest.raises(LookupError):
            await fail(pool, LookupError())
        assert things.closed == [0, 1]
        with pytest.raises(ValueError, match="mine"):
            await fail(pool, ValueError("mine"))
        assert things.closed == [0, 1]
        task = asyncio.create_task(use(pool, PATIENCE_S))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert things.closed == [0, 1, 2]
        things.fails = 1
        with pytest.raises(ConnectionError):
            await use(pool)
        assert await use(pool) == 3

    asyncio.run(main())


async def fail(pool, error: Exception) -> None:
    async with pool.get():
        raise error


def test_ordinary_functions_do_as_well():
    closed = []

    async def main() -> None:
        async with AsyncResourcePool(object, closed.append, healthy=bool, max=1) as pool, pool.get() as thing:
            pool.discard(thing)
        assert closed == [thing]

    asyncio.run(main())


def test_close_waits_for_what_is_lent(things):
    async def main() -> None:
        pool = AsyncResourcePool(things.open, things.close, max=1)
        holds, goes_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with pool.get():
                holds.set()
                await goes_on.wait()

        task = asyncio.create_task(hold())
        await holds.wait()
        waiter = asyncio.create_task(use(pool))
        await asyncio.sleep(0.01)
        with pytest.raises(ResourceTimeout, match=r"did not close within 0\.01 s"):
            await pool.close(timeout="10ms")
        with pytest.raises(ResourceClosed):
            await waiter
        asyncio.get_running_loop().call_later(0.01, goes_on.set)
        await pool.close()
        assert task.done() or things.left() == set()
        await task

    asyncio.run(main())
    assert things.left() == set()


def test_close_in_a_block_of_its_own_says_that_it_would_wait_for_itself(things):
    async def main() -> None:
        pool = AsyncResourcePool(things.open)
        async with pool.get():
            with pytest.raises(WrongState, match="would wait for itself"):
                await pool.close()

    asyncio.run(main())


def test_it_may_be_what_a_resource_is(things):
    app = App()

    @app.resource
    async def database():
        async with AsyncResourcePool(things.open, things.close, max=2) as pool:
            yield pool

    @app.resource(scope="attempt")
    def connection(*, database=app.use(database)):
        return database.get()

    async def uses(*, thing=app.use(connection)) -> int:
        return thing

    uses.__qualname__ = "uses"
    task = app.task(name="uses")(uses)
    assert [task.enqueue().result(PATIENCE_S) for _ in range(2)] == [0, 0]


# ---- In several loops.


def test_a_loop_is_not_lent_what_another_one_opened(things):
    pool = AsyncResourcePool(things.open, things.close, max=2)
    assert [asyncio.run(use(pool)) for _ in range(4)] == [0, 1, 2, 3]
    info = pool.info()
    assert (info.resting, info.lent) == (2, 0)
    asyncio.run(pool.close())
    assert pool.info().resting == 0


def test_loops_of_several_threads_share_the_places_in_order(things):
    pool = AsyncResourcePool(things.open, things.close, max=2)
    inside, most = [], []

    async def work() -> None:
        for _ in range(20):
            async with pool.get(timeout=PATIENCE_S) as thing:
                assert things.loops[thing] is asyncio.get_running_loop()
                inside.append(thing)
                most.append(len(inside))
                await asyncio.sleep(0)
                inside.remove(thing)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(3)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert max(most) <= 2
    assert (pool.info().lent, pool.info().waiting, pool.info().loans) == (0, 0, 180)


def test_one_of_a_loop_that_still_runs_is_closed_there(things):
    pool = AsyncResourcePool(things.open, things.close, max=1)
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    try:
        assert asyncio.run_coroutine_threadsafe(use(pool), other).result(PATIENCE_S) == 0
        assert asyncio.run(use(pool)) == 1
        assert things.closed == [0]
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join(PATIENCE_S)
        other.close()


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancels what it runs", "forgets what it runs"])
def test_a_loop_may_end_while_its_thing_is_closed_for_another_one(is_cancelled):
    closing, opened = threading.Event(), []

    async def open_one() -> int:
        opened.append(asyncio.get_running_loop())
        return len(opened)

    async def close_one(_thing: int) -> None:
        closing.set()
        await asyncio.Event().wait()

    pool = AsyncResourcePool(open_one, close_one, max=1)
    other = asyncio.new_event_loop()

    async def rest() -> None:
        async with pool.get():
            pass
        while not closing.is_set():
            await asyncio.sleep(0.001)

    def run() -> None:
        other.run_until_complete(rest())
        if is_cancelled:
            left = asyncio.all_tasks(other)
            for task in left:
                task.cancel()
            other.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: pool.info().resting == 1, "it rests")
    assert asyncio.run(use(pool)) == 2
    thread.join(PATIENCE_S)
    for task in asyncio.all_tasks(other):
        task._log_destroy_pending = False
        task.get_coro().close()
    other.close()
    assert opened[0] is other
    assert opened[1] is not other


@pytest.mark.parametrize("goes_on", ["no more", "cancelled", "later"])
def test_a_loop_may_end_before_it_comes_to_close_its_thing_for_another_one(things, goes_on, caplog):
    """It warned of a coroutine that was never awaited, and a loop that cancels what is left did not close the thing."""
    pool = AsyncResourcePool(things.open, things.close, max=1)
    other, asked = asyncio.new_event_loop(), threading.Event()

    async def rest() -> None:
        await use(pool)
        tell = other.call_soon_threadsafe

        def told(*args, **options):
            handle = tell(*args, **options)
            asked.set()
            return handle

        other.call_soon_threadsafe = told
        assert asked.wait(PATIENCE_S), "the loop does nothing else before it ends"

    def run() -> None:
        other.run_until_complete(rest())
        left = asyncio.all_tasks(other)
        assert len(left) == 1
        if goes_on == "cancelled":
            for task in left:
                task.cancel()
            other.run_until_complete(asyncio.wait(left))
        elif goes_on == "later":
            other.run_until_complete(asyncio.wait(left))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: pool.info().resting == 1, "it rests")
    assert asyncio.run(use(pool)) == 1
    thread.join(PATIENCE_S)
    other.close()
    del thread
    with warnings.catch_warnings(record=True) as warned:
        gc.collect()
    assert (warned, caplog.records) == ([], [])
    assert (things.closed, things.torn) == ([] if goes_on == "no more" else [0], [])
    assert (pool.info().lent, pool.info().resting) == (0, 1)


def test_a_loop_that_is_gone_is_passed_over(things):
    pool = AsyncResourcePool(things.open, things.close, max=1)
    holds, goes_on = threading.Event(), threading.Event()

    async def hold() -> None:
        async with pool.get():
            holds.set()
            await asyncio.to_thread(goes_on.wait, PATIENCE_S)

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    holds.wait(PATIENCE_S)
    loop = asyncio.new_event_loop()
    waits = loop.create_task(use(pool))
    loop.run_until_complete(asyncio.sleep(0.01))
    until(lambda: pool.info().waiting == 1, "it waits")
    loop.close()
    goes_on.set()
    thread.join(PATIENCE_S)
    assert asyncio.run(use(pool)) == 1
    waits._log_destroy_pending = False
    waits.get_coro().close()


# ---- Faults.


def fresh(*how: str):
    """A pool and its things; nothing is open, since each run has a loop of its own."""
    things = Things()
    pool = AsyncResourcePool(things.open, things.close, max=2, healthy=things.is_healthy, broken=LookupError)
    return pool, things, how


async def body(pool, things, how) -> int:
    """Opens one, uses it again, then breaks it as it is told to."""
    async with pool.get():
        await asyncio.sleep(0)
    if "sick" in how:
        things.sick.add(0)
    async with pool.get() as thing:
        await asyncio.sleep(0)
        if "discarded" in how:
            pool.discard(thing)
        if "raises" in how:
            raise LookupError("of the body")
        return thing


async def waits(pool, things, how) -> int:
    """Waits for one, beside others that hold and wait."""
    others = [asyncio.create_task(use(pool, 0.001)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        return await use(pool)
    finally:
        await asyncio.gather(*others)


HOW = [(), ("sick",), ("discarded",), ("raises",), ("sick", "raises")]


@pytest.mark.parametrize("when", ["waiting", "woken"])
@pytest.mark.parametrize(("run", "how"), [*((body, how) for how in HOW), (waits, ())])
def test_a_cancellation_at_any_await_loses_nothing_and_arrives(run, how, when):
    for done in at_each_await(run, when, prepare=lambda: fresh(*how)):
        pool, things, _ = done.prepared
        info = pool.info()
        assert (info.lent, info.waiting, things.torn) == (0, 0, []), done
        assert info.resting == len(things.left()), done
        assert things.most <= 2, done
        if done.where is not None:
            assert isinstance(done.error, asyncio.CancelledError), done
        elif "raises" in how:
            assert isinstance(done.error, LookupError)
        else:
            assert done.value in (0, 1)
    assert done.number > 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("how", HOW)
def test_an_exception_at_any_line_loses_nothing_and_arrives(how, error, caplog):
    caplog.set_level(logging.CRITICAL)

    def run(pool, things, how) -> int:
        return asyncio.run(body(pool, things, how))

    for done in at_each_line(run, OURS, body, error=error, prepare=lambda: fresh(*how)):
        pool, things, _ = done.prepared
        info = pool.info()
        assert (info.lent, info.waiting) == (0, 0), done
        # A loop that Ctrl-C has ended closes nothing any more: what it had open rests, and is known.
        assert info.resting == len(things.left()) - len(things.torn), done
        assert things.most <= 2, done
        assert done.where is None or done.error is not None or error is OSError, done
    assert done.number > 80
