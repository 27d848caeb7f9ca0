"""The end of the program: what executors have to do is done before it.

A module of its own, since whoever imports `Executor` is to be noted here before `atexit` calls anybody.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import weakref
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from . import _warm

if TYPE_CHECKING:
    from ._crew import Crew

__all__ = ["awaited", "check_not_over"]

_hired: weakref.WeakSet[Crew] = weakref.WeakSet()
"""Those that work for executors, which are done before the program ends."""
_finished_by = -1
"""The process at whose end `_finish` is called."""
_is_over = False
"""Whether that is so."""


def awaited() -> weakref.WeakSet[Crew]:
    """Where those are noted whose work is done before this process ends.

    One that `multiprocessing` has started does not call what is registered with `atexit`, but waits for its children.
    """
    global _finished_by
    if _finished_by != os.getpid():
        _finished_by = os.getpid()
        if multiprocessing.parent_process() is None:
            return _hired  # `atexit` does it; finalizers may be run before the end.
        Finalize(None, _finish, exitpriority=20)
    return _hired


def check_not_over() -> None:
    """`RuntimeError` if the program has ended: nobody would wait for what is submitted now."""
    if _is_over:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _finish() -> None:
    """What was submitted to executors is done before the program ends, and who waits for another pool ends.

    After Ctrl-C nothing is waited for.
    """
    global _is_over
    _is_over = True
    hired = [(crew, crew.released) for crew in list(_hired)]
    was_interrupted = issubclass(getattr(sys, "last_type", None) or Exception, KeyboardInterrupt)
    for crew, lease in hired:
        if was_interrupted:
            crew.terminate(lease)
        crew.close(lease)
    for crew, lease in hired:
        crew.join(lease)
    for crew in _warm.kept():
        crew.dismiss()
        crew.join(crew.released, 1.0)


atexit.register(_finish)
os.register_at_fork(after_in_child=_hired.clear)
