"""Exceptions as texts."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from types import FrameType, FunctionType, ModuleType
from typing import Any

from .. import _native

_LOCAL_BYTES = 512
"""So much is shown of a variable, and all of them together take so much."""
_LOCALS_BYTES = 32 << 10
_LOCALS_MAX = 32
"""Variables of a frame that are shown."""


class _Making(threading.local):
    """Whether this thread is showing variables: a `__repr__` of one may log an exception, whose variables stay out."""

    is_showing = False


_making = _Making()


def logged_text_of(given: Any) -> str | None:
    """As `text_of`, with the variables of the frames if `configure(show_locals=True)` asks for them."""
    if not given or _making.is_showing or not _native.log_has_locals():
        return text_of(given)
    _making.is_showing = True
    try:
        return text_of(given, has_locals=True)
    finally:
        _making.is_showing = False


def text_of(given: Any, *, has_locals: bool = False) -> str | None:
    """What is shown of an exception: given itself, as `sys.exc_info()` has it, or by anything true the one at hand."""
    if not given:
        return None
    if isinstance(given, tuple) and len(given) == 3:
        error = given[1]
    else:
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return None
    try:
        shown = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        if has_locals:
            with contextlib.suppress(Exception):
                _add_locals(shown, error)
        return "".join(shown.format()).rstrip("\n")
    except Exception as failure:
        return f"{type(error).__name__}, whose traceback raises {type(failure).__name__}"


def text_of_stack(above: int) -> str:
    """The stack of who logs, or of so many callers above, as the standard library shows it."""
    frame = sys._getframe(1)
    while above > 0 and frame.f_back is not None:
        frame, above = frame.f_back, above - 1
    try:
        shown = "".join(traceback.format_stack(frame)).rstrip("\n")
    except Exception as failure:
        shown = f"  a stack that raises {type(failure).__name__}"
    return f"Stack (most recent call last):\n{shown}"


def _add_locals(shown: traceback.TracebackException, error: BaseException) -> None:
    """Adds the variables of each frame, those of the innermost frames first as long as there is room."""
    room, left, seen = _LOCALS_BYTES, [(shown, error)], set()
    while left:
        shown, error = left.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        for summary, frame in reversed(list(zip(shown.stack, frames, strict=False))):
            if room <= 0:
                return
            summary.locals = _locals_of(frame)
            room -= sum(len(text) for text in summary.locals.values())
        others = [(shown.__cause__, error.__cause__), (shown.__context__, error.__context__)]
        others += zip(getattr(shown, "exceptions", None) or (), getattr(error, "exceptions", ()), strict=False)
        left += [(each, of) for each, of in others if each is not None and of is not None]


def _locals_of(frame: FrameType) -> dict[str, str]:
    """What is shown of variables. They may be anything that `exec` was given: what raises is said to, or left out."""
    found: dict[str, str] = {}
    try:
        variables = list(dict(frame.f_locals).items())
    except Exception:
        return found
    for name, value in variables:
        if len(found) == _LOCALS_MAX:
            break
        # Their real classes: `isinstance` asks objects, which may raise.
        if type(name) is not str or name.startswith("__"):
            continue
        if issubclass(type(value), ModuleType | FunctionType | type):
            continue
        name = name.encode("utf-8", "replace").decode()
        try:
            text = _native.log_local(name, value, _LOCAL_BYTES)
        except Exception as failure:
            text = f"<raises {type(failure).__name__}>"
        found[name] = repr(text) if issubclass(type(value), str) else text.replace("\n", "\\n")
    return found
