"""`Executor`: what `ProcessPoolExecutor` does, and more than it does."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback

import pytest

import pooled
from lineshaft import Executor, WorkerDied
from support.processes import is_alive, until


@pytest.fixture(scope="module")
def shared():
    """Two fresh workers for those who do no harm."""
    with Executor(2) as executor:
        yield executor


@pytest.fixture
def executor():
    """Two forked workers of one's own."""
    with Executor(2, multiprocessing.get_context("fork")) as executor:
        yield executor


def test_calls_are_done(shared):
    future = shared.submit(pooled.greet, "Ada", politely=True)
    assert future.result(60) == "dear Ada"
    assert future.done()
    assert not future.running()
    assert not future.cancel()
    assert list(shared.map(pooled.multiply, range(5), range(5, 10))) == [0, 6, 14, 24, 36]
    assert list(shared.map(pooled.add_one, range(10), chunksize=3)) == list(range(1, 11))
    assert list(shared.map(pooled.add_one, [])) == []


def test_what_a_call_raises(shared):
    future = shared.submit(pooled.fail, 2)
    with pytest.raises(ValueError, match="not 2") as raised:
        future.result(60)
    assert type(raised.value.__cause__) is _RemoteTraceback
    assert 'raise ValueError(f"not {number}")' in str(raised.value.__cause__)
    with pytest.raises(SystemExit):
        shared.submit(pooled.leave, 3).result(60)
    results = shared.map(pooled.fail, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="not 2"):
        next(results)


def test_futures_work_with_the_functions_of_the_standard_library(shared):
    made = [shared.submit(pooled.add_one, number) for number in range(50)]
    done, pending = futures.wait(made, timeout=60)
    assert len(done) == 50
    assert not pending
    assert sorted(future.result() for future in futures.as_completed(made)) == list(range(1, 51))
    seen: list[int] = []
    future = shared.submit(pooled.add_one, 1)
    future.add_done_callback(lambda done: seen.append(done.result()))
    until(lambda: seen == [2], "it is called back")


def test_a_callback_may_submit(shared):
    second: list[futures.Future[int]] = []
    first = shared.submit(pooled.add_one, 1)
    first.add_done_callback(lambda done: second.append(shared.submit(pooled.add_one, done.result())))
    until(lambda: second, "it is called back")
    assert second[0].result(60) == 3


def test_a_map_that_takes_too_long(executor):
    results = executor.map(pooled.nap, [0, 0, 30], timeout=1, chunksize=1)
    assert [next(results), next(results)] == [0, 0]
    with pytest.raises(futures.TimeoutError):
        next(results)
    for process in executor._processes.values():
        process.kill()


def test_a_worker_that_dies_fails_its_call_alone(executor):
    others = [executor.submit(pooled.nap, 0.05) for _ in range(6)]
    future = executor.submit(os._exit, 4)
    with pytest.raises(BrokenProcessPool, match="exit code 4") as raised:
        future.result(60)
    assert isinstance(raised.value, WorkerDied)
    assert raised.value.exit_code == 4
    assert [other.result(60) for other in others] == [0.05] * 6
    assert executor.submit(pooled.add_one, 1).result(60) == 2


def test_what_kills_who_reads_it_is_lost_and_nothing_else(executor):
    """It used to be given to one worker after the other, for ever: each died before it had begun it."""
    others = [executor.submit(pooled.nap, 0.05) for _ in range(6)]
    future = executor.submit(pooled.pid_of, pooled.Deadly())
    with pytest.raises(WorkerDied, match="exit code 6"):
        future.result(60)
    assert [other.result(60) for other in others] == [0.05] * 6
    items = [0, 1, pooled.Deadly(), 3]
    results = executor.map(pooled.pid_of, items, chunksize=4)
    assert all(next(results) > 0 for _ in range(2))
    with pytest.raises(WorkerDied, match="exit code 6"):
        next(results)
    assert executor.submit(pooled.add_one, 1).result(60) == 2


