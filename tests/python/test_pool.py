"""`Pool`: what `multiprocessing.Pool` does, and what it does not survive."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.pool import MaybeEncodingError, RemoteTraceback
from pathlib import Path

import numpy as np
import pytest

import pooled
from conftest import environment
from lineshaft import Pool, WorkerDied
from lineshaft._pool import _warm
from support.processes import children_of, is_alive, until
from support.terminal import Terminal

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def pool():
    """Two forked workers."""
    with Pool(2, context=multiprocessing.get_context("fork")) as pool:
        yield pool


@pytest.mark.parametrize("method", METHODS)
def test_the_verbs_of_a_pool(method):
    with Pool(2, pooled.set_up, (7,), context=multiprocessing.get_context(method)) as pool:
        assert pool.apply(pooled.greet, ("Ada",), {"politely": True}) == "dear Ada"
        assert pool.map(pooled.add_one, range(1_000)) == list(range(1, 1_001))
        assert pool.map(pooled.add_one, list(range(1_000))) == list(range(1, 1_001))
        assert pool.map(pooled.add_one, range(10, 0, -3), chunksize=3) == [11, 8, 5, 2]
        assert pool.starmap(pooled.multiply, [(2, 3), (4, 5)]) == [6, 20]
        assert list(pool.imap(pooled.add_one, range(50))) == list(range(1, 51))
        assert sorted(pool.imap_unordered(pooled.add_one, iter(range(50)), 4)) == list(range(1, 51))
        assert set(pool.map(pooled.recall, range(20))) == {7}
        assert pool.map(pooled.add_one, []) == []
        assert list(pool.imap(pooled.add_one, [])) == []
        assert list(pool.imap(pooled.add_one, iter([]))) == []


def test_a_million_items_come_back_in_their_order(pool):
    assert pool.map(pooled.add_one, range(1_000_000)) == list(range(1, 1_000_001))


def test_a_terminal_shows_how_much_is_done(programs):
    path = programs.write(
        "shown.py",
        """
        import time
        from lineshaft import Pool

        def work(number):
            time.sleep(0.05)
            return number

        if __name__ == "__main__":
            with Pool(2) as pool:
                print(sum(pool.map(work, range(40), progress="forty")))
        """,
    )
    terminal = Terminal([sys.executable, str(path)], environment())
    assert "forty [" in terminal.until("/40,")
    code, shown = terminal.end()
    assert code == 0
    assert shown.endswith("\r\x1b[K780\n")
    ended = programs.run("shown.py")
    assert (ended.stdout, ended.stderr) == ("780\n", ""), "not where there is no terminal"


def test_results_may_be_asked_for_later(pool):
    seen: list[object] = []
    result = pool.map_async(pooled.add_one, [1, 2], callback=seen.append)
    assert result.get(60) == [2, 3]
    assert result.ready()
    assert result.successful()
    assert seen == [[2, 3]]
    slow = pool.apply_async(pooled.nap, (30,))
    with pytest.raises(ValueError, match="not ready"):
        slow.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        slow.get(0.01)


def test_what_an_item_raises_is_raised_with_its_traceback(pool):
    seen: list[BaseException] = []
    result = pool.map_async(pooled.fail, range(6), error_callback=seen.append)
    with pytest.raises(ValueError, match="not 2") as raised:
        result.get(60)
    assert isinstance(raised.value.__cause__, RemoteTraceback)
    assert 'raise ValueError(f"not {number}")' in str(raised.value.__cause__)
    assert seen == [raised.value]
    assert {place: str(error) for place, error in result.failures.items()} == {2: "not 2", 5: "not 5"}


def test_an_iterator_goes_on_after_an_item_that_raised(pool):
    results = pool.imap(pooled.fail, range(5))
    assert [results.next(60), results.next(60)] == [0, 1]
    with pytest.raises(ValueError, match="not 2"):
        results.next(60)
    assert list(results) == [3, 4]


def test_what_an_iterable_raises_comes_in_its_place(pool):
    def items():
        yield from range(3)
        raise KeyError("no more")

    results = pool.imap(pooled.add_one, items())
    assert [results.next(60) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(KeyError, match="no more"):
        results.next(60)
    with pytest.raises(StopIteration):
        results.next(60)


def test_an_endless_iterable_is_not_read_far_ahead(pool):
    read = itertools.count()
    results = pool.imap(pooled.nap, (0.02 for _ in iter(lambda: next(read), -1)))
    for _ in range(5):
        results.next(60)
    assert next(read) < 1_000


def test_an_iterable_may_wait_for_results_of_the_same_pool(pool):
    results = None

    def items():
        for number in range(5):
            yield number
            until(lambda wanted=number: results is not None and results._came > wanted, "the result has come")

    results = pool.imap(pooled.add_one, items())
    assert list(results) == [1, 2, 3, 4, 5]


def test_a_worker_that_is_killed_fails_its_item_alone(pool):
    result = pool.map_async(pooled.kill_at_five, range(40))
    with pytest.raises(WorkerDied, match="SIGKILL") as raised:
        result.get(60)
    assert raised.value.exit_code == -signal.SIGKILL
    assert set(result.failures) == {5}
    assert pool.map(pooled.add_one, range(10)) == list(range(1, 11))


def test_an_item_is_tried_again_where_that_is_allowed(tmp_path):
    with Pool(1, context=multiprocessing.get_context("fork"), retries=1) as pool:
        assert pool.apply(pooled.die_once, (str(tmp_path / "mark"),)) == "alive"
    with (
        Pool(1, context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(WorkerDied, match="exit code 3"),
    ):
        pool.apply(pooled.die_once, (str(tmp_path / "other"),))


def test_a_worker_that_is_killed_from_outside_is_replaced(pool):
    pids = set(pool.map(pooled.nap_and_tell, [0.05] * 8, 1))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert pids.isdisjoint(pool.map(pooled.nap_and_tell, [0.05] * 8, 1))


def test_who_has_nothing_to_do_takes_over_from_others(pool):
    # The first ones let the long ones seem short, so that one worker is given many of them.
    times = [0.0] * 2_000 + [0.05] * 40
    pids = pool.map(pooled.nap_and_tell, times, chunksize=1)
    assert min(pids[2_000:].count(pid) for pid in set(pids)) >= 10


def test_a_forked_child_does_not_wait_for_the_workers_of_its_parent(pool):
    child = os.fork()
    if child == 0:
        try:
            pool.apply(pooled.add_one, (1,))
        except RuntimeError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert pool.apply(pooled.add_one, (1,)) == 2


def test_workers_end_after_so_many_tasks():
    with Pool(2, maxtasksperchild=3, context=multiprocessing.get_context("fork")) as pool:
        pids = [pool.apply(pooled.pid_of, (0,)) for _ in range(12)]
    assert all(pids.count(pid) <= 3 for pid in pids)
    assert len(set(pids)) >= 4


@pytest.mark.parametrize("items", [[pooled.Silent()], [1, 2, pooled.Silent(), 4]], ids=["one", "many"])
def test_items_that_cannot_be_sent(pool, items):
    result = pool.map_async(pooled.pid_of, items, chunksize=4)
    with pytest.raises(NotImplementedError, match="stays here"):
        result.get(60)
    assert len(result.failures) == 1


def test_a_function_that_cannot_be_sent(pool):
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"[Pp]ickle"):
        pool.map(lambda number: number, [1, 2])
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"[Pp]ickle"):
        pool.imap(lambda number: number, [1, 2]).next(60)
    assert pool.apply(pooled.add_one, (1,)) == 2


def test_what_is_done_is_let_go_of(pool):
    items = [pooled.Item() for _ in range(10)]
    known = [weakref.ref(item) for item in [*items, *pool.map(pooled.same, items)]]
    del items
    until(lambda: not any(ref() for ref in known), "nobody has them")


def test_results_and_exceptions_that_cannot_be_sent(pool):
    seen: list[BaseException] = []
    with pytest.raises(MaybeEncodingError) as raised:
        pool.apply_async(pooled.a_lambda, (1,), error_callback=seen.append).get(60)
    assert seen == [raised.value]
    with pytest.raises(MaybeEncodingError, match="Unspeakable"):
        pool.apply(pooled.raise_unspeakable, (1,))
    result = pool.map_async(pooled.a_lambda, range(5))
    result.wait(60)
    assert len(result.failures) == 5


def test_what_cannot_be_read_fails_alone(pool):
    with pytest.raises(Exception, match=r"cannot be read.*unreadable"):
        pool.apply(pooled.give_unreadable, (1,))
    with pytest.raises(Exception, match="cannot be read"):
        pool.apply(pooled.raise_unreadable, (1,))
    with pytest.raises(Exception, match="could not be read in the worker") as raised:
        pool.apply(pooled.add_one, (pooled.Unreadable(),))
    assert "unreadable" in str(raised.value.__cause__)
    assert pool.apply(pooled.add_one, (1,)) == 2


def test_an_item_that_stops_iterating_is_told_like_any_other(pool):
    result = pool.map_async(pooled.stop_iterating, range(4), chunksize=4)
    result.wait(60)
    assert {place: type(error) for place, error in result.failures.items()} == {1: StopIteration}


def test_arrays_come_back_changed_and_may_be_written_to(pool):
    arrays = [np.full(200_000, number, dtype=np.int64) for number in range(12)]
    doubled = pool.map(pooled.double, arrays)
    for number, array in enumerate(doubled):
        assert array.sum() == number * 2 * 200_000
        array[0] = 1
    assert all(array.sum() == number * 200_000 for number, array in enumerate(arrays)), "the caller's own stay"


def test_what_is_larger_than_the_memory_between_processes(pool):
    size = 260 << 20
    assert pool.apply(pooled.size_of, (bytes(size),)) == size
    with pytest.raises(MaybeEncodingError, match="does not fit"):
        pool.apply(pooled.zeros, (size,))


def test_a_large_array_of_a_function_exists_once_for_all_workers():
    array = np.ones(1_250_000)
    with Pool(8, context=multiprocessing.get_context("fork")) as pool:
        looks = pool.map(partial(pooled.look_at, array), [0.05] * 24, chunksize=1)
        assert len({pid for pid, *_ in looks}) > 3
        assert len(set.union(*(files for _, _, files, _ in looks))) == 1
        assert {(total, copied) for _, total, _, copied in looks} == {(1_250_000.0, 0)}
        assert pool.map(partial(pooled.look_at, array[:1]), [0.0])[0][2] == set(), "nobody keeps it"
    assert not any("lineshaft-share" in os.readlink(f"/proc/self/fd/{name}") for name in _open_files())


def _open_files() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]


def test_an_initializer_that_raises_breaks_the_pool():
    with (
        Pool(1, pooled.fail_to_set_up, context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(BrokenProcessPool, match="cannot be set up"),
    ):
        pool.apply_async(pooled.add_one, (1,)).get(60)


def test_states_of_a_pool(pool):
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    result = pool.map_async(pooled.nap, [0.05] * 10, 1)
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(pooled.add_one, (1,))
    pool.join()
    assert result.get(0) == [0.05] * 10
    assert not pool._pool


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"processes": 0}, ValueError), ({"initializer": 3}, TypeError), ({"maxtasksperchild": 0}, ValueError)],
)
def test_arguments_that_are_refused(arguments, error):
    with pytest.raises(error):
        Pool(**arguments)


def test_a_pool_can_be_terminated_whatever_it_does(pool):
    workers = [process.pid for process in pool._pool]
    result = pool.map_async(pooled.nap, [60] * 10, 1)
    pool.terminate()
    pool.join()
    assert not any(is_alive(pid) for pid in workers)
    with pytest.raises(Exception, match="terminated"):
        result.get(60)


def test_a_forgotten_pool_is_told_of_and_ends():
    def forget() -> list[int | None]:
        pool = Pool(1, context=multiprocessing.get_context("fork"))
        return [process.pid for process in pool._pool]

    with pytest.warns(ResourceWarning, match="unclosed"):
        workers = forget()
    until(lambda: not any(is_alive(pid) for pid in workers), "the workers end")


def test_workers_that_were_not_forked_wait_for_the_next_pool(monkeypatch):
    def pids_of_a_pool(**options: bool) -> set[int]:
        with Pool(2, context=multiprocessing.get_context("spawn"), **options) as pool:

            def pids() -> set[int]:
                return set(pool.map(pooled.nap_and_tell, [0.02] * 4, 1))

            until(lambda: len(pids()) == 2, "both work")
            return {process.pid for process in pool._pool if process.pid is not None}

    first = pids_of_a_pool()
    assert pids_of_a_pool() == first
    assert pids_of_a_pool(warm=False).isdisjoint(first)
    monkeypatch.setenv("POOLED", "changed")
    assert pids_of_a_pool().isdisjoint(first), "they have the environment of then"
    monkeypatch.setattr(_warm, "IDLE_S", 0.01)
    until(lambda: not any(is_alive(pid) for pid in first), "they wait no longer")


def test_a_worker_with_too_much_memory_is_killed():
    with Pool(1, context=multiprocessing.get_context("fork"), memory="1GiB") as pool:
        with pytest.raises(WorkerDied, match="MiB of memory, where 1024 are the most"):
            pool.apply(pooled.hog, (1_300 << 20,))
        assert pool.apply(pooled.add_one, (1,)) == 2


def test_who_has_waited_longest_makes_room_for_the_next(monkeypatch):
    monkeypatch.setattr(_warm, "_WORKERS_MAX", 1)

    def pid_of_a_pool(directory: str) -> int:
        monkeypatch.chdir(directory)
        with Pool(1, context=multiprocessing.get_context("spawn")) as pool:
            return pool.apply(pooled.pid_of, (0,))

    first, second = pid_of_a_pool("/"), pid_of_a_pool("/tmp")
    until(lambda: not is_alive(first), "it has made room")
    assert pid_of_a_pool("/tmp") == second


def test_pools_leave_no_descriptor_thread_or_child_behind(monkeypatch):
    # Those that wait since other tests end first.
    monkeypatch.setattr(_warm, "IDLE_S", 0.0)
    names = ("lineshaft-pool", "lineshaft-executor")
    until(lambda: not any(thread.name.startswith(names) for thread in threading.enumerate()), "nobody waits")

    def used() -> tuple[int, int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children_of(os.getpid()))

    def open_and_close() -> None:
        with Pool(1, context=multiprocessing.get_context("fork")) as pool:
            assert pool.apply(pooled.add_one, (1,)) == 2

    open_and_close()
    gc.collect()
    before = used()
    for _ in range(200):
        open_and_close()

    def nothing_is_left() -> bool:
        gc.collect()
        return all(now <= then for now, then in zip(used(), before, strict=True))

    until(nothing_is_left, "all is as before")


def test_workers_end_with_a_parent_that_is_killed(programs):
    programs.write(
        "busy.py",
        """
        import os, sys, time
        from lineshaft import Pool

        def work(seconds):
            time.sleep(seconds)

        if __name__ == "__main__":
            pool = Pool(2)
            result = pool.map_async(work, [60] * 4, 1)
            print(*[process.pid for process in pool._pool], flush=True)
            result.get()
        """,
    )
    program = programs.start("busy.py")
    assert program.stdout is not None
    workers = [int(pid) for pid in program.stdout.readline().split()]
    assert len(workers) == 2
    program.kill()
    program.wait()
    until(lambda: not any(is_alive(pid) for pid in workers), "the workers end", 20)
    program.communicate()


def test_a_map_that_is_interrupted_ends_with_its_workers(programs):
    programs.write(
        "interrupted.py",
        """
        import time
        from lineshaft import Pool

        def work(number):
            time.sleep(60)

        if __name__ == "__main__":
            with Pool(2) as pool:
                print(*[process.pid for process in pool._pool], flush=True)
                pool.map(work, range(8), 1)
        """,
    )
    program = programs.start("interrupted.py")
    assert program.stdout is not None
    workers = [int(pid) for pid in program.stdout.readline().split()]
    # As a terminal does, all get it.
    for pid in [*workers, program.pid]:
        os.kill(pid, signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode != 0
    assert err.count("KeyboardInterrupt") == 1, err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize("kind", ["Pool", "Executor"])
def test_a_worker_imports_nothing_of_jobs_and_nothing_that_drives_a_pool(programs, kind):
    """A third of what its start takes went for it."""
    programs.write(
        "slim.py",
        f"""
        import multiprocessing, sys
        from lineshaft import {kind}

        def imported(_):
            return [name for name in sys.modules if name.startswith("lineshaft.")]

        if __name__ == "__main__":
            multiprocessing.set_start_method("spawn")
            with {kind}(1) as workers:
                print(*list(workers.map(imported, [0]))[0])
        """,
    )
    imported = set(programs.run("slim.py").stdout.split())
    assert "lineshaft._pool._worker" in imported
    assert not imported & {"lineshaft._app", "lineshaft._task", "lineshaft._values", "lineshaft._pool._crew"}


def test_a_pool_made_without_the_guard_says_so(programs):
    programs.write(
        "unguarded.py",
        """
        import multiprocessing
        from lineshaft import Pool

        multiprocessing.set_start_method("spawn", force=True)
        with Pool(1) as pool:
            print(pool.map(abs, [1]))
        """,
    )
    ended = programs.run("unguarded.py")
    assert ended.returncode != 0
    assert 'Is the pool made below `if __name__ == "__main__":`?' in ended.stderr
