"""Workers that are threads of this process. What they are given and what they give is passed as it is."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .._belongings import Belongings, belongings, within
from .._native import Claims
from ._hand import Hand, Workers
from ._labour import Labour, initialize
from ._report import FAILED_TO_START, POKE, READY, RESULTS, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._agenda import Share

__all__ = ["Threads"]

_REPORTS = 256
_Task = tuple[int, Belongings, Any, int, int, int, int, int, Any]
"""Call, what belongs to its caller, and its function; slot, number, items, how many of them at a time, style, and the
items themselves."""


class Threads(Workers):
    """Those of a pool."""

    encodes = False

    def __init__(self, name: str, initializer: Callable[..., object] | None, initargs: Sequence[Any]) -> None:
        self._name = name
        self._initial = (initializer, initargs)
        self._reports: SimpleQueue[Report] = SimpleQueue()

    def context(self) -> Belongings:
        return belongings()

    def encode(self, function: Callable[..., Any]) -> Any:
        return function

    def make(self, number: int) -> Hand:
        return _ThreadHand(number, self._name, self._reports, self._initial)

    def reports(self, timeout: float) -> list[Report]:
        found = []
        with suppress(Empty):
            found.append(self._reports.get(timeout=timeout))
            while len(found) < _REPORTS:
                found.append(self._reports.get_nowait())
        return found

    def poke(self) -> None:
        self._reports.put(Report(POKE))

    def end(self, hands: Sequence[Hand]) -> None:
        for hand in hands:
            hand.leave()

    def join(self, hands: Sequence[Hand], timeout: float | None) -> None:
        for hand in hands:
            if hand.member is not threading.current_thread():
                hand.member.join(timeout)


class _ThreadHand(Hand):
    def __init__(self, number: int, name: str, reports: SimpleQueue[Report], initial: tuple[Any, ...]) -> None:
        super().__init__(number, Claims())
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        labour = _ThreadLabour(self.claims, number, self._tasks, reports)
        # The program ends without it: what shall be done before waits for its pool.
        self._thread = threading.Thread(target=labour.run, args=initial, name=f"{name}-{number}", daemon=True)

    @property
    def member(self) -> threading.Thread:
        return self._thread

    def start(self) -> None:
        self._thread.start()

    def pack(self, share: Share) -> None:
        pass  # It gets the items themselves.

    def give(self, share: Share, packed: None) -> int:
        call, count = share.call, share.end - share.begin
        told = share.slot, share.number, count, call.at_a_time, call.style, share.items
        self._tasks.put((call.number, call.context, call.function, *told))
        return 0

    def let_go(self, slot: int) -> None:
        pass  # nothing is kept for it

    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def bury(self) -> tuple[int | None, str]:
        return None, "ended"

    def kill(self) -> bool:
        return False

    def leave(self) -> None:
        self.is_leaving = True
        self._tasks.put(None)


class _ThreadLabour(Labour):
    """What such a thread does."""

    def __init__(
        self, claims: Claims, number: int, tasks: SimpleQueue[_Task | None], reports: SimpleQueue[Report]
    ) -> None:
        super().__init__(claims)
        self._number = number
        self._tasks = tasks
        self._reports = reports
        self._call = -1

    def run(self, initializer: Callable[..., object] | None, initargs: Sequence[Any]) -> None:
        refusal = initialize(initializer, initargs)
        if refusal is not None:
            self._reports.put(Report(FAILED_TO_START, self._number, body=refusal))
            return
        self._reports.put(Report(READY, self._number))
        while (task := self._tasks.get()) is not None:
            call, whose, function, *share = task
            if call != self._call:
                self._call = call
                self._forget_pace()
            self._function = function
            # The attempt that happened to start this thread is not that of all its calls.
            within(whose, self._work_off, *share)
            # Nothing that the program lets go of shall stay here while this waits.
            self._function = None
            del task, whose, function, share

    def _report(
        self, slot: int, values: list[object], failures: dict[int, BaseException], took: int, *, is_last: bool
    ) -> None:
        self._reports.put(Report(RESULTS, self._number, slot, len(values), took, is_last, (values, failures)))
