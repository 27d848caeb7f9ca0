"""How what is to be done gets to the workers of a crew."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._agenda import Agenda, Outcome, Share

__all__ = ["Feeder"]


class Feeder:
    """Gives workers what they can take.

    Items are packed without the lock of the crew, unless the caller has it, since that calls code of the program, which
    may wait for somebody who waits for the lock. One thread at a time does it, which takes what others add meanwhile.
    """

    def __init__(self, lock: threading.RLock, agenda: Agenda) -> None:
        self._lock = lock
        self._agenda = agenda
        self._is_feeding = False

    def feed(self) -> list[Outcome]:
        """The outcomes of what cannot be sent."""
        outcomes: list[Outcome] = []
        try:
            while (share := self._next_share()) is not None:
                outcomes += self._give(share)
        except BaseException:  # Ctrl-C
            self._is_feeding = False
            raise
        return outcomes

    def _next_share(self) -> Share | None:
        with self._lock:
            share = None if self._is_feeding else self._agenda.next_share()
            self._is_feeding = self._is_feeding or share is not None
            return share

    def _give(self, share: Share) -> list[Outcome]:
        packed, error = None, None
        try:
            packed = share.hand.pack(share)
        except BaseException as failure:
            error = failure
        with self._lock:
            self._is_feeding = False
            if error is None:
                return self._agenda.send(share, packed)
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                self._agenda.refuse(share, None)
                raise error
            return self._agenda.refuse(share, error)
