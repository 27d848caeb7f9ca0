"""Programs as a newcomer writes them: script mode, workers in a block, the import guard, the end of the process."""

from __future__ import annotations

import signal
import time

from lineshaft import App

FIRST = """
    from lineshaft import App

    app = App()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    if __name__ == "__main__":
        job = add.enqueue(2, 3)
        print(job.result())
"""


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
    assert 'put it under `if __name__ == "__main__":`' in ended.stderr
    assert ended.stderr.count("lineshaft.ImportSideEffect") == 1, ended.stderr


def test_a_script_interrupted_in_a_wait_ends_at_once(programs):
    source = FIRST.replace("return a + b", "import time; time.sleep(60)").replace(
        "job = add", "print('ready', flush=True); job = add"
    )
    programs.write("app.py", source)
    process = programs.start("app.py")
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    assert time.monotonic() - began < 15


def test_workers_run_by_a_program_stop_on_sigterm(programs):
    programs.write("app.py", FIRST.split("if __name__")[0] + 'if __name__ == "__main__":\n        app.run_worker(1)\n')
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


def test_importing_is_light(programs):
    source = """
        import sys, threading
        before = threading.active_count()
        import lineshaft
        heavy = {"asyncio", "socket", "subprocess", "inspect", "logging", "multiprocessing"} & set(sys.modules)
        print(heavy, threading.active_count() - before)
    """
    programs.write("light.py", source)
    assert programs.run("light.py").stdout == "set() 0\n"


def test_importing_a_module_with_an_app_starts_nothing(tmp_path):
    App(tmp_path / "home")
    assert not (tmp_path / "home").exists()
