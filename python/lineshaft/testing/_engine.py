"""A private engine: a server on a thread of this process, with a home in memory that goes with it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .. import _connection, _native
from .._drain import drain
from .._errors import LineshaftError
from .._options import duration

if TYPE_CHECKING:
    from .._app import App
    from .._attendance import Attendance
    from .._connection import Connection
    from .._job import Job
    from .._options import Duration
    from .._task import BaseTask
    from ._threads import Threads

__all__ = ["Engine", "Enqueued", "advance", "assert_enqueued", "enqueued", "private_engine", "route_output", "run_jobs"]

Home: TypeAlias = Literal["memory", "tmp"]

MEMORY = "/dev/shm"
MEMORY_BYTES_MIN = 256 << 20
"""What has to be free there; containers often give it 64 MiB."""


@dataclass(frozen=True)
class Enqueued:
    """A `job` that this process enqueued, and the call of which it was made: `task`, `args` and `kwargs`."""

    job: Job[Any]
    task: str
    """Name of the task."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Engine:
    """What the apps of one test share in place of their default homes. Starts at their first use."""

    def __init__(self, home: Home, outer: Engine | None) -> None:
        self._kind = home
        self._outer = outer
        self._directory: str | None = None
        self._server: _native.EmbeddedServer | None = None
        self._starting = threading.Lock()
        self._is_over = False
        self._variable = os.environ.get(_VARIABLE)
        self._connections: list[Connection] = []
        self._attendances: list[Attendance] = []
        self.enqueued: list[Enqueued] = []

    def stand_in(self, connection: Connection, home: str, is_default: bool) -> str:
        """The home for a connection that found `home`."""
        if not is_default and not self._is_private(home):
            return home
        self._start()
        connection.engine = self
        self._connections.append(connection)
        return self.home

    def _is_private(self, home: str) -> bool:
        """Whether it was found by the variable that an engine has set, this one or one around it."""
        is_own = self._directory is not None and home == self.home
        return is_own or (self._outer is not None and self._outer._is_private(home))

    def note(self, jobs: Sequence[Job[Any]], calls: Sequence[_native.Call[Any]]) -> None:
        """Remembers what was enqueued."""
        made = zip(jobs, calls, strict=True)
        self.enqueued += (Enqueued(job, call.task, call.args, call.kwargs or {}) for job, call in made)

    def work(self, attendance: Attendance) -> Threads:
        """Threads for an app that waits."""
        from ._threads import Threads

        self._attendances.append(attendance)
        return Threads(attendance._app)

    def route_output(self) -> None:
        """Lets attempts keep what they print, if threads of this process run any."""
        if self._attendances:
            from ._threads import route

            route()

    def advance(self, seconds: float) -> None:
        """Moves its time forward and lets it act on that."""
        self._start()
        if self._server is None:
            raise LineshaftError(
                "the time of a server process cannot be moved", hint='it can in a home in memory: home="memory"'
            )
        self._server.advance(seconds)
        for connection in self._connections[-1:]:
            connection.client().status().wait()

    @property
    def home(self) -> str:
        """Where it is."""
        return os.path.join(self._directory or "", "home")

    def close(self) -> None:
        """Ends everything; no file, process or thread is left."""
        for attendance in self._attendances:
            attendance.end()
        if self._attendances:
            from ._threads import unroute

            unroute()
        for connection in self._connections:
            connection.forget()
        with self._starting:
            self._is_over = True
        if self._directory is not None:
            _restore(self._variable)
            if self._server is None:
                _stop(self.home)
            else:
                self._server.stop()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        # A thread that the test has left behind may ask first, and while the test ends.
        with self._starting:
            if self._is_over:
                raise LineshaftError("the test that this thread began in is over, and its engine with it")
            self._start_once()

    def _start_once(self) -> None:
        if self._directory is None:
            # A short path: a socket's has room for 107 bytes.
            self._directory = tempfile.mkdtemp(prefix="lineshaft-", dir=_memory() if self._kind == "memory" else None)
            if self._kind == "memory":
                self._server = _native.EmbeddedServer(self.home)
            # Worker processes and other programs that the test starts mean this home too.
            os.environ[_VARIABLE] = self.home


