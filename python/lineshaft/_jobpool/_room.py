"""How many jobs a pool may have: ahead of what has ended, and of what the program has taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._batch import BATCH_JOBS

if TYPE_CHECKING:
    from ._sent import Batch
    from ._source import Source

__all__ = ["Room"]


class Room:
    """Room for `ahead` jobs. A durable pool makes jobs without a look at it, and bounds those that it follows."""

    def __init__(self, ahead: int, *, is_durable: bool) -> None:
        self._ahead = ahead
        self._is_durable = is_durable
        self._open = 0
        """Jobs that are on their way or have not ended, of a durable pool only those that are followed."""
        self.is_waited_for = False
        """Whether the program waits for the end, so that it does not matter what it has taken."""
        self.is_held = False
        """Whether there would be more room if the program took results."""

    def to_make(self) -> int:
        """How many jobs may be made now."""
        if self._is_durable:
            return BATCH_JOBS
        return min(BATCH_JOBS, self._worth(self._ahead - self._open, self._open))

    def to_make_of(self, source: Source) -> int:
        """How many of them may be of this source."""
        if self._is_durable or self.is_waited_for:
            return BATCH_JOBS
        self.is_held = True  # before it is looked at what was taken
        untaken = source.untaken(source.place)
        return self._worth(self._ahead - untaken, untaken)

    def is_for_following(self, batch: Batch) -> bool:
        """Whether the results of one more batch may come."""
        if not self._is_durable or self._open == 0:
            return True
        if self._open + len(batch) > self._ahead:
            return False
        self.is_held = True
        return self.is_waited_for or all(source.untaken(source.followed) < self._ahead for source, _, _ in batch.runs)

    def made(self, count: int) -> None:
        """So many jobs are on their way."""
        self._open += 0 if self._is_durable else count

    def not_made(self, count: int) -> None:
        """They did not come to be."""
        self._open -= 0 if self._is_durable else count

    def followed(self, count: int) -> None:
        """So many jobs are followed."""
        self._open += count if self._is_durable else 0

    def ended(self, count: int) -> None:
        """So many jobs have ended that were followed."""
        self._open -= count

    def _worth(self, room: int, open_: int) -> int:
        """`room`, where it is worth a request to use it."""
        return room if open_ == 0 or room >= min(BATCH_JOBS, self._ahead // 4) else 0
