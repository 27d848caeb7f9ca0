"""`limited`: calls of a function in this process, no more often than a rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from typing import Any

from .. import _native
from .._errors import DeclarationError, RateLimited
from .._options import duration, wrong
from ._decorator import Decorates, shown_call
from ._driving import Body, drive
from ._invocation import Invocation, Pause, signature_of
from ._rates import Rates, rate_of
from ._wording import time_of
from ._wrapping import Layer, around


def limited(
    rate: str,
    /,
    *,
    per: str | Sequence[str] | Callable[..., Hashable] | None = None,
    burst: int | None = None,
    wait: bool | str | float | timedelta = True,
) -> Decorates:
    """Has a function called in this process no more often than `rate`: ``@limited("100/m")``.

    After a quiet time that many calls go at once, from then on they are spread evenly. Who comes too soon waits, in the
    order of coming, and without keeping other coroutines from running. Functions below one `limited(...)` that was kept
    in a variable share one rate.

    - `per`: what has a rate of its own each: the name of a parameter or several, or a callable that takes what the
      function takes and gives a key.
    - `burst`: how many calls go at once, as many as the number in `rate` by default; 1 spreads them from the first on.
    - `wait`: False raises `RateLimited` instead, a duration does if it would be longer than that.

    A generator counts when its first item is asked for.
    """
    if callable(rate):
        raise DeclarationError("@limited needs a rate", hint='@limited("100/m")')
    count, period = rate_of("rate", rate)
    if burst is not None and (not isinstance(burst, int) or isinstance(burst, bool) or not 1 <= burst < 2**31):
        raise wrong("burst", burst, "a number of calls from 1 up")
    longest = math.inf if wait is True else 0.0 if wait is False else duration("wait", wait)
    names = _names(per)
    rates = Rates(count, period, burst or count)
    given = {"per": (per, None), "burst": (burst, None), "wait": (wait, True)}
    options = {name: value for name, (value, default) in given.items() if value != default}
    shown = shown_call("limited", options)
    shown = f"limited({rate!r}, {shown[len('limited(') :]}" if options else f"limited({rate!r})"

    def body(call: Invocation[Any]) -> Body:
        limiter = rates.of(_key(call, per, names))
        seconds = limiter.reserve(longest)
        if seconds > longest:
            raise RateLimited(
                f"{call.name} is called more often than {rate}: free in {time_of(seconds)}", retry_after=seconds
            )
        if seconds:
            yield Pause(seconds)
        yield

    def make(function: Callable[..., Any]) -> Layer:
        if per is not None:
            _check_names(function, names)
            return Layer(shown, body)

        def handle(seconds: float, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
            call: Invocation[Any] = Invocation(function, args, kwargs or {})
            return drive(call, body(call))

        return Layer(shown, body, common, handle)

    common: _native.Rate | None = None if per is not None else rates.of(None)
    return lambda function: around(function, make, "limited")


def _names(per: Any) -> tuple[str, ...]:
    if per is None or callable(per):
        return ()
    names = (per,) if isinstance(per, str) else tuple(per) if isinstance(per, Sequence) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise wrong("per", per, "the name of a parameter, several, or a callable that takes what the function takes")
    return names


def _check_names(function: Callable[..., Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in signature_of(function).parameters:
            known = ", ".join(signature_of(function).parameters)
            raise wrong("per", name, f"names of parameters: {known}")


def _key(call: Invocation[Any], per: Any, names: tuple[str, ...]) -> Hashable:
    if per is None:
        return None
    if not names:
        key: Hashable = per(*call.args, **call.kwargs)
        return key
    arguments = call.arguments
    return tuple(arguments[name] for name in names)
