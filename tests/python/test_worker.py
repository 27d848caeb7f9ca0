"""Workers as people run them: `lineshaft worker`, and what its children do with bodies of every kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import works
from conftest import environment, stop_server
from lineshaft import App, TaskCancelled, TaskCrashed, TaskFailed, TaskTimeout
from support.processes import PATIENCE_S, TESTS, is_alive, text_of, until
from support.workers import Workers


def takes_anything(*args, **kwargs):
    """What another program takes a task of the worker for."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    workers = Workers(works.app, "works", tmp_path_factory.mktemp("shared"))
    yield workers
    workers.close()


@pytest.fixture
def worker(shared):
    """A worker with a grace of one second, which tests share."""
    with shared.one("--grace", "1s") as worker:
        yield worker


@pytest.fixture
def own(tmp_path):
    """Starts a worker that no other test sees."""
    workers = Workers(works.app, "works", tmp_path)
    yield workers.one
    workers.close()


def test_a_killed_child_runs_its_attempt_again_at_once_and_keeps_its_output(worker, tmp_path):
    path = tmp_path / "pid"
    job = works.talk_and_die.enqueue(str(path))
    pid = int(text_of(path))
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: path.read_text() not in ("", str(pid)), "the second attempt runs")
    assert time.monotonic() - killed < 5
    first = job.attempts()[0]
    assert (first.outcome, first.error.signal) == ("crashed", 9)
    assert first.error.rss_peak > 1 << 20
    assert first.output == "first words\nno end of linean error\nfrom a child process\n"
    job.cancel()
    job.wait(timeout=PATIENCE_S)


def test_crashes_are_told_apart_and_three_are_enough(worker, tmp_path):
    path = tmp_path / "pid"
    job = works.talk_and_die.enqueue(str(path))
    for _ in range(3):
        os.kill(int(text_of(path)), signal.SIGKILL)
        path.unlink()
        until(lambda: path.exists() or job.refresh().state == "discarded", "it runs again or gives up")
    with pytest.raises(TaskCrashed, match="killed by signal 9") as caught:
        job.result(timeout=PATIENCE_S)
    assert (caught.value.signal, caught.value.reason) == (9, "crashes")
    assert caught.value.last_output.startswith("first words\n")


CRASHES = """
    import os
    import signal
    import sys

    from lineshaft import App, TaskCrashed

    app = App("home")
    if __name__ != "__main__":
        print("words of the import")
        print("without an end", end="")


    @app.task
    def warm() -> None: ...


    @app.task
    def dies() -> None:
        print("first words")
        print("an error", file=sys.stderr)
        os.system("echo from a child process")
        os.kill(os.getpid(), signal.SIGKILL)


    if __name__ == "__main__":
        with app.workers(1, wait=False):
            for before in ([], [warm]):
                for task in before:
                    task.enqueue().result(60)
                job = dies.enqueue()
                try:
                    job.result(60)
                except TaskCrashed as error:
                    print([error.last_output, *(attempt.output for attempt in job.attempts())])
"""


def test_every_crash_shows_what_its_own_attempt_printed(programs):
    """The first attempt of a process had the words that its import had left in Python's buffer."""
    programs.write("crashes.py", CRASHES)
    try:
        ended = programs.run("crashes.py", timeout=120)
        expected = ["first words\nan error\nfrom a child process\n"] * 4
        assert ended.stdout.splitlines() == [str(expected)] * 2, ended.stderr
    finally:
        stop_server(programs.directory / "home")


def test_the_last_words_are_kept_whenever_the_kill_comes(worker):
    """What the child had read from its own pipe and not put into its page yet went with it, of one kill in forty."""
    jobs = [works.says_and_dies.enqueue(count) for count in range(40)]
    for count, job in enumerate(jobs):
        job.wait(timeout=PATIENCE_S)
        (attempt,) = job.attempts()
        assert (attempt.outcome, attempt.output) == ("crashed", "word " * count + "last words\n")


