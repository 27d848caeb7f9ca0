"""The workers of a pool, and what they have to do.

Who does what is decided in Rust (`_native.Foreman`), what there is to do stands on an `Agenda`, and a `Staff` looks
after the workers.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from .._native import Foreman
from . import _report
from ._agenda import Agenda, Outcome
from ._staff import LOOK_S, Staff

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ._hand import Hand, Workers

__all__ = ["State"]

_UNEVEN_S = 0.005
"""So soon somebody who has nothing to do may get a part of what others have."""


class State:
    """Used with the lock of its crew."""

    def __init__(
        self, workers: Workers, size: int, *, kind: Hashable | None, tasks_max: int | None, is_eager: bool
    ) -> None:
        self._workers = workers
        self._size = size
        self.kind = kind
        self._begin(size if is_eager else 0, tasks_max)
        self.is_kept = False
        self.is_closing = False
        self.is_ended = False
        self.broken: str | None = None

    def _begin(self, wanted: int, tasks_max: int | None) -> None:
        self.foreman = Foreman()
        self.staff = Staff(self._workers, self.foreman, wanted, tasks_max)
        self.agenda = Agenda(self.foreman, self.staff)

    def begin_again(self, size: int, *, is_eager: bool) -> bool:
        """Of a crew that is kept: it works for another pool; whether it can."""
        if self.is_ended or not self.is_kept:
            return False
        self.is_kept = False
        self._size = size
        self.staff.wanted = size if is_eager else len(self.staff.hands)
        return True

    def grow(self) -> None:
        """Something was added: starts workers for it, up to the size."""
        staff = self.staff
        if staff.wanted < self._size:
            staff.wanted = min(self._size, max(staff.wanted, self.agenda.left()))
            if staff.hands:
                staff.refill()
            else:
                staff.fill()

    def pause(self) -> float:
        """So long the thread may wait for reports."""
        if self.staff.is_leaving or self.foreman.is_uneven():
            return _UNEVEN_S
        return 10 * LOOK_S if self.is_kept else LOOK_S

    def turn(self, reports: list[_report.Report], dead: list[Hand]) -> list[Outcome]:
        """Takes what was reported. Who is dead is buried when that was all that they had reported."""
        outcomes: list[Outcome] = []
        for report in reports:
            self._take(report, outcomes)
        if not reports:
            for hand in dead:
                self._bury(hand, outcomes)
        self.staff.dismiss_retired()
        if not self.staff.is_leaving:
            self._refill(outcomes)
        return outcomes

    def _take(self, report: _report.Report, outcomes: list[Outcome]) -> None:
        if report.tag == _report.RESULTS:
            outcomes += self.agenda.take(report)
        elif report.tag == _report.READY:
            self.staff.welcome(report.worker)
        elif report.tag == _report.FAILED_TO_START:
            outcomes += self.break_off(f"the initializer raised {report.body}")

    def _bury(self, hand: Hand, outcomes: list[Outcome]) -> None:
        """A worker has ended. What it had not begun is done by others."""
        losses, why = self.staff.bury(hand)
        outcomes += self.agenda.lose(losses)
        if why is not None:
            outcomes += self.break_off(why)

    def _refill(self, outcomes: list[Outcome]) -> None:
        try:
            self.staff.refill()
        except Exception as error:
            outcomes += self.break_off(f"workers cannot be started: {error!r}")

    def break_off(self, why: str) -> list[Outcome]:
        """Nothing can be done any more."""
        if self.broken is None:
            self.broken = why
        outcomes = self.agenda.give_up(BrokenProcessPool(why))
        self.staff.give_up()
        return outcomes

    def may_stay(self) -> bool:
        """Whether it is fit for another pool, as soon as it has nothing to do."""
        return self.kind is not None and self.broken is None and self.staff.is_fit()

    def leave_to_parent(self) -> None:
        """After a fork: the workers are the parent's, and what they have to do is not this process' to take back."""
        self._begin(0, None)
        self.is_ended, self.is_kept = True, False