def test_what_has_not_begun_is_cancelled(executor):
    naps = [executor.submit(pooled.nap, 0.5) for _ in range(2)]
    until(lambda: all(nap.running() for nap in naps), "they run")
    waiting = [executor.submit(pooled.add_one, number) for number in range(5)]
    assert all(future.cancel() for future in waiting)
    assert all(future.cancelled() for future in waiting)
    assert not naps[0].cancel()
    done, _ = futures.wait([*waiting, *naps], timeout=60)
    assert len(done) == 7
    assert [nap.result() for nap in naps] == [0.5, 0.5]


def test_what_runs_is_cancelled_on_request(executor):
    future = executor.submit(pooled.nap, 600)
    until(future.running, "it runs")
    assert not future.cancel()
    assert future.cancel(running=True)
    with pytest.raises(futures.CancelledError):
        future.result(60)
    assert executor.submit(pooled.add_one, 1).result(60) == 2


def test_nothing_is_submitted_after_a_shutdown(executor):
    naps = [executor.submit(pooled.nap, 0.2) for _ in range(2)]
    until(lambda: all(nap.running() for nap in naps), "they run")
    waiting = [executor.submit(pooled.nap, 60) for _ in range(4)]
    executor.shutdown(cancel_futures=True)
    assert [nap.result(0) for nap in naps] == [0.2, 0.2]
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pooled.add_one, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(pooled.add_one, [1])


def test_workers_are_started_as_they_are_needed():
    with Executor(4) as executor:
        assert executor.submit(pooled.add_one, 1).result(60) == 2
        assert executor.submit(pooled.add_one, 1).result(60) == 2
        assert len(executor._processes) == 1


def test_an_executor_that_is_forgotten_ends():
    executor = Executor(1, warm=False)
    assert executor.submit(pooled.add_one, 1).result(60) == 2
    pids = [pid for pid in executor._processes if pid is not None]
    del executor
    gc.collect()
    until(lambda: not any(is_alive(pid) for pid in pids), "its worker ends")


def test_nothing_is_held_that_the_program_lets_go_of():
    """What is done used to stay until the garbage collector came by; results of a map until the next one was taken."""
    gc.disable()
    try:
        executor = Executor(1, multiprocessing.get_context("fork"), warm=False)
        for made in executor.map(set, [[1], [2]]):
            result = weakref.ref(made)
            del made
            until(lambda result=result: result() is None, "the result is gone")
        assert executor.submit(pooled.add_one, 1).result(60) == 2
        with pytest.raises(NotImplementedError, match="stays here"):
            executor.submit(pooled.pid_of, pooled.Silent()).result(60)
        assert executor._crew is not None
        thread = weakref.ref(executor._crew._thread)
        executor.shutdown()
        until(lambda: thread() is None, "its thread is gone")
    finally:
        gc.enable()


_FINALIZED = """
import multiprocessing.util
from lineshaft import Executor

for _ in range(2):
    with Executor(1) as executor:
        print(executor.submit(abs, -1).result(60))
    multiprocessing.util._run_finalizers()
"""


def test_finalizers_that_are_run_before_the_end_end_nothing():
    """As suites of tests do between modules: then every executor said that the interpreter had ended."""
    ran = subprocess.run([sys.executable, "-c", _FINALIZED], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.returncode) == ("1\n1\n", 0), ran.stderr


def test_workers_end_after_so_many_tasks():
    with Executor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(pooled.pid_of, 0).result(60) for _ in range(4)]
    assert [pids.count(pid) for pid in pids] == [2, 2, 2, 2]


def test_what_cannot_be_sent_or_read(executor):
    with pytest.raises(NotImplementedError, match="stays here"):
        executor.submit(pooled.pid_of, pooled.Silent()).result(60)
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"[Pp]ickle"):
        executor.submit(pooled.a_lambda, 1).result(60)
    with pytest.raises(BrokenProcessPool):
        executor.submit(pooled.pid_of, pooled.Unreadable()).result(60)
    with pytest.raises(BrokenProcessPool):
        executor.submit(pooled.give_unreadable, 1).result(60)
    assert executor.submit(pooled.add_one, 1).result(60) == 2


