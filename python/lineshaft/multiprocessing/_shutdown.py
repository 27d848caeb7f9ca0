"""What a queue raises that was shut down."""

from __future__ import annotations

import queue
import sys

__all__ = ["ShutDown"]

if sys.version_info >= (3, 13):
    _Base = queue.ShutDown
else:
    _Base = Exception


class ShutDown(_Base, SystemExit):
    """The queue is shut down: nothing can be put any more, or nothing is left to be got.

    It is a `queue.ShutDown` where Python has that (3.13), and a `SystemExit` without a code: a process that does
    nothing about it has done its work and exits with 0.
    """
