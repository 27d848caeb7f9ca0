"""What goes along with its caller into another thread: the attempt that runs, and the fields of `logging.context`.

Nothing else of the context of Python does: what an initializer has set for the threads of a pool, such as the precision
of decimals, stays as it is.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from ._current import _running

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _native

__all__ = ["Belongings", "belongings", "fields", "within"]

P = ParamSpec("P")
T = TypeVar("T")

fields: ContextVar[_native.LogFields | None] = ContextVar("lineshaft_log_fields", default=None)
"""Set by `logging.context`; read by the extension."""


class Belongings(NamedTuple):
    """Of one caller."""

    attempt: _native.RunningAttempt | None
    fields: _native.LogFields | None


def belongings() -> Belongings:
    """Those of whoever calls this."""
    return Belongings(_running.get(), fields.get())


def within(whose: Belongings, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function with what belongs to another caller."""
    attempt, block = _running.set(whose.attempt), fields.set(whose.fields)
    try:
        return function(*args, **kwargs)
    finally:
        fields.reset(block)
        _running.reset(attempt)
