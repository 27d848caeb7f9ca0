"""Every exception of Lineshaft.

::

    LineshaftError
    ├── DeclarationError (also TypeError)     a function that cannot be a task, a name declared twice
    ├── OptionError (also ValueError)         a value that an option does not take
    │   └── UnknownOption (also TypeError)    an option that does not exist
    ├── TaskError                             the job did not come to a result
    │   ├── TaskFailed                        the task raised, and is not tried again
    │   ├── TaskCrashed                       the process died under it
    │   ├── TaskCancelled                     someone cancelled it
    │   ├── TaskTimeout                       the attempt ran longer than its timeout
    │   └── TaskNotFound (also LookupError)   no worker can know this task
    ├── WaitTimeout (also TimeoutError)       the wait ended first; the job goes on
    ├── ResultExpired (also LookupError)      the job succeeded, but its result is not kept (any more)
    ├── JobNotFound (also LookupError)        no job has this id
    ├── WrongState                            the job is in a state that does not allow it
    ├── WorkerFailed                          the workers of this process ended by themselves
    ├── WorkerDied (also BrokenProcessPool)   the worker of a pool ended over an item
    ├── NoCurrentJob (also LookupError)       `current.job` outside of a job
    ├── QueueFull                             a table of the engine is full
    ├── StoreFull                             the disk is full
    ├── SerializationError (also ValueError)  a value that cannot be sent, or bytes that do not read
    ├── LockError                             a lock is not held, or would never be given
    │   ├── Deadlock                          those who hold locks would wait for each other for ever
    │   ├── LockLost                          it is not held any more: others may have it
    │   └── LockTimeout (also TimeoutError)   it was not given in time
    ├── RateLimited                           a function is called more often than it may be
    ├── ResourceTimeout (also TimeoutError)   no resource of a pool came free in time
    ├── ResourceClosed                        the pool of resources is closed
    ├── AuthError (also PermissionError)      the token is missing or wrong
    └── ServerError
        ├── NoServer (also ConnectionError)   nobody answers
        ├── VersionMismatch                   client and server have no protocol in common
        └── OutcomeUnknown                    nobody can say whether it was done; `resend()` finds out

Control flow, raised by the body of a task: `Retry`, `Snooze`, `Cancel` (Exception).
Raised *into* the body: `Cancelled`, `TimedOut` (BaseException).
`ImportSideEffect` (BaseException): a worker that imports the app must not run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from . import _native
    from ._job import Job

__all__ = [
    "AuthError",
    "Cancel",
    "Cancelled",
    "Deadlock",
    "DeclarationError",
    "ImportSideEffect",
    "JobNotFound",
    "LineshaftError",
    "LockError",
    "LockLost",
    "LockTimeout",
    "NoCurrentJob",
    "NoServer",
    "OptionError",
    "OutcomeUnknown",
    "QueueFull",
    "RateLimited",
    "ResourceClosed",
    "ResourceTimeout",
    "ResultExpired",
    "Retry",
    "SerializationError",
    "ServerError",
    "Snooze",
    "StoreFull",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskFailed",
    "TaskNotFound",
    "TaskTimeout",
    "TimedOut",
    "UnknownOption",
    "VersionMismatch",
    "WaitTimeout",
    "WorkerFailed",
    "WrongState",
]


class LineshaftError(Exception):
    """Root of everything that Lineshaft raises, control flow aside."""

    hint: str | None = None
    """What to do about it, where Lineshaft knows."""

    code: str | None = None
    """The code of its page in docs/errors, `LS0010` for example, where an operator can do something about it."""

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        if self.code is not None:
            message = f"{self.code}: {message}"
        return message if self.hint is None else f"{message}\n  hint: {self.hint}"


class DeclarationError(LineshaftError, TypeError):
    """A function that cannot be a task, or two of them under one name."""


class OptionError(LineshaftError, ValueError):
    """A value that an option does not take; names the option, the value and the accepted forms."""


class DependencyCycle(LineshaftError, ValueError):
    """What `depends_on` of a cached function gave would have an entry depend on itself, or an edge of a `Dag` would
    close a cycle; names the way.
    """

    path: tuple[Any, ...] = ()
    """The nodes of a `Dag` on the way, the first of which is also the last."""


class UnknownOption(OptionError, TypeError):
    """An option that does not exist."""


class TaskError(LineshaftError):
    """A job that did not come to a result."""

    def __init__(
        self,
        message: str = "",
        *,
        job: Job[Any] | None = None,
        task: str | None = None,
        attempt: int = 0,
        reason: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.job = job
        """The job; None only where no job was made."""
        self.task = task
        """Name of the task."""
        self.attempt = attempt
        """Number of the last attempt; 0 if none began."""
        self.reason = reason
        """Why the job gave up (`max_attempts`, `never_retried`, `maybe_ran`, ...) or the text given with `Cancel`."""


class TaskFailed(TaskError):
    """The task raised, and is not tried again. The remote traceback is in the notes.

    `__cause__` is the original exception where its class is a builtin one or known to the app, otherwise None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        types: tuple[str, ...] = (),
        remote_message: str = "",
        traceback: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.types = types
        """Canonical names of the exception's classes, most derived first."""
        self.message = remote_message
        """What the remote exception said."""
        self.traceback = traceback
        """The traceback as the worker saw it."""

    def is_a(self, kind: type[BaseException] | str) -> bool:
        """Whether the remote exception was of class `kind` (a class or its canonical name) or of a subclass."""
        from ._names import canonical_name

        return (kind if isinstance(kind, str) else canonical_name(kind)) in self.types


