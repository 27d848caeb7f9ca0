"""What attempts log is kept with their jobs, and found again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

import pytest

import lineshaft
import logworks as works
from conftest import stop_server
from lineshaft import App, LogEntry, TaskCrashed
from support.processes import PATIENCE_S, Program, until
from support.workers import Workers

WORKERS = works.app, "logworks"


@contextmanager
def of_slots(workers: Workers, kind: str):
    with workers.one("--kind", kind, "--slots", "4") as worker:
        yield worker


def logged(worker, *words: str) -> list[dict]:
    """What `lineshaft logs` finds."""
    command = [sys.executable, "-m", "lineshaft", "--jsonl", "logs", *words, "--home", str(worker.home)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_what_an_attempt_logs_is_there_when_its_end_is(worker):
    job = works.sends.enqueue("ada")
    job.result(PATIENCE_S)
    first, second, third = job.logs()
    assert isinstance(first, LogEntry)
    assert (first.level, first.level_name, first.logger, first.message) == (20, "info", "shop.mail", "sending")
    assert first.fields == {"to": "ada", "ms": 3, "password": "***"}
    assert (first.attempt, first.task) == (1, "logworks.sends")
    assert re.fullmatch(r".+:\d+", first.worker)
    assert (first.file, first.function) == (works.__file__, "sends")
    assert first.line == works.sends.function.__code__.co_firstlineno + 3
    assert abs(first.time.timestamp() - time.time()) < 3_600
    assert (second.message, second.fields) == ("a slow one\x1b[31m", {"tenant": "acme"})
    assert third.level_name == "error"
    assert third.exception.endswith("ValueError: no stamp")
    assert asyncio.run(job.alogs()) == [first, second, third]


def test_each_attempt_has_its_own(worker):
    job = works.fails_once.enqueue()
    job.result(PATIENCE_S)
    assert [entry.fields["number"] for entry in job.logs()] == [1, 2]
    assert [entry.attempt for entry in job.logs(attempt=2)] == [2]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_last_records_of_a_killed_child_are_kept(worker, number):
    job = works.logs_and_dies.enqueue(300, int(number))
    with pytest.raises(TaskCrashed):
        job.result(PATIENCE_S)
    assert [entry.fields["index"] for entry in job.logs()] == list(range(300))


def test_the_beginning_of_too_much_is_kept(worker):
    job = works.logs_much.enqueue(200)
    job.result(PATIENCE_S)
    *first, last = job.logs()
    assert 90 <= len(first) < 120
    assert [entry.fields["index"] for entry in first] == list(range(len(first)))
    assert last.message.endswith("[the attempt has logged more than 1 MiB; what follows is left out]")


def test_threads_of_one_child_do_not_mix_what_they_log(workers):
    with of_slots(workers, "thread"):
        jobs = [works.logs_with_others.enqueue(name, 3) for name in "abc"]
        for name, job in zip("abc", jobs, strict=True):
            job.result(PATIENCE_S)
            assert [(entry.fields["name"], entry.fields["index"]) for entry in job.logs()] == [
                (name, index) for index in range(20)
            ]


def test_coroutines_of_one_child_do_not_mix_what_they_log(workers):
    with of_slots(workers, "async"):
        jobs = [works.logs_in_turns.enqueue(name) for name in "abc"]
        for name, job in zip("abc", jobs, strict=True):
            job.result(PATIENCE_S)
            assert {entry.fields["name"] for entry in job.logs()} == {name}
            assert len(job.logs()) == 20


def test_what_the_standard_library_logs_is_kept_while_it_is_captured(worker):
    job = works.logs_from_the_standard_library.enqueue()
    job.result(PATIENCE_S)
    (entry,) = job.logs()
    assert (entry.logger, entry.message) == ("shop.stdlib", "by another way")


app = App()


@app.task
def quiet() -> int:
    return 1


@app.task
def speaks() -> None:
    lineshaft.get_logger("shop").info("in a test")


def test_a_job_that_logs_nothing_has_no_logs():
    job = quiet.enqueue()
    assert job.result() == 1
    assert job.logs() == []


def test_jobs_of_a_test_have_their_logs():
    lineshaft.logging.configure(handlers=[{"kind": "memory"}])
    job = speaks.enqueue()
    job.result()
    (entry,) = job.logs()
    assert entry.message == "in a test"
    assert entry.function == "speaks"


@app.task
def speaks_at_night() -> None:
    with lineshaft.logging.context(task="nightly", night=1):
        lineshaft.get_logger("shop").info("in a test")


def test_no_field_comes_twice_in_an_attempt(tmp_path):
    lineshaft.logging.configure(handlers=[{"kind": "file", "path": tmp_path / "app.log", "format": "json"}])
    job = speaks_at_night.enqueue()
    job.result()
    assert lineshaft.logging.flush(timeout=PATIENCE_S)
    lineshaft.logging.configure(handlers=[])
    (line,) = (tmp_path / "app.log").read_text().splitlines()
    assert line.count('"task":') == 1
    fields = json.loads(line)["fields"]
    assert fields["task"].endswith("speaks_at_night")
    assert fields["night"] == 1


def test_what_is_not_confirmed_is_sent_again_and_kept_once(workers):
    """The server is killed while attempts log."""
    with workers.one("--grace", "5s") as worker:
        first = works.sends.enqueue("ada")
        first.result(PATIENCE_S)
        job = works.logs_and_dies.enqueue(0)
        with pytest.raises(TaskCrashed):
            job.result(PATIENCE_S)
        lock = (worker.home / "LOCK").read_text()
        os.kill(int(re.search(r"^pid=(\d+)$", lock, re.MULTILINE)[1]), signal.SIGKILL)
        again = works.sends.enqueue("bob")
        again.result(PATIENCE_S)
        assert [len(one.logs()) for one in (first, job, again)] == [3, 0, 3]


KIT = """
    import lineshaft
    from lineshaft import App
    from lineshaft.testing import private_engine

    log = lineshaft.get_logger("shop")
    app = App()


    @app.task
    def speaks() -> None:
        log.info("in a test")


    log.warning("before any attempt")
    for _ in range(2):
        with private_engine():
            job = speaks.enqueue()
            job.result()
            print([entry.message for entry in job.logs()], log.enabled("info"))
    print(log.enabled("info"))