def test_an_attempt_that_may_run_once_is_not_repeated_after_a_kill(worker, tmp_path):
    path = tmp_path / "ledger"
    job = works.only_once.enqueue(str(path), 60)
    os.kill(int(text_of(path)), signal.SIGKILL)
    with pytest.raises(TaskCrashed) as caught:
        job.result(timeout=PATIENCE_S)
    assert caught.value.reason == "maybe_ran"
    assert works.add.enqueue(1, 2).result(timeout=PATIENCE_S) == 3
    assert len(path.read_text().split()) == 1


def test_a_timeout_is_raised_in_the_body_which_may_clean_up(worker, tmp_path):
    path = tmp_path / "trace"
    job = works.too_long.enqueue(str(path))
    with pytest.raises(TaskTimeout, match="ran longer than its timeout"):
        job.result(timeout=PATIENCE_S)
    assert path.read_text() == "cleaned up"
    [attempt] = job.attempts()
    assert attempt.outcome == "timed_out"
    assert 0.5 <= (attempt.finished_at - attempt.started_at).total_seconds() < 5
    assert "while True" in attempt.error.traceback or "too_long" in attempt.error.traceback


def test_a_cancelled_body_is_interrupted_in_a_blocking_call(worker, tmp_path):
    path = tmp_path / "trace"
    job = works.listens.enqueue(str(path))
    text_of(path)
    start = time.monotonic()
    job.cancel()
    with pytest.raises(TaskCancelled):
        job.result(timeout=PATIENCE_S)
    assert time.monotonic() - start < 0.9, "it did not take the grace"
    assert path.read_text() == "Cancelled: the job was cancelled; cancelled=True"


def test_a_cancelled_body_that_swallows_everything_is_dead_with_its_children(worker, tmp_path):
    path = tmp_path / "pids"
    job = works.deaf.enqueue(str(path))
    pids = [int(pid) for pid in text_of(path).split()]
    assert [is_alive(pid) for pid in pids] == [True, True]
    assert job.cancel()
    with pytest.raises(TaskCancelled):
        job.result(timeout=PATIENCE_S)
    assert [is_alive(pid) for pid in pids] == [False, False]
    assert [attempt.outcome for attempt in job.attempts()] == ["cancelled"]
    assert works.add.enqueue(1, 2).result(timeout=PATIENCE_S) == 3


def test_what_is_printed_belongs_to_its_attempt_and_is_repeated_with_its_name(worker):
    jobs = [works.talk.enqueue(f"word {number}") for number in range(20)]
    for number, job in enumerate(jobs):
        job.result(timeout=PATIENCE_S)
        assert job.output() == f"word {number}\n"
    for number, job in enumerate(jobs):
        out = worker.until_said(f" | word {number}\n")
        lines = [line for line in out.splitlines() if line.endswith(f" | word {number}")]
        digits = lines[0].partition(" ")[0].removeprefix("talk·")
        assert (len(lines), digits in job.id) == (1, True)


def test_sigterm_drains(own, tmp_path):
    path = tmp_path / "ledger"
    with own("--grace", "10s") as worker:
        job = works.note.enqueue(str(path), 0.6)
        text_of(path)
        rest = [works.add.enqueue(1, 1) for _ in range(5)]
        code, out = worker.stopped()
        assert (code, "Traceback" in out) == (0, False), out
        assert job.refresh().state == "completed"
        assert [one.refresh().state for one in rest] == ["available"] * 5


def test_sigint_drains_and_a_second_one_kills(own, tmp_path):
    path = tmp_path / "pids"
    with own("--grace", "60s") as worker:
        job = works.deaf.enqueue(str(path))
        pids = [int(pid) for pid in text_of(path).split()]
        os.kill(worker.pid, signal.SIGINT)
        worker.until_said("the worker stops: 1 attempt may run on for up to 60 s; Ctrl-C or SIGTERM kills it at once\n")
        assert not worker.has_ended()
        os.kill(worker.pid, signal.SIGINT)
        code, out = worker.exit_code(), worker.said()
        assert (code, "Traceback" in out) == (130, False), out
        assert "the worker stops at once: 1 attempt is killed, and left for other workers\n" in out
        assert [attempt.outcome for attempt in job.attempts()] == ["released"]
        assert [is_alive(pid) for pid in pids] == [False, False]
        assert job.refresh().state == "available"
        assert job.refresh().record.crashes == 0


