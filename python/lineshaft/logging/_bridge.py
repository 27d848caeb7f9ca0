"""From the standard library's logging to ours, and from ours to it."""

from __future__ import annotations

import contextlib
import logging
from types import TracebackType

from .. import _native
from ._exceptions import logged_text_of

_MARK = "_lineshaft"
"""An attribute of what we have brought to the standard library, so that it does not come back."""
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _MARK}
"""The attributes that every record of the standard library has; others are fields."""
_TASK = "taskName"
"""One that is a field, where there is a task."""


class Handler(logging.Handler):
    """A handler of the standard library that passes records on to Lineshaft.

    Name and level, the filled-in message, `extra` as fields, place, thread, time and exception stay as they are. Which
    records are heard, and where they go, is for `lineshaft.logging.configure` to say; a formatter is not used.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a record on."""
        if hasattr(record, _MARK):
            return
        try:
            fields = {key: value for key, value in vars(record).items() if key not in _OWN}
            if (task := getattr(record, _TASK, None)) is not None:
                fields[_TASK] = task
            exception = record.exc_text or logged_text_of(record.exc_info)
            if record.stack_info:
                exception = f"{exception}\n{record.stack_info}" if exception else record.stack_info
            _native.log_bridged(
                # A record that somebody made may have neither.
                "" if record.name in ("root", None) else _plain(record.name),
                record.levelno or logging.NOTSET,
                _message_of(record),
                fields,
                exception,
                (_plain(record.pathname), record.lineno or 0, _plain(record.funcName or "")),
                (record.thread or 0, _plain(record.threadName or "")),
                int(record.created * 1e9),
            )
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until what was logged is written, for a second at most."""
        _native.log_flush(1.0, healthy=True)


def _plain(text: str) -> str:
    """What can be written: paths and names may have bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


def _message_of(record: logging.LogRecord) -> str:
    message, arguments = record.msg, record.args
    try:
        message, arguments = _native.log_hidden((message, arguments))
        if message is record.msg and arguments is record.args:
            return str(record.getMessage())
        return str(message) % arguments if arguments else str(message)
    except Exception:
        return f"{message!r} [arguments that do not fit: {arguments!r}]"


class Capture:
    """What `capture` gives: with `release`, or at the end of a block, the standard library is as it was before."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self._handlers, self._level = root.handlers[:], root.level
        self._handler = Handler()

    def release(self) -> None:
        """Gives the standard library's root logger back the handlers and the level that it had."""
        global _capture
        if _capture is self:
            _capture = None
            root = logging.getLogger()
            root.handlers[:] = self._handlers
            root.setLevel(self._level)

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


_capture: Capture | None = None


def capture() -> Capture:
    """Has all loggers of the standard library pass on what they log to Lineshaft, in place of what they do with it.

    The root logger gets a `Handler`, in place of its handlers, and a level below which nothing would be heard. Loggers
    with handlers, levels or filters of their own keep them.
    """
    global _capture
    if _capture is None:
        _capture = Capture()
        logging.getLogger().handlers[:] = [_capture._handler]
    refresh()
    return _capture


def refresh() -> None:
    """Sets the level of the standard library's root logger, if it is captured."""
    if _capture is not None:
        logging.getLogger().setLevel(max(1, min(_native.log_least(), logging.CRITICAL + 1)))


def to_standard_library(record: _native.LogRecord) -> None:
    """Gives a record of ours to the standard library; one that came from there does not go back."""
    if record._is_bridged:
        return
    logger = logging.getLogger(record.logger or None)
    if not logger.isEnabledFor(record.level):
        return
    made = standard_record(record)
    setattr(made, _MARK, True)
    logger.handle(made)


def standard_record(record: _native.LogRecord) -> logging.LogRecord:
    """A record of ours as the standard library has it: the exception as a text, fields as attributes."""
    made = logging.LogRecord(
        record.logger or "root",
        record.level,
        record.file or "(unknown file)",
        record.line or 0,
        record.message,
        None,
        None,
        record.function,
    )
    if logging.getLevelName(record.level).startswith("Level "):
        made.levelname = record.level_name.upper()
    made.created, made.msecs = record.time, record.time_ns // 1_000_000 % 1_000
    made.thread, made.threadName, made.process = record.thread_id or None, record.thread or None, record.process
    made.exc_text = record.exception
    for key, value in record.fields.items():
        if key == _TASK:
            made.__dict__[key] = value
        with contextlib.suppress(Exception):
            made.__dict__.setdefault(key, value)
    return made
