"""`app.pool()` in programs whose processes die or are told to end."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from conftest import environment
from support.processes import children_of, kill, until
from support.terminal import Terminal

APP = """
import itertools
import os
import signal
import time
from pathlib import Path

from lineshaft import App, TaskCrashed

app = App()


@app.task
def square(x: int) -> int:
    return x * x


@app.task
def dies_of_three(x: int) -> int:
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@app.task
def hold(x: int) -> int:
    with Path("begun").open("a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    while not Path("go").exists():
        time.sleep(0.01)
    return x


@app.task
def waits() -> None:
    with app.pool() as pool:
        pool.map(hold, range(20))


@app.task
def total(n: int) -> int:
    with app.pool() as pool:
        return sum(pool.map(square, range(n)))
"""


@pytest.fixture
def program(programs):
    """What writes a program with these tasks."""
    return lambda body: programs.write("app.py", APP + '\n\nif __name__ == "__main__":\n    ' + body.strip() + "\n")


@pytest.fixture
def begun(programs):
    """What gives the items that have begun, with the processes that they are in."""
    path = programs.directory / "begun"

    def read() -> dict[int, int]:
        lines = path.read_text().splitlines() if path.exists() else []
        return {int(item): int(pid) for item, pid in map(str.split, lines)}

    return read


def states(programs) -> list[str]:
    """Of the jobs of `hold`, as the server tells them."""
    found = programs.run(
        "-m", "lineshaft", "job", "list", "--home", ".lineshaft", "--task", "app.hold", "-n", "5000", "--json"
    )
    return sorted(re.findall(r'"state": ?"(\w+)"', found.stdout)) or pytest.fail(found.stderr)


def test_a_script_works_for_itself_from_the_first_verb_on(programs, program):
    program("""
    with app.pool() as pool:
        print(pool.map(square, range(5)), list(pool.imap(square, itertools.count()).take())[:1])
    """)
    ended = programs.run("app.py")
    assert (ended.returncode, ended.stdout) == (0, "[0, 1, 4, 9, 16] [(0, None)]\n"), ended.stderr
    (said,) = ended.stderr.splitlines()
    assert said.startswith("lineshaft: no worker is connected, so this script runs its own: 1 process now")


def test_an_item_that_kills_its_process_fails_alone(programs, program):
    program("""
    with app.workers(2), app.pool() as pool:
        result = pool.map_async(dies_of_three, range(6))
        try:
            result.get()
        except TaskCrashed as crash:
            print(crash.signal, list(result.failures))
        print(pool.map(square, [4]))
    """)
    ended = programs.run("app.py")
    assert ended.stdout == "9 [3]\n[16]\n", ended.stderr


def test_bodies_that_wait_for_a_pool_hold_no_worker_up(programs, program):
    program("""
    with app.workers(1), app.pool() as pool:
        print(pool.map(total, range(4)))
    """)
    ended = programs.run("app.py")
    assert ended.stdout == "[0, 0, 1, 5]\n", ended.stderr


def test_a_worker_that_is_killed_whole_costs_no_item(programs, program, begun):
    program("""
    with app.pool() as pool:
        print(pool.map(hold, range(3)))
    """)
    command = ("-m", "lineshaft", "worker", "app.py", "--processes", "1")
    worker = programs.start(*command)
    until(lambda: children_of(worker.pid), "a child")
    programs.write("main.py", "from app import app, hold\nwith app.pool() as pool: print(pool.map(hold, range(3)))")
    caller = programs.start("main.py")
    until(begun, "an item")
    kill([worker.pid, *children_of(worker.pid)])
    worker.communicate(timeout=60)
    (programs.directory / "go").touch()
    another = programs.start(*command)
    assert caller.communicate(timeout=60)[0] == "[0, 1, 2]\n"
    another.terminate()
    another.communicate(timeout=60)


def test_ctrl_c_leaves_and_cancels(programs, program, begun):
    program("""
    with app.pool() as pool:
        pool.map(hold, range(3_000))
    """)
    process = programs.start("app.py")
    until(begun, "an item")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n"), err
    assert set(states(programs)) == {"cancelled"}


def test_a_program_that_ends_without_leaving_its_pool_cancels(programs, program, begun):
    program("""
    pool = app.pool()
    pool.map_async(hold, range(30))
    while not Path("begun").exists():
        time.sleep(0.01)
    """)
    ended = programs.run("app.py")
    assert ended.returncode == 0, ended.stderr
    assert "waits" not in ended.stderr
    assert set(states(programs)) == {"cancelled"}


def test_a_program_that_is_killed_leaves_no_more_jobs_than_it_was_ahead(programs, program, begun):
    program("""
    with app.pool(ahead=10) as pool:
        for _ in pool.imap(hold, itertools.count()):
            pass
    """)
    process = programs.start("app.py")
    until(begun, "an item")
    process.kill()
    process.communicate(timeout=60)
    assert len(states(programs)) <= 10


def test_a_durable_pool_outlives_its_program(programs, program, begun):
    program("""
    with app.pool(durable=True) as pool:
        result = pool.map_async(hold, range(12))
        print(*[job.id for job in result.jobs], flush=True)
        result.get()
    """)
    process = programs.start("app.py")
    ids = process.stdout.readline().split()
    until(begun, "an item")
    process.kill()
    process.communicate(timeout=60)
    (programs.directory / "go").touch()
    assert len(ids) == 12
    programs.write(
        "later.py",
        f"""
        from app import app
        with app.workers(1):
            print([app.job(id).result(60) for id in {ids}])
        """,
    )
    later = programs.run("later.py")
    assert later.stdout == f"{list(range(12))}\n", later.stderr


def test_a_cancelled_body_cancels_the_jobs_of_its_pool(programs, program, begun):
    program("""
    with app.workers(2, wait=False):
        job = waits.enqueue()
        while not Path("begun").exists():
            time.sleep(0.01)
        job.cancel()
        print(job.wait(60).state)
    """)
    ended = programs.run("app.py")
    assert ended.stdout == "cancelled\n", ended.stderr
    assert set(states(programs)) == {"cancelled"}


def test_a_terminal_shows_how_much_is_done(programs, program):
    path = program("""
    os.chdir(Path(__file__).parent)
    with app.pool() as pool:
        print(sum(pool.map(hold, range(2), progress="two")))
    """)
    terminal = Terminal([sys.executable, str(path)], environment())
    assert "two [" in terminal.until("] 0/2")
    (programs.directory / "go").touch()
    code, shown = terminal.end()
    assert code == 0
    assert shown.endswith("\r\x1b[K1\n")
