"""`timed`: how long the calls of a function take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from .. import _native
from .._options import duration, wrong
from ._decorator import shown_call
from ._driving import Body
from ._invocation import Invocation, name_of
from ._wording import time_of
from ._wrapping import Layer, around

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
S = TypeVar("S")

if TYPE_CHECKING:
    from typing import Protocol

    class Timed(Protocol[P, R]):
        """A function whose calls are timed."""

        __wrapped__: Callable[..., Any]

        @property
        def timing(self) -> _native.Timing: ...
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Timed[P, R]: ...
        @overload
        def __get__(self: Timed[Concatenate[S, Q], R], instance: S, owner: type) -> Timed[Q, R]: ...

    class Times(Protocol):
        """`timed(...)` with options."""

        def __call__(self, function: Callable[P, R], /) -> Timed[P, R]: ...


@overload
def timed(function: Callable[P, R], /) -> Timed[P, R]: ...
@overload
def timed(
    *, slow: str | float | timedelta | None = None, report: Callable[[str, float], object] | None = None
) -> Times: ...
def timed(function: Any = None, /, *, slow: Any = None, report: Any = None) -> Any:
    """Has a function count its calls and how long they take; `f.timing` is what it counted, a `Timing`.

    It takes 10 KB for each function, however many calls there are. A call that raises counts too. Of coroutine
    functions it is the time until they end, with what they wait for; of generators, from when the first item is asked
    for until they end or are closed, with what is done between the items.

    - `slow`: calls that take at least so long are reported.
    - `report`: is called with the name of the function and the seconds of a slow call. By default a warning is logged
      by the logger that is named as the function's module.
    """
    seconds = None if slow is None else duration("slow", slow)
    if report is not None and (slow is None or not callable(report)):
        raise wrong("report", report, "a callable that takes the name and the seconds, beside `slow`")
    given = {name: value for name, value in (("slow", slow), ("report", report)) if value is not None}
    shown = shown_call("timed", given)

    def make(function: Callable[..., Any]) -> Layer:
        timing = _native.Timing(seconds)
        name = name_of(function)
        tell = report or _warning(function)

        def body(call: Invocation[Any]) -> Body:
            began = time.perf_counter_ns()
            try:
                yield
            finally:
                took = time.perf_counter_ns() - began
                if timing._add(took):
                    tell(name, took / 1e9)

        def handle(seconds: float, args: Any, kwargs: Any) -> None:
            tell(name, seconds)

        def around_coroutine(function: Callable[..., Any]) -> Any:
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter_ns()
                try:
                    return await function(*args, **kwargs)
                finally:
                    took = time.perf_counter_ns() - began
                    if timing._add(took):
                        tell(name, took / 1e9)

            return wrapper

        return Layer(shown, body, timing, handle, around_coroutine, (("timing", timing),))

    def apply(function: Any) -> Any:
        return around(function, make, "timed")

    return apply if function is None else apply(function)


def _warning(function: Any) -> Callable[[str, float], None]:
    logger = logging.getLogger(getattr(function, "__module__", None))
    return lambda name, seconds: logger.warning("%s took %s", name, time_of(seconds))
