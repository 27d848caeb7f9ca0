"""Tracebacks as their reader wants them: from the code of the user on, without what called it."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["from_the_users_code", "text_of"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO = os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "asyncio") + os.sep
_CONTEXTLIB = os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "contextlib.py")


def text_of(error: BaseException) -> str:
    """The traceback of `error` and of what led to it, as Python prints it; called by the extension."""
    shown = from_the_users_code(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, shown))


def from_the_users_code(begins: TracebackType | None) -> TracebackType | None:
    """`begins` without its first frames, as far as they are of Lineshaft, or of what it runs coroutines with."""
    rest = begins
    while rest is not None and _is_ours(rest.tb_frame.f_code.co_filename):
        rest = rest.tb_next
    return rest or begins


def _is_ours(file: str) -> bool:
    return file.startswith((_PACKAGE, _ASYNCIO)) or file == _CONTEXTLIB
