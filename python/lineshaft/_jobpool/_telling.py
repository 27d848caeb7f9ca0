"""What a pool says to those who wait for what its verbs gave."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._source import Source

__all__ = ["Telling", "Told"]

Told = tuple[int, Any, BaseException | None]
"""Place of an item, value, error."""

_logger = logging.getLogger("lineshaft")


class Telling:
    """The sources of which something is to be told. Used by the thread of the pool, but for `live`."""

    def __init__(self) -> None:
        self.live: set[Source] = set()

    def tell(self, source: Source, told: list[Told]) -> None:
        """How some of its items ended."""
        if not source.is_over:
            _quietly(partial(source.deliver, told))
        self.note_sent(source)

    def give_up(self, source: Source, error: BaseException) -> None:
        """Nothing more is told of it."""
        _quietly(partial(source.fail, error))
        self.live.discard(source)

    def note_sent(self, source: Source) -> None:
        """Some of its items are jobs, or never will be."""
        source.note_sent()
        if source.is_done or source.is_over:
            self.live.discard(source)


def _quietly(tell: Callable[[], object]) -> None:
    """Callbacks of the program are called in it, which shall not end the thread."""
    try:
        tell()
    except BaseException:
        _logger.exception("a callback raised")
