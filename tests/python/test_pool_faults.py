"""What pools meet in the wild: no memory, threads at a fork, kills of everybody, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

import pooled
from lineshaft import Executor, Pool, WorkerDied
from support.processes import children_of, is_alive, until
from support.without_memory import WITHOUT_MEMORY


@pytest.mark.skipif(sys.platform != "linux", reason="it filters calls of Linux")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_system_without_shared_memory_has_files_and_is_told_of(programs, method):
    programs.write("refusing.py", WITHOUT_MEMORY)
    programs.write(
        "filed.py",
        f"""
        import multiprocessing, sys
        from lineshaft import Pool
        from refusing import refuse_memory

        def work(data):
            return len(data)

        if __name__ == "__main__":
            refuse_memory()
            with Pool(2, context=multiprocessing.get_context("{method}")) as pool:
                print(sum(pool.map(abs, range(-1_000, 0))))
                print(pool.map(work, [bytes(size) for size in (10, 100_000, 300 << 20)]))
        """,
    )
    ended = programs.run("filed.py", timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split("\n")[0] == "500500"
    assert ended.stdout.split("\n")[1] == "[10, 100000, 314572800]"
    assert ended.stderr.count("RuntimeWarning: the system gives no shared memory: this pool lies in files of") == 1


@pytest.mark.parametrize("make", [Pool, Executor])
def test_a_worker_with_too_much_memory_is_killed_while_others_go_on(make):
    with make(2, memory="1GiB") as pool:
        if isinstance(pool, Pool):
            greedy = pool.apply_async(pooled.hog, (1_300 << 20,))
            modest = pool.map(pooled.nap, [0.001] * 50, 1)
            with pytest.raises(WorkerDied, match="MiB of memory, where 1024 are the most"):
                greedy.get(60)
        else:
            future = pool.submit(pooled.hog, 1_300 << 20)
            modest = list(pool.map(pooled.nap, [0.001] * 50))
            with pytest.raises(WorkerDied, match="MiB of memory, where 1024 are the most"):
                future.result(60)
    assert modest == [0.001] * 50


def test_pools_fork_in_a_program_with_busy_threads():
    wrong: list[object] = []

    def use_pools(base: int) -> None:
        for turn in range(5):
            with Pool(2, context=multiprocessing.get_context("fork")) as pool:
                found = pool.map(pooled.add_one, range(base, base + 2_000))
                if found != list(range(base + 1, base + 2_001)):
                    wrong.append((base, turn))

    threads = [threading.Thread(target=use_pools, args=(base * 10_000,), daemon=True) for base in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "nobody hangs"
    assert wrong == []


def test_workers_that_are_killed_all_the_time_do_all_items():
    done = kills = 0
    with Pool(3, context=multiprocessing.get_context("fork"), retries=50) as pool:
        # By results rather than by time, in which workers of a slow machine would get nowhere.
        for result in pool.imap_unordered(pooled.nap, [0.002] * 400):
            assert result == 0.002
            done += 1
            ready = [hand for hand in list(pool._crew._state.staff.hands.values()) if hand.is_ready]
            if done % 5 == 0 and ready:
                ready[0].kill()
                kills += 1
    assert done == 400
    assert kills > 20


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_outlives_a_program_that_is_killed_in_a_map(programs, sent):
    programs.write(
        "busy.py",
        """
        import os, time
        from lineshaft import Pool

        def work(number):
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(600)

        if __name__ == "__main__":
            Pool(2).map(work, range(8), 1)
        """,
    )
    program = programs.start("busy.py")
    assert program.stdout is not None
    workers = [int(program.stdout.readline()) for _ in range(2)]
    assert set(workers) <= set(children_of(program.pid))
    os.kill(program.pid, sent)
    program.wait()
    until(lambda: not any(is_alive(pid) for pid in workers), "the workers end", 20)
    program.communicate()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_ctrl_c_in_a_map_leaves_no_zombie(programs, method):
    programs.write(
        "interrupted.py",
        f"""
        import multiprocessing, os, time
        from lineshaft import Pool

        def work(number):
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(600)

        if __name__ == "__main__":
            pids = []
            try:
                with Pool(2, context=multiprocessing.get_context("{method}")) as pool:
                    pids = [process.pid for process in pool._pool]
                    pool.map(work, range(8), 1)
            except KeyboardInterrupt:
                print("interrupted", [pid for pid in pids if os.path.exists(f"/proc/{{pid}}")], flush=True)
        """,
    )
    program = programs.start("interrupted.py")
    assert program.stdout is not None
    for _ in range(2):
        program.stdout.readline()
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out, err) == (0, "interrupted []\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="groups of control are Linux's")
@pytest.mark.parametrize("make", ["Pool(2)", "Executor(2)"])
def test_a_worker_that_the_kernel_kills_for_want_of_memory_fails_its_item_alone(programs, limited_memory, make):
    programs.write(
        "hungry.py",
        f"""
        import os, sys
        from lineshaft import Executor, Pool, WorkerDied

        def hog(size):
            held = bytearray(size)
            for page in range(0, size, 4096):
                held[page] = 1

        if __name__ == "__main__":
            with open(sys.argv[1], "w") as file:
                file.write(str(os.getpid()))
            with {make} as pool:
                is_pool = isinstance(pool, Pool)
                greedy = pool.apply_async(hog, (400 << 20,)) if is_pool else pool.submit(hog, 400 << 20)
                print(list(pool.map(abs, range(-50, 0))) == list(range(50, 0, -1)))
                try:
                    greedy.get() if is_pool else greedy.result()
                except WorkerDied as error:
                    print(error, error.exit_code)
                print(list(pool.map(abs, [-1, -2])))
        """,
    )
    ended = programs.run("hungry.py", str(limited_memory / "cgroup.procs"), timeout=120)
    assert ended.stdout == "True\nthe worker was killed by SIGKILL over this item -9\n[1, 2]\n", ended.stderr
    assert "oom_kill 0" not in (limited_memory / "memory.oom_control").read_text()


@pytest.fixture
def limited_memory():
    """A group of control of the first version whose processes may have 200 MiB together."""
    group = Path(f"/sys/fs/cgroup/memory/lineshaft-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(200 << 20))
    except OSError as error:
        pytest.skip(f"no group of control can be made here: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), "its processes have ended")
    group.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")
def test_a_process_with_little_address_space_has_pools(programs):
    """Each worker takes a quarter of a gibibyte of it for large messages, which `ulimit -v` may not allow."""
    programs.write(
        "narrow.py",
        """
        import resource
        from lineshaft import Pool

        if __name__ == "__main__":
            with open("/proc/self/statm") as file:
                has = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (has + (500 << 20), -1))
            with Pool(4) as pool:
                print(pool.map(len, [bytes(1_000_000)] * 20) == [1_000_000] * 20)
        """,
    )
    ended = programs.run("narrow.py")
    assert ended.stdout == "True\n", ended.stderr


@pytest.mark.parametrize("kind", ["thread", "warm", "fork"])
def test_pools_that_are_opened_and_closed_leave_nothing(programs, kind):
    """`benches/parallel/many_pools.py` has the same for a hundred thousand."""
    script = Path(__file__).parents[2] / "benches/parallel/many_pools.py"
    programs.write("many_pools.py", script.read_text())
    ended = programs.run("many_pools.py", "200" if kind != "fork" else "60", kind, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
