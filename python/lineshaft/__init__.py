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

__all__ = [
    "App",
    "AsyncJob",
    "AsyncTask",
    "Attempt",
    "AttemptError",
    "AuthError",
    "Call",
    "Cancel",
    "Cancelled",
    "DeclarationError",
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
    "QueueFull",
    "Record",
    "Resource",
    "ResultExpired",
    "Retry",
    "SerializationError",
    "ServerError",
    "Snooze",
    "StoreFull",
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
    "WorkerFailed",
    "WrongState",
    "__version__",
    "canonical_name",
    "current",
    "value",
]

for _name in __all__:
    # Where something is defined is nobody's business: tracebacks and reprs show where it is imported from.
    if isinstance(globals()[_name], type) and globals()[_name].__module__.startswith("lineshaft._"):
        globals()[_name].__module__ = "lineshaft"
del _name
