"""`lineshaft dev`: the worker follows the code, and no job is lost on the way."""

from __future__ import annotations

import os
import py_compile
import queue
import signal
import threading
import time

import pytest

from conftest import stop_server
from support.processes import PATIENCE_S, is_alive, until

APP = """
import os
import time
from lineshaft import App

app = App()

@app.task
def add(a, b):
    return a + b

@app.task
def slow(ledger):
    with open(ledger, "a") as file:
        print("begin", file=file, flush=True)
        while not os.path.exists(ledger + ".go"):
            time.sleep(0.02)
        print("end of the old code", file=file, flush=True)
    return "old"
"""


def has_begun(ledger) -> None:
    """Waits until `slow` runs."""
    until(lambda: ledger.exists() and ledger.read_text(), "the job begins")


class Dev:
    """A running `lineshaft dev`, and what it says."""

    def __init__(self, programs, *words: str) -> None:
        self.programs = programs
        self.process = programs.start("-m", "lineshaft", "dev", "app.py", "--processes", "1", *words)
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stderr as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def until(self, text: str) -> str:
        """Waits for a line with `text`; gives it and what was said before it since the last wait."""
        said = ""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{text!r} was not said within {PATIENCE_S} s, but\n{said}")
            if line is None:
                pytest.fail(f"{text!r} was not said before the end, but\n{said}")
            said += line
            if text in line:
                return said

    def result(self, code: str) -> str:
        """What a job of the app gives, made by another program as `app.send.enqueue(...)` would."""
        ended = self.programs.run("-c", f"import app; print({code}.result(timeout=50))")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def end(self) -> int:
        return self.process.wait(timeout=PATIENCE_S)

    def interrupt(self) -> None:
        """Ctrl-C; returns when it was heard."""
        self.process.send_signal(signal.SIGINT)
        self.until("dev: stopping")

    def close(self) -> None:
        """Ends it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._reader.join(PATIENCE_S)


@pytest.fixture
def dev(programs):
    running: list[Dev] = []

    def start(*words: str) -> Dev:
        running.append(Dev(programs, *words))
        return running[-1]

    yield start
    for one in running:
        one.close()


def test_changed_code_is_loaded_before_the_old_worker_goes(programs, dev):
    programs.write("app.py", APP)
    running = dev()
    said = running.until("app.py is loaded")
    assert f"dev: the server of {programs.directory}/.lineshaft is process " in said
    assert "app.py is loaded: 2 tasks, 1 process; watching 1 file\n" in said
    assert running.result("app.add.enqueue(2, 3)") == "5"
    change_unseen_by_python(programs.directory / "app.py", "a + b", "a * b")
    assert "dev: app.py changed, loading the new code" in running.until("app.py is loaded")
    assert running.result("app.add.enqueue(2, 3)") == "6"
    running.interrupt()
    assert running.end() == 0


def change_unseen_by_python(path, old, new):
    """A change of the same length within the same second, renamed over as editors do it.

    Python takes the compiled code that the import by another program left for current.
    """
    py_compile.compile(str(path))
    assert len(old) == len(new)
    second = int(path.stat().st_mtime)
    beside = path.with_suffix(".new")
    beside.write_text(path.read_text().replace(old, new))
    os.utime(beside, (second, second))
    os.replace(beside, path)


def test_code_that_does_not_load_shows_and_waits_while_the_old_code_goes_on(programs, dev):
    programs.write("app.py", APP)
    programs.write("client.py", "import app\nprint(app.add.enqueue(2, 3).result(timeout=50))")
    running = dev()
    running.until("app.py is loaded")
    programs.write("app.py", APP + "\ndef broken(:\n")
    said = running.until("dev: waiting for the next change")
    assert "dev: app.py does not load; the old code goes on\n" in said
    assert "SyntaxError" in said
    assert "def broken(:" in said
    assert "lineshaft/_target.py" not in said, "none of our frames"
    words = ("-m", "lineshaft", "enqueue", "app.add", "2", "3", "--wait=50s")
    assert programs.run(*words).stdout == "5\n", "the old code goes on"

    programs.write("app.py", APP + "\nraise ValueError('half done')\n")
    assert "ValueError: half done" in running.until("dev: waiting for the next change")
    programs.write("app.py", APP.replace("a + b", "a * b"))
    running.until("app.py is loaded")
    assert running.result("app.add.enqueue(2, 3)") == "6"


def test_an_app_that_does_not_load_at_first_is_waited_for(programs, dev):
    programs.write("app.py", "import missing_helper\n" + APP)
    running = dev()
    said = running.until("dev: waiting for the next change")
    assert "dev: app.py does not load\n" in said
    assert "No module named 'missing_helper'" in said
    programs.write("missing_helper.py", "")
    assert "missing_helper.py changed, loading the new code" in running.until("app.py is loaded")


def test_imported_modules_are_watched_also_those_that_a_body_imports(programs, dev):
    programs.write("shop/__init__.py", "")
    programs.write("shop/price.py", "PRICE = 1")
    programs.write("late.py", "NAME = 'one'")
    programs.write(
        "app.py",
        """
        from lineshaft import App
        from shop import price

        app = App()

        @app.task
        def name():
            import late
            return late.NAME

        @app.task
        def cost():
            return price.PRICE
        """,
    )
    running = dev()
    assert "watching 3 files" in running.until("app.py is loaded")
    assert running.result("app.name.enqueue()") == "one"
    programs.write("late.py", "NAME = 'another'")
    running.until("late.py changed, loading the new code")
    running.until("app.py is loaded")
    assert running.result("app.name.enqueue()") == "another"
    # As editors write: a file beside it, renamed over.
    (programs.directory / "shop/.price.swp").write_text("PRICE = 22")
    os.replace(programs.directory / "shop/.price.swp", programs.directory / "shop/price.py")
    running.until("shop/price.py changed, loading the new code")
    running.until("app.py is loaded")
    assert running.result("app.cost.enqueue()") == "22"


def test_a_module_that_is_deleted_or_renamed_is_noticed(programs, dev):
    programs.write("helper.py", "ONE = 1")
    programs.write("app.py", "import helper\n" + APP)
    running = dev()
    running.until("app.py is loaded")
    os.rename(programs.directory / "helper.py", programs.directory / "other.py")
    assert "No module named 'helper'" in running.until("dev: waiting for the next change")
    os.rename(programs.directory / "other.py", programs.directory / "helper.py")
    running.until("app.py is loaded")


def test_a_reload_loses_no_running_job_and_runs_none_twice(programs, dev, tmp_path):
    ledger = tmp_path / "ledger"
    programs.write("app.py", APP)
    running = dev()
    running.until("app.py is loaded")
    waiting = programs.start("-c", f"import app; print(app.slow.enqueue({str(ledger)!r}).result(timeout=50))")
    has_begun(ledger)
    programs.write("app.py", APP.replace("old", "new"))
    running.until("app.py is loaded")
    assert ledger.read_text() == "begin\n", "the new code is there before the job of the old one has ended"
    ledger.with_name("ledger.go").touch()
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert (out, waiting.returncode) == ("old\n", 0), err
    assert ledger.read_text() == "begin\nend of the old code\n"


def test_a_job_that_outlives_the_grace_is_begun_again_by_the_new_code(programs, dev, tmp_path):
    ledger = tmp_path / "ledger"
    programs.write("app.py", APP)
    running = dev("--grace", "200ms")
    running.until("app.py is loaded")
    waiting = programs.start("-c", f"import app; print(app.slow.enqueue({str(ledger)!r}).result(timeout=50))")
    has_begun(ledger)
    programs.write("app.py", APP.replace("old", "new").replace("while not", "while False and not"))
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert (out, waiting.returncode) == ("new\n", 0), err
    assert ledger.read_text() == "begin\nbegin\nend of the new code\n"


def test_ctrl_c_once_lets_jobs_finish(programs, dev, tmp_path):
    ledger = tmp_path / "ledger"
    programs.write("app.py", APP)
    running = dev()
    running.until("app.py is loaded")
    programs.run("-m", "lineshaft", "enqueue", "app.slow", f'"{ledger}"')
    has_begun(ledger)
    running.interrupt()
    ledger.with_name("ledger.go").touch()
    assert running.end() == 0
    assert ledger.read_text() == "begin\nend of the old code\n"


def test_ctrl_c_twice_kills_jobs(programs, dev, tmp_path):
    ledger = tmp_path / "ledger"
    programs.write("app.py", APP)
    running = dev()
    running.until("app.py is loaded")
    programs.run("-m", "lineshaft", "enqueue", "app.slow", f'"{ledger}"')
    has_begun(ledger)
    running.interrupt()
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert ledger.read_text() == "begin\n"


def test_a_server_that_is_gone_is_started_again(programs, dev):
    programs.write("app.py", APP)
    running = dev()
    said = running.until("app.py is loaded")
    pid = int(said.partition("is process ")[2].split()[0])
    os.kill(pid, signal.SIGKILL)
    running.until("dev: the server of ")
    assert running.result("app.add.enqueue(2, 3)") == "5"


def test_a_change_of_the_configuration_is_a_change(programs, dev):
    programs.write("app.py", APP)
    configuration = programs.write("lineshaft.toml", "processes = 1\n")
    running = dev()
    running.until("app.py is loaded")
    configuration.write_text("procesess = 2\n")
    said = running.until("dev: waiting for the next change")
    assert "lineshaft.toml:1: unknown key `procesess` in the file: did you mean `processes`?" in said
    configuration.write_text('[tasks."app.gone"]\nretries = 1\n')
    assert "warning: " in running.until("the app has no task 'app.gone'")
    running.until("app.py is loaded")


def test_an_app_that_moves_to_another_home_takes_its_worker_with_it(programs, dev):
    programs.write("app.py", APP)
    running = dev()
    running.until("app.py is loaded")
    programs.write("app.py", APP.replace("App()", "App('moved')"))
    said = running.until("app.py is loaded")
    assert f"dev: the server of {programs.directory}/moved is process " in said
    try:
        assert running.result("app.add.enqueue(2, 3)") == "5"
        running.interrupt()
        assert running.end() == 0
    finally:
        stop_server(programs.directory / "moved")


def test_nothing_is_left_of_a_dev_that_was_killed(programs, dev):
    programs.write("app.py", APP + "\nimport os\nprint('child', os.getpid())\n")
    running = dev()
    said = running.until("app.py is loaded")
    running.process.kill()
    running.process.wait()
    pids = [int(line.rpartition(" ")[2]) for line in said.splitlines() if "child " in line and line[-1].isdigit()]
    until(lambda: not any(map(is_alive, pids)), "its processes end")
