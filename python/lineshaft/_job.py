"""Jobs: an id and the snapshot of the last reply. Properties never do I/O, verbs do."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from . import _native
from ._errors import WrongState
from ._logs import LogEntry, aentries_of, entries_of
from ._outcome import check_found, result_of
from ._profiles import aprofile_of, profile_of
from ._record import Attempt, Snapshot, attempts_of, output_of
from ._waiting import await_end, wait_for_end

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._app import App
    from ._options import Duration
    from ._profile._profile import Profile

__all__ = ["AsyncJob", "Job"]

R = TypeVar("R", covariant=True)


class Job(Generic[R]):
    """One enqueued call of a task. Jobs compare by id and are values: an argument or a result may be one."""

    __slots__ = ("_app", "_as_of", "_end", "_key", "_record", "_snapshot", "_text", "_unmade")
    _unmade: str
    """Of one that was enqueued in a batch: what became of it until it has an id."""

    def __init__(self, app: App, key: bytes, snapshot: Snapshot | None = None, as_of: float = 0.0) -> None:
        self._app = app
        self._key = key
        self._snapshot = snapshot
        self._as_of = as_of
        self._text: str | None = None
        self._record: _native.JobRecord | None = None
        self._end: _native.End | None = None

    if not TYPE_CHECKING:  # a checker would believe that everything else is there, too

        def __getattr__(self, name: str) -> Any:
            """Only the id can be missing: of what waits in a batch."""
            if name == "_key":
                raise WrongState(
                    f"the job of {self.task} {self._unmade}",
                    hint="jobs of a batch are made when the block of `with app.batch():` has ended well",
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def id(self) -> str:
        """The job's id, a UUID of version 7. Raises `WrongState` while the job waits in `app.batch()`."""
        if self._text is None:
            self._text = _native.format_id(self._key)
        return self._text

    @property
    def state(self) -> str | None:
        """The state that the last reply gave; None before the first one."""
        return None if self._snapshot is None else self._snapshot.state

    @property
    def task(self) -> str | None:
        """Name of the task; None before the first reply."""
        return None if self._snapshot is None else self._snapshot.task

    @property
    def as_of(self) -> datetime | None:
        """When the last reply came; None before the first one."""
        return None if self._snapshot is None else datetime.fromtimestamp(self._as_of, timezone.utc)

    @property
    def existing(self) -> bool:
        """Whether `enqueue` made no job but answered with this one (unique or idempotency key)."""
        return self._snapshot is not None and self._snapshot.existing

    @property
    def record(self) -> _native.JobRecord | None:
        """All that the last `refresh` said; None before it."""
        return self._record

    def refresh(self) -> Self:
        """Asks the server for the job's record."""
        self._show()
        return self

    async def arefresh(self) -> Self:
        """`refresh` for coroutines."""
        await self._ashow()
        return self

    def wait(self, timeout: Duration | None = None) -> Self:
        """Blocks until the job has ended, however it did.

        `timeout` is a number of seconds, a timedelta or text such as `"1m"`; None waits without an end, 0 only looks.
        Raises `WaitTimeout` when it is over, and the job then goes on, or `JobNotFound`.
        """
        __tracebackhide__ = True  # pytest shows where it was called
        check_found(self, self._ended(wait_for_end(self, False, timeout)))
        return self

    async def await_(self, timeout: Duration | None = None) -> Self:
        """`wait` for coroutines."""
        check_found(self, self._ended(await await_end(self, False, timeout)))
        return self

    @overload
    def result(self, timeout: Duration | None = None, *, raw: Literal[False] = False) -> R: ...

    @overload
    def result(self, timeout: Duration | None = None, *, raw: bool) -> Any: ...

    def result(self, timeout: Duration | None = None, *, raw: bool = False) -> Any:
        """Blocks until the job has ended and gives what the task returned.

        With `raw` the instances of classes in it are `Record`s, so that it can be read without having the classes.

        Raises `TaskFailed`, `TaskCrashed`, `TaskTimeout` or `TaskCancelled` if it returned nothing, `ResultExpired`
        if its result is not kept, `SerializationError` if it has types that this process does not know,
        `WaitTimeout` if the job has not ended within `timeout` (as in `wait`).
        """
        __tracebackhide__ = True  # pytest shows where it was called
        return result_of(self, self._end or self._ended(wait_for_end(self, True, timeout)), raw)

    @overload
    async def aresult(self, timeout: Duration | None = None, *, raw: Literal[False] = False) -> R: ...

    @overload
    async def aresult(self, timeout: Duration | None = None, *, raw: bool) -> Any: ...

    async def aresult(self, timeout: Duration | None = None, *, raw: bool = False) -> Any:
        """`result` for coroutines."""
        __tracebackhide__ = True  # pytest shows where it was called
        return result_of(self, self._end or self._ended(await await_end(self, True, timeout)), raw)

    def cancel(self) -> bool:
        """Cancels the job: at once if it does not run, else its attempt is stopped.

        True if it is or will be cancelled (`wait` tells when), False if it had ended before.
        """
        return self._app._connection.ask(lambda client: client.cancel(self._key), self._changed)

    async def acancel(self) -> bool:
        """`cancel` for coroutines."""
        return await self._app._connection.aask(lambda client: client.cancel(self._key), self._changed)

    def retry(self) -> Self:
        """Runs a waiting job now and gives it back; of a finished one makes a new job with the same call."""
        return self._app._connection.ask(lambda client: client.retry(self._key), self._retried)

    async def aretry(self) -> Self:
        """`retry` for coroutines."""
        return await self._app._connection.aask(lambda client: client.retry(self._key), self._retried)

    def attempts(self) -> list[Attempt]:
        """Its attempts, oldest first; the newest 32 are kept."""
        return attempts_of(self._show().record)

    async def aattempts(self) -> list[Attempt]:
        """`attempts` for coroutines."""
        return attempts_of((await self._ashow()).record)

    def output(self) -> str:
        """What its newest attempt printed, at most 64 KiB: the beginning and the end."""
        return output_of(self._show().record)

    async def aoutput(self) -> str:
        """`output` for coroutines."""
        return output_of((await self._ashow()).record)

    def logs(self, attempt: int | None = None) -> list[LogEntry]:
        """What its attempts have logged so far, or the one with this number.

        These are records of `lineshaft.get_logger` from level info on, or from what `lineshaft.logging.configure` says,
        and those of the standard library if they are captured. The first 1 MiB of an attempt is kept, for as long as
        finished jobs are, and the newest 1 GiB of all.
        """
        return entries_of(self._app, self._key, attempt)

    async def alogs(self, attempt: int | None = None) -> list[LogEntry]:
        """`logs` for coroutines."""
        return await aentries_of(self._app, self._key, attempt)

    def profile(self, attempt: int | None = None) -> Profile | None:
        """Where the time of its newest attempt that was profiled went, or of the one with this number, if it was.

        Attempts are profiled by `task.using(profile=True)`, `@app.task(profile=0.01)`, `lineshaft profile --next` and,
        where they run for long, by themselves; None if none was. By `profile="memory"` and `--next 20 --memory` they
        have the lines that keep memory, too. Of one that was killed this is what was seen until the last second before,
        without memory. Profiles are kept as long as logs.
        """
        return profile_of(self._app, self._key, attempt)

    async def aprofile(self, attempt: int | None = None) -> Profile | None:
        """`profile` for coroutines."""
        return await aprofile_of(self._app, self._key, attempt)

    def progress(self) -> Any:
        """What its running attempt last gave to `current.progress`; None if it gave nothing or does not run."""
        return self._progress(self._show())

    async def aprogress(self) -> Any:
        """`progress` for coroutines."""
        return self._progress(await self._ashow())

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Job) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        if not self._is_made:
            return f"<{type(self).__name__} of {self.task}, which {self._unmade}>"
        about = "" if self._snapshot is None else f" {self._snapshot.task} {self._snapshot.state}"
        return f"<{type(self).__name__} {self.id}{about}>"

    @property
    def _is_made(self) -> bool:
        try:
            return self._key is not None
        except WrongState:
            return False

    def _show(self) -> _native.Shown:
        return self._app._connection.ask(lambda client: client.show(self._key), self._seen)

    async def _ashow(self) -> _native.Shown:
        return await self._app._connection.aask(lambda client: client.show(self._key), self._seen)

    def _seen(self, shown: _native.Shown) -> _native.Shown:
        self._record = shown.record
        self._note(shown.record.state, shown.record.task)
        return shown

    def _progress(self, shown: _native.Shown) -> Any:
        self._app._learn_types()
        return None if shown.progress is None else self._app._types.decode(shown.progress)

    def _ended(self, end: _native.End) -> _native.End:
        if end.state != "missing":
            self._note(end.state, end.task)
        return end

    def _changed(self, change: tuple[str | None, bool, int]) -> bool:
        state, cancelling, _ = change
        if state is not None:
            self._note(state, None)
        return cancelling or state == "cancelled"

    def _retried(self, made: tuple[bytes, list[int], list[int]]) -> Self:
        key = made[0]
        return self if key == self._key else type(self)(self._app, key, Snapshot("available", self.task), time.time())

    def _note(self, state: str, task: str | None) -> None:
        queue = None if self._snapshot is None else self._snapshot.queue
        self._snapshot = Snapshot(state, task or self.task, self.existing, queue)
        self._as_of = time.time()


class AsyncJob(Job[R]):
    """A job made by `aenqueue`: awaiting it gives its result."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, R]:
        return self.aresult().__await__()
