"""Makes jobs of the items of sources, in batches that are on their way together."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .._batch import ON_THEIR_WAY_MAX, blamed, jobs_of, named
from .._errors import OptionError, SerializationError
from .._job import Job
from ._sent import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _native
    from .._app import App
    from ._bell import Bell
    from ._room import Room
    from ._source import Source
    from ._telling import Telling

__all__ = ["Maker"]


class Maker:
    """Takes items from sources in turns; `then` gets each batch whose jobs are made."""

    def __init__(self, app: App, bell: Bell, room: Room, telling: Telling, then: Callable[[Batch], None]) -> None:
        self._app = app
        self._bell = bell
        self._room = room
        self._telling = telling
        self._then = then
        self._unsent: deque[Source] = deque()
        self._pending: deque[Batch] = deque()
        """Calls that are made and not sent: of large ones a request takes few."""
        self.on_their_way = 0
        """Requests that are not answered."""

    def add(self, source: Source) -> None:
        """One more; called by any thread."""
        self._unsent.append(source)

    def send(self) -> None:
        """Sends what there is room for."""
        while self.on_their_way < ON_THEIR_WAY_MAX and (self._pending or self._refill()):
            if self._pending:
                self._send_next(self._pending.popleft())

    def _refill(self) -> bool:
        """Whether there was something to be sent, or to be told."""
        batch, failures = self._gather()
        if batch:
            self._pending.append(batch)
        for source, place, error in failures:
            self._never_made(source, place, error)
        return bool(batch or failures)

    def _gather(self) -> tuple[Batch, list[tuple[Source, int, BaseException]]]:
        """Calls of the next items, as many as there is room for, and what did not come to be a call."""
        batch = Batch()
        failures: list[tuple[Source, int, BaseException]] = []
        most = self._room.to_make()
        for _ in range(len(self._unsent)):
            source = self._unsent.popleft()
            for item in source.supply.take(min(most, self._room.to_make_of(source))):
                try:
                    batch.add(source, source.place, self._call_of(source, item))
                except BaseException as error:
                    failures.append((source, source.place, error.with_traceback(None)))
                source.advance()
                most -= 1
            if source.supply.is_spent:
                self._telling.note_sent(source)
            elif not source.is_over:
                self._unsent.append(source)
        return batch, failures

    def _call_of(self, source: Source, item: Any) -> _native.Call[Any]:
        call = source.make(item)
        hooks = self._app._hooks
        return hooks.changed(call) if hooks.before_enqueue else call

    def _send_next(self, batch: Batch) -> None:
        """Sends as many calls of it as one request takes. One that cannot be sent is its item's failure alone."""
        try:
            reply, count = self._app._connection.client().enqueue(self._app._types.registry, batch.calls)
        except (OptionError, SerializationError) as error:
            position = blamed(error, batch.calls)
            if position is None:
                self._refused(batch, error)
                return
            before = batch.split(position)
            self._cannot_be_sent(batch.split(1), error)
            self._pending.extendleft(part for part in (batch, before) if part)
        except Exception as error:
            self._refused(batch, error)
        else:
            part = batch.split(count)
            if batch:
                self._pending.appendleft(batch)
            self._room.made(count)
            self.on_their_way += 1
            self._bell.expect(reply, partial(self._made, part, reply))

    def _made(self, batch: Batch, reply: _native.Reply[tuple[bytes, list[int], list[int]]]) -> None:
        self.on_their_way -= 1
        try:
            made = reply.wait()
        except Exception as error:
            self._room.not_made(len(batch))
            self._refused(batch, error)
            return
        jobs = jobs_of(Job, self._app, batch.calls, made)
        batch.become(*made[:2])
        position = 0
        for source, first, count in batch.runs:
            source.made(first, jobs[position : position + count])
            position += count
            self._telling.note_sent(source)
        self._then(batch)

    def _cannot_be_sent(self, batch: Batch, error: OptionError | SerializationError) -> None:
        source, place, _ = batch.runs[0]
        told = named(error, batch.calls[0], f"item {place}: ")
        told.__cause__ = error.__cause__
        self._never_made(source, place, told)

    def _never_made(self, source: Source, place: int, error: BaseException) -> None:
        source.never_made()
        self._telling.tell(source, [(place, None, error)])

    def _refused(self, batch: Batch, error: Exception) -> None:
        """Of its sources nothing more is done: what is wrong now will be wrong of the next batch."""
        for source in {source: None for source, _, _ in batch.runs}:
            self._telling.give_up(source, error.with_traceback(None))