_VARIABLE = "LINESHAFT_URL"


def _restore(variable: str | None) -> None:
    if variable is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = variable


def _memory() -> str | None:
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return None
    is_fit = room.f_bavail * room.f_frsize >= MEMORY_BYTES_MIN and os.access(MEMORY, os.W_OK)
    return MEMORY if is_fit else None


def _stop(home: str) -> None:
    import subprocess

    command = [*_connection.server_command(), "stop", "--home", home]
    subprocess.run(command, capture_output=True, timeout=60, check=False)


_engine: Engine | None = None


@contextmanager
def private_engine(home: Home = "memory") -> Iterator[None]:
    """In the block, apps that would use their default home share an engine of their own, which ends with the block.

    `home="tmp"` is a home on the disk with a server process, as in production, in a directory that goes away.
    """
    global _engine
    if home not in ("memory", "tmp"):
        raise ValueError(f'home: {home!r} is not accepted; accepted: "memory" or "tmp"')
    before = _engine, _connection.stand_in
    engine = _engine = Engine(home, _engine)
    _connection.stand_in = engine.stand_in
    try:
        yield
    finally:
        _engine, _connection.stand_in = before
        engine.close()


def route_output() -> None:
    """Lets attempts in threads of this process keep what they print."""
    if _engine is not None:
        _engine.route_output()


def _here() -> Engine:
    if _engine is None:
        raise LineshaftError("there is no private engine here", hint="use pytest, or `with private_engine():`")
    return _engine


def enqueued(task: BaseTask[..., Any] | None = None) -> list[Enqueued]:
    """The jobs that this process has enqueued in this test, of `task` or all, in order."""
    return [made for made in _here().enqueued if task is None or made.task == task.name]


def assert_enqueued(task: BaseTask[..., Any], /, *args: Any, **kwargs: Any) -> Job[Any]:
    """The newest job that was enqueued with these arguments; AssertionError names those that were, if there is none.

    Arguments are compared as the task would get them: by position or by name is the same, and defaults count.
    """
    wanted = _bound(task, args, kwargs)
    found = enqueued(task)
    for made in reversed(found):
        if _bound(task, made.args, made.kwargs) == wanted:
            return made.job
    calls = "".join(f"\n  {_call(made.args, made.kwargs)}" for made in found) or " none"
    raise AssertionError(f"{task.name}{_call(args, kwargs)} was not enqueued; its jobs:{calls}")


def _bound(task: BaseTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        bound = task.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{task.name}{task.signature}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def _call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return f"({', '.join([*map(repr, args), *(f'{key}={value!r}' for key, value in kwargs.items())])})"


def advance(by: Duration) -> None:
    """Moves the time of the private engine forward: what is due by then is due now.

    That is `run_after`, the delay before a retry, a snooze, `expires`, `deadline`, the period of a unique key, how long
    results are cached and how long they are kept. Attempts that run, their timeouts and the clocks of this process
    notice nothing. `by` is a duration such as `"1h"`, a `timedelta` or a number of seconds. Only in a home in memory,
    which is the default.
    """
    _here().advance(duration("by", by))


def run_jobs(app: App) -> list[Job[Any]]:
    """Runs what this test has enqueued for `app` and is available, to its end; gives these jobs, refreshed.

    Jobs that wait for a time stay behind: `advance` brings it. A job that fails is not raised here: its state says so.
    """
    from .._app import App

    if not isinstance(app, App):
        raise TypeError(f"run_jobs() takes an app, this is {app!r}")
    jobs = [made.job for made in enqueued() if made.job._app is app]
    if jobs:
        app._attendance.ensure(jobs[0])
        drain(app, b"".join(job._key for job in jobs), app._attendance.check)
    return [job.refresh() for job in jobs]
