"""`Retry(after=function)`: a function of the task that says when a failed attempt is tried again.

Checked where the task is declared; called in the worker's child, which sends the delay along with the end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ._declare import is_async_function
from ._errors import OptionError, Retry
from ._options import duration, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_after", "delay_of", "narrowed"]

SIGNATURE = "after(attempt: int, error: BaseException) -> duration"


def check_after(option: str, retry: Retry) -> None:
    """Raises `OptionError` unless `retry.after` is a function that can be called with (attempt, error)."""
    after = retry.after
    if not callable(after):
        raise wrong(option, retry, f"{SIGNATURE}; a fixed `after` belongs to `raise Retry(after=...)` in the body")
    if is_async_function(after):
        raise wrong(option, retry, f"{SIGNATURE}, written with `def`: nobody would wait for a coroutine")
    if not _takes_two(after):
        raise wrong(option, retry, SIGNATURE)


def _takes_two(after: Callable[..., Any]) -> bool:
    import inspect

    try:
        inspect.signature(after).bind(1, None)
    except TypeError:
        return False
    except ValueError:
        pass  # a function in C that does not say what it takes
    return True


def narrowed(declared: Retry | None, given: Retry, task: str) -> Retry:
    """What `using(retries=given)` means for a task that was declared with `declared`.

    The worker asks the `after` of the declaration, by the classes of the declaration: so only the number can change.
    """
    if declared is None or declared.after is None:
        return given
    if given.on or given.never or given.first is not None or given.cap is not None:
        raise wrong(
            "retries", given, f"a number of retries: the declaration of {task} has `after`, which says the rest"
        )
    return Retry(
        given.max,
        on=declared.on,
        never=declared.never,
        first=declared.first,
        cap=declared.cap,
        after=declared.after,
    )


def delay_of(retry: Retry | None, attempt: int, error: BaseException, task: str, job: str) -> float | None:
    """Seconds until the next attempt, as `retry.after` says; None for the usual delay, or if it is not tried again.

    What the body raised says it before what the task declares.
    """
    if isinstance(error, Retry) and error.after is not None:
        retry = error
    if retry is None or not callable(retry.after):
        return None
    if retry.max == 0 or isinstance(error, retry.never) or (retry.on and not isinstance(error, retry.on)):
        return None
    try:
        return duration("after", retry.after(attempt, error))
    except OptionError as wrong_delay:
        problem = f"gave no duration: {wrong_delay}"
    except BaseException as raised:
        problem = f"raised {type(raised).__name__}: {_text_of(raised)}"
    said = f"lineshaft: `after` of task {task} (job {job}, attempt {attempt}) {problem}\n  the usual delay applies"
    print(said, file=sys.stderr, flush=True)
    return None


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its text cannot be had: __str__ raises)"
