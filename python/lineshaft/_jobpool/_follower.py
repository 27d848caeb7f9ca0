"""Follows jobs until they end."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .._errors import JobNotFound
from .._job import Job
from ._results import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import _native
    from .._app import App
    from ._bell import Bell
    from ._room import Room
    from ._sent import Batch
    from ._source import Source
    from ._telling import Telling, Told

__all__ = ["Follower"]


class Follower:
    """Asks for the ends of the jobs of batches, as there is room for results."""

    def __init__(self, app: App, bell: Bell, room: Room, telling: Telling) -> None:
        self._app = app
        self._bell = bell
        self._room = room
        self._telling = telling
        self._open: set[Batch] = set()
        """Those whose jobs have not all ended, as far as is known."""
        self._unfollowed: deque[Batch] = deque()

    def add(self, batch: Batch) -> None:
        """Its jobs are made."""
        self._open.add(batch)
        self._unfollowed.append(batch)

    def own(self) -> Iterator[bytes]:
        """The ids of jobs that this pool made and that have not ended, as far as is known."""
        return (key for batch in self._open for key in batch.own())

    def any(self) -> Job[Any] | None:
        """One of these jobs."""
        key, batch = next(((key, batch) for batch in self._open for key in batch.own()), (None, None))
        return None if batch is None or key is None else Job(self._app, key, batch.runs[0][0].bound._first_snapshot)

    def follow(self) -> None:
        """Asks for what there is room for."""
        while self._unfollowed and self._room.is_for_following(self._unfollowed[0]):
            batch = self._unfollowed.popleft()
            self._room.followed(len(batch))
            batch.follow()
            waiting = self._app._connection.client().wait(batch.ids, True)
            self._bell.expect(waiting, partial(self._ended, batch, waiting))

    def _ended(self, batch: Batch, waiting: _native.Waiting) -> None:
        try:
            ends = waiting.next(0.0)
        except Exception as error:
            self._lost(batch, error.with_traceback(None))
            return
        told: dict[Source, list[Told]] = {}
        for end in ends or ():
            for source, place in batch.left.pop(end.key, ()):
                job: Job[Any] = Job(self._app, end.key, source.bound._first_snapshot)
                outcome = outcome_of(job, end, keeps_result=source.keeps_result)
                told.setdefault(source, []).append((place, *outcome))
        if not batch.left:
            self._open.discard(batch)
            waiting.close()
        elif ends == []:
            self._lost(batch, JobNotFound("the server does not say how this job ended"))
        else:
            self._bell.expect(waiting, partial(self._ended, batch, waiting))
        self._tell(told)

    def _lost(self, batch: Batch, error: BaseException) -> None:
        """The server will not say more about it."""
        self._open.discard(batch)
        told: dict[Source, list[Told]] = {}
        for owners in batch.left.values():
            for source, place in owners:
                told.setdefault(source, []).append((place, None, error))
        batch.left.clear()
        self._tell(told)

    def _tell(self, told: dict[Source, list[Told]]) -> None:
        for source, outcomes in told.items():
            self._room.ended(len(outcomes))
            self._telling.tell(source, outcomes)
