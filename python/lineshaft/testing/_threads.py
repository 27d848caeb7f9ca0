"""Slots in the process of the test: what it patches and where it breaks counts for its jobs too."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from .. import _native
from .._current import _running
from .._slots import Routed, interruptions, run_slots
from .._threads import belong_to_attempts

if TYPE_CHECKING:
    from .._app import App

__all__ = ["Threads", "route", "unroute"]

SLOTS = 16
"""Jobs at a time; some may wait for others."""
GRACE_S = 1.0
"""What running attempts get when their test ends, before they are interrupted and after."""


def route() -> None:
    """From here on, what attempts print is their output, beside being seen where what the test prints is."""
    if not isinstance(sys.stdout, Routed):
        sys.stdout = Routed(sys.stdout, shows=True)
    if not isinstance(sys.stderr, Routed):
        sys.stderr = Routed(sys.stderr, shows=True)


def unroute() -> None:
    """As it was."""
    if isinstance(sys.stdout, Routed):
        sys.stdout = sys.stdout._behind
    if isinstance(sys.stderr, Routed):
        sys.stderr = sys.stderr._behind


class Threads:
    """Threads of this process that run the jobs of `app`, in place of a crew of worker processes."""

    def __init__(self, app: App) -> None:
        app._connection.client()  # connects
        app._includes.load()
        self._app = app
        self._process = os.getpid()
        self._kept = app._begin_work()
        tasks = list(app._declared.items())
        self._slots = _native.Slots.local(
            app.url, app, tasks, _running, interruptions(), kind="thread", count=SLOTS, grace=GRACE_S, tee=False
        )
        self._has_loop = any(task.is_async for _, task in tasks)
        arguments = (self._slots, self._has_loop, self._kept)
        self._thread = threading.Thread(target=run_slots, args=arguments, name="lineshaft-slots", daemon=True)

    @property
    def is_ours(self) -> bool:
        """Whether this process runs them: a forked copy has no part in them."""
        return os.getpid() == self._process

    def start(self) -> None:
        """Starts the threads."""
        route()
        belong_to_attempts()
        self._thread.start()

    def check(self) -> None:
        """They do not end by themselves."""

    def end(self, given_up: bool = False) -> None:
        """Interrupts what still runs after a grace. A body that does not stop is left to itself."""
        self._slots.close(GRACE_S)
        if self._has_loop:
            self._thread.join(GRACE_S)  # what stays open in the loop is closed there
        self._kept.close()
        self._app._kept = None
