"""The pytest plugin and `lineshaft.testing`: each test has an engine of its own, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

import lineshaft
from lineshaft import App, LineshaftError, ResultExpired, Retry, _native, current
from lineshaft.testing import _engine, advance, assert_enqueued, enqueued, private_engine, run_jobs
from support.processes import PATIENCE_S

app = App()


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def fail(text: str) -> None:
    raise ValueError(text)


def _plain(x: int) -> int:
    return x


SHOP = """
from lineshaft import App

app = App()

@app.task
def double(x: int) -> int:
    return 2 * x

@app.task
def fail(text: str) -> None:
    raise ValueError(text)

@app.task
def outer(x: int) -> str:
    return double.enqueue(x).id
"""


@pytest.fixture
def project(tmp_path):
    """A directory with an app in `shop.py`, whose tests are run as a person runs them."""
    project = Project(tmp_path / "project")
    project.write("pyproject.toml", "")
    project.write("shop.py", SHOP)
    return project


class Project:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def test(self, source: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """With this plugin alone: it takes seconds to load whatever is installed."""
        plugin = ("-p", "lineshaft.testing._plugin")
        return self.test_with_all_plugins(source, *plugin, *options, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **variables)

    def test_with_all_plugins(self, source: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        self.write("test_shop.py", source)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LINESHAFT_", "PYTEST_"))}
        root = str(Path(lineshaft.__file__).parents[1])
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        environment = {**kept, "PYTHONPATH": root, **variables}
        return subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )


def passed(ended: subprocess.CompletedProcess[str], count: int) -> bool:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return f"{count} passed" in ended.stdout


# ---- Inside: these tests use the plugin themselves.


def test_a_job_runs_when_a_test_waits_for_it():
    assert add.enqueue(2, 3).result(timeout=60) == 5


@pytest.mark.parametrize("number", [1, 2])
def test_a_test_sees_no_job_of_another(number):
    assert enqueued() == []
    add.using(idempotency_key="the same").enqueue(number)
    assert not enqueued()[0].job.existing
    assert len(enqueued(add)) == 1


def test_the_home_is_not_the_project_s():
    assert "lineshaft-" in app.url
    assert not Path(app.url).is_relative_to(Path(__file__).parents[2])


GREETING = "hello"


@app.task
def greet(name: str) -> tuple[str, int]:
    return f"{GREETING}, {name}", os.getpid()


@app.task
async def agreet(name: str) -> str:
    await asyncio.sleep(0)
    return f"{GREETING}, {name}"


def test_jobs_run_in_the_process_of_the_test(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "GREETING", "good day")
    assert greet.enqueue("Ada").result(timeout=60) == ("good day, Ada", os.getpid())
    assert agreet.enqueue("Ada").result(timeout=60) == "good day, Ada"


@app.task
def say(text: str) -> None:
    print(text)
    print(text, "again", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\n")


@pytest.fixture
def said():
    """Jobs of fixtures keep what they print too."""
    return say.enqueue("before").wait()


def test_what_a_job_prints_is_kept_with_it_and_captured_with_the_test(said, capsys):
    """`job.output()` was empty in the threads of a private engine."""
    assert said.output() == "before\nbefore again\nbytes\n"
    job = say.enqueue("hello").wait()
    assert job.output() == "hello\nhello again\nbytes\n"
    out, err = capsys.readouterr()
    assert out.splitlines() == ["hello", "bytes"]
    assert err == "hello again\n"


@app.task(retries=Retry(max=2, first="10m"))
def flaky() -> int:
    if current.attempt < 3:
        raise ConnectionError
    return current.attempt


def test_time_can_be_moved():
    """A test that wanted to see what happens in an hour had to wait for an hour."""
    later = add.using(run_after="1h").enqueue(1)
    missed = add.using(expires="30m", run_after="40m").enqueue(2)
    run_jobs(app)
    assert (later.state, missed.refresh().state) == ("scheduled", "scheduled")
    advance("59m")
    run_jobs(app)
    assert (later.refresh().state, missed.refresh().state) == ("scheduled", "discarded")
    advance(timedelta(minutes=2))
    run_jobs(app)
    assert later.result(timeout=60) == 2

    job = flaky.enqueue()
    for _ in range(3):
        run_jobs(app)
        advance(1_200)
    assert job.result(timeout=60) == 3
    assert [attempt.outcome for attempt in job.attempts()] == ["errored", "errored", "succeeded"]


def test_results_go_in_time():
    job = add.enqueue(1).wait()
    advance("25h")
    with pytest.raises(ResultExpired):
        app.job(job.id).result(timeout=60)


def test_leases_live_through_moved_time():
    """Who holds a lease knows nothing of a test that moves the time."""
    release.clear()
    job = hold.enqueue()
    attend = threading.Thread(target=job.wait)
    attend.start()
    assert began.wait(60)
    advance("1h")
    assert job.refresh().state == "running"
    release.set()
    attend.join(60)
    assert [attempt.outcome for attempt in job.attempts()] == ["succeeded"]


began, release = threading.Event(), threading.Event()


@app.task
def hold() -> None:
    began.set()
    assert release.wait(60)


@pytest.mark.lineshaft(home="tmp")
def test_the_time_of_a_server_process_is_its_own():
    with pytest.raises(lineshaft.LineshaftError, match="cannot be moved"):
        advance("1h")


def test_a_coroutine_may_wait_for_its_job():
    async def main() -> int:
        return await (await add.aenqueue(4, 5))

    assert asyncio.run(main()) == 9


def test_what_was_enqueued_is_compared_as_the_task_gets_it():
    job = add.enqueue(2, b=1)
    add.enqueue_many([add.si(7), add.si(b=3, a=8)])
    assert assert_enqueued(add, 2) == job
    assert assert_enqueued(add, a=8, b=3).task == add.name
    with pytest.raises(AssertionError) as error:
        assert_enqueued(add, 9)
    assert str(error.value) == f"{add.name}(9) was not enqueued; its jobs:\n  (2, b=1)\n  (7)\n  (b=3, a=8)"
    with pytest.raises(AssertionError, match=r"fail\('x'\) was not enqueued; its jobs: none"):
        assert_enqueued(fail, "x")
    with pytest.raises(TypeError) as refused:
        assert_enqueued(add, 1, 2, 3)
    assert str(refused.value) == f"{add.name}{add.signature}: too many positional arguments"
    with pytest.raises(TypeError, match=r"^run_jobs\(\) takes an app, this is <Task \S+\.add>$"):
        run_jobs(add)  # type: ignore[arg-type]


def test_run_jobs_runs_what_is_available():
    jobs = [add.enqueue(1), fail.enqueue("milk"), add.using(run_after="1h").enqueue(2)]
    assert run_jobs(app) == jobs
    assert [job.refresh().state for job in jobs] == ["completed", "discarded", "scheduled"]
    add.enqueue(3)
    assert [job.state for job in run_jobs(app)] == ["completed", "discarded", "scheduled", "completed"]


def test_a_block_has_an_engine_of_its_own():
    outer = add.enqueue(1)
    url = app.url
    threads = threading.active_count()
    other = App()
    task = other.task(name="other")(_plain)
    with private_engine():
        assert enqueued() == []
        task.enqueue(1)
        assert other.url != url
        directory = Path(other.url).parent
        assert directory.is_dir()
    assert not directory.exists()
    assert threading.active_count() == threads
    assert [made.job for made in enqueued()] == [outer]
    assert "LINESHAFT_URL" in os.environ, "the test's own home is still the one of programs that it starts"


def test_a_thread_that_asks_first_while_a_block_ends_leaves_nothing_behind(monkeypatch):
    """The end took an engine that was being started for a server process, and waited half a minute for it to stop."""
    begins, may_go_on, start = threading.Event(), threading.Event(), _native.EmbeddedServer

    def slow(home: str):
        begins.set()
        assert may_go_on.wait(PATIENCE_S)
        return start(home)

    monkeypatch.setattr(_engine._native, "EmbeddedServer", slow)
    engine = _engine.Engine("memory", None)
    starts = threading.Thread(target=engine._start)
    starts.start()
    assert begins.wait(PATIENCE_S)
    ends = threading.Thread(target=engine.close)
    ends.start()
    may_go_on.set()
    for thread in (starts, ends):
        thread.join(PATIENCE_S)
    assert engine._server is not None
    assert not os.path.exists(engine.home)
    with pytest.raises(LineshaftError, match="is over"):
        engine._start()


def test_a_block_refuses_other_homes():
    refused = pytest.raises(ValueError, match=r"home: 'disk' is not accepted; accepted: \"memory\" or \"tmp\"")
    with refused, private_engine("disk"):
        pass


def test_an_app_with_a_home_of_its_own_keeps_it(home):
    own = App(home)
    own.task(name="own")(_plain).enqueue(1)
    assert own.url == str(home)
    assert enqueued() == []


# ---- Outside: as users see it.


def test_a_job_that_does_not_end_does_not_hold_up_the_end(project):
    ended = project.test(
        """
        import time
        from lineshaft import App

        app = App()

        @app.task
        def sleep() -> None:
            while True:
                time.sleep(0.01)

        def test_it():
            job = sleep.enqueue()
            assert app.task(name="other")(other).enqueue().result(timeout=60) == "done"
            assert job.refresh().state == "running"

        def other() -> str:
            return "done"
        """.replace("\n        ", "\n")
    )
    assert passed(ended, 1)


def test_a_coroutine_that_holds_up_its_loop_does_not_hold_up_the_end(project):
    ended = project.test(
        """
        import threading
        import time
        from lineshaft import App

        app = App()
        begun = threading.Event()

        @app.task
        async def hold() -> None:
            begun.set()
            while True:
                time.sleep(0.01)

        def test_it():
            hold.enqueue()
            app.task(name="other")(other).enqueue().result(timeout=60)
            assert begun.wait(60)

        def other() -> str:
            return "done"

        def test_next():
            assert app.task(name="other")(other).enqueue().result(timeout=60) == "done"
        """.replace("\n        ", "\n")
    )
    assert passed(ended, 2)


def test_the_project_s_home_is_left_alone_and_nothing_is_left_behind(project):
    before = leftovers()
    ended = project.test_with_all_plugins(
        """
        import threading, time
        from shop import app, double, outer

        def test_runs():
            assert double.enqueue(4).result(timeout=60) == 8
            with app.workers(1):
                inner = app.job(outer.enqueue(5).result(timeout=60))
                assert inner.result(timeout=60) == 10

        def test_is_alone():
            until = time.monotonic() + 60  # idle threads look twice a second whether it is over
            while "lineshaft" in str(threading.enumerate()):
                assert time.monotonic() < until
                time.sleep(0.05)
        """.replace("\n        ", "\n")
    )
    assert passed(ended, 2)
    assert not (project.path / ".lineshaft").exists()
    assert leftovers() <= before


def leftovers() -> set[str]:
    return {str(path) for root in ("/dev/shm", "/tmp") for path in Path(root).glob("lineshaft-*/home")}


def test_a_failed_job_shows_its_traceback(project):
    ended = project.test("from shop import fail\n\ndef test_it():\n    fail.enqueue('no milk').result(timeout=60)\n")
    assert ended.returncode == 1
    assert "raise ValueError(text)" in ended.stdout
    assert "raised ValueError: no milk" in ended.stdout
    assert "_outcome.py" not in ended.stdout, "frames of Lineshaft are nobody's business"


def test_a_job_of_a_fixture_that_outlives_its_test_says_why_it_is_not_found(project):
    """It said that the job was deleted, or outlived its retention."""
    ended = project.test(
        """
