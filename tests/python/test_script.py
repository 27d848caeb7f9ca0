"""Programs as a newcomer writes them: script mode, workers in a block, the import guard, the end of the process."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import textwrap

import pytest

from conftest import ADD, environment
from lineshaft import App
from support.processes import is_alive, until

FIRST = (
    ADD
    + """
    if __name__ == "__main__":
        job = add.enqueue(2, 3)
        print(job.result())
"""
)


def test_the_first_program_prints_5(programs):
    programs.write("app.py", FIRST)
    ended = programs.run("app.py")
    assert (ended.returncode, ended.stdout) == (0, "5\n"), ended.stderr
    assert ended.stderr.startswith("lineshaft: no worker is connected, so this script runs its own: 1 process now")
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert (programs.directory / ".lineshaft" / ".gitignore").exists()


def test_a_script_that_only_enqueues_names_what_waits(programs):
    programs.write("app.py", FIRST.replace("print(job.result())", "print('made')"))
    ended = programs.run("app.py")
    assert ended.stdout == "made\n"
    home = programs.directory / ".lineshaft"
    assert ended.stderr == f"lineshaft: 1 job waits (app.add) in {home}; `lineshaft worker app.py` runs it\n"


TYPED = FIRST.replace("print(job.result())", "print('made')")
WITHOUT_FILE = (
    "lineshaft: 1 job waits (__main__.add) in {home}; tasks without a source file run while the same program waits "
    "for a result; `lineshaft worker FILE.py` runs those of a file\n"
)


def test_a_program_on_the_command_line_names_what_waits(programs):
    """It said nothing, and left a job that nobody could run."""
    ended = programs.run("-c", textwrap.dedent(TYPED))
    assert (ended.stdout, ended.stderr) == ("made\n", WITHOUT_FILE.format(home=programs.directory / ".lineshaft"))


def test_a_program_from_standard_input_names_what_waits(programs):
    ended = subprocess.run(
        [sys.executable, "-"],
        input=textwrap.dedent(TYPED),
        cwd=programs.directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("made\n", WITHOUT_FILE.format(home=programs.directory / ".lineshaft"))


def test_a_line_on_the_command_line_that_enqueues_names_the_worker_of_the_app_that_it_imports(programs):
    programs.write("app.py", FIRST)
    ended = programs.run("-c", "from app import add; add.enqueue(2, 3)")
    home = programs.directory / ".lineshaft"
    assert ended.stderr == f"lineshaft: 1 job waits (app.add) in {home}; `lineshaft worker app` runs it\n"


def test_a_typed_program_that_waited_for_its_jobs_says_nothing_at_its_end(programs):
    ended = programs.run("-c", textwrap.dedent(FIRST))
    assert ended.stdout == "5\n", ended.stderr
    assert "waits" not in ended.stderr


def test_a_library_that_enqueues_names_nothing(programs):
    """A web application would say so whenever one of its processes ends."""
    programs.write("app.py", FIRST)
    programs.write("web.py", "from app import add\nadd.enqueue(2, 3)")
    assert programs.run("web.py").stderr == ""


def test_the_command_that_a_script_names_runs_what_waits(programs):
    programs.write("app.py", FIRST.replace("print(job.result())", "print(job.id)"))
    job = programs.run("app.py").stdout.strip()
    worker = programs.start("-m", "lineshaft", "worker", "app.py")
    programs.write("ask.py", f"from app import app\nprint(app.job('{job}').result(20))")
    assert programs.run("ask.py").stdout == "5\n"
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err


def test_a_script_uses_many_processes_and_gives_all_results(programs):
    source = """
        import os
        from lineshaft import App
        app = App()

        @app.task
        def work(n: int) -> tuple[int, int]:
            import time
            time.sleep(0.02)
            return n, os.getpid()

        if __name__ == "__main__":
            jobs = work.map(range(60))
            results = [job.result() for job in app.as_completed(jobs, timeout=60)]
            print(sorted(n for n, _ in results) == list(range(60)), os.getpid() in {pid for _, pid in results})
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "True False\n", ended.stderr


