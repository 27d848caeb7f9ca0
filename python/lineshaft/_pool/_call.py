"""What a pool has to do: a function, its items, and where the outcomes go."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from .._pickles import dumps
from ._labour import APPLY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._parcel import Written

__all__ = ["Call", "Sink", "row_of"]


class Sink(Protocol):
    """Where the outcomes of a call go. Called by one thread at a time, mostly that of the crew."""

    def deliver(self, start: int, values: list[Any], failures: dict[int, BaseException]) -> None:
        """Items from `start` on have given `values`; those in `failures`, counted from `start`, have raised."""

    def fail(self, error: BaseException) -> None:
        """There will be nothing more."""


class Call:
    """A function that is called with each of some items."""

    def __init__(
        self,
        style: int,
        function: Callable[..., Any] | None,
        items: list[Any] | range | dict[int, Any],
        sink: Sink,
        *,
        share_items: int | None = None,
        at_a_time: int = 0,
        retries: int = 0,
        is_open: bool = False,
        encode: Callable[[Callable[..., Any]], Any] = dumps,
    ) -> None:
        self.number = -1
        self.style = style
        self.items = items
        """All of them, or where more may come, those that are not done by their place."""
        self.sink = sink
        self.share_items = share_items
        """How many a worker is given; None for as many as take some time."""
        self.at_a_time = at_a_time
        """How many of them it begins, which cannot be taken back then; 0 for as many as take some time."""
        self.retries = retries
        self.left = len(items)
        """How many are not done."""
        self.came = len(items)
        self.is_open = is_open
        """Whether more items may come."""
        self.is_plain = not is_open and _are_plain(style, items)
        """Whether to pickle the items calls no code of the program."""
        self.function = None if function is None else encode(function)
        """As workers are given it."""
        self.context: Any = None
        """What goes along with it from whoever gave it to the pool: see `Workers.context`."""
        self.written: Written | None = None
        """The same in a file that all of them read, if it is large."""

    def part(self, start: int, end: int) -> list[Any] | range:
        """The items from `start` to before `end`. Those of a range are one, which takes a few bytes on its way."""
        if isinstance(self.items, dict):
            return [self.items[place] for place in range(start, end)]
        return self.items if end - start == len(self.items) else self.items[start:end]


_PLAIN = frozenset({bool, bytes, complex, float, int, str, type(None), BuiltinFunctionType, FunctionType})
_PLAIN_MAX = 64
"""More items are not looked at."""


def _are_plain(style: int, items: list[Any] | range | dict[int, Any]) -> bool:
    if isinstance(items, range):
        return True
    if len(items) > _PLAIN_MAX or not isinstance(items, list):
        return False
    if style == APPLY:
        return all(_PLAIN.issuperset(map(type, (fn, *args, *keywords.values()))) for fn, args, keywords in items)
    return _PLAIN.issuperset(map(type, items))


def row_of(iterable: Iterable[Any]) -> list[Any] | range:
    """All items of it."""
    return iterable if isinstance(iterable, range) else list(iterable)