import pytest
from shop import app, double

@pytest.fixture(scope="session")
def job():
    return double.enqueue(4)

def test_first(job):
    assert job.result(timeout=60) == 8

def test_second(job):
    job.refresh()

def test_third(job):
    job.wait(timeout=60)
"""
    )
    told = "".join(line for line in ended.stdout.splitlines(keepends=True) if line.startswith("E "))
    assert (ended.returncode, told.count("LS0020: ")) == (1, 2), ended.stdout
    why = "the private engine of this test: jobs of other tests, and of fixtures that outlive one, are not in it"
    assert told.count(why) == 2, ended.stdout
    assert "with app.override(home=" in ended.stdout


def test_the_marker_gives_a_home_on_disk_with_a_server_process(project):
    ended = project.test(
        """
        import json, os, subprocess, sys
        import pytest
        from pathlib import Path
        from shop import app, double

        pids = []

        @pytest.mark.lineshaft(home="tmp")
        def test_on_disk():
            assert double.enqueue(4).result(timeout=60) == 8
            command = [sys.executable, "-m", "lineshaft", "status", "--json"]
            pids.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["pid"])
            assert pids[0] != os.getpid()
            assert not app.url.startswith("/dev/shm")
            pids.append(Path(app.url))

        def test_it_is_gone():
            assert not pids[1].exists()
            stat = Path(f"/proc/{pids[0]}/stat")
            assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
        """.replace("\n        ", "\n")
    )
    assert passed(ended, 2)


def test_a_marker_with_something_else_is_an_error(project):
    source = "import pytest\n\ndef test_before(): ...\n\n@pytest.mark.lineshaft(home='elsewhere')\ndef test_it(): ...\n"
    ended = project.test(source)
    assert ended.returncode != 0
    assert '@pytest.mark.lineshaft takes home="memory" or home="tmp"' in ended.stdout + ended.stderr
    assert "passed" not in ended.stdout, "the run ended in its middle"


def test_a_home_that_somebody_named_is_used(project):
    home = project.path / "named"
    source = f"from shop import app\n\ndef test_it():\n    assert app.url == {str(home)!r}\n"
    assert passed(project.test(source, LINESHAFT_URL=str(home)), 1)


def test_the_workers_of_xdist_have_engines_of_their_own(project):
    pytest.importorskip("xdist")
    ended = project.test(
        """
        import pytest
        from shop import app, double
        from lineshaft.testing import enqueued

        @pytest.mark.parametrize("x", range(6))
        def test_it(x):
            job = double.using(idempotency_key="same").enqueue(x)
            assert not job.existing
            assert job.result(timeout=60) == 2 * x
        """.replace("\n        ", "\n"),
        "-p",
        "xdist",
        "-n",
        "2",
    )
    assert passed(ended, 6)


def test_outside_of_a_test_there_is_no_engine(programs):
    programs.write("alone.py", "from lineshaft.testing import enqueued\nenqueued()\n")
    ended = programs.run("alone.py")
    assert "there is no private engine here\n  hint: use pytest, or `with private_engine():`" in ended.stderr