class TaskCrashed(TaskError):
    """The process died under the task, as often as its crashes allow."""

    def __init__(
        self,
        message: str = "",
        *,
        signal: int | None = None,
        rss_peak: int | None = None,
        last_output: str = "",
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.signal = signal
        """The signal that killed the process, if one did."""
        self.rss_peak = rss_peak
        """Peak resident memory of the process in bytes, where known."""
        self.last_output = last_output
        """The end of what the attempt printed, at most 4 KiB."""


class TaskCancelled(TaskError):
    """Someone cancelled the job, or it cancelled itself."""


class TaskTimeout(TaskError):
    """The attempt ran longer than its timeout, as often as its retries allow."""

    def __init__(self, message: str = "", *, last_output: str = "", **details: Any) -> None:
        super().__init__(message, **details)
        self.last_output = last_output
        """The end of what the attempt printed, at most 4 KiB."""


class TaskNotFound(TaskError, LookupError):
    """No worker can know this task, or the app declares none of this name."""


class WaitTimeout(LineshaftError, TimeoutError):
    """The wait ended before the job did; the job goes on."""

    def __init__(
        self, message: str = "", *, state: str | None = None, waits_for: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.state = state
        """The job's state when the wait ended, of several jobs that of the first; None if the server was silent."""
        self.waits_for = waits_for
        """What that job waited for, in words; None if it ran."""


class ResultExpired(LineshaftError, LookupError):
    """The job succeeded, but its result is not kept (any more)."""

    code = "LS0021"


class JobNotFound(LineshaftError, LookupError):
    """No job has this id: it was deleted, or outlived its retention, or belongs to another home."""

    code = "LS0020"


class WrongState(LineshaftError):
    """The job is in a state that does not allow it."""


class WorkerFailed(LineshaftError):
    """The workers that this process started have ended by themselves; their output says why."""


class NoCurrentJob(LineshaftError, LookupError):
    """`current.job` was asked for outside of a job."""


class QueueFull(LineshaftError):
    """A table of the engine is full; try again when jobs have ended."""


class StoreFull(LineshaftError):
    """The disk is full."""


class SerializationError(LineshaftError, ValueError):
    """A value that cannot be sent (the message names its path), or bytes that do not read."""

    missing: str | None = None
    """What this process lacks to read well-formed bytes: a type (`shop.Order`), a field (`shop.Order.total`) or an
    enum's member (`shop.Color.RED`). None where the value or the bytes themselves are wrong."""


class LockError(LineshaftError):
    """A lock is not held where it is asked about, or would never be given."""


class LockLost(LockError):
    """A lock is not held any more: it was not renewed in time, or an operator broke it. Others may have it."""

    def __init__(self, message: str = "", *, fence: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.fence = fence
        """The fence that it was held with."""


class Deadlock(LockError):
    """Those who hold locks would have waited for each other for ever: the message names them.

    The one that came last is told so and is not in line any more; what it holds it should give back, and begin anew.
    """


class LockTimeout(LockError, TimeoutError):
    """A lock was not given in time; it is not asked for any more."""


class RateLimited(LineshaftError):
    """A function below `@limited` is called more often than it may be."""

    def __init__(self, message: str = "", *, retry_after: float = 0.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        """Seconds until it is free."""


class ResourceTimeout(LineshaftError, TimeoutError):
    """No resource of a pool came free in time; says who has them, and for how long."""


class ResourceClosed(LineshaftError):
    """The pool of resources is closed."""


class AuthError(LineshaftError, PermissionError):
    """The token is missing or wrong."""


class ServerError(LineshaftError):
    """The server cannot be reached or cannot be understood."""


class NoServer(ServerError, ConnectionError):
    """Nobody answers at this home or address."""


class VersionMismatch(ServerError):
    """Client and server have no protocol in common."""


class OutcomeUnknown(ServerError):
    """The deadline passed after the request had been sent: nobody can say yet whether it was carried out."""

    _token: _native.Resend | None = None
    _resend: Callable[[], Any] | None = None

    def resend(self) -> Any:
        """Repeats the very same request; never does it twice. Returns what the first call would have returned."""
        if self._resend is None:
            raise OutcomeUnknown("this request can no longer be resent: its session is gone", hint=self.hint) from self
        return self._resend()


class Retry(Exception):
    """How a task is retried; raised by its body, when it wants to be.

    As the option ``retries=Retry(max=5, on=(ConnectionError,), first="2s")``: up to `max` retries after errored and
    timed-out attempts, of the classes `on` and those below them only (empty: whatever is raised), but never of the
    classes `never` and those below; the delay starts at `first` (default 1 s) and doubles up to `cap` (default
    10 min), each drawn between zero and that.
    ``after=function`` says the delay instead: the worker calls it with the number of the attempt and its error when the
    attempt errored with one of these classes, and it returns a duration. If it fails, the usual delay applies.

    In the body ``raise Retry(after="5m")``: counts as an errored attempt and is tried again after that time; without
    `after` the usual delay applies. A function is called here, too. How often, and for which classes, is the option's.
    """

    def __init__(
        self,
        max: int | None = None,  # noqa: A002
        *,
        on: type[BaseException] | tuple[type[BaseException], ...] = (),
        never: type[BaseException] | tuple[type[BaseException], ...] = (),
        first: str | float | timedelta | None = None,
        cap: str | float | timedelta | None = None,
        after: str | float | timedelta | Callable[[int, BaseException], str | float | timedelta] | None = None,
    ) -> None:
        from ._options import duration, exception_classes, retry_count, wrong

        super().__init__("the task asked to be tried again")
        self.max = None if max is None else retry_count("max", max)
        self.on = exception_classes("on", on)
        self.never = exception_classes("never", never)
        self.first = None if first is None else duration("first", first)
        self.cap = None if cap is None else duration("cap", cap)
        if self.first is not None and self.cap is not None and self.first > self.cap:
            raise wrong("first", first, f"a duration no longer than `cap`, which is {cap!r}")
        self.after = after if after is None or callable(after) else duration("after", after)
        """Seconds until the next attempt, or what says them, or None for the usual delay."""

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value not in (None, ())}
        return f"Retry({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class Snooze(Exception):
    """Raised by the body of a task to be run again later; counts against nothing."""

    def __init__(self, delay: str | float | timedelta) -> None:
        from ._options import duration

        self.delay = duration("delay", delay)
        """Seconds until the next attempt."""
        super().__init__(f"snoozed for {self.delay:g} s")


class NotOpened(Snooze):
    """Raised in place of a body that needs a resource which does not open; its job uses no attempt."""

    def __init__(self, delay: float, why: str) -> None:
        super().__init__(delay)
        self.why = why
        """Which resource did not open, and what it raised."""


class Cancel(Exception):
    """Raised by the body of a task to end its job as cancelled."""

    def __init__(self, reason: str = "cancelled by the task") -> None:
        super().__init__(reason)
        self.reason = reason
        """Shown as the job's reason."""


class Cancelled(BaseException):
    """Raised into the body of a task whose job was cancelled."""


class TimedOut(BaseException):
    """Raised into the body of a task that runs longer than its timeout."""


class ImportSideEffect(BaseException):
    """A worker imports the app, and the app enqueues, waits or starts workers while it is imported."""
