"""`app.lock()` and `app.semaphore()`: in threads, in coroutines, in jobs, and what a lost one says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import environment
from lineshaft import App, LockError, LockLost, LockTimeout, OptionError
from support.faults import at_each_await, at_each_line
from support.processes import PATIENCE_S, until

OURS = "_locks/_lock.py"


@pytest.fixture
def app():
    return App()


def cli(home, *words: str) -> str:
    command = [sys.executable, "-m", "lineshaft", *words, "--home", str(home)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_free(app: App, key: str) -> bool:
    """Whether nobody holds it or waits for it."""
    try:
        with app.lock(key, timeout=0):
            return True
    except LockTimeout:
        return False


# ---- Holding.


def test_one_thread_holds_it_at_a_time_and_fences_grow(app):
    inside, fences = [], []
    lock = app.lock("till")

    def work(_: int) -> None:
        for _ in range(5):
            with lock as same:
                assert same is lock
                inside.append(1)
                assert len(inside) == 1
                fences.append(lock.fence)
                lock.check()
                inside.pop()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert len(fences) == 20
    assert fences == sorted(set(fences))


def test_coroutines_hold_it_one_after_the_other_with_the_same_class(app):
    async def main() -> list[int]:
        inside, fences = [], []
        lock = app.lock("till")

        async def work() -> None:
            async with lock:
                inside.append(1)
                await asyncio.sleep(0.001)
                assert len(inside) == 1
                fences.append(lock.fence)
                inside.pop()

        await asyncio.gather(*(work() for _ in range(20)))
        return fences

    fences = asyncio.run(main())
    assert fences == sorted(set(fences))
    assert len(fences) == 20


def test_so_many_hold_a_semaphore(app):
    inside, most = [], []
    semaphore = app.semaphore("printers", 3)

    def work(number: int) -> None:
        with semaphore:
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(24)))
    assert max(most) <= 3
    assert len(most) == 24


def test_a_lock_and_a_semaphore_of_one_key_are_two(app):
    with app.lock("a"), app.semaphore("a", 1), app.lock("b"):
        pass


def test_it_is_given_in_the_order_of_asking(app):
    order: list[int] = []
    threads = []

    def wait(number: int) -> None:
        with app.lock("till"):
            order.append(number)

    with app.lock("till"):
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            time.sleep(0.05)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == list(range(5))


# ---- Not holding.


def test_who_does_not_wait_is_told_at_once_and_who_waits_is_told_in_time(app):
    with app.lock("till"), ThreadPoolExecutor(1) as other:
        for timeout in (0, "50ms"):
            with pytest.raises(LockTimeout) as caught:
                other.submit(app.lock("till", timeout=timeout).acquire).result(PATIENCE_S)
            assert isinstance(caught.value, TimeoutError)
    assert str(caught.value).startswith("lock 'till' was not given within 0.05 s: others hold it")
    assert is_free(app, "till"), "nobody waits for it any more"


def test_coroutines_time_out_too(app):
    async def main() -> None:
        async def ask(timeout: float) -> None:
            async with app.lock("till", timeout=timeout):
                pass

        async with app.lock("till"):
            for timeout in (0, 0.05):
                with pytest.raises(LockTimeout):
                    await asyncio.create_task(ask(timeout))
        await ask(0)

    asyncio.run(main())


def test_whoever_has_it_already_would_wait_for_itself(app):
    with app.lock("till"):
        with pytest.raises(LockError, match="this thread holds lock 'till' already") as caught:
            app.lock("till").acquire()
        assert "reentrant=True" in str(caught.value)
    with app.semaphore("printers", 2), app.semaphore("printers", 2):
        assert not semaphore_is_free(app)


def semaphore_is_free(app: App) -> bool:
    try:
        with app.semaphore("printers", 2, timeout=0):
            return True
    except LockTimeout:
        return False


def test_a_reentrant_one_is_given_back_when_it_was_left_as_often(app):
    with app.lock("till", reentrant=True) as outer:
        with app.lock("till", reentrant=True) as inner, outer:
            assert inner.fence == outer.fence
        with ThreadPoolExecutor(1) as other:
            assert not other.submit(is_free, app, "till").result(PATIENCE_S)
    assert is_free(app, "till")


def test_who_does_not_hold_it_is_told_so(app):
    lock = app.lock("till")
    for ask in (lock.check, lock.release, lambda: lock.fence):
        with pytest.raises(LockError, match="lock 'till' is not held here"):
            ask()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": ""}, "option `key`: ''"),
        ({"key": "a\nb"}, "option `key`"),
        ({"key": "é" * 128}, "option `key`"),
        ({"key": "k", "ttl": "1s"}, "option `ttl`: '1s'"),
        ({"key": "k", "ttl": "2d"}, "option `ttl`: '2d'"),
        ({"key": "k", "timeout": -1}, "option `timeout`: -1"),
        ({"key": "k", "reentrant": 1}, "option `reentrant`: 1"),
    ],
)
def test_options_say_what_they_take(app, options, words):
    with pytest.raises(OptionError) as caught:
        app.lock(**options)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("n", [0, True, 1.0, 1 << 21])
def test_a_semaphore_is_for_so_many(app, n):
    with pytest.raises(OptionError, match="option `n`"):
        app.semaphore("k", n)


# ---- Losing.


def test_an_operator_sees_it_and_breaks_it_and_the_holder_hears_of_it(home):
    app = App(home)
    lock = app.lock("the till")
    lock.acquire()
    fence = lock.fence
    with pytest.raises(LockLost) as caught:
        see_and_break(app, home, lock, fence)
    assert caught.value.fence == fence
    assert "is lost" in str(caught.value), "giving it back says so"
    with app.lock("the till") as again:
        assert again.fence > fence
    assert "no lock is held" in cli(home, "locks")


def see_and_break(app, home, lock, fence: int) -> None:
    try:
        listed = cli(home, "locks")
        assert "the till" in listed
        assert f"{os.getpid()}" in listed
        assert f"{fence}" in listed
        cli(home, "locks", "break", "the till", "--yes")
        until(lambda: is_lost(lock), "the holder hears of it")
        with app.lock("the other"):
            pass
        assert is_lost(lock), "it stays lost"
    finally:
        lock.release()


def is_lost(lock) -> bool:
    try:
        lock.check()
    except LockLost:
        return True
    return False


def test_what_the_body_raises_says_more_than_a_lost_lock(home):
    app = App(home)

    def body() -> None:
        with app.lock("till") as lock:
            cli(home, "locks", "break", "till", "--yes")
            until(lambda: is_lost(lock), "the holder hears of it")
            raise KeyError

    with pytest.raises(KeyError):
        body()


def test_a_job_hears_of_it_at_its_next_checkpoint(programs):
    programs.write(
        "shop.py",
        """
        import pathlib, time
        from lineshaft import App, LockLost, current

        app = App()

        @app.task
        def count() -> str:
            with app.lock("till"):
                pathlib.Path("holds").touch()
                for step in range(100_000):
                    time.sleep(0.005)
                    current.checkpoint(step)
            return "never lost"
        """,
    )
    source = """
        import pathlib, subprocess, sys, time
        from lineshaft import TaskFailed
        from shop import app, count

        with app.workers(1):
            job = count.enqueue()
            while not pathlib.Path("holds").exists():
                time.sleep(0.01)
            subprocess.run([sys.executable, "-m", "lineshaft", "locks", "break", "till", "--yes"], check=True)
            try:
                job.result(60)
            except TaskFailed as failed:
                print(failed.is_a("lineshaft.LockLost"), failed.types[0])
    """
    programs.write("main.py", source)
    done = programs.run("main.py", timeout=120)
    assert done.stdout == "True lineshaft.LockLost\n", done.stderr


def test_a_forked_child_holds_nothing_and_its_parent_goes_on(programs):
    source = """
        import os
        from lineshaft import App, LockLost, LockTimeout

        app = App()
        with app.lock("till") as lock:
            child = os.fork()
            if child == 0:
                try:
                    lock.check()
                except LockLost as lost:
                    print("forked" in str(lost), flush=True)
                try:
                    app.lock("till", timeout=0).acquire()
                except LockTimeout:
                    print("the parent has it", flush=True)
                lock.release()
                os._exit(0)
            os.waitpid(child, 0)
            lock.check()
            print("held on")
    """
    programs.write("main.py", source)
    done = programs.run("main.py")
    assert done.stdout == "True\nthe parent has it\nheld on\n", done.stderr


# ---- Faults: nothing is held or waited for afterwards, whatever is raised where.


def takes(app: App) -> None:
    with app.lock("till"):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_nothing_is_held_after_an_exception_at_any_line(app, error):
    takes(app)
    for done in at_each_line(takes, OURS, takes, error=error, prepare=lambda: (app,)):
        assert done.error is None if done.where is None else isinstance(done.error, error), done
        until(lambda: is_free(app, "till"), f"{done} gives it back")
    assert done.number > 40


def test_nothing_is_held_or_waited_for_after_a_cancellation_at_any_await(app):
    async def run() -> None:
        async def wait() -> None:
            async with app.lock("till"):
                pass

        async with app.lock("till"):
            other = asyncio.create_task(wait())
            try:
                await asyncio.sleep(0.01)
            finally:
                other.cancel()
        await asyncio.wait([other])

    for when in ("waiting", "woken"):
        for done in at_each_await(run, when):
            assert done.error is None or isinstance(done.error, asyncio.CancelledError), done
            until(lambda: is_free(app, "till"), f"{done} gives it back")
        assert done.number > 2