@pytest.mark.parametrize(
    "wait",
    [
        "print(where.enqueue().result())",
        "import asyncio; print(asyncio.run(where.enqueue().aresult()))",
        "print(next(app.as_completed([where.enqueue()])).result())",
        "job = where.enqueue(); job.wait(); print(job.result())",
    ],
    ids=["result", "aresult", "as_completed", "wait"],
)
def test_the_first_wait_of_a_script_starts_processes_of_its_own_that_end_with_it(programs, wait):
    source = """
        import os
        from lineshaft import App
        app = App()

        @app.task
        def where() -> tuple[int, int]:
            return os.getpid(), os.getppid()

        if __name__ == "__main__":
            print(os.getpid())
    """
    programs.write("app.py", f"{source.rstrip()}\n            {wait}\n")
    ended = programs.run("app.py")
    own, where = ended.stdout.splitlines()
    child, parent = ast.literal_eval(where)
    assert parent == int(own), ended.stderr
    assert not is_alive(child)


def test_a_script_leaves_its_jobs_to_a_worker_of_the_queue_that_is_connected(programs):
    programs.write("app.py", FIRST)
    worker = programs.start("-m", "lineshaft", "worker", "app.py")
    try:
        until(lambda: '"app.add"' in programs.run("-m", "lineshaft", "status", "--json").stdout, "a worker is there")
        ended = programs.run("app.py")
        assert (ended.stdout, ended.stderr) == ("5\n", "")
    finally:
        worker.terminate()
        worker.communicate(timeout=60)


def test_a_script_whose_queue_no_connected_worker_serves_runs_its_own(programs):
    programs.write("app.py", FIRST)
    worker = programs.start("-m", "lineshaft", "worker", "app.py", "--queues", "other")
    try:
        until(lambda: '"other"' in programs.run("-m", "lineshaft", "status", "--json").stdout, "a worker is there")
        ended = programs.run("app.py")
        assert ended.stdout == "5\n", ended.stderr
        assert "so this script runs its own" in ended.stderr
    finally:
        worker.terminate()
        worker.communicate(timeout=60)


def test_the_workers_of_a_script_grow_to_the_cores(programs):
    source = """
        import os, time
        from lineshaft import App
        from lineshaft._settings import cores
        app = App()

        @app.task
        def meet(name: int) -> int:
            open(f"here-{os.getpid()}", "w").close()
            while len([name for name in os.listdir(".") if name.startswith("here-")]) < cores():
                time.sleep(0.01)
            return os.getpid()

        if __name__ == "__main__":
            jobs = meet.map(range(cores()))
            print(len({job.result(50) for job in jobs}) == cores())
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "True\n", ended.stderr
    assert ended.stderr.startswith(
        "lineshaft: no worker is connected, so this script runs its own: 1 process now, up to "
    )


def test_a_block_of_workers_waits_for_what_was_enqueued_in_it(programs):
    source = """
        from lineshaft import App
        app = App()

        @app.task
        def write(n: int) -> None:
            open("out.txt", "a").write(f"{n}\\n")

        if __name__ == "__main__":
            with app.workers(2):
                write.map(range(200))
                write.using(run_after="1h").enqueue(-1)
            print(len(open("out.txt").readlines()))
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "200\n", ended.stderr
    assert "1 job waits" in ended.stderr


def test_an_app_with_effects_at_import_is_refused_by_its_workers(programs):
    programs.write("app.py", FIRST.replace('if __name__ == "__main__":', "if True:"))
    ended = programs.run("app.py")
    assert ended.returncode != 0
    assert "5" not in ended.stdout
    path = programs.directory / "app.py"
    assert f"ImportSideEffect: {path}:10 calls enqueue() while a worker imports the app" in ended.stderr
    hint = 'put it under `if __name__ == "__main__":`, so that importing the module only declares tasks'
    assert f"while a worker imports the app\n  hint: {hint}\n" in ended.stderr
    assert ended.stderr.count("lineshaft.ImportSideEffect") == 1, ended.stderr


UNMOVED = """
    import signal, time
    from pathlib import Path
    from lineshaft import App

    app = App()

    @app.task
    def hold() -> None:
        if Path("deaf").exists():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        Path("begun").touch()
        time.sleep(60)

    if __name__ == "__main__":
        hold.enqueue().result()
"""


@pytest.mark.parametrize("is_deaf", [False, True], ids=["a body that hears", "a deaf body"])
def test_a_script_interrupted_in_a_wait_asks_its_bodies_to_stop_at_once(programs, is_deaf):
    """They were asked after 3.75 s, and killed after 5."""
    program = programs.write("app.py", UNMOVED)
    if is_deaf:
        (programs.directory / "deaf").touch()
    process = programs.start("app.py")
    until((programs.directory / "begun").exists, "the body")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert "5 s" not in err
    if is_deaf:
        words = "the worker stops: 1 attempt may run on for up to 1 s; Ctrl-C or SIGTERM kills it at once"
        assert words in err
    home = program.parent / ".lineshaft"
    fix = "the next run of this script or `lineshaft worker app.py` runs it"
    assert err.endswith(f"lineshaft: 1 job waits (app.hold) in {home}; {fix}\n")


