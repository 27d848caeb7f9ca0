"""The clean end of `with app.workers()`: nothing that this process made in the block is available or running."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _native
    from ._app import App

__all__ = ["drain"]

PORTION_IDS = 10_000
"""Jobs that are followed at a time."""
LOOK_AFTER_S = 0.5
"""Silence after which it is looked whether what is left waits for a time rather than for a worker."""
ASIDE_S = 30.0
"""How long the server may take to say it; it may have been stopped, and a successor be on its way."""
AT_WORK = frozenset(("available", "running"))


def drain(app: App, ids: bytes, check: Callable[[], None]) -> None:
    """Blocks until none of `ids` is available or running; jobs that wait for a time stay behind.

    `check` is called twice a second at least and may raise to give up.
    """
    client = app._connection.client()
    for start in range(0, len(ids), PORTION_IDS * 16):
        _drain_portion(client, ids[start : start + PORTION_IDS * 16], check)


def _drain_portion(client: _native.Client, ids: bytes, check: Callable[[], None]) -> None:
    left = dict.fromkeys(ids[at : at + 16] for at in range(0, len(ids), 16))
    waiting = client.wait(ids, False)
    try:
        while left:
            ends = waiting.next(LOOK_AFTER_S)
            for end in ends or ():
                left.pop(end.key, None)
            if not ends:
                check()
                _forget_idle(client, left)
    finally:
        waiting.close()


def _forget_idle(client: _native.Client, left: dict[bytes, None]) -> None:
    """Drops jobs that wait for a time, up to the first one that is at work: while there is one, the rest can wait."""
    for key in list(left):
        if _state(client, key) in AT_WORK:
            return
        del left[key]


def _state(client: _native.Client, key: bytes) -> str | None:
    from ._errors import JobNotFound

    try:
        return client.show(key, aside=ASIDE_S).wait().record.state
    except JobNotFound:
        return None
