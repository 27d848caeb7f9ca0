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

from ._errors import (
    AuthError,
    Cancel,
    Cancelled,
    Deadlock,
    DeclarationError,
    DependencyCycle,
    ImportSideEffect,
    JobNotFound,
    LineshaftError,
    LockError,
    LockLost,
    LockTimeout,
    NoCurrentJob,
    NoServer,
    OptionError,
    OutcomeUnknown,
    QueueFull,
    RateLimited,
    ResourceClosed,
    ResourceTimeout,
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
from ._native import Call, JobRecord, Timing, __version__

if _TYPE_CHECKING:
    from ._alternatives._classes import Implementation
    from ._alternatives._decorator import alternatives
    from ._alternatives._sizes import size_class
    from ._app import App
    from ._cached._cache import CacheInfo, TagInfo
    from ._cached._decorator import cached
    from ._cached._dependencies import CacheKey
    from ._cached._engine_cache import EngineCache, EngineCacheInfo
    from ._current import current
    from ._decorators._decorator import Decorator, decorator
    from ._decorators._deprecated import deprecated
    from ._decorators._invocation import Invocation
    from ._decorators._layers import layers
    from ._decorators._limited import limited
    from ._decorators._logged import logged
    from ._decorators._patience import Retrying
    from ._decorators._retry import retry
    from ._decorators._timed import timed
    from ._group import Tasks
    from ._hooks import Hooks
    from ._job import AsyncJob, Job
    from ._joblib import register_joblib
    from ._locks import Barrier, Leader, Limiter, Lock, ReadWriteLock, Semaphore
    from ._logs import LogEntry
    from ._names import canonical_name
    from ._pool._broken import WorkerDied
    from ._pool._executor import Executor
    from ._pool._pool import Pool
    from ._profile._profile import Profile
    from ._profile._profiler import profile
    from ._record import Attempt, AttemptError
    from ._resource import Resource
    from ._resources._apool import AsyncResourcePool
    from ._resources._pool import ResourcePool
    from ._resources._report import Holder, ResourcePoolInfo
    from ._statistics import Spread, TaskStats
    from ._task import AsyncTask, Task, Using
    from ._unique import Unique
    from ._values import Pickled, Record, value
    from .logging._logger import get_logger
else:
    _OF_JOBS = {
        "App": "_app",
        "AsyncJob": "_job",
        "AsyncTask": "_task",
        "Attempt": "_record",
        "AttemptError": "_record",
        "Barrier": "_locks",
        "Hooks": "_hooks",
        "Job": "_job",
        "Leader": "_locks",
        "Limiter": "_locks",
        "Lock": "_locks",
        "Pickled": "_values",
        "ReadWriteLock": "_locks",
        "Record": "_values",
        "Resource": "_resource",
        "Semaphore": "_locks",
        "Task": "_task",
        "Tasks": "_group",
        "Unique": "_unique",
        "Using": "_task",
        "canonical_name": "_names",
        "current": "_current",
        "value": "_values",
    }
    """What programs with jobs need, and a worker of a pool does not, which is to start fast. Imported together."""
    _LATER = {
        "AsyncResourcePool": "_resources._apool",
        "CacheInfo": "_cached._cache",
        "CacheKey": "_cached._dependencies",
        "Decorator": "_decorators._decorator",
        "EngineCache": "_cached._engine_cache",
        "EngineCacheInfo": "_cached._engine_cache",
        "Executor": "_pool._executor",
        "Holder": "_resources._report",
        "Implementation": "_alternatives._classes",
        "Invocation": "_decorators._invocation",
        "LogEntry": "_logs",
        "Pool": "_pool._pool",
        "Profile": "_profile._profile",
        "ResourcePool": "_resources._pool",
        "ResourcePoolInfo": "_resources._report",
        "Retrying": "_decorators._patience",
        "Spread": "_statistics",
        "TagInfo": "_cached._cache",
        "TaskStats": "_statistics",
        "WorkerDied": "_pool._broken",
        "alternatives": "_alternatives._decorator",
        "cached": "_cached._decorator",
        "decorator": "_decorators._decorator",
        "deprecated": "_decorators._deprecated",
        "get_logger": "logging._logger",
        "layers": "_decorators._layers",
        "limited": "_decorators._limited",
        "logged": "_decorators._logged",
        "profile": "_profile._profiler",
        "register_joblib": "_joblib",
        "retry": "_decorators._retry",
        "size_class": "_alternatives._sizes",
        "timed": "_decorators._timed",
    }
    """What brings all of `multiprocessing` or `asyncio`, which many programs do without."""

    def __getattr__(name: str) -> object:
        if name == "logging":  # what `get_logger` belongs to is there without an import of its own
            from importlib import import_module

            return import_module(".logging", __name__)
        wanted = _OF_JOBS if name in _OF_JOBS else {name: _LATER[name]} if name in _LATER else {}
        if not wanted:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        _have({each: getattr(import_module(f".{module}", __name__), each) for each, module in wanted.items()})
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

    def _have(members: dict[str, object]) -> None:
        """Where something is defined is nobody's business: tracebacks and reprs show where it is imported from."""
        for member in members.values():
            if isinstance(member, type) and member.__module__.startswith("lineshaft._"):
                member.__module__ = "lineshaft"
        globals().update(members)


__all__ = [
    "App",
    "AsyncJob",
    "AsyncResourcePool",
    "AsyncTask",
    "Attempt",
    "AttemptError",
    "AuthError",
    "Barrier",
    "CacheInfo",
    "CacheKey",
    "Call",
    "Cancel",
    "Cancelled",
    "Deadlock",
    "DeclarationError",
    "Decorator",
    "DependencyCycle",
    "EngineCache",
    "EngineCacheInfo",
    "Executor",
    "Holder",
    "Hooks",
    "Implementation",
    "ImportSideEffect",
    "Invocation",
    "Job",
    "JobNotFound",
    "JobRecord",
    "Leader",
    "Limiter",
    "LineshaftError",
    "Lock",
    "LockError",
    "LockLost",
    "LockTimeout",
    "LogEntry",
    "NoCurrentJob",
    "NoServer",
    "OptionError",
    "OutcomeUnknown",
    "Pickled",
    "Pool",
    "Profile",
    "QueueFull",
    "RateLimited",
    "ReadWriteLock",
    "Record",
    "Resource",
    "ResourceClosed",
    "ResourcePool",
    "ResourcePoolInfo",
    "ResourceTimeout",
    "ResultExpired",
    "Retry",
    "Retrying",
    "Semaphore",
    "SerializationError",
    "ServerError",
    "Snooze",
    "Spread",
    "StoreFull",
    "TagInfo",
    "Task",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskFailed",
    "TaskNotFound",
    "TaskStats",
    "TaskTimeout",
    "Tasks",
    "TimedOut",
    "Timing",
    "Unique",
    "UnknownOption",
    "Using",
    "VersionMismatch",
    "WaitTimeout",
    "WorkerDied",
    "WorkerFailed",
    "WrongState",
    "__version__",
    "alternatives",
    "cached",
    "canonical_name",
    "current",
    "decorator",
    "deprecated",
    "get_logger",
    "layers",
    "limited",
    "logged",
    "profile",
    "register_joblib",
    "retry",
    "size_class",
    "timed",
    "value",
]

if not _TYPE_CHECKING:
    _have({name: member for name, member in globals().items() if name in __all__})
