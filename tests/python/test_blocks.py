"""`with app.workers()`: what its processes inherit, how the block ends, and what stays as the app left it."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from conftest import stop_server

APP = """
    import logging, os, sys, time
    from pathlib import Path

    from lineshaft import App

    logging.basicConfig(format="[app] %(levelname)s %(message)s", level=logging.INFO)
    app = App("home")


    @app.task(name="inherits")
    def inherits() -> tuple:
        return os.environ.get("COLOUR"), os.getcwd(), "/extra/path" in sys.path, os.getpgid(0) == os.getpid()


    @app.task(name="logs")
    def logs() -> list:
        logging.info("from the body")
        return [type(handler).__name__ for handler in logging.getLogger().handlers]


    @app.task(name="slow")
    def slow() -> int:
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return 7


    @app.task(name="quick")
    def quick(n: int) -> int:
        return n


    def main() -> None:
        {main}


    if __name__ == "__main__":
        main()
"""


def write(programs, main: str) -> None:
    programs.write("program.py", APP.replace("{main}", main.strip().replace("\n", "\n        ")))


def ended(programs, *args: str):
    try:
        return programs.run("program.py", *args, COLOUR="red")
    finally:
        stop_server(programs.directory / "home")


def test_processes_inherit_path_directory_and_environment_and_lead_a_group_of_their_own(programs):
    write(programs, 'sys.path.append("/extra/path")\nwith app.workers(1):\n    print(inherits.enqueue().result())')
    run = ended(programs)
    assert run.stdout == f"('red', {str(programs.directory)!r}, True, True)\n", run.stderr


def test_logging_that_the_app_configured_is_as_it_left_it(programs):
    write(programs, "with app.workers(1):\n    print(logs.enqueue().result())\nlogging.info('from the program')")
    run = ended(programs)
    assert run.stdout == "['StreamHandler']\n", run.stderr
    lines = [line.partition(" | ")[2] or line for line in run.stderr.splitlines()]
    assert lines == ["[app] INFO from the body", "[app] INFO from the program"], run.stderr
    assert run.stderr.startswith("logs·"), "what an attempt prints is repeated with its name"


@pytest.mark.parametrize(
    ("how", "state"),
    [("", "completed"), ("wait=False", None)],
)
def test_a_clean_exit_waits_for_what_the_block_enqueued_unless_told_not_to(programs, how, state):
    write(
        programs,
        f"""
with app.workers(1, {how}):
    jobs = quick.map(range(50))
    later = quick.using(run_after="1h").enqueue(1)
print({{job.refresh().state for job in jobs}} == {{"completed"}} or "not all", later.refresh().state)
""",
    )
    run = ended(programs)
    assert run.stdout in (("True scheduled\n",) if state else ("True scheduled\n", "not all scheduled\n")), run.stderr


def test_a_block_that_raises_waits_for_nothing_but_what_runs(programs):
    write(
        programs,
        """
with app.workers(1):
    job = slow.enqueue()
    quick.using(priority="low").map(range(3))
    while not Path("begun").exists():
        time.sleep(0.01)
    Path("go").touch()
    raise LookupError("of the block")
""",
    )
    run = ended(programs)
    assert run.returncode == 1
    assert "LookupError: of the block" in run.stderr


def test_ctrl_c_once_lets_the_attempt_end(programs):
    write(
        programs,
        """
try:
    with app.workers(1):
        job = slow.enqueue()
        job.result()
except KeyboardInterrupt:
    print("interrupted", job.refresh().state)
""",
    )
    process = programs.start("program.py", COLOUR="red")
    try:
        wait_for(programs.directory / "begun", process)
        process.send_signal(signal.SIGINT)
        (programs.directory / "go").touch()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "interrupted completed\n"), err
    finally:
        stop_server(programs.directory / "home")


BLOCKING = """
try:
    with app.workers(1):
        job = slow.enqueue()
        try:
            job.result()
        except KeyboardInterrupt:
            print("once", flush=True)
            raise
except KeyboardInterrupt:
    while job.refresh().state == "running":
        time.sleep(0.01)
    print("twice", job.state, job.record.crashes)
"""
ASYNC = """
import asyncio, signal

async def work():
    async with app.workers(1):
        jobs.append(await slow.aenqueue())
        try:
            await jobs[0]
        except asyncio.CancelledError:
            print("once", flush=True)
            {again}
            raise

jobs = []
try:
    asyncio.run(work())
except KeyboardInterrupt:
    job = jobs[0]
    while job.refresh().state == "running":
        time.sleep(0.01)
    print("twice", job.state, job.record.crashes)
"""


@pytest.mark.parametrize("program", [BLOCKING, ASYNC.replace("{again}", "")], ids=["with", "async with"])
def test_ctrl_c_twice_kills_and_the_attempt_runs_another_time(programs, program):
    write(programs, program)
    process = programs.start("program.py", COLOUR="red")
    try:
        wait_for(programs.directory / "begun", process)
        process.send_signal(signal.SIGINT)
        while "Ctrl-C or SIGTERM kills it at once" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "once\ntwice available 0\n"), err
    finally:
        stop_server(programs.directory / "home")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.run does not mind Ctrl-C")
def test_the_second_ctrl_c_kills_also_where_the_body_hears_of_the_first(programs):
    """It was taken for the first, and the attempt ran on for its grace."""
    write(programs, ASYNC.replace("{again}", "signal.raise_signal(signal.SIGINT)"))
    process = programs.start("program.py", COLOUR="red")
    try:
        wait_for(programs.directory / "begun", process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "once\ntwice available 0\n"), err
        assert "may run on for up to 25 s" not in err, "it did not take the grace"
    finally:
        stop_server(programs.directory / "home")


def wait_for(path, process) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_workers_that_cannot_load_the_app_say_so_without_what_found_it_out(programs):
    """The traceback went through attendance, crew and supervisor."""
    programs.write(
        "program.py",
        """
        from lineshaft import App

        if __name__ != "__main__":
            raise RuntimeError("only in workers")
        app = App("home")

        @app.task
        def add(a: int, b: int) -> int:
            return a + b

        if __name__ == "__main__":
            add.enqueue(1, 2).result()
        """,
    )
    run = ended(programs)
    assert run.returncode == 1
    assert "RuntimeError: only in workers" in run.stderr
    assert "lineshaft.WorkerFailed: LS0030: the app cannot be loaded" in run.stderr
    for file in ("_attendance.py", "_workers.py", "_target.py", "importlib"):
        assert file not in run.stderr, run.stderr
