"""The event loop of a child, at its end."""

from __future__ import annotations

import asyncio
import os

import pytest

from lineshaft import _slots
from lineshaft._opening import Kept
from lineshaft._resource import Resources


class Drained:
    """Slots that have had their last job."""

    count = 1
    busy = 0
    is_drained = True

    def bell(self) -> int:
        return os.eventfd(0)

    def take(self) -> None:
        return None

    def next_stop(self, _wait_s: float) -> None:
        return None

    def overdue(self) -> list[tuple[str, float]]:
        return []


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request, monkeypatch):
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setattr(_slots, "_new_loop", asyncio.new_event_loop)
    monkeypatch.setattr(_slots.os, "register_at_fork", lambda **_: None)  # it cannot be taken back
    return _slots.Loop(Drained(), None)


@pytest.mark.parametrize("when", ["before the end", "after the end"])
def test_what_a_thread_says_at_the_end_does_not_keep_resources_open(loop, when):
    kept = Kept(Resources())
    kept._loop = loop.loop
    closed = []

    async def open_one() -> None:
        async def close() -> None:
            for _ in range(10):
                await asyncio.sleep(0)
            closed.append("connection")

        kept.async_room().exits.push_async_callback(close)

    loop.loop.run_until_complete(open_one())
    if when == "before the end":
        # Each of these finds that it is over; the last ones say so while the loop stops already.
        for turns in range(5):
            loop.loop.call_soon(_again, loop, turns)
    loop.run()
    if when == "after the end":
        loop._thread_ended()
    kept.close()
    assert closed == ["connection"]


def _again(loop: _slots.Loop, turns: int) -> None:
    loop._take()
    if turns:
        loop.loop.call_soon(_again, loop, turns - 1)
