"""How a pool ends before everything is done."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from .. import _native
from .._errors import LineshaftError

if TYPE_CHECKING:
    from .._app import App
    from ._bell import Bell
    from ._follower import Follower
    from ._maker import Maker
    from ._telling import Telling

__all__ = ["Leaving"]

CANCEL_S = 10.0
HURRY_S = 0.7
"""How long the server may take to cancel all jobs; the second after Ctrl-C, when somebody waits to get away."""
SLICE_S = 0.05


class Leaving:
    """Why a pool ends, and whether its jobs do. `is_hurried` is after Ctrl-C and the like."""

    def __init__(self, error: BaseException, *, is_cancelling: bool, is_hurried: bool = False) -> None:
        self.error = error
        self._is_cancelling = is_cancelling
        self.is_hurried = is_hurried
        self.stopping = bytearray()
        """The ids of jobs whose attempts were asked to stop."""
        self._left = 0

    def carry_out(self, app: App, bell: Bell, maker: Maker, follower: Follower, telling: Telling) -> None:
        """In the thread of the pool: cancels what has not ended and tells those who wait."""
        sources = list(telling.live)
        for source in sources:
            source.supply.stop()
        try:
            if self._is_cancelling:
                self._cancel(app, bell, maker, follower)
        except LineshaftError as error:
            logging.getLogger("lineshaft").warning("the jobs of a pool could not be cancelled, and go on: %s", error)
        finally:
            for source in sources:
                telling.give_up(source, self.error)

    def _cancel(self, app: App, bell: Bell, maker: Maker, follower: Follower) -> None:
        deadline = time.monotonic() + (HURRY_S if self.is_hurried else CANCEL_S)
        # Jobs that are being made have no ids yet.
        while maker.on_their_way and time.monotonic() < deadline:
            bell.wait(SLICE_S)
        client = app._connection.client()
        keys = list(follower.own())
        self._left = len(keys)
        for key in keys:
            reply = client.cancel(key)
            bell.expect(reply, partial(self._cancelled, key, reply))
        while self._left and time.monotonic() < deadline:
            bell.wait(SLICE_S)
        if self._left or maker.on_their_way:
            raise LineshaftError(f"the server did not say so in time of {self._left or 'some'} of them")

    def _cancelled(self, key: bytes, reply: _native.Reply[tuple[str | None, bool, int]]) -> None:
        _, is_stopping, _ = reply.wait()
        self._left -= 1
        if is_stopping:
            self.stopping += key
