"""What runs in a worker of a pool that is a process."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
import threading
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from .._native import Claims, Line, log_flush_before_sigterm
from .._pickles import dumps
from ._labour import APPLY, Labour, initialize
from ._parcel import Letter, Wire
from ._report import FAILED_TO_START, READY, RESULTS, forget_frames, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ENDING", "FIELDS", "FUNCTION", "ITEMS", "REPORT", "SHARE", "Equipment", "work"]

ITEMS, FUNCTION, ENDING, FIELDS = 1, 2, 3, 4
"""What the pool says to a worker; `FIELDS` are those of the log context of the calls to come, as a dict."""

SHARE = struct.Struct("=HHIIB")
"""Slot, number, items, how many of them are begun at a time or 0, and how the function is called."""
REPORT = struct.Struct("=IHIQB")
"""Worker, slot, items, nanoseconds, and whether the share is done."""

_MESSAGES = 16
_SHOWN_MAX = 1_000
"""Characters of a value that cannot be sent."""


class Equipment:
    """What a worker has from its parent, which goes along with it to another process."""

    def __init__(self, tasks: Line, results: Line, claims: Claims, worker: int, *, wraps_errors: bool) -> None:
        self.tasks = tasks
        self.results = results
        self.claims = claims
        self.worker = worker
        self.wraps_errors = wraps_errors
        """Whether what cannot be encoded is told as `multiprocessing.Pool` does."""
        self.parent = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        numbers = (*self.tasks.descriptors(), *self.results.descriptors(), self.claims.descriptor())
        passed = tuple(DupFd(number) for number in numbers)
        return _rebuilt, (passed, self.worker, self.wraps_errors, self.parent)


def _rebuilt(passed: Sequence[Any], worker: int, wraps_errors: bool, parent: int) -> Equipment:
    numbers = [each.detach() for each in passed]
    for number in numbers:
        os.set_inheritable(number, True)  # so that it is taken for one that was passed on
    tasks, results = Line.adopt(numbers[0], numbers[1]), Line.adopt(numbers[2], numbers[3])
    equipment = Equipment(tasks, results, Claims.adopt(numbers[4]), worker, wraps_errors=wraps_errors)
    equipment.parent = parent
    return equipment


def work(equipment: Equipment, initializer: Callable[..., object] | None, initargs: Sequence[Any]) -> None:
    """The life of a worker."""
    # The pool decides what Ctrl-C ends. No `SIG_IGN`, which programs that an item starts would inherit.
    signal.signal(signal.SIGINT, _stay)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log_flush_before_sigterm()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with(equipment.parent)
    worker = _Worker(equipment)
    refusal = initialize(initializer, initargs)
    if refusal is not None:
        worker.say(FAILED_TO_START, refusal)
        return
    if "lineshaft._belongings" in sys.modules:  # A fork has the log context in which its pool was made.
        _be_within({})
    worker.say(READY, "")
    worker.run()


def _be_within(named: dict[str, Any]) -> None:
    """Has the calls to come log with these fields."""
    from .._belongings import fields  # not before, since workers are to start fast
    from .._native import LogFields

    fields.set(LogFields(None, named) if named else None)


def _stay(*_: object) -> None:
    pass


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent, however that ends."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        os._exit(1)

    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(1)
    threading.Thread(target=watch, name="lineshaft-parent", daemon=True).start()


class _Worker(Labour):
    def __init__(self, equipment: Equipment) -> None:
        super().__init__(equipment.claims)
        self._id = equipment.worker
        self._tasks = Wire(equipment.tasks)
        self._results = Wire(equipment.results)
        self._wraps_errors = equipment.wraps_errors
        self._unreadable: BaseException | None = None
        """Why there is no function."""

    def say(self, tag: int, text: str) -> None:
        self._results.post(tag, REPORT.pack(self._id, 0, 0, 0, 1), pickle.dumps(text), [])

    def run(self) -> None:
        """Until the pool says so."""
        while True:
            messages = self._tasks.line.get(_MESSAGES)
            messages.reverse()
            while messages:
                if not self._obey(*messages.pop()):
                    return

    def _obey(self, tag: int, payload: Any) -> bool:
        tag, letter = self._tasks.open(tag, payload)
        del payload
        if tag == ITEMS:
            self._open(letter)
        elif tag == FUNCTION:
            self._learn(letter)
        elif tag == FIELDS:
            _be_within(letter.loads())
        return tag != ENDING

    def _learn(self, letter: Letter) -> None:
        self._function, self._unreadable = None, None
        self._forget_pace()
        try:
            self._function = letter.loads()
        except BaseException as error:
            self._unreadable = error

    def _open(self, letter: Letter) -> None:
        slot, number, count, at_a_time, style = SHARE.unpack(letter.head)
        if style != APPLY and self._unreadable is not None:
            self._refuse(slot, number, count, self._unreadable)
            return
        try:
            items = letter.loads()
        except BaseException as error:
            self._refuse(slot, number, count, error)
            return
        letter.forget()
        self._work_off(slot, number, count, at_a_time, style, items)

    def _report(
        self, slot: int, values: list[object], failures: dict[int, BaseException], took: int, *, is_last: bool
    ) -> None:
        count = len(values)
        told = {place: self._told(error) for place, error in failures.items()}
        try:
            data, buffers = dumps((values, told))
        except BaseException as error:
            self._report_singly(slot, values, told, took, error, is_last=is_last)
            return
        if count > 0:
            self._result_bytes = (len(data) + sum(buffer.nbytes for buffer in buffers)) / count
        head = REPORT.pack(self._id, slot, count, took, is_last)
        try:
            self._results.post(RESULTS, head, data, buffers)
        except (ValueError, OSError) as error:  # larger than there is memory between processes
            self._report_singly(slot, values, told, took, error, is_last=is_last)

    def _report_singly(
        self,
        slot: int,
        values: list[object],
        told: dict[int, bytes],
        took: int,
        error: BaseException,
        *,
        is_last: bool,
    ) -> None:
        """Reports one by one what cannot be reported together."""
        count = len(values)
        for place, value in enumerate(values):
            head = REPORT.pack(self._id, slot, 1, took // count, is_last and place == count - 1)
            failure: dict[int, bytes] = {0: told[place]} if place in told else {}
            try:
                if count > 1:
                    data, buffers = dumps(([value], failure))
                    self._results.post(RESULTS, head, data, buffers)
                    continue
            except BaseException as single:
                refusal = single
            else:
                refusal = error
            failure = {0: self._told(_unsent(refusal, value) if self._wraps_errors else refusal)}
            data, _ = dumps(([None], failure))
            self._results.post(RESULTS, head, data, [])

    def _told(self, error: BaseException) -> bytes:
        """An exception with its traceback, by itself: where it does not read, the others do."""
        text = text_of(error)
        forget_frames(error)
        try:
            return dumps_plain((error, text))
        except BaseException as refusal:
            return dumps_plain((_unsent(refusal, error), text))

    def _refuse(self, slot: int, number: int, count: int, error: BaseException) -> None:
        """What cannot be read cannot be done."""
        start, end = self._claims.claim(slot, number, count)
        told = dumps_plain((None, text_of(error)))
        data, _ = dumps(([None] * (end - start), dict.fromkeys(range(end - start), told)))
        self._results.post(RESULTS, REPORT.pack(self._id, slot, end - start, 0, 1), data, [])


def _unsent(refusal: BaseException, value: object) -> Any:
    """Says that `value` cannot be sent, without all of it."""
    # Not before, since workers are to start fast.
    from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]

    error = MaybeEncodingError(None, None)
    error.exc, error.value = error.args = _shown(refusal), _shown(value)
    return error


def _shown(value: object) -> str:
    """What is seen of it, whatever its class makes of that."""
    try:
        if isinstance(value, (bytes, bytearray, str)) and len(value) > _SHOWN_MAX:
            return repr(value[:100]) + "..."
        return repr(value)[:_SHOWN_MAX]
    except BaseException as error:
        return f"<{type(value).__qualname__}, whose repr raises {type(error).__name__}>"


def dumps_plain(value: object) -> bytes:
    """The bytes of `value`, with all of its buffers."""
    return pickle.dumps(value, 5)
