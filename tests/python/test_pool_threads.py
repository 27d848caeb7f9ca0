"""Pools and executors whose workers are threads: the same calls, and nothing is encoded."""

from __future__ import annotations

import decimal
import os
import threading
from concurrent import futures

import pytest

import pooled
from lineshaft import Executor, OptionError, Pool
from lineshaft.logging import context, current_context
from lineshaft.multiprocessing import dummy
from lineshaft.multiprocessing.pool import ThreadPool
from support.processes import PATIENCE_S, until


@pytest.fixture
def pool():
    """Two threads."""
    with Pool(2, kind="thread") as pool:
        yield pool
    pool.join()


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lineshaft-")]


def test_the_verbs_of_a_pool(pool):
    assert pool.apply(pooled.greet, ("Ada",), {"politely": True}) == "dear Ada"
    assert pool.map(lambda number: number + 1, range(1_000)) == list(range(1, 1_001))
    assert pool.starmap(pooled.multiply, [(2, 3), (4, 5)], 2) == [6, 20]
    assert list(pool.imap(pooled.add_one, range(50))) == list(range(1, 51))
    assert sorted(pool.imap_unordered(pooled.add_one, iter(range(50)), 4)) == list(range(1, 51))
    assert pool.map_async(pooled.add_one, [1, 2]).get(60) == [2, 3]
    assert pool.map(pooled.add_one, []) == []


def test_objects_are_passed_as_they_are(pool):
    items = [object() for _ in range(100)]
    found = pool.map(pooled.same, items)
    assert all(mine is theirs for mine, theirs in zip(items, found, strict=True))
    assert pool.apply(os.getpid) == os.getpid()


def test_items_are_done_side_by_side(pool):
    meeting = threading.Barrier(2)
    assert sorted(pool.map(lambda _: meeting.wait(60), range(2), 1)) == [0, 1]


def test_who_has_nothing_to_do_takes_over_from_others(pool):
    # The first ones let the long ones seem short, so that one thread is given many of them.
    times = [0.0] * 2_000 + [0.02] * 40
    names = pool.map(pooled.nap_and_tell_thread, times, chunksize=1)
    assert min(names[2_000:].count(name) for name in set(names)) >= 10


def test_what_an_item_raises_is_the_very_exception(pool):
    error = ValueError("mine")

    def fail(number: int) -> int:
        if number == 2:
            raise error
        return number

    result = pool.map_async(fail, range(5))
    with pytest.raises(ValueError, match="mine") as raised:
        result.get(60)
    assert raised.value is error
    assert raised.value.__cause__ is None
    assert set(result.failures) == {2}
    with pytest.raises(SystemExit):
        pool.apply(pooled.leave, (3,))
    assert pool.apply(pooled.add_one, (1,)) == 2


def test_an_initializer_runs_in_each_thread():
    seen: list[str] = []
    with Pool(3, lambda: seen.append(threading.current_thread().name), kind="thread") as pool:
        until(lambda: len(seen) == 3, "all have begun")
        assert pool.map(pooled.add_one, range(3)) == [1, 2, 3]
    assert len(set(seen)) == 3


def test_an_initializer_that_raises_breaks_the_pool():
    with Pool(1, pooled.fail_to_set_up, kind="thread") as pool, pytest.raises(Exception, match="cannot be set up"):
        pool.apply_async(pooled.add_one, (1,)).get(60)


def test_threads_end_after_so_many_tasks():
    with Pool(1, maxtasksperchild=2, kind="thread") as pool:
        names = [pool.apply(pooled.nap_and_tell_thread, (0,)) for _ in range(6)]
    assert [names.count(name) for name in names] == [2] * 6


def test_a_pool_that_is_terminated_begins_nothing_more():
    begun: list[int] = []
    go_on = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        go_on.wait(60)

    pool = Pool(2, kind="thread")
    result = pool.map_async(work, range(100), 1)
    until(lambda: len(begun) == 2, "both are at one")
    pool.terminate()
    with pytest.raises(Exception, match="terminated"):
        result.get(60)
    go_on.set()
    pool.join()
    assert sorted(begun) == sorted(begun[:2])
    assert len(begun) == 2