def test_a_second_ctrl_c_kills_without_a_traceback_of_its_own(programs):
    """The end of the process showed one, in the code of the attendance. Here the first one was heard, and caught."""
    caught = "try: hold.enqueue().result()\n        except KeyboardInterrupt: pass"
    programs.write("app.py", UNMOVED.replace("hold.enqueue().result()", caught))
    (programs.directory / "deaf").touch()
    process = programs.start("app.py")
    until((programs.directory / "begun").exists, "the body")
    process.send_signal(signal.SIGINT)
    while "for up to 1 s" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    killed, waits = err.splitlines()
    assert killed == "the worker stops at once: 1 attempt is killed, and left for other workers"
    assert waits.startswith("lineshaft: 1 job waits (app.hold)")


def test_workers_run_by_a_program_stop_on_sigterm(programs):
    programs.write("app.py", ADD + '\n    if __name__ == "__main__":\n        app.run_worker(1)\n')
    process = programs.start("app.py")
    caller = programs.write("call.py", "from app import add\nprint(add.enqueue(2, 3).result(20))")
    assert programs.run(str(caller)).stdout == "5\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    process.communicate()


def test_a_forked_child_uses_a_connection_of_its_own(programs):
    source = """
        import os
        from lineshaft import App
        app = App()

        @app.task
        def add(a: int, b: int) -> int:
            return a + b

        if __name__ == "__main__":
            with app.workers(1):
                first = add.enqueue(1, 1)
                print(first.result(20), flush=True)
                child = os.fork()
                if child == 0:
                    print(add.enqueue(2, 3).result(20), flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
                print(add.enqueue(3, 3).result(20), flush=True)
    """
    programs.write("app.py", source)
    ended = programs.run("-W", "ignore::DeprecationWarning", "app.py")
    assert ended.stdout == "2\n5\n6\n", ended.stderr


def test_a_process_of_multiprocessing_names_tasks_as_the_program_does(programs):
    source = """
        import multiprocessing
        from lineshaft import App
        app = App()

        @app.task
        def double(number: int) -> int:
            return 2 * number

        def ask(number: int) -> int:
            return double.enqueue(number).result(20)

        if __name__ == "__main__":
            with app.workers(1), multiprocessing.get_context("spawn").Pool(2) as pool:
                print(pool.map(ask, range(3)))
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "[0, 2, 4]\n", ended.stderr
    ended = programs.run("-m", "app")
    assert ended.stdout == "[0, 2, 4]\n", ended.stderr


def test_a_thread_that_outlives_the_last_line_still_gets_workers(programs):
    source = """
        import threading
        from lineshaft import App
        app = App()

        @app.task
        def work() -> str:
            return "done"

        def ask() -> None:
            threading.main_thread().join()
            print(work.enqueue().result(20))

        if __name__ == "__main__":
            threading.Thread(target=ask).start()
    """
    programs.write("app.py", source)
    ended = programs.run("app.py")
    assert ended.stdout == "done\n", ended.stderr


def test_the_command_that_is_named_can_be_typed(programs):
    source = """
        from lineshaft import App
        app = App()

        @app.task(name="work")
        def work() -> None: ...

        if __name__ == "__main__":
            work.enqueue()
    """
    for name, typed in (("a b.py", "'a b.py'"), ("noext", "./noext")):
        programs.write(name, source)
        ended = programs.run(name)
        assert f"`lineshaft worker {typed}` runs " in ended.stderr


def test_importing_is_light_and_starts_no_thread_and_opens_no_socket(programs):
    source = """
        import os, sys
        before = set(sys.modules)  # what measures the tests is there already
        from lineshaft import App
        loaded = set(sys.modules) - before
        heavy = {"asyncio", "socket", "subprocess", "inspect", "logging", "multiprocessing"} & loaded
        threads = os.listdir("/proc/self/task")  # those of the extension too
        # The one by which they are listed is closed again.
        files = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd") if int(name) > 2]
        print(heavy, len(threads), [os.readlink(file) for file in files if os.path.exists(file)])
    """
    programs.write("light.py", source)
    assert programs.run("light.py").stdout == "set() 1 []\n"


def test_importing_a_module_with_an_app_starts_nothing(tmp_path):
    App(tmp_path / "home")
    assert not (tmp_path / "home").exists()
