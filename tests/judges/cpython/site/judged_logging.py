"""CPython's tests of `logging`, with every record of their loggers taken over the bridge and back.

What a logger of theirs would give to its handlers goes to `lineshaft.logging.Handler`, through our ring and our
threads, and as a record of the standard library to the handlers that the case has set up. `logging.Handler` is ours,
and what `logging.makeLogRecord` makes has gone the same way. Who logs waits until it has arrived, since the cases look
at once.
"""

from __future__ import annotations

import itertools
import logging
import logging.config
import logging.handlers
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import lineshaft.logging
from lineshaft.logging import _bridge

_LEAST = -1
_WAIT_S = 60.0
_KEY = "judged_number"
"""A field, by which a record that arrives is known: loggers of one name may be several."""
_ours = lineshaft.logging.Handler()
_call_handlers = logging.Logger.callHandlers
_make_record = logging.makeLogRecord
_standard = dict(vars(logging))
_numbers = itertools.count()
_waiting: dict[int, Callable[[logging.LogRecord], Any]] = {}
_is_arriving = threading.local()


def _arrived(record: Any) -> None:
    made = _bridge.standard_record(record)
    arrive = _waiting.pop(made.__dict__.pop(_KEY))
    _is_arriving.now = True
    try:
        arrive(made)
    finally:
        _is_arriving.now = False


def _send(record: logging.LogRecord, arrive: Callable[[logging.LogRecord], Any]) -> None:
    number = next(_numbers)
    _waiting[number] = arrive
    setattr(record, _KEY, number)
    try:
        _ours.handle(record)
    finally:
        del record.__dict__[_KEY]
    assert lineshaft.logging.flush(_WAIT_S), "it does not arrive"
    assert number not in _waiting, "it was lost"


def _call_handlers_over_ours(self: logging.Logger, record: logging.LogRecord) -> None:
    if getattr(_is_arriving, "now", False):
        # What a handler logs goes nowhere: it would come back to it for ever.
        _call_handlers(self, record)
    else:
        _send(record, lambda made: _call_handlers(self, made))


def _make_record_over_ours(attributes: dict[str, Any]) -> logging.LogRecord:
    arrived: list[logging.LogRecord] = []
    _send(_make_record(attributes), arrived.append)
    return arrived[0]


class _Instead(ModuleType):
    """What the module of the cases sees as `logging`; what it sets is set there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(logging, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(logging, name, value)

    def __delattr__(self, name: str) -> None:
        # They do so to undo what they have set, where it seems not to have been there.
        setattr(logging, name, _standard[name])

    def __dir__(self) -> list[str]:
        return dir(logging)


class _Kind(type):
    """Of `logging.Handler`: handlers of the standard library are some, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, logging.Handler) if cls is Handler else super().__instancecheck__(instance)


class Handler(lineshaft.logging.Handler, metaclass=_Kind):
    """Ours, where the cases make one."""


def _open() -> None:
    _set_up()
    lineshaft.logging.configure(level=_LEAST, handlers=[_arrived])


def _close() -> None:
    lineshaft.logging.configure(handlers=[])


logging.Logger.callHandlers = _call_handlers_over_ours  # type: ignore[method-assign]
instead = _Instead("logging")
instead.__dict__.update(Handler=Handler, makeLogRecord=_make_record_over_ours)

from test import test_logging as cases  # noqa: E402

cases.logging = instead
_set_up = cases.setUpModule
cases.setUpModule, cases.tearDownModule = _open, _close
globals().update({name: each for name, each in vars(cases).items() if isinstance(each, type) and name.endswith("Test")})