def test_an_app_that_does_not_load_is_said_once_with_the_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("from lineshaft import App\napp = App('home')\nimport no_such_module\n")
    command = [sys.executable, "-m", "lineshaft", "worker", "broken.py", "--processes", "3", "--home", "home"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    stop_server(tmp_path / "home")
    assert ended.returncode == 1, ended
    assert ended.stderr.count("no_such_module'") == 1, ended.stderr
    assert 'broken.py", line 3' in ended.stderr


def test_after_says_when_a_failed_attempt_is_tried_again(worker):
    job = works.fails_twice.enqueue("value")
    assert job.result(timeout=PATIENCE_S) == 3
    assert job.output() == "", "of the last attempt, which did not fail"
    worker.until_said(f"after 1 of {job.id}: ValueError")
    out = worker.until_said(f"after 2 of {job.id}: ValueError")
    assert "after 3" not in out


def test_after_is_not_asked_for_classes_that_are_never_retried(worker):
    job = works.fails_twice.enqueue("key")
    with pytest.raises(TaskFailed) as caught:
        job.result(timeout=PATIENCE_S)
    assert (caught.value.reason, caught.value.attempt, job.output()) == ("never_retried", 1, "")


def test_a_delay_that_the_body_raises_wins_over_after(worker):
    assert works.knows_better.enqueue().result(timeout=PATIENCE_S) == 2
    assert works.fails_twice.enqueue("retry").result(timeout=PATIENCE_S) == 3, "the body gave none, so after says it"


def test_an_after_that_fails_leaves_the_usual_delay_and_says_so(worker):
    job = works.loses_count.enqueue()
    assert job.result(timeout=PATIENCE_S) == 3
    which = f"lineshaft: `after` of task works.loses_count (job {job.id}, attempt"
    until(lambda: worker.said().count("  the usual delay applies\n") == 2, "it says so")
    out = worker.said()
    lines = [line.partition(" | ")[2] or line for line in out.splitlines()]
    assert f"{which} 1) raised LookupError: no table of delays" in lines, out
    assert f'{which} 2) gave no duration: option `after`: "soon" is not a duration' in lines, out
    assert [attempt.outcome for attempt in job.attempts()] == ["errored", "errored", "succeeded"]


def test_a_number_of_retries_in_using_keeps_the_rest_of_a_declaration_with_after(worker):
    assert works.fails_twice.using(retries=2).enqueue("value").result(timeout=PATIENCE_S) == 3
    with pytest.raises(TaskFailed) as caught:
        works.fails_twice.using(retries=1).enqueue("value").result(timeout=PATIENCE_S)
    assert (caught.value.attempt, caught.value.reason) == (2, "max_attempts")
    assert works.fails_twice.using(retries=2).options["retries"].never == (KeyError,)


def test_retry_snooze_and_cancel_steer_from_the_body(worker, tmp_path):
    assert works.asks_again.enqueue(str(tmp_path / "retries")).result(timeout=PATIENCE_S) == 2
    snoozed = works.snoozes.enqueue(str(tmp_path / "snoozes"))
    assert snoozed.result(timeout=PATIENCE_S) == "awake"
    assert [attempt.outcome for attempt in snoozed.attempts()] == ["snoozed", "snoozed", "succeeded"]
    with pytest.raises(TaskCancelled) as caught:
        works.gives_up.enqueue().result(timeout=PATIENCE_S)
    assert caught.value.reason == "nobody wants it"


def test_sys_exit_is_an_error_of_the_attempt_not_the_end_of_the_child(worker, tmp_path):
    before = works.note.enqueue(str(tmp_path / "ledger")).result(timeout=PATIENCE_S)
    with pytest.raises(TaskFailed) as caught:
        works.exits.enqueue().result(timeout=PATIENCE_S)
    assert caught.value.types[0] == "builtins.SystemExit"
    assert works.note.enqueue(str(tmp_path / "ledger")).result(timeout=PATIENCE_S) == before


def test_a_result_that_is_no_value_is_refused_with_what_it_was(worker):
    with pytest.raises(TaskFailed, match="the result was: <built-in function open>") as caught:
        works.unencodable.enqueue().result(timeout=PATIENCE_S)
    assert caught.value.reason == "result_unencodable"
    assert works.forgets.enqueue().wait(timeout=PATIENCE_S).state == "completed"


def test_arguments_that_the_worker_cannot_bind_are_refused(worker):
    stranger = App(worker.home).task(name="works.takes_an_int")(takes_anything)
    assert stranger.enqueue(4, twice=True).result(timeout=PATIENCE_S) == 8
    with pytest.raises(TaskFailed, match="unexpected keyword argument 'thrice'") as caught:
        stranger.enqueue(4, thrice=True).result(timeout=PATIENCE_S)
    assert caught.value.reason == "arguments_undecodable"


def test_attempts_do_not_see_each_others_context(worker):
    assert [works.sets_and_shows.enqueue(str(n)).result(timeout=PATIENCE_S) for n in range(3)] == ["untouched"] * 3


def test_many_jobs_run_through_one_child(worker):
    jobs = works.add.enqueue_many(works.add.si(number, 1) for number in range(2_000))
    results = {job: job.result() for job in works.app.as_completed(jobs, timeout=PATIENCE_S)}
    assert [results[job] for job in jobs] == list(range(1, 2_001))


def test_children_end_with_a_killed_worker(own, tmp_path):
    path = tmp_path / "pids"
    with own() as worker:
        works.deaf.enqueue(str(path))
        pids = [int(pid) for pid in text_of(path).split()]
        worker.kill()
    until(lambda: not any(is_alive(pid) for pid in pids), "the children are gone")


def test_a_copy_that_a_body_forked_does_not_run_other_jobs(worker, tmp_path):
    """The copy used to go on with the jobs that its parent held, and each of them ran twice."""
    ledger = tmp_path / "ledger"
    calls = [works.note.si(str(ledger)) for _ in range(300)]
    calls.insert(100, works.forks.si())
    for job in works.app.enqueue_many(calls):
        job.result(timeout=PATIENCE_S)
    assert len(ledger.read_text().splitlines()) == 300
    worker.until_said("task works.forks forked")


def test_jobs_that_a_body_makes_go_to_the_home_of_its_worker(programs):
    """They used to go to the home that the app says, where nobody worked for them."""
    programs.write(
        "nested.py",
        """
        from lineshaft import App

        app = App("said")

        @app.task
        def leaf() -> str:
            return app.url

        @app.task
        def root() -> str:
            return leaf.enqueue().result()

        if __name__ == "__main__":
            with app.override(home="given"), app.workers(2):
                print(root.enqueue().result() == app.url)
        """,
    )
    try:
        ended = programs.run("nested.py")
        assert ended.stdout == "True\n", ended.stderr
        assert not (programs.directory / "said").exists()
    finally:
        stop_server(programs.directory / "given")


def test_a_worker_whose_output_nobody_reads_goes_on_supervising(home):
    """Its one thread waited to repeat a line: time-outs, deaths and SIGTERM were never seen again."""
    command = [sys.executable, "-m", "lineshaft", "worker", "works", "--home", str(home), "--processes", "1"]
    pipe = subprocess.PIPE
    worker = subprocess.Popen([*command, "--grace", "1s"], cwd=TESTS, env=environment(), stdout=pipe, stderr=pipe)
    try:
        with works.app.override(home=home), pytest.raises(TaskTimeout):
            works.says_much.using(timeout="1s").enqueue(10 << 20).result(timeout=PATIENCE_S)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=PATIENCE_S) == 0
    finally:
        worker.kill()
        worker.communicate()
