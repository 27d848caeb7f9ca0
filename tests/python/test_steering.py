"""Versions of tasks, `Retry(...)` and tracebacks as a worker treats them, in the process of the test."""

from __future__ import annotations

from typing import Any

import pytest

from lineshaft import App, DeclarationError, Hooks, Retry, TaskFailed, current

WAIT = 60


class Unavailable(ConnectionError):
    """One class below what `on` names."""


class Gone(Unavailable):
    """One below that, which `never` names."""


class Listens(Hooks):
    def before_attempt(self, call: Any) -> None: ...


app = App(hooks=[Listens()])
asked: list[tuple[int, str]] = []
NOTHING: tuple[str, ...] = ()


def soon(attempt: int, error: BaseException) -> str:
    asked.append((attempt, type(error).__name__))
    return "10ms"


@app.resource(scope="attempt")
def room():
    yield "room"


@app.resource(scope="attempt")
def empty():
    yield from NOTHING


@app.task
def needs_empty(*, what: str = app.use(empty)) -> None: ...


@app.task(retries=Retry(2, on=(ConnectionError, KeyError), never=Gone, first="10ms", cap="10ms"))
def choosy(kind: str) -> None:
    raise {"sub": Unavailable, "never": Gone, "other": ValueError, "base": LookupError, "exit": SystemExit}[kind]("no")


@app.task(retries=Retry(2, first="10ms", cap="10ms"))
def any_exception(kind: str) -> None:
    raise {"value": ValueError, "exit": SystemExit}[kind]("no")


@app.task(retries=3)
def asks_with_a_function() -> int:
    if current.attempt < 3:
        raise Retry(after=soon)
    return current.attempt


@app.task(retries=Retry(2, after=soon))
def gives_up() -> None:
    raise ValueError("no")


@app.task(retries=1)
def asks_to_the_end() -> None:
    raise Retry(after=soon)


@app.task(retries=1)
def asks_with_a_broken_function() -> int:
    if current.attempt == 1:
        raise Retry(first="10ms", cap="10ms", after=lambda attempt, error: 1 / 0)
    return current.attempt


@app.task
def breaks(*, where: str = app.use(room)) -> None:
    raise RuntimeError(where)


@app.task
async def breaks_async(*, where: str = app.use(room)) -> None:
    raise RuntimeError(where)


@pytest.mark.parametrize(
    ("kind", "attempts", "reason"),
    [
        ("sub", 3, "max_attempts"),
        ("never", 1, "never_retried"),
        ("other", 1, "never_retried"),
        ("base", 1, "never_retried"),
    ],
)
def test_a_class_counts_with_all_below_it_and_never_wins(kind, attempts, reason):
    with pytest.raises(TaskFailed) as caught:
        choosy.enqueue(kind).result(WAIT)
    assert (caught.value.attempt, caught.value.reason) == (attempts, reason)


def test_without_classes_whatever_is_raised_is_tried_again_an_exit_too():
    for kind in ("value", "exit"):
        with pytest.raises(TaskFailed) as caught:
            any_exception.enqueue(kind).result(WAIT)
        assert caught.value.attempt == 3, kind


def test_a_function_in_a_raised_retry_is_called():
    """It was neither refused nor called: the usual delay, a second at first, applied."""
    asked.clear()
    assert asks_with_a_function.enqueue().result(WAIT) == 3
    assert asked == [(1, "Retry"), (2, "Retry")]


@pytest.mark.parametrize(("task", "attempts"), [(gives_up, 3), (gives_up.using(retries=0), 1), (asks_to_the_end, 2)])
def test_nobody_is_asked_when_a_last_attempt_shall_be_tried_again(task, attempts):
    """The failure that turned out to be the last one was asked about too."""
    asked.clear()
    with pytest.raises(TaskFailed) as caught:
        task.enqueue().result(WAIT)
    assert (caught.value.attempt, caught.value.reason) == (attempts, "max_attempts")
    assert [attempt for attempt, _ in asked] == [*range(1, attempts)]


def test_a_function_in_a_raised_retry_that_fails_says_so(capfd):
    job = asks_with_a_broken_function.enqueue()
    assert job.result(WAIT) == 2
    said = f"`after` of task {__name__}.asks_with_a_broken_function (job {job.id}, attempt 1) raised ZeroDivisionError"
    assert said in capfd.readouterr().err + job.attempts()[0].output


@pytest.mark.parametrize("task", [breaks, breaks_async], ids=lambda task: task.__name__)
def test_a_remote_traceback_begins_in_the_body(task):
    """Frames of hooks and resources, and of the event loop, stood above it."""
    with pytest.raises(TaskFailed) as caught:
        task.enqueue().result(WAIT)
    lines = (caught.value.traceback or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    files = [line for line in lines if line.startswith("  File ")]
    assert files == [f'  File "{__file__}", line {line_of(task)}, in {task.__name__}']


def line_of(task: Any) -> int:
    return int(task.function.__code__.co_firstlineno) + 2


def test_a_resource_that_does_not_yield_says_which():
    """It said `generator didn't yield`, of whichever resource."""
    with pytest.raises(DeclarationError) as caught:
        needs_empty()
    assert str(caught.value) == (
        f"resource empty ({empty.place}) ended without yielding\n"
        "  hint: yield what tasks get, on every way through it; what cannot be opened raises"
    )
