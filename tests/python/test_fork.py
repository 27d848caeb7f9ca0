"""Forks after use: whatever copies a process that has used an app, both copies go on, each with a client of its own.

A child that hung would hang for good, so every program here has a deadline ten times as long as it may need (5 s).
"""

from __future__ import annotations

import re

import pytest

DEADLINE_S = 50
QUIET = ("-W", "ignore::DeprecationWarning")
"""Newer Pythons warn of a fork beside threads; that it works is what is tested."""

APP = """
    import os, sys
    from lineshaft import App

    app = App()

    @app.task
    def double(number: int) -> int:
        return 2 * number
"""

WORKING = """
    from store import app
    import time

    if __name__ == "__main__":
        with app.workers(2, wait=False):
            print("ready", flush=True)
            time.sleep(3600)
"""


@pytest.fixture
def store(programs):
    """An app in a module of its own, whose jobs another process works on."""
    programs.write("store.py", APP)
    programs.write("working.py", WORKING)
    working = programs.start("working.py")
    try:
        assert working.stdout.readline() == "ready\n", working.communicate()[1]
        yield programs
    finally:
        working.terminate()
        working.communicate(timeout=DEADLINE_S)


def check(store, source: str, expected: str) -> str:
    """Runs a program beside the workers; gives what it said on standard error."""
    store.write("program.py", source)
    ended = store.run(*QUIET, "program.py", timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (0, expected), ended.stderr
    return ended.stderr


def test_both_sides_of_a_fork_go_on_and_no_id_is_given_twice(store):
    source = """
        import os
        from store import app, double

        before = double.map(range(5))
        assert [job.result(20) for job in before] == [0, 2, 4, 6, 8]
        reading, writing = os.pipe()
        children = []
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                jobs = [*double.map(range(20)), *(double.enqueue(n) for n in range(20))]
                assert [job.result(20) for job in app.as_completed(jobs)]
                assert before[1].result(20) == 2, "a job made before the fork"
                os.write(writing, "".join(job.id + "\\n" for job in jobs).encode())
                os._exit(0)
            children.append(pid)
        own = [*double.map(range(20)), *(double.enqueue(n) for n in range(20))]
        assert [job.result(20) for job in own] == 2 * [2 * n for n in range(20)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        os.close(writing)
        ids = os.fdopen(reading).read().split() + [job.id for job in (*before, *own)]
        print(codes, len(ids), len(set(ids)))
    """
    check(store, source, "[0, 0, 0] 165 165\n")


def test_a_child_of_a_child_goes_on(store):
    source = """
        import os
        from store import double

        print(double.enqueue(1).result(20), flush=True)
        for depth in (2, 3, 4):
            child = os.fork()
            if child != 0:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(double.enqueue(depth).result(20), flush=True)
    """
    check(store, source, "2\n4\n6\n8\n")


def test_a_fork_before_the_first_use_is_none_at_all(store):
    source = """
        import os
        from store import double

        child = os.fork()
        answer = double.enqueue(1).result(20)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else None
        print(answer, code, flush=True)
    """
    check(store, source, "2 None\n2 0\n")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_fork_while_other_threads_are_in_calls(store, threads):
    """A thread that waits alone does the input and output itself; of several, the I/O thread does it for all."""
    source = """
        import os, threading
        from store import app, double

        over = threading.Event()
        def ask():
            while not over.is_set():
                assert double.enqueue(1).result(20) == 2
                list(app.as_completed(double.map(range(3))))

        threads = [threading.Thread(target=ask) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                print(double.enqueue(2).result(20), [job.result(20) for job in double.map(range(3))], flush=True)
                os._exit(0)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        over.set()
        for thread in threads:
            thread.join()
        print(set(codes))
    """.replace("THREADS", str(threads))
    check(store, source, 10 * "4 [0, 2, 4]\n" + "{0}\n")


def test_a_fork_while_the_first_connection_is_being_made(store):
    source = """
        import os, threading
        from store import double

        first = threading.Thread(target=lambda: double.enqueue(1).result(20))
        first.start()
        child = os.fork()
        if child == 0:
            print(double.enqueue(2).result(20), flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        first.join()
    """
    check(store, source, "4\n0\n")


def test_a_fork_from_within_a_coroutine(store):
    source = """
        import asyncio, os
        from store import double

        async def ask(number):
            return await (await double.aenqueue(number))

        async def main():
            assert await asyncio.gather(*(ask(n) for n in range(10))) == [2 * n for n in range(10)]
            waiting = asyncio.create_task(ask(5))
            await asyncio.sleep(0)
            child = os.fork()
            if child == 0:
                print(double.enqueue(2).result(20), flush=True)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(code, await waiting, flush=True)

        asyncio.run(main())
        child = os.fork()
        if child == 0:
            print(asyncio.run(ask(7)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """
    check(store, source, "4\n0 10\n14\n")


def test_a_fork_in_the_body_of_a_loop_over_jobs_lets_both_sides_finish_it(store):
    source = """
        import os
        from store import app, double

        seen = []
        jobs = [*double.map(range(5)), *double.using(run_after=1).map(range(5, 10))]
        for job in app.as_completed(jobs, timeout=30):
            seen.append(job.result())
            if len(seen) == 1:
                child = os.fork()
            elif child == 0 and len(seen) == 6:
                break                                     # the loop is left, with what it had asked for
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else None
        print(sorted(seen) == [2 * n for n in range(10)], len(seen), code, flush=True)
    """
    check(store, source, "False 6 None\nTrue 10 0\n")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_multiprocessing_asks_whatever_its_parent_did_before(store, method):
    source = f"""
        import multiprocessing
        from store import double

        def ask(number):
            job = double.enqueue(number)
            return job.id, job.result(20)

        if __name__ == "__main__":
            own = [double.enqueue(0) for _ in range(5)]
            assert own[0].result(20) == 0
            with multiprocessing.get_context({method!r}).Pool(3) as pool:
                answers = pool.map(ask, range(30), chunksize=1)
            ids = [id for id, _ in answers] + [job.id for job in own]
            print([answer for _, answer in answers] == [2 * n for n in range(30)], len(set(ids)))
            print(double.enqueue(4).result(20))
    """
    check(store, source, "True 35\n8\n")


def test_jobs_pass_between_processes(store):
    source = """
        import multiprocessing
        from store import app, double

        def finish(id):
            return app.job(id).result(20)

        if __name__ == "__main__":
            ids = [job.id for job in double.map(range(5))]
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(pool.map(finish, ids))
    """
    check(store, source, "[0, 2, 4, 6, 8]\n")


def test_a_server_that_preloads_the_app_and_uses_it_before_its_workers_fork(store):
    """As prefork servers do: the master imports and uses the app, forks, replaces one that ended, and goes on."""
    source = """
        import os, signal
        from store import app, double

        assert double.enqueue(1).result(20) == 2     # a check at start
        def serve(requests, answers):
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            with os.fdopen(requests) as lines, os.fdopen(answers, "w") as out:
                for line in lines:
                    job = double.enqueue(int(line))
                    print(job.id, job.result(20), file=out, flush=True)
            os._exit(0)

        def start():
            request, answer = os.pipe(), os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(request[1]); os.close(answer[0])
                serve(request[0], answer[1])
            os.close(request[0]); os.close(answer[1])
            return pid, os.fdopen(request[1], "w"), os.fdopen(answer[0])

        ids, sums = set(), []
        def ask(worker, number):
            _, requests, answers = worker
            print(number, file=requests, flush=True)
            id, answer = answers.readline().split()
            ids.add(id); sums.append(int(answer))

        crew = [start() for _ in range(4)]
        for round in range(5):
            for worker in crew:
                ask(worker, round)
            ids.add(double.enqueue(round).id)        # the master goes on as well
        os.kill(crew[0][0], signal.SIGKILL); os.waitpid(crew[0][0], 0)
        crew[0] = start()
        ask(crew[0], 100)
        for pid, _, _ in crew:
            os.kill(pid, signal.SIGTERM); os.waitpid(pid, 0)
        print(len(ids), sum(sums), double.enqueue(3).result(20))
    """
    check(store, source, "26 280 6\n")


def test_a_prefork_worker_of_another_system_enqueues_and_forks_on(store):
    """Such a worker forks one process per task from a parent that has used the app, and ends it with os._exit."""
    source = """
        import os, queue
        from store import double

        def run(task):
            pid = os.fork()
            if pid == 0:
                try:
                    assert double.enqueue(task).result(20) == 2 * task
                    os._exit(0)
                except BaseException:
                    import traceback; traceback.print_exc()
                    os._exit(1)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        double.enqueue(0)
        print({run(task) for task in range(8)})
        print(double.enqueue(2).result(20))
    """
    check(store, source, "{0}\n4\n")


def test_what_the_parent_left_for_its_end_does_not_run_in_the_child(programs):
    """A script's workers and the line about waiting jobs are the parent's business, however the child ends."""
    programs.write(
        "app.py",
        APP
        + """
    if __name__ == "__main__":
        print(double.enqueue(1).result(20), flush=True)   # runs workers of its own
        child = os.fork()
        if child == 0:
            sys.exit(0)                                   # with all of atexit
        os.waitpid(child, 0)
        print(double.enqueue(2).result(20), flush=True)   # the workers are still there
        double.using(queue="later", run_after="1h").enqueue(3)
    """,
    )
    ended = programs.run(*QUIET, "app.py", timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (0, "2\n4\n"), ended.stderr
    assert len(re.findall("no worker is connected", ended.stderr)) == 1, ended.stderr
    assert len(re.findall("1 job waits", ended.stderr)) == 1, ended.stderr


def test_a_child_of_a_script_may_wait_after_its_parent_ran_workers(programs):
    programs.write(
        "app.py",
        APP
        + """
    if __name__ == "__main__":
        print(double.enqueue(1).result(20), flush=True)
        child = os.fork()
        if child == 0:
            print(double.enqueue(2).result(20), flush=True)
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """,
    )
    ended = programs.run(*QUIET, "app.py", timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (0, "2\n4\n0\n"), ended.stderr


def test_a_child_that_outlives_its_parent_goes_on(store):
    source = """
        import os, sys, time
        from store import double

        double.enqueue(1).result(20)
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)                           # until the parent is gone
            open("orphan.new", "w").write(str(double.enqueue(21).result(20)))
            os.rename("orphan.new", "orphan")
            os._exit(0)
    """
    store.write("program.py", source)
    ended = store.run(*QUIET, "program.py", timeout=DEADLINE_S)
    assert ended.returncode == 0, ended.stderr
    from support.processes import until

    path = store.directory / "orphan"
    until(path.exists, "the orphan has its result", DEADLINE_S)
    assert path.read_text() == "42"


def test_a_fork_inside_a_block_of_workers_leaves_the_block_to_the_parent(programs):
    programs.write(
        "app.py",
        APP
        + """
    if __name__ == "__main__":
        with app.workers(1):
            double.enqueue(1).result(20)
            child = os.fork()
            if child == 0:
                print(double.enqueue(2).result(20), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(double.enqueue(3).result(20), flush=True)
        print("left", flush=True)
    """,
    )
    ended = programs.run(*QUIET, "app.py", timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (0, "4\n6\nleft\n"), ended.stderr


def test_a_child_that_leaves_the_block_ends_neither_the_workers_nor_waits_for_them(programs):
    programs.write(
        "app.py",
        APP
        + """
    if __name__ == "__main__":
        with app.workers(1):
            double.enqueue(1).result(20)
            child = os.fork()
            if child == 0:
                sys.exit(3)                               # through the block
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            child = os.fork()
            if child != 0:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
                print(double.enqueue(3).result(20), flush=True)
        if child == 0:
            print("out", flush=True)
    """,
    )
    ended = programs.run(*QUIET, "app.py", timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (0, "3\nout\n0\n6\n"), ended.stderr
