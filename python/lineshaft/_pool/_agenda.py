"""What a crew has to do. Outcomes go to the *sink* of their call, later on: see `Outcome`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from ._report import detached

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .. import _native
    from ._call import Call
    from ._hand import Hand
    from ._report import Report
    from ._staff import Lost, Staff

__all__ = ["Agenda", "Outcome", "Share"]

Outcome = Callable[[], None]
"""Tells a sink. Called without the lock of the crew, since callbacks of the program may be called."""


class Share(NamedTuple):
    """Items of a call that go to a worker together."""

    hand: Hand
    slot: int
    number: int
    call: Call
    begin: int
    end: int
    items: Sequence[Any]


class Agenda:
    """Calls of which something is to be done, by their numbers. Used with the lock of their crew."""

    def __init__(self, foreman: _native.Foreman, staff: Staff) -> None:
        self._foreman = foreman
        self._staff = staff
        self._numbers = count()
        self.calls: dict[int, Call] = {}

    def left(self) -> int:
        """How many items are not done."""
        return sum(call.left for call in self.calls.values())

    def add(self, call: Call) -> None:
        """One more."""
        number = next(self._numbers)
        self._foreman.add_call(number, call.left, call.share_items, call.retries)
        call.number = number
        self.calls[number] = call

    def extend(self, call: Call, items: Sequence[Any]) -> bool:
        """More items of an open call; whether it is not over."""
        if call.number not in self.calls:
            return False
        assert isinstance(call.items, dict)
        call.items.update(enumerate(items, call.came))
        call.came += len(items)
        call.left += len(items)
        self._foreman.extend(call.number, len(items))
        return True

    def complete(self, call: Call) -> None:
        """No more items of an open call will come."""
        call.is_open = False
        self._forget_if_done(call)

    def cancel(self, call: Call) -> int:
        """Takes back what nobody has begun of it; how many items."""
        if call.number not in self.calls:
            return 0
        cancelled = sum(end - start for start, end in self._foreman.cancel(call.number))
        call.left -= cancelled
        self._forget_if_done(call)
        return cancelled

    def drop(self, call: Call) -> None:
        """What is not begun of it is not done, and nobody is told of the rest."""
        if call.number in self.calls:
            self._foreman.cancel(call.number)
            self._forget(call)

    @property
    def is_plain(self) -> bool:
        """Whether to give items of it calls no code of the program."""
        return all(call.is_plain for call in self.calls.values())

    def next_share(self) -> Share | None:
        """What a worker can take, which is then to be sent or refused."""
        order = self._foreman.next()
        if order is None:
            return None
        worker, slot, number, call_number, begin, end = order
        call = self.calls[call_number]
        return Share(self._staff.hands[worker], slot, number, call, begin, end, call.part(begin, end))

    def send(self, share: Share, packed: Any) -> list[Outcome]:
        """Gives it to its worker; the outcomes of what cannot be sent."""
        if share.hand.number not in self._staff.hands:
            return []  # It died meanwhile, and others get it.
        try:
            size_bytes = share.hand.give(share, packed)
        except Exception as error:
            return self.refuse(share, error)
        self._foreman.note_bytes(share.hand.number, share.slot, size_bytes)
        return []

    def refuse(self, share: Share, error: BaseException | None) -> list[Outcome]:
        """It cannot be sent: its items are sent one by one, and one alone has failed. Without an error none has."""
        stays = error is None or share.end - share.begin > 1
        self._foreman.refused(share.hand.number, share.slot, stays)
        if error is None or stays or share.call.number not in self.calls:
            return []
        return [self._finished(share.call, share.begin, [None], {0: detached(error)})]

    def take(self, report: Report) -> list[Outcome]:
        """Results of a worker."""
        done = self._foreman.done(report.worker, report.slot, report.size, report.took_ns, report.is_last)
        hand = self._staff.hands.get(report.worker)
        if hand is not None and report.is_last:
            hand.let_go(report.slot)
        call = None if done is None else self.calls.get(done[0])
        if done is None or call is None or report.size == 0:
            return []
        return [self._finished(call, done[1], *report.body)]

    def lose(self, losses: Iterable[Lost]) -> list[Outcome]:
        """Items whose worker died over them."""
        outcomes = []
        for number, begin, end, error in losses:
            if (call := self.calls.get(number)) is not None:
                lost = end - begin
                outcomes.append(self._finished(call, begin, [None] * lost, dict.fromkeys(range(lost), error)))
        return outcomes

    def give_up(self, error: BaseException) -> list[Outcome]:
        """Nothing more is done."""
        calls = list(self.calls.values())
        for call in calls:
            self.drop(call)
        return [partial(call.sink.fail, error) for call in calls]

    def _finished(self, call: Call, start: int, values: list[Any], failures: dict[int, BaseException]) -> Outcome:
        call.left -= len(values)
        if isinstance(call.items, dict):
            for place in range(start, start + len(values)):
                call.items.pop(place, None)
        self._forget_if_done(call)
        return partial(call.sink.deliver, start, values, failures)

    def _forget_if_done(self, call: Call) -> None:
        if call.left == 0 and not call.is_open:
            self._forget(call)

    def _forget(self, call: Call) -> None:
        if self.calls.pop(call.number, None) is not None:
            self._foreman.forget(call.number)
