"""The workers of a crew: as many as are wanted, and others in the place of those that have ended."""

from __future__ import annotations

import logging
import math
import time
from itertools import count
from typing import TYPE_CHECKING

from ._broken import WorkerDied

if TYPE_CHECKING:
    from .. import _native
    from ._hand import Hand, Workers

__all__ = ["LOOK_S", "Lost", "Staff"]

LOOK_S = 0.05
"""How often it is looked whether workers live, and how much memory they have."""
_STARTS_MAX = 3
"""Workers in a row that end before they are ready, or cannot be started while nobody else is there."""
_RETRY_S = 0.5
"""So long after a worker could not be started the next one is tried."""

_logger = logging.getLogger("lineshaft.pool")

Lost = tuple[int, int, int, WorkerDied]
"""A call, the first of its items that were lost, the one behind the last, and why."""


class Staff:
    """Used with the lock of its crew."""

    def __init__(self, workers: Workers, foreman: _native.Foreman, wanted: int, tasks_max: int | None) -> None:
        self._workers = workers
        self._foreman = foreman
        self._tasks_max = tasks_max
        self.wanted = wanted
        """How many there should be."""
        self.hands: dict[int, Hand] = {}
        self.is_leaving = False
        """Whether nobody is replaced any more."""
        self._numbers = count()
        self._failed_starts = 0
        self._refusals = 0
        """How often in a row none could be started."""
        self._refused_at = -math.inf
        self._looked_at = 0.0

    def fill(self) -> None:
        """Starts workers where some are missing."""
        for _ in range(self.wanted - sum(not hand.is_leaving for hand in self.hands.values())):
            hand = self._workers.make(next(self._numbers))
            # Before it begins, so that none is there that nobody knows of.
            self.hands[hand.number] = hand
            try:
                hand.start()
            except BaseException:
                del self.hands[hand.number]
                raise
        self._refusals = 0

    def refill(self) -> None:
        """The same; who cannot be started may be later. Raises why if that stays so and nobody is there."""
        if time.monotonic() - self._refused_at < _RETRY_S:
            return
        try:
            self.fill()
        except Exception:
            self._refused_at = time.monotonic()
            self._refusals += 1
            if self._refusals == 1:
                _logger.exception("a worker cannot be started: %d others go on", len(self.hands))
            if self._refusals >= _STARTS_MAX and not self.hands:
                raise

    def welcome(self, number: int) -> None:
        """A worker is ready."""
        hand = self.hands.get(number)
        if hand is not None and not hand.is_leaving:
            hand.is_ready = True
            self._failed_starts = 0
            self._foreman.add_worker(number, hand.claims, self._tasks_max)

    def look(self) -> list[Hand]:
        """Those that have ended, now and then."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S / (10 if self.is_leaving else 2):
            return []
        self._looked_at = now
        return [hand for hand in self.hands.values() if hand.has_ended()]

    def bury(self, hand: Hand) -> tuple[list[Lost], str | None]:
        """One that has ended: what is lost with it, and why no other one need be started."""
        if self.hands.pop(hand.number, None) is None:
            return [], None
        code, how = hand.bury()
        error = WorkerDied(f"the worker {how} over this item", exit_code=code)
        lost = [(*items, error) for items in self._foreman.died(hand.number)]
        if hand.is_ready or hand.is_leaving or self.is_leaving:
            return lost, None
        self._failed_starts += 1
        if self._failed_starts < _STARTS_MAX:
            return lost, None
        why = f"workers end before they are ready: the last one {how}."
        if code is not None and code > 0:
            why += ' Is the pool made below `if __name__ == "__main__":`?'
        return lost, why

    def dismiss_retired(self) -> None:
        """Who may not be given anything more leaves."""
        for number in self._foreman.retired():
            self._foreman.died(number)
            self.hands[number].leave()

    def leave(self) -> None:
        """All of them leave when they are through, and nobody comes."""
        self.is_leaving = True
        self._dismiss()

    def give_up(self) -> None:
        """The same, whatever they still have before them."""
        self.wanted = 0
        for hand in self.hands.values():
            self._foreman.died(hand.number)
        self._dismiss()

    def _dismiss(self) -> None:
        for hand in self.hands.values():
            if not hand.is_leaving:
                hand.leave()

    def is_fit(self) -> bool:
        """Whether some are ready to work, and none is about to end."""
        hands = self.hands.values()
        return any(hand.is_ready for hand in hands) and not any(hand.is_leaving for hand in hands)
