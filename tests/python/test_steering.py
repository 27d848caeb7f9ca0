"""`Retry(...)` and resources as a worker treats them, in the process of the test."""

from __future__ import annotations

import pytest

from lineshaft import App, DeclarationError, Retry, TaskFailed

WAIT = 60


class Unavailable(ConnectionError):
    """One class below what `on` names."""


class Gone(Unavailable):
    """One below that, which `never` names."""


app = App()
NOTHING: tuple[str, ...] = ()


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


def test_a_resource_that_does_not_yield_says_which():
    """It said `generator didn't yield`, of whichever resource."""
    with pytest.raises(DeclarationError) as caught:
        needs_empty()
    assert str(caught.value) == (
        f"resource empty ({empty.place}) ended without yielding\n"
        "  hint: yield what tasks get, on every way through it; what cannot be opened raises"
    )
