"""Waiting for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._options import wrong
from ._lock import Lock

if TYPE_CHECKING:
    from types import TracebackType

    from .. import _native
    from .._app import App
    from .._options import Duration
    from ._holds import Hold, Owner

PARTIES_MAX = 1_024


class Barrier:
    """Where programs of a home wait until so many of them have come: `app.barrier(key, parties)`.

    `with` and `async with` wait, too, and give the number of `wait`. It may be used again at once.
    """

    def __init__(self, app: App, key: str, parties: int, timeout: Duration | None = None) -> None:
        if not isinstance(parties, int) or isinstance(parties, bool) or not 1 <= parties <= PARTIES_MAX:
            raise wrong("parties", parties, f"how many wait for each other, 1 to {PARTIES_MAX:,}")
        self._gate = _Gate(app, key, "30s", timeout)
        self._gate._permits = self.parties = parties
        """How many wait for each other."""
        self.key = self._gate.key
        """The name of the barrier: the same one everywhere in the home."""

    def __repr__(self) -> str:
        return f"<barrier {self.key!r} of {self.parties}>"

    def wait(self) -> int:
        """Waits until `parties` have come; gives how many of them came before, from 0 on.

        Raises `LockTimeout` after `timeout`: then this one has not come, and the others wait on.
        """
        return self._gate._acquire().place

    async def await_(self) -> int:
        """`wait` for coroutines."""
        return (await self._gate._aacquire()).place

    def __enter__(self) -> int:
        return self.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> int:
        return await self.await_()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""


class _Gate(Lock):
    """What is given to all who have come, and given back at once."""

    _kind = "barrier"
    _refused = "{name} did not open{took}: others have not come"

    def _take(self, lock: _native.Lock, held: bool | None, owner: Owner) -> Hold:
        hold = super()._take(lock, held, owner)
        self._undo(lock)
        return hold
