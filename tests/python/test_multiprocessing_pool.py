"""`lineshaft.multiprocessing.Pool`: in place of the standard library's."""

from __future__ import annotations

import inspect
import multiprocessing as standard
from multiprocessing import pool as standard_pool

import pytest

import lineshaft
import pooled
from lineshaft import WorkerDied, multiprocessing
from lineshaft.multiprocessing import pool as ours
from support.processes import is_alive

METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_each_context_is_one_of_ours(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2, pooled.set_up, (7,), 100) as pool:
        assert type(pool) is ours.Pool
        assert isinstance(pool, lineshaft.Pool)
        assert {type(process) for process in pool._pool} == {context.Process}
        assert set(pool.map(pooled.recall, range(20))) == {7}
        assert list(pool.imap(pooled.add_one, range(5))) == [1, 2, 3, 4, 5]


def test_the_default_start_method_is_that_of_the_standard_library():
    with multiprocessing.Pool(1) as pool:
        assert type(pool._pool[0]) is standard.get_context().Process
    with ours.Pool(1, context=standard.get_context("spawn")) as pool:
        assert type(pool._pool[0]) is standard.get_context("spawn").Process


@pytest.mark.parametrize("theirs", [standard.Pool, standard_pool.Pool], ids=["Pool", "pool.Pool"])
def test_arguments_stand_in_the_same_order(theirs):
    mine = multiprocessing.Pool if theirs is standard.Pool else ours.Pool
    wanted = list(inspect.signature(theirs).parameters)
    assert list(inspect.signature(mine).parameters)[: len(wanted)] == wanted


def test_the_module_has_the_names_of_the_standard_library():
    public = [name for name in vars(standard_pool) if isinstance(vars(standard_pool)[name], type) and name[0] != "_"]
    of_workers = {"ExceptionWithTraceback"}
    assert [name for name in public if name not in of_workers and not hasattr(ours, name)] == []


def test_a_worker_that_is_killed_breaks_no_map():
    with multiprocessing.Pool(2) as pool:
        result = pool.map_async(pooled.kill_at_five, range(20))
        assert isinstance(result, ours.AsyncResult)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            result.get(60)
        assert set(result.failures) == {5}


def test_workers_end_with_their_pool():
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        pid = pool.apply(pooled.pid_of, (0,))
    pool.join()
    assert not is_alive(pid)


def test_workers_that_are_missing_can_be_started_at_once():
    with multiprocessing.Pool(2, maxtasksperchild=1) as pool:
        before = pool.map(pooled.pid_of, range(2))
        pool._repopulate_pool()
        assert len(pool._pool) >= 2
        assert set(before).isdisjoint(pool.map(pooled.pid_of, range(2)))


def test_a_chunk_that_cannot_be_read_is_not_done():
    def items(count: int):
        yield from range(count)
        raise KeyError("no more")

    with multiprocessing.Pool(1) as pool:
        for chunk, done in [(2, 6), (4, 4), (7, 7)]:
            results = pool.imap(pooled.add_one, items(7), chunk)
            assert [results.next(60) for _ in range(done)] == list(range(1, done + 1))
            with pytest.raises(KeyError, match="no more"):
                results.next(60)


def test_a_pool_within_a_process(tmp_path):
    process = multiprocessing.Process(target=map_in_a_pool, args=(tmp_path / "sum",))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert (tmp_path / "sum").read_text() == "10"


def map_in_a_pool(path) -> None:
    pool = multiprocessing.Pool(2)
    path.write_text(str(sum(pool.map(pooled.add_one, range(4)))))
    pool.close()
    pool.join()


def test_a_pool_that_is_left_open_ends_with_its_program(programs):
    programs.write(
        "left.py",
        """
        from lineshaft.multiprocessing import Pool

        class Holder:
            def __init__(self):
                self.pool = Pool(1)

        if __name__ == "__main__":
            holder = Holder()
            print(holder.pool.map(float, range(3)), holder.pool._pool[0].pid)
        """,
    )
    ended = programs.run("left.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    shown, pid = ended.stdout.rsplit(maxsplit=1)
    assert shown == "[0.0, 1.0, 2.0]"
    assert not is_alive(int(pid))


def test_workers_end_when_the_others_cannot_be_started():
    started: list[standard.process.BaseProcess] = []

    class Failing(standard.context.ForkProcess):
        def start(self) -> None:
            if len(started) == 2:
                raise OSError("no more processes")
            super().start()
            started.append(self)

    context = standard.context.ForkContext()
    context.Process = Failing
    with pytest.raises(OSError, match="no more processes"):
        ours.Pool(5, context=context)
    assert [process.exitcode is None for process in started] == [False, False]