def test_an_initializer_that_raises_breaks_the_executor():
    with Executor(1, initializer=pooled.fail_to_set_up) as executor:
        with pytest.raises(BrokenProcessPool, match="cannot be set up"):
            executor.submit(pooled.add_one, 1).result(60)
        with pytest.raises(BrokenProcessPool, match="cannot be set up"):
            executor.submit(pooled.add_one, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"initializer": 3}, TypeError),
        ({"max_tasks_per_child": 0}, ValueError),
        ({"max_tasks_per_child": "1"}, TypeError),
    ],
)
def test_arguments_that_are_refused(arguments, error):
    with pytest.raises(error):
        Executor(**arguments)


def test_many_threads_submit(shared):
    wrong: list[object] = []

    def submit(base: int) -> None:
        made = [shared.submit(pooled.add_one, base + number) for number in range(200)]
        found = [future.result(60) for future in made]
        if found != list(range(base + 1, base + 201)):
            wrong.append(found)

    threads = [threading.Thread(target=submit, args=(base * 1_000,)) for base in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_program_ends_when_what_it_submitted_is_done(programs):
    programs.write(
        "leaves.py",
        """
        import os, time
        from lineshaft import Executor

        def work(number):
            time.sleep(0.1)
            os.write(1, b"%d\\n" % os.getpid())

        if __name__ == "__main__":
            executor = Executor(1)
            for number in range(3):
                executor.submit(work, number)
        """,
    )
    ended = programs.run("leaves.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.split()) == 3
    assert not any(is_alive(int(pid)) for pid in ended.stdout.split())


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_nothing_is_submitted_when_the_program_has_ended(programs, kind):
    """Nobody waited for it, and so it was not done, without a word."""
    programs.write(
        "late.py",
        f"""
        import atexit

        @atexit.register
        def submit():
            try:
                executor.submit(pow, 2, 3)
            except RuntimeError as error:
                print(error)

        from lineshaft import Executor

        if __name__ == "__main__":
            executor = Executor(1, kind={kind!r})
        """,
    )
    ended = programs.run("late.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "cannot schedule new futures after interpreter shutdown\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("opening", ["Executor(2, context).submit(pow, 2, 3)", "Pool(2, context=context)"])
def test_who_gets_no_thread_starts_no_workers_and_ends(programs, opening, method):
    """Workers were left behind, and a program with an executor waited for it for ever when it ended."""
    programs.write(
        "no_threads.py",
        f"""
        import multiprocessing, threading
        from lineshaft import Executor, Pool

        def refuse(thread):
            raise RuntimeError("can't start new thread")

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            start, threading.Thread.start = threading.Thread.start, refuse
            try:
                {opening}
            except RuntimeError as error:
                print(error)
            threading.Thread.start = start
            print(multiprocessing.active_children())
            with Executor(2, context) as executor:
                print(executor.submit(pow, 2, 3).result())
        """,
    )
    ended = programs.run("no_threads.py")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == ["can't start new thread", "[]", "8"]


@pytest.mark.parametrize("opening", ["with Executor(2) as executor:", "if executor := Executor(2):"])
def test_a_program_that_is_interrupted_ends_with_its_workers(programs, opening):
    programs.write(
        "interrupted.py",
        f"""
        import os, time
        from lineshaft import Executor

        def work(number):
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(60)

        if __name__ == "__main__":
            {opening}
                list(executor.map(work, range(8)))
        """,
    )
    program = programs.start("interrupted.py")
    assert program.stdout is not None
    workers = [int(program.stdout.readline()) for _ in range(2)]
    for pid in [*workers, program.pid]:
        os.kill(pid, signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode != 0
    assert err.count("KeyboardInterrupt") == 1, err
    assert not any(is_alive(pid) for pid in workers)


def test_an_exception_of_a_dead_worker_is_a_value():
    error = pickle.loads(pickle.dumps(WorkerDied("it ended", exit_code=-signal.SIGKILL)))
    assert str(error) == "it ended"
    assert isinstance(error, BrokenProcessPool)