def test_no_thread_is_left_behind():
    before = names_of_threads()
    for _ in range(20):
        with Pool(3, kind="thread") as pool:
            pool.map(pooled.add_one, range(10))
        pool.join()
        with Executor(3, kind="thread") as executor:
            assert list(executor.map(pooled.add_one, range(10))) == list(range(1, 11))
    until(lambda: names_of_threads() == before, "all have ended")


def test_an_executor_of_threads():
    with Executor(2, kind="thread") as executor:
        go_on = threading.Event()
        running = [executor.submit(go_on.wait, 60) for _ in range(2)]
        until(lambda: all(future.running() for future in running), "they run")
        waiting = executor.submit(pooled.add_one, 1)
        assert waiting.cancel()
        assert not running[0].cancel(running=True), "a thread is not killed"
        go_on.set()
        assert [future.result(60) for future in running] == [True, True]
        results = executor.map(lambda left, right: left * right, [1, 2], [3, 4])
        assert list(results) == [3, 8]
        done, _ = futures.wait([executor.submit(pooled.fail, number) for number in range(3)], timeout=60)
        assert sorted(type(future.exception()).__name__ for future in done) == ["NoneType", "NoneType", "ValueError"]


def test_a_function_of_an_executor_may_submit_to_it():
    with Executor(2, kind="thread") as executor:
        outer = executor.submit(lambda: executor.submit(pooled.add_one, 1).result(60))
        assert outer.result(60) == 2


def test_a_program_ends_when_what_it_submitted_is_done(programs):
    programs.write(
        "leaves.py",
        """
        import time
        from lineshaft import Executor, Pool

        def work(number):
            time.sleep(0.05)
            print(number, flush=True)

        if __name__ == "__main__":
            Pool(2, kind="thread").apply(work, (1,))
            Executor(1, kind="thread").submit(work, 2)
        """,
    )
    ended = programs.run("leaves.py")
    assert ended.returncode == 0
    assert ended.stdout.split() == ["1", "2"]


@pytest.mark.parametrize("of_threads", [Pool, Executor])
@pytest.mark.parametrize("option", [{"memory": "1GiB"}, {"kind": "fiber"}])
def test_what_threads_do_not_have_is_refused(of_threads, option):
    with pytest.raises(OptionError, match=next(iter(option))):
        of_threads(1, **{"kind": "thread", **option})


def test_threads_have_no_start_method():
    from multiprocessing import get_context

    with pytest.raises(OptionError, match="context"):
        Pool(1, context=get_context("spawn"), kind="thread")
    with pytest.raises(OptionError, match="mp_context"):
        Executor(1, get_context("spawn"), kind="thread")


@pytest.mark.parametrize("make", [ThreadPool, dummy.Pool])
def test_pools_of_threads_by_their_names_in_the_standard_library(make):
    with make(2, pooled.remember) as pool:
        assert isinstance(pool, ThreadPool)
        assert pool.map(lambda number: -number, range(5)) == [0, -1, -2, -3, -4]
        assert all(isinstance(member, threading.Thread) for member in pool._pool)


def test_calls_have_the_log_context_in_which_they_were_given():
    with Pool(1, lambda: setattr(decimal.getcontext(), "prec", 7), kind="thread") as pool:
        with context(request=1):
            first = pool.apply_async(current_context)
            read = pool.imap(lambda item: (item, current_context()), (current_context() for _ in "ab"))
        with context(request=2):
            second = pool.apply_async(current_context)
        assert list(read) == [({"request": 1}, {"request": 1})] * 2
        assert (first.get(PATIENCE_S), second.get(PATIENCE_S)) == ({"request": 1}, {"request": 2})
        assert pool.apply(current_context) == {}
        assert pool.apply(lambda: decimal.getcontext().prec) == 7
