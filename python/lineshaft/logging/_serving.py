"""Functions of the user's: handlers, each on a thread of its own, and filters, in the thread that logs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from .. import _native
from ._exceptions import text_of

_told: set[int] = set()


def serve(tap: _native.LogTap, call: Callable[[_native.LogRecord], Any]) -> None:
    """Begins to give the records of a tap to a function."""
    name = f"lineshaft-log-to-{tap.name}"
    threading.Thread(target=_serve, args=(tap, call), name=name, daemon=True).start()


def _serve(tap: _native.LogTap, call: Callable[[_native.LogRecord], Any]) -> None:
    # What it logs itself would come back to it for ever.
    _native.log_mute()
    has_told = False
    while (records := tap.take()) is not None:
        failed = 0
        for record in records:
            try:
                call(record)
            except BaseException as error:
                failed += 1
                if not has_told:
                    has_told = True
                    tell(f"the log handler {tap.name} failed: {text_of(error)}")
        tap.finish(len(records) - failed, failed)


def passes(keep: Callable[[_native.LogRecord], Any], record: _native.LogRecord) -> bool:
    """What a filter says. One that raises lets everything through."""
    try:
        return bool(keep(record))
    except Exception as error:
        if id(keep) not in _told:
            _told.add(id(keep))
            tell(f"the log filter {keep!r} failed: {text_of(error)}")
        return True


def tell(text: str) -> None:
    """Says something to standard error, without what is secret or what a terminal would obey."""
    text = _native.log_without_secrets(text)
    text = "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in text)
    stream = sys.__stderr__
    if stream is not None:
        try:
            stream.write(f"lineshaft: {text}\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody is there to be told
