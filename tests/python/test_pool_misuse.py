"""What clumsy programs do to pools: wrong options, odd exceptions, forks, callbacks and iterables that end threads."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import warnings

import pytest

import pool_misuse
import pooled
from lineshaft import Executor, OptionError, Pool
from lineshaft.multiprocessing import ShutDown
from support.processes import until

LONG_S = 60.0
KINDS = ("process", "thread")


@pytest.mark.parametrize("make", [Pool, Executor])
@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("size", "2", TypeError, "must be a whole number, not '2'"),
        ("size", 2.5, TypeError, "must be a whole number, not 2.5"),
        ("retries", -1, OptionError, "option `retries`: -1 is not accepted"),
        ("retries", "x", TypeError, "retries must be a whole number"),
        ("memory", 0, OptionError, "option `memory`: 0 is less than any process has"),
        ("memory", "1KiB", OptionError, "option `memory`: '1KiB' is less than any process has"),
        ("memory", 1.5, TypeError, "memory must be a whole number"),
        ("context", "spawn", OptionError, r"'spawn' is not a context\n.*get_context\('spawn'\)"),
    ],
)
def test_options_that_are_refused_are_named(make, name, value, error, said):
    """`retries=-1` was found by the first map, and an executor then waited for that for ever. `memory=0` killed workers
    until the pool asked whether it stood below a guard; a size of 1.5 bytes ended its thread.
    """
    names = {"size": "processes", "context": "context"} if make is Pool else {"size": "max_workers"}
    option = names.get(name, "mp_context" if name == "context" else name)
    with pytest.raises(error, match=f"(?s){said}"):
        make(**{option: value})


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunksize_that_is_no_number_is_named(kind):
    """It was compared with a number, packed into a struct or given to `islice`, as these then said."""
    with Pool(1, kind=kind) as pool, Executor(1, kind=kind) as executor:
        for chunksize in ("3", 2.5):
            said = re.escape(f"chunksize must be a whole number, not {chunksize!r}")
            with pytest.raises(TypeError, match=said):
                pool.map(abs, [1], chunksize)
            with pytest.raises(TypeError, match=said):
                pool.imap(abs, iter([1]), chunksize)
            with pytest.raises(TypeError, match=said):
                executor.map(abs, [1], chunksize=chunksize)


def test_what_cannot_be_told_of_an_exception_or_a_result_kills_no_worker():
    """An exception that nothing can be set of, and whatever cannot be shown, ended the worker that told of it, with the
    items before it. One that is read as something else failed the others that were told with it.
    """
    with Pool(1) as pool:
        worker = pool.apply(os.getpid)
        for function, error, said in [
            (pool_misuse.raise_slotted, pool_misuse.Slotted, "as it is"),
            (pool_misuse.raise_changed, Exception, "becomes str when it is read"),
            (pool_misuse.raise_shapeless, multiprocessing.pool.MaybeEncodingError, "whose repr raises RuntimeError"),
            (pool_misuse.give_shapeless, multiprocessing.pool.MaybeEncodingError, "whose repr raises RuntimeError"),
        ]:
            results = pool.imap(function, range(3), 3)
            assert results.next(LONG_S) == 0
            with pytest.raises(error, match=said):
                results.next(LONG_S)
            assert results.next(LONG_S) == 2
        assert pool.apply(os.getpid) == worker


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("numbers", "error"), [(pool_misuse.numbers_and_exit, SystemExit), (pool_misuse.numbers_of_a_queue, ShutDown)]
)
def test_an_iterable_that_exits_says_so_to_who_reads_the_results(kind, numbers, error):
    """It ended the thread that reads it without a word, and who waited for the next result did so for ever."""
    with Pool(1, kind=kind) as pool:
        results = pool.imap(abs, numbers())
        assert results.next(LONG_S) == 1
        with pytest.raises(error):
            results.next(LONG_S)


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_that_exits_keeps_no_result_from_others(kind):
    """It ended the thread of the pool, and with it what that had yet to tell others."""
    with Pool(2, kind=kind) as pool:
        results = [pool.apply_async(abs, (number,), callback=sys.exit) for number in range(20)]
        assert [result.get(LONG_S) for result in results] == list(range(20))
        assert pool.map(abs, [-1]) == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [pool_misuse.leave_a_fork, pool_misuse.return_from_a_fork])
def test_the_copy_of_a_worker_that_an_item_forks_tells_nothing(kind, function):
    """It went on as if it were the worker: its results went to other items, or the process stayed for ever."""
    with Pool(2, kind=kind) as pool:
        assert pool.map_async(function, range(40), 1).get(LONG_S) == list(range(40))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_forked_child_has_no_part_in_an_executor():
    """It waited for the lock or the workers of its parent, for ever; and what it cancelled, its parent never got."""
    with Executor(2) as executor:
        wanted = executor.map(pooled.nap, [0.2] * 20)
        over = threading.Event()

        def keep_busy() -> None:
            while not over.is_set():
                list(executor.map(abs, range(100)))

        busy = threading.Thread(target=keep_busy)
        busy.start()
        try:
            for _ in range(10):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: there are threads
                    pid = os.fork()
                if pid == 0:
                    signal.alarm(30)
                    wanted.close()
                    executor.shutdown(cancel_futures=True)
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
        finally:
            over.set()
            busy.join()
        assert list(wanted) == [0.2] * 20


def test_what_is_submitted_is_not_pickled_while_its_caller_waits():
    """It was, with the lock of the pool: who submitted a method of an object and held the object's lock, which its
    `__getstate__` takes, waited for ever. The standard library pickles in a thread.
    """
    with Executor(1) as executor:
        executor.submit(abs, 1).result(LONG_S)
        until(lambda: executor._crew._state.foreman.is_idle(), "its worker waits")
        guarded = pool_misuse.Guarded(21)

        def submit() -> None:
            with guarded.lock:
                futures.append(executor.submit(guarded.doubled))

        futures: list[object] = []
        thread = threading.Thread(target=submit, daemon=True)
        thread.start()
        thread.join(LONG_S)
        assert not thread.is_alive()
        assert futures[0].result(LONG_S) == 42


@pytest.mark.parametrize("function", [pool_misuse.use_an_executor, pool_misuse.leave_an_executor_open])
def test_a_worker_that_used_an_executor_ends_with_its_pool(function):
    """It waited for workers that it kept for its next executor, ten seconds; for those of an open one, for ever."""
    executor = Executor(1, warm=False)
    assert executor.submit(function, 3).result(LONG_S) == ([0, 1, 2], 0)
    [process] = executor._crew.members
    executor.shutdown(wait=False)
    process.join(LONG_S)
    assert process.exitcode == 0


def test_threads_share_an_iterator_over_results():
    """One that waited for the next result found it taken by another, and raised `IndexError`."""
    with Pool(2, kind="thread") as pool:
        results = pool.imap_unordered(abs, iter(range(20_000)))
        errors, found = [], []

        def take() -> None:
            try:
                found.extend(results)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
        assert (errors, sorted(found)) == ([], list(range(20_000)))
