"""`current.checkpoint` and `current.resume_from`: what was left when an attempt ended is where the next one begins.

`LINESHAFT_KILL_ROUNDS` is the number of rounds of each kind (5), `LINESHAFT_KILL_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from lineshaft import App, Cancel, Retry, SerializationError, Snooze, TaskFailed, current
from support.processes import PATIENCE_S, children_of, kill, until

ROUNDS = int(os.environ.get("LINESHAFT_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("LINESHAFT_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
PAGES = 150

app = App()
at_once = Retry(max=5, first="1ms", cap="1ms")


@dataclass
class Place:
    page: int
    seen: tuple[str, ...]


# ---- In a body.


@app.task(retries=at_once)
def counts(fail_at: list[int]) -> list[object]:
    """Fails once at each of these numbers; says from where the last attempt went on."""
    start = current.resume_from
    for number in range(start.page + 1 if start else 0, 10):
        current.checkpoint(Place(number, ("a",)))
        if number in fail_at[current.attempt - 1 : current.attempt]:
            raise ValueError(f"at {number}")
    return [start, current.attempt]


@app.task(retries=at_once)
async def acounts(fail_at: list[int]) -> list[object]:
    start = current.resume_from
    for number in range(start.page + 1 if start else 0, 10):
        await current.acheckpoint(Place(number, ("a",)))
        if number in fail_at[current.attempt - 1 : current.attempt]:
            raise ValueError(f"at {number}")
    return [start, current.attempt]


@pytest.mark.parametrize("task", [counts, acounts])
def test_the_next_attempt_goes_on_where_the_last_one_was(task):
    assert task.enqueue([]).result(timeout=PATIENCE_S) == [None, 1]
    assert task.enqueue([3, 7]).result(timeout=PATIENCE_S) == [Place(7, ("a",)), 3]


@app.task
def puts_itself_off() -> int:
    number = current.resume_from or 0
    if number < 2:
        current.checkpoint(number + 1)
        raise Snooze(0.001)
    return number


def test_a_job_that_puts_itself_off_keeps_its_checkpoint():
    assert puts_itself_off.enqueue().result(timeout=PATIENCE_S) == 2


@app.task
def looks_twice() -> list[object]:
    value = {"pages": [1, 2]}
    current.checkpoint(value)
    value["pages"].append(3)
    current.resume_from["pages"].clear()
    return [current.resume_from, current.attempt]


def test_what_is_kept_is_the_value_as_it_was():
    assert looks_twice.enqueue().result(timeout=PATIENCE_S) == [{"pages": [1, 2]}, 1]


@app.task
def in_a_thread_of_its_own() -> object:
    import contextvars

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(current.checkpoint, "from a thread"))
    thread.start()
    thread.join()
    return current.resume_from


def test_threads_that_take_the_context_along_leave_checkpoints():
    assert in_a_thread_of_its_own.enqueue().result(timeout=PATIENCE_S) == "from a thread"


@app.task
def gives_up(how: str) -> int:
    start = current.resume_from or 0
    if start == 0 and how != "return":
        current.checkpoint(7)
        raise Cancel("enough") if how == "cancel" else ValueError("no")
    current.checkpoint(9)
    return int(start)


@pytest.mark.parametrize(("how", "goes_on_from"), [("fail", 7), ("cancel", 7), ("return", 0)])
def test_retry_goes_on_unless_the_job_was_completed(how, goes_on_from):
    job = gives_up.enqueue(how)
    job.wait(timeout=PATIENCE_S)
    again = job.retry()
    assert again.id != job.id
    assert again.result(timeout=PATIENCE_S) == goes_on_from


# ---- What is refused, and what does nothing.


@app.task
def leaves(kind: str) -> None:
    current.checkpoint(threading.Lock() if kind == "lock" else os.urandom(70_000))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("large", "checkpoint: 70006 bytes are too many, at most 65536 are kept"),
        ("lock", "checkpoint: lock is not a value"),
    ],
)
def test_what_cannot_be_kept_is_named(kind, message):
    with pytest.raises(TaskFailed) as caught:
        leaves.enqueue(kind).result(timeout=PATIENCE_S)
    assert caught.value.is_a(SerializationError)
    assert message in str(caught.value)


@app.task
async def blocks_its_loop() -> None:
    current.checkpoint(1)


def test_the_blocking_one_is_refused_in_an_event_loop():
    with pytest.raises(TaskFailed) as caught:
        blocks_its_loop.enqueue().result(timeout=PATIENCE_S)
    assert caught.value.is_a(RuntimeError)
    words = "current.checkpoint() would hold up the event loop: use `await current.acheckpoint()`"
    assert words in str(caught.value)


def test_outside_of_a_job_nothing_happens():
    current.checkpoint(threading.Lock())
    asyncio.run(current.acheckpoint(threading.Lock()))
    assert current.resume_from is None


# ---- Against files that the engine knows nothing of.


@pytest.fixture
def pages(stage, monkeypatch):
    with stage.imported("_checkpoints_app", monkeypatch) as app:
        yield app


def lines_of(stage) -> list[str]:
    return stage.effects.read_text().splitlines() if stage.effects.exists() else []


def notes_of(stage, job) -> list[tuple[str, str]]:
    """What the attempts of a job noted, in order."""
    words = (line.split() for line in lines_of(stage))
    return [(what, page) for what, name, page, _ in words if name == job.id]


def start_worker(stage, kind):
    options = () if kind == "process" else ("--kind", kind, "--slots", "4")
    return stage.worker(*options, target="_checkpoints_app")


@pytest.mark.lineshaft(home="tmp")
@pytest.mark.parametrize("kind", ["process", "thread", "async"])
def test_no_attempt_begins_before_a_checkpoint_that_was_acknowledged(stage, pages, kind):
    print(f"\nseed {SEED}: LINESHAFT_KILL_SEED={SEED} repeats the points of the kills")
    chance = random.Random(SEED)
    server, worker = stage.server(), start_worker(stage, kind)
    jobs = [task.enqueue(PAGES, 0.01) for task in (pages.copy, pages.acopy)]
    # Three crashes would end the jobs. Workers and servers are the same whatever the slots of a child are.
    victims = ["child"] * 2 + ["worker", "server"] * (ROUNDS // 2 if kind == "process" else 1)
    chance.shuffle(victims)
    for victim in victims:
        child = newest_child(stage, jobs)
        if child is None:
            break
        time.sleep(chance.uniform(0, 0.3))
        if victim == "server":
            server.kill()
            server = stage.server()
        elif victim == "child":
            kill([child])
        else:
            kill([worker.pid, *children_of(worker.pid)])
            worker.kill()
            worker = start_worker(stage, kind)
    for job in jobs:
        assert job.result(timeout=PATIENCE_S) == PAGES
        check_notes(notes_of(stage, job))
        assert job.refresh().record.state == "completed"
    assert worker.terminate() == 0, worker.text()


def newest_child(stage, jobs) -> int | None:
    """The process that goes on with a job, as soon as one does; None when all have ended."""
    before = lines_of(stage)

    def goes_on() -> list[str] | None:
        lines = lines_of(stage)
        return lines if lines != before or all(job.refresh().record.finalized_at for job in jobs) else None

    lines = until(goes_on, "a job goes on")
    return int(lines[-1].split()[3]) if lines != before else None


def check_notes(notes) -> None:
    left, starts = 0, 0
    for what, page in notes:
        if what == "from":
            assert int(page) >= left, notes
            left = int(page)  # it may have been killed between the answer and its note
            starts += 1
        else:
            assert int(page) > left, notes
            left = int(page)
    assert left == PAGES
    print(f"{starts} attempts for {PAGES} pages")


@pytest.mark.lineshaft(home="tmp")
@pytest.mark.parametrize(
    ("kind", "task", "raised"),
    [
        ("process", "waits_in_vain", "TimedOut"),
        ("thread", "waits_in_vain", "TimedOut"),
        ("async", "awaits_in_vain", "CancelledError"),
    ],
)
def test_an_attempt_whose_time_is_over_does_not_wait_for_the_server(stage, pages, kind, task, raised):
    server = stage.server()
    start_worker(stage, kind)
    job = getattr(pages, task).enqueue()
    until(lambda: notes_of(stage, job), "it leaves a page")
    os.kill(server.pid, signal.SIGSTOP)
    until(lambda: ("raised", raised) in notes_of(stage, job), "it is stopped")
    os.kill(server.pid, signal.SIGCONT)
    job.wait(timeout=PATIENCE_S)
    assert [attempt.outcome for attempt in job.attempts()] == ["timed_out"]
    shown = json.loads(stage.run("job", "show", job.id, "--json").stdout)
    assert shown["checkpoint_bytes"] > 0
    assert "checkpoint" in stage.run("job", "show", job.id).stdout


OLD = """
import os
from dataclasses import dataclass
from lineshaft import App, Retry, current

