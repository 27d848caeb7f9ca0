"""Lineshaft: durable background and parallel work, with nothing to install beside it.

::

    from lineshaft import App

    app = App()

    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    if __name__ == "__main__":
        job = add.enqueue(2, 3)   # durable when this returns
        print(job.result())       # 5

This module is the table of contents; everything public is listed in `__all__`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from ._app import App
from ._current import current
from ._errors import (
    AuthError,
    Cancel,
    Cancelled,
    DeclarationError,
    ImportSideEffect,
    JobNotFound,
    LineshaftError,
    LockError,
    NoCurrentJob,
    NoServer,
    OptionError,
    OutcomeUnknown,
    QueueFull,
    ResultExpired,
    Retry,
    SerializationError,
    ServerError,
    Snooze,
    StoreFull,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
    TimedOut,
    UnknownOption,
    VersionMismatch,
    WaitTimeout,
    WorkerFailed,
    WrongState,
)
from ._group import Tasks
from ._hooks import Hooks
from ._job import AsyncJob, Job
from ._names import canonical_name
from ._native import Call, JobRecord, __version__
from ._record import Attempt, AttemptError
from ._resource import Resource
from ._task import AsyncTask, Task, Using
from ._unique import Unique
from ._values import Pickled, Record, value

if _TYPE_CHECKING:
    from ._cached._cache import CacheInfo, TagInfo
    from ._cached._decorator import cached
    from ._joblib import register_joblib
    from ._pool._broken import WorkerDied
    from ._pool._executor import Executor
    from ._pool._pool import Pool
else:
    _LATER = {
        "CacheInfo": "_cached._cache",
        "Executor": "_pool._executor",
        "Pool": "_pool._pool",
        "TagInfo": "_cached._cache",
        "WorkerDied": "_pool._broken",
        "cached": "_cached._decorator",
        "register_joblib": "_joblib",
    }
    """What brings all of `multiprocessing` or `asyncio`, which many programs do without."""

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = found = getattr(import_module(f".{_LATER[name]}", __name__), name)
        return found


__all__ = [
    "App",
    "AsyncJob",
    "AsyncTask",
    "Attempt",
    "AttemptError",
    "AuthError",
    "CacheInfo",
    "Call",
    "Cancel",
    "Cancelled",
    "DeclarationError",
    "Executor",
    "Hooks",
    "ImportSideEffect",
    "Job",
    "JobNotFound",
    "JobRecord",
    "LineshaftError",
    "LockError",
    "NoCurrentJob",
    "NoServer",
    "OptionError",
    "OutcomeUnknown",
    "Pickled",
    "Pool",
    "QueueFull",
    "Record",
    "Resource",
    "ResultExpired",
    "Retry",
    "SerializationError",
    "ServerError",
    "Snooze",
    "StoreFull",
    "TagInfo",
    "Task",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskFailed",
    "TaskNotFound",
    "TaskTimeout",
    "Tasks",
    "TimedOut",
    "Unique",
    "UnknownOption",
    "Using",
    "VersionMismatch",
    "WaitTimeout",
    "WorkerDied",
    "WorkerFailed",
    "WrongState",
    "__version__",
    "cached",
    "canonical_name",
    "current",
    "register_joblib",
    "value",
]

for _name in globals().keys() & set(__all__):
    # Where something is defined is nobody's business: tracebacks and reprs show where it is imported from.
    if isinstance(globals()[_name], type) and globals()[_name].__module__.startswith("lineshaft._"):
        globals()[_name].__module__ = "lineshaft"
del _name
