"""What is raised where a worker of a pool is gone.

A module of its own: the base class brings all of `multiprocessing`, which most programs do without.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from .._errors import LineshaftError

__all__ = ["WorkerDied"]


class WorkerDied(LineshaftError, BrokenProcessPool):
    """The process of a worker ended over this item. Others are not touched by it, and the worker is replaced."""

    def __init__(self, message: str = "", *, exit_code: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
        """How the process ended: its exit code, or a signal as a negative number; None if that is not known."""


WorkerDied.__module__ = "lineshaft"
