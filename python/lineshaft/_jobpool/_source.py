"""What a verb wants to be done: calls of one task, of items that are there or that a thread reads."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._batch import BATCH_JOBS
from ._results import JobResult, JobResults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .. import _native
    from .._job import Job
    from .._task import Enqueues

__all__ = ["Inbox", "Row", "Source"]

LOOK_EVERY_S = 0.25
"""How often a reader that waits looks up."""


class Row:
    """Items that are all there."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = iter(items)
        self._left = len(items)

    @property
    def is_spent(self) -> bool:
        """Whether nothing will come any more."""
        return self._left == 0

    def take(self, most: int) -> list[Any]:
        """The next ones."""
        taken = list(islice(self._items, most))
        self._left -= len(taken)
        return taken

    def stop(self) -> None:
        """Nobody takes any more."""


class Inbox:
    """Items that a thread of their own reads, since an iterable may take its time; so many ahead of what was taken."""

    def __init__(self, ahead: int | None, ring: Callable[[], object]) -> None:
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ahead = ahead
        self._ring = ring
        self._came = 0
        self._is_read = self._is_over = False

    @property
    def is_spent(self) -> bool:
        """Whether nothing will come any more."""
        return self._is_read and not self._items

    def take(self, most: int) -> list[Any]:
        """The next ones that are there."""
        with self._changed:
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify()
        return taken

    def stop(self) -> None:
        """Nobody takes any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def poke(self) -> None:
        """The program has taken results."""
        with self._changed:
            self._changed.notify()

    def free(self) -> None:
        """Whether the program takes results does not matter any more: it waits for the end."""
        self._ahead = None
        self.poke()

    def read(self, iterable: Iterable[Any], results: JobResults[Any]) -> None:
        """In the thread: all of them, or until it is stopped. What the iterable raises comes in its place."""
        try:
            for item in iterable:
                if not self._put(item, results):
                    return
        except BaseException as error:  # What ends the thread shall not leave those waiting who read the results.
            results.set_length(self._came + 1)
            results.deliver(self._came, [None], {0: error})
        else:
            results.set_length(self._came)
        finally:
            self._is_read = True
            self._ring()

    def _put(self, item: Any, results: JobResults[Any]) -> bool:
        """Adds one, and waits until there is room for the next: to read that may be what costs."""
        with self._changed:
            self._items.append(item)
            self._came += 1
            self._ring()
            while not self._is_over and self._is_full(results):
                self._changed.wait(LOOK_EVERY_S)
            return not self._is_over

    def _is_full(self, results: JobResults[Any]) -> bool:
        ahead = self._ahead
        return len(self._items) >= BATCH_JOBS if ahead is None else self._came - results.taken() >= ahead


class Source:
    """The calls of one verb. `make` gives the call of an item. Used by the thread of the pool."""

    def __init__(
        self,
        bound: Enqueues[..., Any],
        make: Callable[[Any], _native.Call[Any]],
        supply: Row | Inbox,
        sink: JobResult[Any] | JobResults[Any],
    ) -> None:
        self.bound = bound
        self.make = make
        self.supply = supply
        self.sink = sink
        self.keeps_result: bool = bound._effective.get("result", True)
        self.place = 0
        """Of the item that is taken next."""
        self.followed = 0
        """Of the items that were taken, those whose jobs are followed by now, or were."""
        self._on_their_way = 0
        """Items that were taken and are no jobs yet."""
        self.open = 0
        """Items that were taken and are not told."""
        self.sent = threading.Event()
        """All of its jobs are made, or will not be."""
        self.is_over = False

    @property
    def is_done(self) -> bool:
        """Whether everything is told."""
        return self.supply.is_spent and self.open == 0

    def untaken(self, since: int) -> int:
        """Of so many results, those that the program has not taken. It has those of a map all at once."""
        return since - self.sink.taken() if isinstance(self.sink, JobResults) else 0

    def advance(self) -> None:
        """One more item was taken."""
        self.place += 1
        self.open += 1
        self._on_their_way += 1

    def made(self, first: int, jobs: list[Job[Any]]) -> None:
        """These jobs were made of the items from `first` on."""
        if isinstance(self.sink, JobResult):
            self.sink.note_jobs(first, jobs)
        self._on_their_way -= len(jobs)

    def never_made(self) -> None:
        """An item that was taken will be no job."""
        self._on_their_way -= 1

    def note_sent(self) -> None:
        """Those who wait until all of its jobs are made are told."""
        if self._on_their_way == 0 and self.supply.is_spent:
            self.sent.set()

    def free(self) -> None:
        """Whether the program takes results does not matter any more: it waits for the end."""
        if isinstance(self.supply, Inbox):
            self.supply.free()

    def deliver(self, told: list[tuple[int, Any, BaseException | None]]) -> None:
        """Values and errors of items, by place."""
        self.open -= len(told)
        told.sort(key=_place)
        begin = 0
        for end in range(1, len(told) + 1):
            if end == len(told) or told[end][0] != told[end - 1][0] + 1:
                self._deliver_run(told[begin:end])
                begin = end

    def _deliver_run(self, run: list[tuple[int, Any, BaseException | None]]) -> None:
        failures = {number: error for number, (_, _, error) in enumerate(run) if error is not None}
        self.sink.deliver(run[0][0], [value for _, value, _ in run], failures)

    def fail(self, error: BaseException) -> None:
        """Nothing more is told."""
        if not self.is_over:
            self.is_over = True
            self.supply.stop()
            self.sent.set()
            self.sink.fail(error)


def _place(told: tuple[int, Any, BaseException | None]) -> int:
    return told[0]
