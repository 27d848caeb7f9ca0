"""What workers that are processes report, read by their parent."""

from __future__ import annotations

import pickle
import traceback
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from ._report import POKE, RESULTS, Report, detached, remote, set_cause
from ._worker import REPORT

if TYPE_CHECKING:
    from .. import _native
    from ._parcel import Wire

__all__ = ["read"]


def read(wire: Wire, tag: int, payload: bytes | _native.SharedBlock, *, is_pool: bool) -> Report:
    """What a worker says; results that cannot be read are exceptions that say so."""
    if tag == POKE:
        return Report(POKE)
    tag, letter = wire.open(tag, payload)
    number, slot, size, took, is_last = REPORT.unpack(letter.head)
    try:
        body = letter.loads_copied()
        if tag == RESULTS:
            values, told = body
            body = values, {place: _error(data, is_pool=is_pool) for place, data in told.items()}
    except BaseException as error:
        body = [None] * size, dict.fromkeys(range(size), _unreadable("a result", error, is_pool=is_pool))
    return Report(tag, number, slot, size, took, bool(is_last), body)


def _error(told: bytes, *, is_pool: bool) -> BaseException:
    """The exception that a worker tells of."""
    try:
        error, text = pickle.loads(told)
    except BaseException as failure:
        return _unreadable("an exception", failure, is_pool=is_pool)
    if error is None:
        error = BrokenProcessPool("the function or its arguments could not be read in the worker")
    if not isinstance(error, BaseException):
        what = f"an exception, which becomes {type(error).__name__} when it is read,"
        return _unreadable(what, TypeError("exceptions must derive from BaseException"), is_pool=is_pool)
    set_cause(error, remote(text, is_pool=is_pool))
    return error


def _unreadable(what: str, why: BaseException, *, is_pool: bool) -> BrokenProcessPool:
    # As tracebacks say it, which stand a `__str__` that raises.
    said = "".join(traceback.format_exception_only(type(why), why)).strip()
    error = BrokenProcessPool(f"{what} cannot be read: {said}")
    error.__cause__ = detached(why, is_pool=is_pool)
    return error
