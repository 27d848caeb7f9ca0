"""Ours as the suite looks at it: here and there it asks under the private names of the standard library's classes.

What it asks then is asked of ours; nothing else is changed.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from lineshaft import Executor
from lineshaft.multiprocessing import Condition, SimpleQueue

__all__ = ["ProcessPoolExecutor", "ThreadPoolExecutor"]


class ProcessPoolExecutor(Executor):
    """Under the name of what it stands in for. Its workers end with it, since tests look whether anything is left."""

    _call_queue = SimpleNamespace(join_thread=lambda: None)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"warm": False, **options})

    @property
    def _executor_manager_thread(self) -> threading.Thread | None:
        return None if self._crew is None else self._crew._thread

    @property
    def _broken(self) -> str | None:
        return None if self._crew is None else self._crew.broken


class ThreadPoolExecutor(Executor):
    """Likewise. `lineshaft.Executor` has no prefix for the names of its threads."""

    def __init__(
        self, max_workers: int | None = None, thread_name_prefix: str = "", initializer: Any = None, initargs: Any = ()
    ) -> None:
        super().__init__(max_workers, None, initializer, initargs, kind="thread")

    @property
    def _threads(self) -> list[Any]:
        return [] if self._crew is None else list(self._crew.members)

    @property
    def _broken(self) -> str | None:
        return None if self._crew is None else self._crew.broken


_ZERO = SimpleNamespace(get_value=lambda: 0)

# How many wait, and that nobody is on the way out.
Condition._sleeping_count = property(lambda self: SimpleNamespace(get_value=self._waiters.waiting))  # type: ignore[attr-defined]
Condition._woken_count = Condition._wait_semaphore = _ZERO  # type: ignore[attr-defined]
# Whether it is closed.
SimpleQueue._reader = SimpleQueue._writer = property(lambda self: SimpleNamespace(closed=self._closed))  # type: ignore[attr-defined]
