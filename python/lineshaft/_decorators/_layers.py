"""`layers`: what stands around a function, in its order."""

from __future__ import annotations

import functools
from typing import Any

from ._invocation import name_of
from ._wrapping import shown_of


def layers(function: Any) -> list[str]:
    """What stands around a function, outermost first, and the function itself as the last.

    Decorators of Lineshaft are shown with the options that were given, others by the name of the function that they
    put in its place, if they say by `functools.wraps` what it stands for. A call goes through them from first to last.
    """
    found = []
    while True:
        described, inner = _outermost(function)
        found.append(described)
        if inner is None:
            return found
        function = inner


def _outermost(thing: Any) -> tuple[str, Any]:
    """What `thing` is, and what is in it; None if it is the function itself."""
    if hasattr(thing, "__self__") and hasattr(thing, "__func__"):
        thing = thing.__func__
    if isinstance(thing, staticmethod | classmethod):
        return type(thing).__name__, thing.__func__
    if isinstance(thing, property):
        return type(thing).__name__, thing.fget
    if isinstance(thing, functools.cached_property):
        return "cached_property", thing.func
    if isinstance(thing, functools.partial | functools.partialmethod):
        return type(thing).__name__, thing.func
    inner = getattr(thing, "__wrapped__", None)
    if inner is None:
        return getattr(thing, "__qualname__", None) or name_of(thing), None
    return shown_of(thing) or _foreign(thing), inner


def _foreign(thing: Any) -> str:
    """Of somebody else: by its code, since its name is that of the function it stands for."""
    code = getattr(thing, "__code__", None)
    if code is not None:
        return str(getattr(code, "co_qualname", code.co_name))
    return _OURS.get(type(thing).__name__, type(thing).__name__)


_OURS = {
    **dict.fromkeys(("CachedFunction", "HostFunction", "EngineFunction"), "cached"),
    **dict.fromkeys(("AsyncCachedFunction", "AsyncHostFunction", "AsyncEngineFunction"), "cached"),
    "Task": "task",
    "AsyncTask": "task",
}