"""


def test_attempts_in_threads_have_their_logs_whatever_was_logged_before(programs):
    """What was in force when something was logged first stayed so."""
    programs.write("kit.py", KIT)
    ended = programs.run("kit.py")
    assert ended.stdout.splitlines() == ["['in a test'] True"] * 2 + ["False"], ended.stderr


def test_what_is_logged_faster_than_it_is_sent_is_waited_with(workers):
    """Records of an attempt that shares its process with others were dropped while the server was there."""
    with of_slots(workers, "thread"):
        jobs = [works.logs_lines.enqueue(4_000) for _ in range(4)]
        for job in jobs:
            job.result(PATIENCE_S)
            assert [entry.fields["index"] for entry in job.logs()] == list(range(4_000))


def test_a_record_that_is_too_large_takes_no_other_one_with_it(worker):
    job = works.logs_large.enqueue()
    job.result(PATIENCE_S)
    first, large, last = job.logs()
    assert (first.message, last.message) == ("before", "after")
    assert large.logger.endswith("[cut]")
    assert large.fields == {"a": "y" * 60_000, "left_out": "b"}


# ---- The command line.


def test_logs_are_found_by_level_task_field_and_text(worker):
    job = works.sends.enqueue("carol")
    job.result(PATIENCE_S)
    job_is = f"job={job.id}"
    assert [found["message"] for found in logged(worker, job_is, "warning")] == [
        "a slow one\x1b[31m",
        "could not be sent",
    ]
    assert [found["fields"]["to"] for found in logged(worker, "to=carol")] == ["carol"]
    assert [found["message"] for found in logged(worker, job_is, "NO STAMP")] == ["could not be sent"]
    assert len(logged(worker, job_is, "logger=shop", "tenant=acme")) == 1
    assert logged(worker, job_is, "task=logworks.nothing") == []
    assert [found["message"] for found in logged(worker, job_is, "--limit", "1")] == ["could not be sent"]
    assert logged(worker, job_is, "--until", "1h") == []
    (found,) = logged(worker, job_is, "attempt=1", "level=info", "sending")
    assert found["job"] == job.id
    assert (found["level_name"], found["task"], found["function"]) == ("info", "logworks.sends", "sends")


def test_people_see_a_line_each_without_what_a_terminal_would_obey(worker):
    job = works.sends.enqueue("dora")
    job.result(PATIENCE_S)
    command = [sys.executable, "-m", "lineshaft", "job", "logs", job.id, "--home", str(worker.home)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S).stdout.splitlines()
    digits = f"{(int.from_bytes(uuid.UUID(job.id).bytes[9:13], 'big') >> 4) & 0xFFFF:04x}"
    time_is = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    assert re.fullmatch(rf"{time_is} info +sends·{digits} shop\.mail: sending to=dora ms=3 password=\*\*\*", lines[0])
    assert "\x1b" not in lines[1]
    assert lines[1].endswith("tenant=acme")
    assert lines[-1] == "  ValueError: no stamp"


def test_numbers_and_names_of_levels_can_be_looked_for_as_texts(worker):
    job = works.says.enqueue("error 404 at status=500")
    job.result(PATIENCE_S)
    for word in ("404", "text=error", "text=status=500"):
        assert [found["job"] for found in logged(worker, f"job={job.id}", word)] == [job.id]
    assert logged(worker, f"job={job.id}", "405") == []


def test_logs_of_a_job_that_is_not_known(worker):
    unknown = works.says.enqueue("x").id[:-12] + "0f0f0f0f0f0f"
    command = [sys.executable, "-m", "lineshaft", "job", "logs", unknown, "--home", str(worker.home)]
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE_S).returncode == 6


def test_a_filter_that_does_not_read_is_named(worker):
    command = [sys.executable, "-m", "lineshaft", "logs", "job=7", "--home", str(worker.home)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert "job=7 does not read at character 5: it takes the id of a job" in ended.stderr


def test_what_comes_is_followed(worker, tmp_path):
    """The newest record that was there when it began was not shown."""
    works.sends.enqueue("erin").result(PATIENCE_S)
    words = ["logs", "-f", "task=logworks.sends", "--limit", "3", "--home", str(worker.home)]
    follower = Program(tmp_path / "followed", [sys.executable, "-m", "lineshaft", *words])
    try:
        for count in (1, 2, 3):
            until(lambda count=count: follower.text().count("could not be sent") == count, f"{count} are shown")
            works.sends.enqueue("erin").result(PATIENCE_S)
        until(lambda: follower.text().count("could not be sent") == 4, "the last is shown")
        assert follower.text().count("to=erin") == 4
    finally:
        follower.kill()


def test_a_home_without_logs_says_so(home):
    command = [sys.executable, "-m", "lineshaft", "logs", "--home", str(home)]
    App(str(home)).cache.set("key", 1)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "nothing that was logged is like that" in ended.stderr
    stop_server(home)


def test_records_on_the_console_are_no_output_of_jobs(worker):
    """They are written by a thread, when another attempt may run in that process."""
    jobs = [works.warns.enqueue(number) for number in range(50)]
    assert [job.result(PATIENCE_S) and job.output() for job in jobs] == ["printed\n"] * 50
    worker.until_said("number=49")
