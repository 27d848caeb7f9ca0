"""`app.rwlock()`, `app.leader()` and `app.barrier()`, and locks whose holders wait for each other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import environment
from lineshaft import App, Deadlock, LockError, LockLost, LockTimeout, OptionError
from support.faults import at_each_await, at_each_line
from support.processes import PATIENCE_S, until


@pytest.fixture
def app():
    return App()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def reads(app: App, key: str = "stock") -> bool:
    """Whether somebody else could read now."""
    try:
        with app.rwlock(key, timeout=0).read:
            return True
    except LockTimeout:
        return False


# ---- Reading and writing.


def test_many_read_together_and_one_writes_alone(app, threads):
    inside, most = [], []
    lock = app.rwlock("stock")

    def read(number: int) -> None:
        with lock.read:
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    def write(number: int) -> None:
        with lock.write:
            assert not inside
            inside.append(number)
            time.sleep(0.005)
            assert inside == [number]
            inside.clear()

    list(threads.map(lambda number: (write if number % 5 == 0 else read)(number), range(25)))
    assert max(most) > 1
    assert reads(app)


def test_a_writer_is_not_passed_by_readers_that_come_after_it(app, threads):
    with app.rwlock("stock").read:
        writer = threads.submit(app.rwlock("stock").write.acquire)
        until(lambda: not threads.submit(reads, app).result(PATIENCE_S), "the writer stands in line")
    writer.result(PATIENCE_S)


def test_coroutines_read_and_write_too(app):
    async def main() -> list[str]:
        lock, order = app.rwlock("stock"), []

        async def use(side, name: str) -> None:
            async with side:
                order.append(f"{name} begins")
                await asyncio.sleep(0.01)
                order.append(f"{name} ends")

        await use(lock.write, "write")
        await asyncio.gather(use(lock.read, "one"), use(lock.read, "two"))
        return order

    order = asyncio.run(main())
    assert order[:2] == ["write begins", "write ends"]
    assert [word.split()[1] for word in order[2:]] == ["begins", "begins", "ends", "ends"]


def test_who_reads_cannot_write_and_who_writes_may_read_where_that_is_said(app):
    lock = app.rwlock("stock", reentrant=True)
    with lock.write, lock.write, lock.read, lock.read:
        assert lock.write.fence == lock.read.fence, "one hold, taken four times"
    with lock.read, lock.read:
        with pytest.raises(LockError) as caught:
            lock.write.acquire()
        assert str(caught.value) == (
            "this thread reads under rwlock 'stock', and would wait for itself to write\n"
            "  hint: give it back first, and read again below `write`: others may have written meanwhile"
        )
    with app.rwlock("stock").read, pytest.raises(LockError, match="might wait for itself"):
        app.rwlock("stock").read.acquire()
    with lock.write:
        pass
    assert repr(lock) == "<rwlock 'stock'>"


# ---- Leading.


def test_one_leads_and_the_next_one_does_when_that_is_over(home):
    app = App(home)
    with ThreadPoolExecutor(1) as other:
        first, second = app.leader("reports"), app.leader("reports")
        assert not first.leads
        with first as leader:
            assert leader.leads
            waits = other.submit(second.acquire)
            assert not second.leads
        waits.result(PATIENCE_S)
        assert second.leads
        command = [sys.executable, "-m", "lineshaft", "locks", "break", "reports", "--yes", "--home", str(home)]
        subprocess.run(command, env=environment(), check=True, timeout=PATIENCE_S, capture_output=True)
        until(lambda: not second.leads, "it hears that it leads no more")
        with pytest.raises(LockLost):
            other.submit(second.release).result(PATIENCE_S)


# ---- Waiting for each other.


def test_all_go_on_when_the_last_one_has_come_again_and_again(app, threads):
    barrier, came = app.barrier("phase", 3), []

    def run(number: int) -> list[int]:
        places = []
        for phase in range(3):
            came.append((phase, number))
            places.append(barrier.wait())
            assert {(phase, other) for other in range(3)} <= set(came)
        return places

    each = list(threads.map(run, range(3)))
    assert [sorted(places) for places in zip(*each, strict=True)] == [[0, 1, 2]] * 3
    assert repr(barrier) == "<barrier 'phase' of 3>"


def test_coroutines_wait_for_each_other_and_a_block_gives_the_number(app):
    async def main() -> list[int]:
        barrier, numbers = app.barrier("phase", 2), []

        async def come() -> None:
            async with barrier as number:
                numbers.append(number)

        await asyncio.gather(come(), come())
        return numbers

    assert sorted(asyncio.run(main())) == [0, 1]
    with app.barrier("alone", 1) as number:
        assert number == 0


def test_who_has_not_come_in_time_is_not_waited_for(app, threads):
    with pytest.raises(LockTimeout, match=r"barrier 'phase' did not open within 0\.05 s: others have not come"):
        app.barrier("phase", 2, timeout=0.05).wait()
    with pytest.raises(LockTimeout, match="barrier 'phase' did not open"):
        app.barrier("phase", 2, timeout=0).wait()
    waits = [threads.submit(app.barrier("phase", 2).wait) for _ in range(2)]
    assert sorted(wait.result(PATIENCE_S) for wait in waits) == [0, 1]


@pytest.mark.parametrize("parties", [0, True, 2.0, 1_025])
def test_a_barrier_is_for_so_many(app, parties):
    with pytest.raises(OptionError, match="option `parties`"):
        app.barrier("phase", parties)


# ---- Those who wait for each other.


def test_of_threads_that_wait_for_each_other_the_youngest_is_told(app, threads):
    holds_a, holds_b = threading.Event(), threading.Event()

    def first() -> str:
        with app.lock("a"):
            holds_a.set()
            assert holds_b.wait(PATIENCE_S)
            with app.lock("b"):
                return "got both"

    def second() -> str:
        with app.lock("b"):
            holds_b.set()
            assert holds_a.wait(PATIENCE_S)
            until(lambda: waits_for(app, "b"), "the first one stands in line")
            with app.lock("a"):
                return "never"

    got, told = threads.submit(first), threads.submit(second)
    with pytest.raises(Deadlock) as caught:
        told.result(PATIENCE_S)
    assert got.result(PATIENCE_S) == "got both"
    text = str(caught.value)
    assert "waits for lock 'a' of" in text
    assert "which waits for lock 'b' of" in text
    assert "take locks in the same order everywhere" in text


def waits_for(app: App, key: str) -> bool:
    listed = subprocess.run(
        [sys.executable, "-m", "lineshaft", "locks", "--jsonl", "--home", app.url],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return f'"key":"{key}"' in listed.stdout.replace(" ", "") and '"waiters":1' in listed.stdout.replace(" ", "")


def test_of_coroutines_too_and_all_others_go_on(home):
    app = App(home)

    async def main() -> list[object]:
        begun: list[str] = []

        async def take(mine: str, other: str) -> str:
            async with app.lock(mine):
                begun.append(mine)
                while len(begun) < 3:
                    await asyncio.sleep(0.001)
                async with app.lock(other):
                    return mine

        return await asyncio.gather(take("a", "b"), take("b", "c"), take("c", "a"), return_exceptions=True)

    ends = asyncio.run(main())
    assert len([end for end in ends if isinstance(end, Deadlock)]) == 1
    assert len([end for end in ends if isinstance(end, str)]) == 2


def test_who_lets_go_of_a_lock_and_asks_again_does_not_wait_for_itself(app):
    for _ in range(20):
        app.rwlock("stock").read.acquire()  # nobody has it any more, so it is given back
        with app.rwlock("stock").write:
            pass


# ---- Faults.


def uses(app: App) -> None:
    with app.rwlock("stock").read, app.barrier("alone", 1):
        pass


@pytest.mark.parametrize("file", ["_locks/_lock.py", "_locks/_barrier.py", "_locks/_kinds.py"])
def test_nothing_is_held_after_an_exception_at_any_line(app, file):
    uses(app)
    for done in at_each_line(uses, file, uses, error=KeyboardInterrupt, prepare=lambda: (app,)):
        assert done.error is None if done.where is None else isinstance(done.error, KeyboardInterrupt), done
        until(lambda: writes(app), f"{done} gives it back")


def writes(app: App) -> bool:
    try:
        with app.rwlock("stock", timeout=0).write:
            return True
    except LockTimeout:
        return False


def test_nobody_has_come_after_a_cancellation_at_any_await(app):
    async def run() -> None:
        other = asyncio.create_task(app.barrier("phase", 2).await_())
        try:
            await asyncio.sleep(0.01)
        finally:
            other.cancel()
        await asyncio.wait([other])

    for when in ("waiting", "woken"):
        for done in at_each_await(run, when):
            assert done.error is None or isinstance(done.error, asyncio.CancelledError), done
            with pytest.raises(LockTimeout):
                app.barrier("phase", 2, timeout=0.05).wait()
