"""A slot that the body of a task lends while it uses a pool: where all slots wait for jobs, somebody has to do them."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from .. import _native
from .._current import _running
from .._slots import Routed, interruptions, run_slots
from .._started import watch
from .._threads import belong_to_attempts

if TYPE_CHECKING:
    from .._app import App
    from .._task import BaseTask

__all__ = ["Lent"]

GRACE_S = 30.0
"""What a job that is asked to stop here gets before it is talked about; nothing can kill it alone."""
FINISH_S = 3_600.0
LEAVE_S = 1.0
"""What a job that runs here gets when the pool is left, in order and by an exception."""


class Lent:
    """One slot of kind `thread` in this process, for jobs of one task."""

    def __init__(self, app: App, task: BaseTask[..., Any]) -> None:
        _route_output()
        belong_to_attempts()
        watch()
        names = [(name, known) for name, known in app._declared.items() if known.function is task.function]
        self._slots = _native.Slots.local(
            app.url, app, names, _running, interruptions(), kind="thread", count=1, grace=GRACE_S, tee=False
        )
        # What runs there is no part of the attempt that lends it.
        token = _running.set(None)
        try:
            arguments = (self._slots, task.is_async, None)
            threading.Thread(target=run_slots, args=arguments, name="lineshaft-lent", daemon=True).start()
        finally:
            _running.reset(token)

    def end(self, *, is_hurried: bool) -> None:
        """Takes it back, when what runs there has ended or did not within its time."""
        self._slots.close(LEAVE_S if is_hurried else FINISH_S)


def _route_output() -> None:
    """What is printed there is the output of its job."""
    if not isinstance(sys.stdout, Routed):
        sys.stdout = Routed(sys.stdout)
    if not isinstance(sys.stderr, Routed):
        sys.stderr = Routed(sys.stderr)
