"""`current.cleanup`: what the body leaves is called when it is over, in every way that it ends, and once."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import pytest

import _cleanups_app as shop
from lineshaft import App, Cancelled, NoCurrentJob, TaskCancelled, TaskFailed, TaskTimeout, TimedOut, current
from support.faults import at_each_await, at_each_line
from support.processes import PATIENCE_S, until

KINDS = ["process", "thread", "async"]
WAYS = ["return", "raise", "retry", "snooze", "cancel", "exit"]


WORKERS = shop.app, "_cleanups_app"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "said"


def said(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# ---- In workers.


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_however_the_body_ends_the_last_one_left_is_called_first(workers, path, kind, how):
    with workers.one("--kind", kind):
        for task in (shop.ends, shop.aends):
            path.unlink(missing_ok=True)
            task.enqueue(str(path), how).wait(PATIENCE_S)
            attempts = {"retry": [1, 2], "snooze": [1, 2]}.get(how, [1])
            each = [(f"last {attempt}", "of a thread", "first", "closed") for attempt in attempts]
            assert said(path) == [line for lines in each for line in lines]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [shop.sleeps, shop.asleeps])
def test_after_a_timeout_and_a_cancellation_too_and_none_of_them_is_interrupted(workers, path, kind, task):
    with workers.one("--kind", kind):
        with pytest.raises(TaskTimeout):
            task.enqueue(str(path)).result(PATIENCE_S)
        assert said(path) == ["sleeps", "late True", "first"]
        job = task.using(timeout=None).enqueue(str(path))
        until(lambda: said(path).count("sleeps") == 2, "the body runs")
        job.cancel()
        with pytest.raises(TaskCancelled):
            job.result(PATIENCE_S)
        assert said(path)[3:] == ["sleeps", "late True", "first"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [shop.refuses, shop.arefuses])
def test_the_first_error_of_a_cleanup_is_the_attempts_unless_the_body_raised_and_the_others_are_called(
    workers, path, kind, task
):
    with workers.one("--kind", kind) as worker:
        with pytest.raises(TaskFailed, match="OSError: two"):
            task.enqueue(str(path), False).result(PATIENCE_S)
        with pytest.raises(TaskFailed, match="ValueError: of the body"):
            task.enqueue(str(path), True).result(PATIENCE_S)
        assert said(path) == ["two", "one", "first"] * 2
        assert "a cleanup of the attempt raised beside another error" in worker.until_said("OSError: one")


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_to_stop_that_comes_while_they_run_waits_for_all_of_them(workers, path, kind):
    with workers.one("--kind", kind):
        job = shop.lingers.enqueue(str(path))
        until(lambda: said(path) == ["lingers"], "the cleanup runs")
        job.cancel()
        with pytest.raises(TaskCancelled):
            job.result(PATIENCE_S)
        assert said(path) == ["lingers", "lingered", "first"]


def test_what_a_task_leaves_that_the_body_calls_is_of_the_same_attempt(workers, path):
    with workers.one("--kind", "process"):
        shop.calls_another.enqueue(str(path)).result(PATIENCE_S)
    assert said(path) == ["inner is over", "inner", "outer"]


# ---- In tests, and where a task is called as a function.


app = App()


@app.task
def leaves(path: str, word: str) -> str:
    current.cleanup(shop.note, path, word)
    return word


@app.task
async def aleaves(path: str, word: str) -> str:
    current.cleanup(shop.anote, path, word)
    return word


def test_in_the_engine_of_a_test(path):
    assert leaves.enqueue(str(path), "one").result(PATIENCE_S) == "one"
    assert aleaves.enqueue(str(path), "two").result(PATIENCE_S) == "two"
    assert said(path) == ["one", "two"]


def test_a_direct_call_is_over_when_it_returns(path):
    shop.calls_another(str(path))
    with pytest.raises(OSError, match="two"):
        asyncio.run(shop.arefuses(str(path), False))
    assert said(path) == ["inner is over", "inner", "outer", "two", "one", "first"]


def test_where_no_task_runs_it_says_that_nobody_would_call_it():
    with pytest.raises(NoCurrentJob, match="nobody would call print"):
        current.cleanup(print)
    app.task(leaves_nothing)()
    with pytest.raises(NoCurrentJob, match="nobody would call print"):
        current.cleanup(print)


def leaves_nothing() -> None: ...


@app.task
def outlived(over: threading.Event, found: list[BaseException]) -> None:
    def late() -> None:
        over.wait(PATIENCE_S)
        try:
            context.run(current.cleanup, print)
        except (NoCurrentJob, RuntimeError) as error:
            found.append(error)

    context = contextvars.copy_context()
    threading.Thread(target=late).start()


def test_after_the_body_nothing_is_taken_that_nobody_would_call():
    over, found = threading.Event(), []
    outlived(over, found)
    over.set()
    until(lambda: found, "the thread was refused")
    assert "nobody would call print" in str(found[0])


async def coroutine() -> None: ...


def leaves_a_coroutine() -> None:
    current.cleanup(coroutine)


def test_a_task_without_a_loop_refuses_coroutine_functions():
    with pytest.raises(TypeError, match="cannot wait for coroutine, which is a coroutine function"):
        app.task(leaves_a_coroutine)()


# ---- Faults.

left: list[str] = []


def body(fails: bool) -> str:
    current.cleanup(left.append, "a")
    current.cleanup(left.append, "b")
    if fails:
        raise LookupError("of the body")
    return "done"


async def abody(fails: bool) -> str:
    current.cleanup(left.append, "a")
    current.cleanup(append_later, "b")
    await asyncio.sleep(0)
    if fails:
        raise LookupError("of the body")
    return "done"


async def append_later(what: str) -> None:
    left.append(what)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


sync_task, async_task = app.task(body), app.task(abody)


def check_nothing_is_left(run, fails: bool, error: type[BaseException]) -> None:
    """Each that was left was called once, those that were not left were not."""
    assert left in ([], ["a"], ["b", "a"]), (run, left)
    if run.where is None:
        assert left == ["b", "a"]
        assert isinstance(run.error, LookupError) if fails else run.value == "done"
    elif not isinstance(run.error, error):
        assert fails
        assert isinstance(run.error, LookupError)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Cancelled, OSError])
def test_an_exception_at_any_line_leaves_nothing_behind(fails, error):
    for run in at_each_line(lambda: sync_task(fails), "_cleanup.py", "_current.py", body, error=error):
        check_nothing_is_left(run, fails, error)
        left.clear()
    assert run.number > 30


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, TimedOut])
def test_an_exception_at_any_line_of_a_coroutine_leaves_nothing_behind(fails, error):
    for run in at_each_line(lambda: asyncio.run(async_task(fails)), "_cleanup.py", "_current.py", abody, error=error):
        check_nothing_is_left(run, fails, error)
        left.clear()
    assert run.number > 30


@pytest.mark.parametrize("when", ["waiting", "woken"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_cancellation_at_any_await_leaves_nothing_behind(fails, when, caplog):
    caplog.set_level(logging.CRITICAL)
    for run in at_each_await(lambda: async_task(fails), when):
        assert left == ["b", "a"], run
        assert isinstance(run.error, asyncio.CancelledError) is (run.where is not None)
        left.clear()
    assert run.number == 4
