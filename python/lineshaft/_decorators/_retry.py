"""`retry`: calls a function again that failed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from .. import _native
from ._decorator import Decorated, Decorates, shown_call
from ._driving import Body, drive, drive_coroutine
from ._invocation import Invocation, Pause
from ._patience import PROCESS, Patience, Retrying, patience_of
from ._wording import time_of
from ._wrapping import Layer, around

if TYPE_CHECKING:
    Duration = str | float | timedelta
    Errors = type[Exception] | tuple[type[Exception], ...]


@overload
def retry(function: Decorated, /) -> Decorated: ...
@overload
def retry(
    *,
    max: int | None = 3,
    on: Errors | Callable[[Exception], bool] = (),
    never: Errors = (),
    first: Duration = "100ms",
    cap: Duration = "10s",
    after: Duration | Callable[[int, Exception | None], Duration] | None = None,
    deadline: Duration | None = None,
    if_result: Callable[[Any], bool] | None = None,
    budget: str | None = PROCESS,
    before_pause: Callable[[Retrying], object] | None = None,
) -> Decorates: ...
def retry(
    function: Any = None,
    /,
    *,
    max: Any = 3,  # noqa: A002
    on: Any = (),
    never: Any = (),
    first: Any = "100ms",
    cap: Any = "10s",
    after: Any = None,
    deadline: Any = None,
    if_result: Any = None,
    budget: Any = PROCESS,
    before_pause: Any = None,
) -> Any:
    """Has a function called again that raised an exception, after a pause that grows.

    - `max`: how many times again, 3 by default; None for as often as `deadline` and `budget` allow.
    - `on`: exception classes, one or a tuple, or a callable that is given the exception and says whether to try again.
      Any `Exception` by default. `never`: those that are raised at once all the same.
    - `first`, `cap`: the longest pause before the first retry, which doubles with each, and the longest of all. Each
      pause is drawn between zero and its longest, so that those who failed together do not come back together.
    - `after`: the pause itself, or a callable that gives it, from the number of the attempt and what it raised.
    - `deadline`: no retry begins later than so long after the first attempt began.
    - `if_result`: a callable that says of a result whether to try again. When there is no more retry, the last result
      is given.
    - `budget`: how many retries there are in this process, as a rate: of this function, ``"10/s"``; by default of all
      functions that say nothing else, 100 a second and 1,000 at once. When it is used up nothing is retried, so that an
      outage is not multiplied by those who try again. None for no bound.
    - `before_pause`: is called with a `Retrying` before each pause.

    In the end the last exception is raised as it is, with a note that says how often it was tried. What is no
    `Exception`, such as KeyboardInterrupt, SystemExit and the cancellation of a coroutine, is never retried, nor are
    `Retry`, `Snooze` and `Cancel` of a task's body. A generator is begun again until it has given an item. Durations
    are ``"30s"``, ``"1h30m"``, a timedelta or a number of seconds.
    """
    given = {
        "max": (max, 3),
        "on": (on, ()),
        "never": (never, ()),
        "first": (first, "100ms"),
        "cap": (cap, "10s"),
        "after": (after, None),
        "deadline": (deadline, None),
        "if_result": (if_result, None),
        "budget": (budget, PROCESS),
        "before_pause": (before_pause, None),
    }
    patience = patience_of(**{name: value for name, (value, _) in given.items()})
    shown = shown_call("retry", {name: value for name, (value, default) in given.items() if value != default})

    def make(function: Callable[..., Any]) -> Layer:
        def body(call: Invocation[Any]) -> Body:
            return _trying(call, patience, time.monotonic(), None)

        def handle(error: Exception, seconds: float, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
            call: Invocation[Any] = Invocation(function, args, kwargs or {})
            return drive(call, _trying(call, patience, time.monotonic() - seconds, error))

        if patience.if_result is not None:
            return Layer(shown, body)
        gate = _native.OnError(patience.on, patience.never)
        return Layer(shown, body, gate, handle, functools.partial(_around_coroutine, patience))

    def apply(function: Any) -> Any:
        return around(function, make, "retry")

    return apply if function is None else apply(function)


def _around_coroutine(patience: Patience, function: Callable[..., Any]) -> Any:
    """Runs the body for what is tried again alone."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return await function(*args, **kwargs)
        except patience.on as raised:
            if isinstance(raised, patience.never):
                raise
            error: Any = raised
        call: Invocation[Any] = Invocation(function, args, kwargs)
        try:
            return await drive_coroutine(call, _trying(call, patience, began, error))
        finally:
            del error  # its traceback has this frame

    return wrapper


def _trying(call: Invocation[Any], patience: Patience, began: float, error: Exception | None) -> Body:
    """The attempts. `error` is what the first one raised, if it is over."""
    attempt = 1
    while True:
        if error is None:
            try:
                yield
            except Exception as raised:
                if call.has_given or not patience.catches(raised):
                    raise
                error = raised
            else:
                if patience.if_result is None or not patience.if_result(call.result):
                    return
        elif not patience.catches(error):
            raise error
        elapsed = time.monotonic() - began
        pause = patience.pause(attempt, error)
        end = patience.end(attempt, elapsed + pause)
        if end is not None:
            if error is None:
                return
            _note(error, f"tried {_times(attempt)} in {time_of(elapsed)}: {end}")
            raise error
        if patience.before_pause is not None:
            patience.before_pause(Retrying(call.name, attempt, error, call.result, pause, elapsed))
        error = None
        yield Pause(pause)
        attempt += 1


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _note(error: Any, text: str) -> None:
    # Python shows them from 3.11 on; before, they are there for who looks.
    error.__notes__ = [*getattr(error, "__notes__", []), f"lineshaft: {text}"]
