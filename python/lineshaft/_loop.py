"""Wakes coroutines when the I/O thread has something for them, without that thread ever taking the GIL.

The I/O thread writes to a socket; each event loop watches its own one. `asyncio` is imported where it is used: who
awaits has it already, and who does not starts sooner without.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from . import _native

if TYPE_CHECKING:
    import asyncio
    from typing import Protocol

    class _Notifies(Protocol):
        def notify(self, completions: _native.Completions, token: int) -> None: ...


__all__ = ["ready"]

_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = weakref.WeakKeyDictionary()


async def ready(source: _Notifies, timeout: float | None = None) -> bool:
    """Waits until `source` has something; False if it has nothing within `timeout` seconds."""
    import asyncio

    bridge = _bridge(asyncio.get_running_loop())
    token, future = bridge.expect()
    try:
        source.notify(bridge.completions, token)
        if timeout is None:
            await future
            return True
        done, _ = await asyncio.wait((future,), timeout=timeout)
        return bool(done)
    finally:
        bridge.forget(token)


def _bridge(loop: asyncio.AbstractEventLoop) -> _Bridge:
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    return bridge


class _Bridge:
    """One loop's socket and the futures that wait for it. It is watched only while somebody waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.completions = _native.Completions()
        self._loop = weakref.ref(loop)
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._next = 0

    def expect(self) -> tuple[int, asyncio.Future[None]]:
        loop = self._loop()
        assert loop is not None, "who waits runs in it"
        if not self._futures:
            loop.add_reader(self.completions.fileno(), self._wake)
        self._next += 1
        future: asyncio.Future[None] = loop.create_future()
        self._futures[self._next] = future
        return self._next, future

    def forget(self, token: int) -> None:
        self._futures.pop(token, None)
        loop = self._loop()
        if not self._futures and loop is not None and not loop.is_closed():
            loop.remove_reader(self.completions.fileno())

    def _wake(self) -> None:
        for token in self.completions.drain():
            future = self._futures.get(token)
            if future is not None and not future.done():
                future.set_result(None)
