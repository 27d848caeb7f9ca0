"""How a worker works off what it is given, be it a process or a thread."""

from __future__ import annotations

import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from contextlib import suppress
from itertools import starmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .. import _native

__all__ = ["APPLY", "MAP", "STAR", "Labour", "initialize"]

# How the function of a call is called: with an item, with what is in the item; or the item says all.
MAP, STAR, APPLY = 0, 1, 2

_CLAIM_NS = 1_000_000
"""About so long are the items that are claimed at a time."""
_FLUSH_NS = 5_000_000
"""After so long results are sent, though the share is not done; of items that take long, those of each."""
_BYTES_MAX = 4_000_000
"""Of results that are sent at a time, unless one has more."""


def initialize(initializer: Callable[..., object] | None, initargs: Sequence[Any]) -> str | None:
    """What a worker begins with; what it raised, in a line."""
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException as error:
            import logging  # not before, since workers are to start fast

            logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            return "".join(traceback.format_exception_only(type(error), error)).strip()
    return None


class Labour(ABC):
    """Calls functions with the items of shares, some at a time, and reports what they gave."""

    def __init__(self, claims: _native.Claims) -> None:
        self._claims = claims
        self._process = os.getpid()
        self._function: Callable[..., object] | None = None
        self._item_ns = 0.0
        """How long an item of it takes; 0 if that is not known."""
        self._result_bytes = 0.0

    @abstractmethod
    def _report(
        self, slot: int, values: list[object], failures: dict[int, BaseException], took: int, *, is_last: bool
    ) -> None:
        """Tells what items have given, which took so many nanoseconds; and whether the share is done."""

    def _forget_pace(self) -> None:
        """From here on other items come."""
        self._item_ns = self._result_bytes = 0.0

    def _work_off(self, slot: int, number: int, count: int, at_a_time: int, style: int, items: Sequence[Any]) -> None:
        clock, claims = time.perf_counter_ns, self._claims
        if style == APPLY:
            self._forget_pace()
        values: list[object] = []
        failures: dict[int, BaseException] = {}
        took = 0
        while True:
            start, end = claims.claim(slot, number, at_a_time or self._claim_items())
            if start == end:
                break
            before = clock()
            self._call_each(style, items, start, end, values, failures)
            self._end_if_copied(None)
            elapsed = clock() - before
            self._item_ns = elapsed / (end - start)
            took += elapsed
            if end >= count:
                break
            is_due = took >= (_CLAIM_NS if end - start == 1 else _FLUSH_NS)
            if is_due or len(values) * self._result_bytes >= _BYTES_MAX:
                self._report(slot, values, failures, took, is_last=False)
                values, failures, took = [], {}, 0
        self._report(slot, values, failures, took, is_last=True)

    def _claim_items(self) -> int:
        if self._item_ns == 0.0:
            return 1
        wanted = _CLAIM_NS / self._item_ns
        if self._result_bytes > 0.0:
            wanted = min(wanted, _BYTES_MAX / self._result_bytes)
        return max(1, int(min(wanted, 1e6)))

    def _call_each(
        self,
        style: int,
        items: Sequence[Any],
        start: int,
        end: int,
        values: list[object],
        failures: dict[int, BaseException],
    ) -> None:
        """Appends what each item gives; where one raises, None, and what it raised goes by its place."""
        function = self._function
        base = len(values) - start
        while (position := len(values) - base) < end:
            part = items if position == 0 and end == len(items) else items[position:end]
            try:
                if style == APPLY:
                    for function, args, keywords in part:
                        values.append(function(*args, **keywords))
                else:
                    assert function is not None
                    values.extend(map(function, part) if style == MAP else starmap(function, part))
                if len(values) - base < end:
                    # What ends iterators ends this one, without a word.
                    raise StopIteration
            except BaseException as error:
                self._end_if_copied(error)
                failures[len(values)] = error
                values.append(None)

    def _end_if_copied(self, error: BaseException | None) -> None:
        """Ends this process if it is a copy that an item made of its worker by `fork`.

        It would tell results of items that are not its own, in the name of the worker.
        """
        if os.getpid() != self._process:
            if not isinstance(error, SystemExit):
                print("a process that an item forked came back from it, and is ended", file=sys.stderr)
            _leave(error.code if isinstance(error, SystemExit) else 1)


def _leave(code: object) -> None:
    """Ends a process as `sys.exit` would, but for what its parent has yet to do."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if (life := sys.modules.get("lineshaft.logging._life")) is not None:
        life.write()
    os._exit((code or 0) & 0xFF)
