"""Programs without a source file run their tasks in threads of their own. One of them is a real Jupyter kernel."""

from __future__ import annotations

import pytest

from conftest import environment, stop_server
from support.kernel import Kernel
from support.processes import until


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One for all tests, each of which declares what it needs."""
    kernel = Kernel(tmp_path_factory.mktemp("kernel"), environment())
    yield kernel
    kernel.close()
    stop_server(kernel.directory / ".lineshaft")


INLINE = """
from lineshaft import App
import os, sys, threading

app = App()

@app.task
def add(a: int, b: int) -> int:
    print("adding")
    return a + b

@app.task
async def where() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name

job = add.enqueue(2, 3)
print(job.result(timeout=60), [attempt.outcome for attempt in job.attempts()], repr(job.output()))
print(where.enqueue().result(timeout=60) == (os.getpid(), "lineshaft-loop"))
"""


def test_a_program_given_on_the_command_line_runs_its_own_tasks(programs):
    ended = programs.run("-c", INLINE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["5 ['succeeded'] 'adding\\n'", "True"], ended.stderr
    assert ended.stderr.count("have no source file, so they run in this process") == 1, ended.stderr
    assert "add·" in ended.stderr, "what attempts print is repeated with their name"


OVERDUE = """
import time
import lineshaft._local
from lineshaft import App

lineshaft._local.GRACE_S = 0.2
app = App()

@app.task(timeout="200ms")
def deaf() -> None:
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            pass

print(deaf.enqueue().wait(timeout=60).id)
"""


def test_an_attempt_of_this_process_that_does_not_stop_is_named(programs):
    """Nobody heard of it: its slot was taken for good, without a word."""
    ended = programs.run("-c", OVERDUE)
    job = ended.stdout.strip()
    assert ended.stderr.count(f"lineshaft: job {job} was asked to stop and goes on after ") == 1, ended.stderr


DECLARE = """
from lineshaft import App
import os, time
app = App()

@app.task
def twice(number: int) -> int:
    return 2 * number
"""


SLOW = """
@app.task
def slow(path: str) -> int:
    with open(path, "a") as marks:
        marks.write("x")
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return os.getpid()
"""


def test_tasks_of_a_notebook_run_in_its_kernel_and_cells_may_run_again(kernel):
    kernel.run(DECLARE)
    assert kernel.run("print(twice.enqueue(4).result(timeout=60), twice(5))") == "8 10\n"
    # The same cell again, then the task with another body: replaced without a word.
    kernel.run(DECLARE)
    assert kernel.run("print(twice.enqueue(4).result(timeout=60))") == "8\n"
    kernel.run("@app.task\ndef twice(number: int) -> int:\n    return number + number + 1")
    assert kernel.run("print(twice.enqueue(4).result(timeout=60))") == "9\n"
    kernel.run("@app.task\ndef pid() -> int:\n    return os.getpid()")
    assert kernel.run("print(pid.enqueue().result(timeout=60) == os.getpid())") == "True\n"
    assert kernel.run("job = await pid.aenqueue()\nprint(await job == os.getpid())") == "True\n"


def test_an_interrupted_wait_leaves_the_job_running(kernel):
    kernel.run(DECLARE)
    kernel.run(SLOW)
    request = kernel.start("job = slow.enqueue('interrupted')\nprint('waiting', flush=True)\njob.result()")
    until((kernel.directory / "interrupted").exists, "the job runs")
    kernel.manager.interrupt_kernel()
    out, error = kernel.end_of(request)
    assert (out, error) == ("waiting\n", "KeyboardInterrupt")
    assert kernel.run("print(job.refresh().state)") == "running\n"
    (kernel.directory / "interrupted.go").touch()
    assert kernel.run("print(job.result(timeout=60) == os.getpid(), len(job.attempts()))") == "True 1\n"


def test_what_ran_in_a_kernel_that_died_runs_again_in_the_next_one(kernel):
    kernel.run(DECLARE + SLOW)
    kernel.run("job = slow.enqueue('marks')\ntry:\n    job.wait(timeout=0.5)\nexcept Exception:\n    pass")
    until((kernel.directory / "marks").exists, "the job runs")
    key = kernel.run("print(job.id)").strip()
    kernel.restart()
    (kernel.directory / "marks.go").touch()
    kernel.run(DECLARE + SLOW)
    out = kernel.run(f"job = app.job('{key}')\nprint(job.result(timeout=60) == os.getpid(), len(job.attempts()))")
    assert out == "True 2\n"
    assert kernel.run("print(job.attempts()[0].outcome)") == "lost\n"
