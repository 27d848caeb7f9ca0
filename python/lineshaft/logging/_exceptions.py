"""Exceptions as texts."""

from __future__ import annotations

import sys
import traceback
from typing import Any


def text_of(given: Any) -> str | None:
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
        return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip("\n")
    except Exception as failure:
        return f"{type(error).__name__}, whose traceback raises {type(failure).__name__}"