app = App(os.environ["KILLS_HOME"])

@dataclass
class Place:
    page: int

@app.task(retries=1)
def read() -> None:
    current.checkpoint(Place(7))
    raise Retry(after="1h")

if __name__ == "__main__":
    print(read.enqueue().id)
"""


@pytest.mark.lineshaft(home="tmp")
def test_a_job_whose_checkpoint_names_an_unknown_class_is_parked(stage):
    path = stage.directory / "reader.py"
    path.write_text(OLD)
    stage.server()
    program = stage.start("enqueue", str(path))
    assert program.exit_code() == 0, program.text()
    job = next(line for line in program.text().splitlines() if len(line) == 36)
    old = stage.worker(target=str(path), processes=1)

    def record():
        return json.loads(stage.run("job", "show", job, "--json").stdout)

    until(lambda: record()["state"] == "retryable", "it fails")
    assert old.terminate() == 0
    path.write_text(OLD.replace("Place", "Position").replace("current.checkpoint(Position(7))", "pass"))
    new = stage.worker(target=str(path), processes=1)
    assert stage.run("job", "retry", job).returncode == 0
    until(lambda: "reader.Place" in (record()["waits_for"] or ""), "it is parked")
    assert [attempt["outcome"] for attempt in record()["attempts"]] == ["errored"]
    assert new.terminate() == 0
    path.write_text(OLD[: OLD.index("    current.checkpoint")] + "    assert current.resume_from == Place(7)\n")
    stage.worker(target=str(path), processes=1)
    until(lambda: record()["state"] == "completed", "a worker that knows it runs it")
