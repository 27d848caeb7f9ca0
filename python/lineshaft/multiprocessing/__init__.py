"""`multiprocessing` with queues, locks and pools that the dead do not keep: the same names, and the same calls.

Queues, locks, semaphores, conditions, events and barriers lie in shared memory, and a process that is killed leaves
them as they were for everybody else. They pass to processes of `multiprocessing` too, as arguments under every start
method. `Pool` is that of `lineshaft` (`pool.py`). Everything else is the standard library's.
"""

from __future__ import annotations

from multiprocessing import (
    AuthenticationError,
    BufferTooShort,
    Process,
    ProcessError,
    TimeoutError,  # noqa: A004
    active_children,
    current_process,
    freeze_support,
    parent_process,
)
from multiprocessing import reduction as reducer

from ._barrier import Barrier
from ._conditions import Condition, Event
from ._context import default_context as _default
from ._locks import BoundedSemaphore, Lock, RLock, Semaphore
from ._queues import JoinableQueue, Queue, SimpleQueue
from ._shutdown import ShutDown

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "ShutDown",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

Array = _default.Array
Manager = _default.Manager
Pipe = _default.Pipe
Pool = _default.Pool
RawArray = _default.RawArray
RawValue = _default.RawValue
Value = _default.Value
allow_connection_pickling = _default.allow_connection_pickling
cpu_count = _default.cpu_count
get_all_start_methods = _default.get_all_start_methods
get_context = _default.get_context
get_logger = _default.get_logger
get_start_method = _default.get_start_method
log_to_stderr = _default.log_to_stderr
set_executable = _default.set_executable
set_forkserver_preload = _default.set_forkserver_preload
set_start_method = _default.set_start_method

for _class in (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    JoinableQueue,
    Lock,
    Queue,
    RLock,
    Semaphore,
    ShutDown,
    SimpleQueue,
):
    # Where something is defined is nobody's business: pickles and reprs name it as it is imported.
    _class.__module__ = __name__
del _class
