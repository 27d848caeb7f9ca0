"""The options of `retry`, and what they say: whether it is tried again, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from .. import _native
from .._declare import is_async_function
from .._errors import Cancel, Retry, Snooze
from .._options import duration, exception_classes, retry_count, wrong
from ._rates import rate_of
from ._wording import time_of

PROCESS = "process"
"""The budget that all functions share which say nothing else."""
_OF_PROCESS = _native.Rate(100, 1.0, 1_000)
_NEVER = (Retry, Snooze, Cancel, CancelledError)
_LONGEST_DOUBLINGS = 60


@dataclass(frozen=True)
class Retrying:
    """What `before_pause` of `retry` is told: the function `name` failed at `attempt`, and is tried again.

    `error` is what it raised; None if it gave a `result` that is not good enough. `pause` are the seconds until it is
    called again, `elapsed` those since its first attempt began.
    """

    __module__ = "lineshaft"

    name: str
    attempt: int
    error: Exception | None
    result: Any
    pause: float
    elapsed: float


@dataclass(frozen=True)
class Patience:
    """Checked options. Durations are seconds."""

    max: int | None
    on: tuple[type[BaseException], ...]
    is_meant: Callable[[Exception], bool] | None
    never: tuple[type[BaseException], ...]
    first: float
    cap: float
    after: Callable[[int, Exception | None], Any] | float | None
    deadline: float | None
    if_result: Callable[[Any], bool] | None
    budget: _native.Rate | None
    before_pause: Callable[[Retrying], object] | None

    def catches(self, error: Exception) -> bool:
        """Whether it is tried again after this."""
        if not isinstance(error, self.on) or isinstance(error, self.never):
            return False
        return self.is_meant is None or bool(self.is_meant(error))

    def pause(self, attempt: int, error: Exception | None) -> float:
        """Seconds until the next attempt."""
        if self.after is not None:
            return duration("after", self.after(attempt, error)) if callable(self.after) else self.after
        longest = min(self.cap, self.first * 2.0 ** min(attempt - 1, _LONGEST_DOUBLINGS))
        return random.uniform(0, longest)

    def end(self, attempt: int, seconds: float) -> str | None:
        """Why there is no attempt after this one; the next would begin so many seconds after the first.

        One that is given is taken from the budget.
        """
        if self.max is not None and attempt > self.max:
            return "that is all"
        if self.deadline is not None and seconds > self.deadline:
            return f"the next attempt would be after its deadline of {time_of(self.deadline)}"
        if self.budget is not None and self.budget.take() > 0:
            return "the retry budget of this process is used up"
        return None


def patience_of(
    *,
    max: Any,  # noqa: A002
    on: Any,
    never: Any,
    first: Any,
    cap: Any,
    after: Any,
    deadline: Any,
    if_result: Any,
    budget: Any,
    before_pause: Any,
) -> Patience:
    """Refuses what an option does not take, with the forms that it does."""
    is_meant = on if callable(on) and not isinstance(on, type) else None
    for option, value in (("if_result", if_result), ("before_pause", before_pause), ("on", is_meant)):
        if value is not None and (not callable(value) or is_async_function(value)):
            raise wrong(option, value, "a callable that is no coroutine function")
    longest_first, longest = duration("first", first), duration("cap", cap)
    if longest_first > longest:
        raise wrong("first", first, f"a duration no longer than `cap`, which is {cap!r}")
    return Patience(
        max=None if max is None else retry_count("max", max),
        on=_exceptions("on", () if is_meant else on) or (Exception,),
        is_meant=is_meant,
        never=_exceptions("never", never) + _NEVER,
        first=longest_first,
        cap=longest,
        after=after if after is None or callable(after) else duration("after", after),
        deadline=None if deadline is None else duration("deadline", deadline),
        if_result=if_result,
        budget=_budget(budget),
        before_pause=before_pause,
    )


def _exceptions(option: str, value: Any) -> tuple[type[BaseException], ...]:
    classes = exception_classes(option, value)
    for cls in classes:
        if not issubclass(cls, Exception):
            raise wrong(option, value, f"classes below Exception: {cls.__name__} is never retried")
    return classes


def _budget(value: Any) -> _native.Rate | None:
    if value is None:
        return None
    if value == PROCESS:
        return _OF_PROCESS
    count, period = rate_of("budget", value)
    return _native.Rate(count, period, count)
