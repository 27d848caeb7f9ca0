"""The app: declares tasks, and knows where their jobs live.

Making an `App` does no I/O; the first call that needs the server connects, and starts one on demand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, final, overload

from . import _native
from ._alternatives._of_app import ChoosesAlternatives
from ._attendance import Attendance
from ._batch import aenqueue_calls, enqueue_calls
from ._cached._of_app import ROOM_BYTES, CachesResults, room_of
from ._connection import Connection
from ._declare import check_names, is_coroutine_function
from ._errors import TaskNotFound
from ._failure import check_app, check_row, unknown_handlers
from ._hooks import HookSet
from ._include import Includes
from ._job import Job
from ._locks import Barrier, Holders, Leader, Limiter, Lock, ReadWriteLock, Semaphore
from ._names import Place
from ._options import TASK_OPTIONS, checked, wrong
from ._overrides import Overrides
from ._profiles import KeepsProfiles
from ._resource import Provides, Resources
from ._task import AsyncTask, BaseTask, Task
from ._together import BatchBlock
from ._types import Before, Types
from ._waiting import aas_completed, as_completed

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import Unpack

    from ._group import Tasks
    from ._hooks import Hooks
    from ._job import AsyncJob
    from ._jobpool._pool import JobPool
    from ._native import Call
    from ._opening import Kept
    from ._options import Duration, Size, TaskOptions
    from ._resource import Resource
    from ._statistics import TaskStats
    from ._workers import Workers

__all__ = ["App"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
J = TypeVar("J", bound="Job[Any]")


@final
class _Unnamed:
    """Returned by no function, so that only a result of `Any` or `NoReturn` fits it; either fits a coroutine, too."""


class _Declares(Protocol):
    """What `@app.task(...)` gives: a decorator that keeps the signature."""

    @overload
    def __call__(self, function: Callable[P, _Unnamed], /) -> Task[P, Any]: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class App(Provides, CachesResults, ChoosesAlternatives, KeepsProfiles):
    """Tasks and the home in which their jobs live.

    `url` is the path of a home. Without it the home is, first match: the variable `LINESHAFT_URL`; `[tool.lineshaft]
    url` in `lineshaft.toml` or `pyproject.toml` upward of the file that makes the App; `.lineshaft/` beside the
    nearest `pyproject.toml`, `setup.cfg`, `manage.py` or `.git` upward of it; `.lineshaft/` beside the file.

    `hooks` are told of what becomes of its jobs, see `Hooks`.

    `accept_pickle` lets it read what was sent as `Pickled`. Whoever can write to its home can then run any code in its
    workers and in the programs that read results, so leave it off wherever you do not trust all of them.

    `host_cache` is the room for results that the processes of a host share, see `cached`: 64 MiB by default, of which
    memory is taken as it is used. Whoever comes first on a host says how much it is there.
    """

    def __init__(
        self,
        url: str | os.PathLike[str] | None = None,
        *,
        hooks: Iterable[Hooks] = (),
        accept_pickle: bool = False,
        host_cache: Size = ROOM_BYTES,
    ) -> None:
        if url is not None and not isinstance(url, str | os.PathLike):
            raise wrong("url", url, "the path of a home")
        module, file, self._place = _creator(self)
        self._module = module
        self._file = file
        self._connection = Connection(None if url is None else os.fspath(url), file)
        self._declared: dict[str, BaseTask[..., Any]] = {}
        self._types = Types(accept_pickle, self)
        self._host_cache_bytes = room_of(host_cache)
        self._types_are_learnt = False
        self._hooks = HookSet(hooks)
        self._includes = Includes(self)
        self._overrides = Overrides(file)
        self._resources = Resources()
        self._fakes: dict[Resource[Any], Any] = {}
        self._kept: Kept | None = None
        self._attendance = Attendance(self)
        self._holders = Holders()

    def __repr__(self) -> str:
        count = sum(1 for name, task in self._declared.items() if name == task.name)
        later = "".join(f" and those of {target}" for target in self._includes.targets)
        return f"<App of {self._module} with {count} tasks{later}>"

    @property
    def url(self) -> str:
        """The absolute path of the home; never changes after its first use."""
        return self._connection.home

    @property
    def tasks(self) -> Mapping[str, BaseTask[..., Any]]:
        """The declared and included tasks by name; imports what is included and was not needed before."""
        self._includes.load()
        return MappingProxyType({name: task for name, task in self._declared.items() if name == task.name})

    @overload
    def task(self, function: Callable[P, _Unnamed], /) -> Task[P, Any]: ...

    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> _Declares: ...

    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Declares a function as a task, as `@app.task` or `@app.task(option=...)`.

        Options: `name` and `aliases` (default: module.qualname); `version` (1) and `from_version` (1), the earliest
        whose jobs it runs: others are left to workers that do; `queue` ("default"); `priority` 1 (first) to 9,
        "high", "normal" (default) or "low"; `retries`, a number (0) or `Retry(...)`; `timeout` of an attempt (1 h,
        None for none); `unique`, "args" or `Unique(...)`; `cache`, how long an equal call is answered with the job that
        was completed (at most 24 h; None for not at all); `delivery`, "at_least_once" (default) or "at_most_once";
        `result`, whether it is kept (True); `tags`; `on_failure`, the task, or its name, that gets a job when one of
        this task gives up, with the failed `Job` as its argument; `profile`, the share of its attempts that are
        profiled, from 0 to 1, or `"memory"` for each with the lines that keep memory; `validate`, whether arguments are
        held against annotations, as they are anyway against those of pydantic and msgspec.
        """
        # Checked here rather than with the function, so that the error points at the options.
        given = checked(options, TASK_OPTIONS, "@app.task")
        return self._declare(function, given) if function is not None else lambda later: self._declare(later, given)

    def include(self, *what: str | Tasks | ModuleType) -> None:
        """Takes over tasks that were declared without an app, as `app.include("shop.mail.tasks")`.

        A TARGET (`module`, `module:attr`, `path.py`, ...) is imported when it is first needed: for a task by its name,
        and when a worker starts. A module or a `Tasks` is taken over at once. Including again changes nothing.
        """
        frame = sys._getframe(1)
        for one in what:
            self._includes.add(one, Place(frame.f_code.co_filename, frame.f_lineno))

    def find_task(self, name: str) -> BaseTask[..., Any]:
        """The task of this name or alias; `TaskNotFound` if the app declares none."""
        task = self._declared.get(name)
        if task is None:
            self._includes.load()
            task = self._declared.get(name)
        if task is not None:
            return task
        import difflib

        near = difflib.get_close_matches(name, self._declared, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its tasks: {', '.join(self.tasks) or 'none'}"
        raise TaskNotFound(f"the app declares no task {name!r}", task=name, hint=hint)

    def register(
        self,
        cls: type[T],
        /,
        name: str | None = None,
        *,
        aliases: Iterable[str] = (),
        renamed: Mapping[str, str] | None = None,
        removed: Iterable[str] = (),
    ) -> type[T]:
        """Lets values of `cls` be sent, under its module.qualname or `name`. Gives `cls` back, so it may decorate.

        Bytes that say one of `aliases`, its names of old, are read as it too. `renamed` has old names of its fields
        with those they have now; `removed` names fields that are gone. Raises `DeclarationError` if one of the
        names is another class's, or if `cls` is of a kind whose instances cannot be values. Types named in the
        annotations of tasks or defined in their modules need not be registered; `@lineshaft.value` does the same for
        every app.
        """
        self._types.register(cls, name, Before.of(aliases, renamed, removed))
        return cls

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Job[R]]:
        """Makes a job of every call, in batches of 1,000, each one commit. The jobs come in the order of the calls.

        Where a batch fails or `calls` raises, the batches before stay; a note on the exception says how many jobs they
        are.
        """
        return enqueue_calls(self, calls)

    async def aenqueue_many(self, calls: Iterable[Call[R]]) -> list[AsyncJob[R]]:
        """`enqueue_many` for coroutines."""
        return await aenqueue_calls(self, calls)

    def batch(self) -> BatchBlock:
        """What is enqueued in the block of `with` or `async with` leaves together when it ends well, in one commit.

        None of it is made if the block raises. Until then the jobs have no id, and asking for it, or for a result,
        raises `WrongState`. A call is checked and its arguments are encoded where it is enqueued. In a batch within one
        what is enqueued leaves with the outer one, or not at all if the inner one raises. Threads and coroutines have
        batches of their own; coroutines started in the block belong to it. It takes 16,384 calls with 64 MiB of
        arguments, and raises `OptionError` for more.
        """
        return BatchBlock(self)

    def lock(
        self, key: str, *, ttl: Duration = "30s", timeout: Duration | None = None, reentrant: bool = False
    ) -> Lock:
        """A lock that one program of the home holds at a time, for `with` and `async with`.

        It is given in the order in which it was asked for, and renewed by a thread of the extension. A holder that is
        not heard of for `ttl` (2 s to a day), being killed or stopped, loses it: `check()` says so, and `fence` grows
        with every holder, so that what the lock protects can refuse one that came too late. It outlives a restart of
        the server.

        `timeout` bounds the wait: `LockTimeout`; 0 asks once, None waits for as long as it takes. With `reentrant` the
        same thread or coroutine may take it again; otherwise that is a `LockError`. Makes no I/O until it is entered.
        """
        return Lock(self, key, ttl, timeout, reentrant)

    def semaphore(
        self,
        key: str,
        n: int,
        *,
        ttl: Duration = "30s",
        timeout: Duration | None = None,
        reentrant: bool = False,
    ) -> Semaphore:
        """`lock` that up to `n` programs hold at a time (1 to 1,048,576).

        Each says its own `n`: who asks with a smaller one waits until so few hold it, and those behind it wait, too.
        `ttl`, `timeout` and `reentrant` are as for `lock`.
        """
        return Semaphore(self, key, n, ttl, timeout, reentrant)

    def rwlock(
        self, key: str, *, ttl: Duration = "30s", timeout: Duration | None = None, reentrant: bool = False
    ) -> ReadWriteLock:
        """A lock that many hold to read, or one to write: `with app.rwlock(key).read:` and `.write`.

        Who comes after a writer waits behind it, readers too, so that neither waits for ever. `ttl` and `timeout` are
        as for `lock`. With `reentrant` who reads may read again, and who writes may read or write; who reads cannot
        write: `LockError`.
        """
        return ReadWriteLock(self, key, ttl, timeout, reentrant)

    def leader(self, key: str, *, ttl: Duration = "30s", timeout: Duration | None = None) -> Leader:
        """A `lock` for the one program that does something for all of them: `with app.leader(key) as leader:`.

        Waits until it leads, and leads until the end of the block as long as `leader.leads`. When it is not heard of
        for `ttl` the next one leads. `timeout` bounds the wait, as for `lock`. `lineshaft locks` says who leads.
        """
        return Leader(self, key, ttl, timeout)

    def barrier(self, key: str, parties: int, *, timeout: Duration | None = None) -> Barrier:
        """Where programs wait until `parties` of them (1 to 1,024) have come: `app.barrier(key, 3).wait()`.

        All go on at once, also where the server is killed meanwhile. Who dies while it waits has not come, and so has
        who waited for `timeout`: `LockTimeout`.
        """
        return Barrier(self, key, parties, timeout)

    def limiter(self, key: str, rate: str, *, burst: int | None = None, wait: bool | Duration = True) -> Limiter:
        """Lets programs of the home pass no more often than `rate`, as "100/m": `with app.limiter("api", "100/m"):`.

        After a quiet time as many pass at once as the number in `rate`, or `burst`; from then on they are spread
        evenly, in the order in which they come. `wait=False` raises `RateLimited` instead of waiting, a duration does
        if it would be longer than that. For one process alone there is `@limited`.
        """
        return Limiter(self, key, rate, burst, wait)

    def job(self, id: str | UUID, /) -> Job[Any]:  # noqa: A002
        """A handle to the job of this id, made without I/O."""
        return Job(self, _native.parse_id(str(id)))

    def stats(self, task: BaseTask[..., Any] | str | None = None) -> list[TaskStats]:
        """What the attempts of `task` came to and took, or those of all tasks: one for each version that had any.

        A text may name a task of another app of the home, and one version of it, as `shop.send v2`.
        """
        from ._statistics import stats_of

        return stats_of(self, task.name if isinstance(task, BaseTask) else task)

    async def astats(self, task: BaseTask[..., Any] | str | None = None) -> list[TaskStats]:
        """`stats` for coroutines."""
        from ._statistics import astats_of

        return await astats_of(self, task.name if isinstance(task, BaseTask) else task)

    def as_completed(self, jobs: Iterable[J], timeout: Duration | None = None) -> Iterator[J]:
        """Gives the jobs in the order in which they end, each with its result at hand.

        Raises `WaitTimeout` when `timeout` has passed since the first step; the jobs go on. With 0 it gives those that
        have ended.
        """
        return as_completed(self, jobs, timeout)

    def aas_completed(self, jobs: Iterable[J], timeout: Duration | None = None) -> AsyncIterator[J]:
        """`as_completed` for coroutines: `async for job in app.aas_completed(jobs)`."""
        return aas_completed(self, jobs, timeout)

    def workers(
        self,
        n: int | None = None,
        *,
        slots: int | None = None,
        kind: str | None = None,
        queues: Iterable[str] | None = None,
        recycle_jobs: int | None = None,
        recycle_age: Duration | None = None,
        recycle_growth: Size | None = None,
        wait: bool = True,
    ) -> Workers:
        """Runs `n` worker processes (default: one per core) for the block of a `with` or `async with`.

        Each runs one attempt at a time; with `kind` "thread" or "async" as many as `slots` says (4 per core; 1,000).
        A process is replaced by a fresh one after `recycle_jobs`, at `recycle_age` or when it has grown by
        `recycle_growth`, between two jobs and when the fresh one is ready. What is not said here, `LINESHAFT_PROCESSES`
        and the like or the project's file may say.

        A clean exit of the block waits, unless `wait=False`, until nothing this process enqueued in it is available
        or running. Ctrl-C once lets attempts finish, twice kills them.
        """
        from ._settings import worker_settings
        from ._workers import Workers

        settings = worker_settings(
            self,
            processes=n,
            slots=slots,
            kind=kind,
            queues=queues,
            recycle_jobs=recycle_jobs,
            recycle_age=recycle_age,
            recycle_growth=recycle_growth,
            count_option="n",
        )
        return Workers(self, settings, wait)

    def pool(self, *, queue: str | None = None, durable: bool = False, ahead: int | None = None) -> JobPool:
        """The verbs of `Pool` on the engine's workers: each item is a job of a task, in `queue` or that of the task.

        At most `ahead` jobs (4,096) are made before those that have ended, so that items may be any number. What has
        not ended when the pool is left is cancelled; a program that is killed leaves as many jobs at most.

        With `durable` all jobs are made at once and outlive the program: leaving the pool cancels none, and the
        results of `map_async` and the like have `jobs`, to be followed elsewhere. `ahead` then bounds the results that
        wait here.
        """
        from ._jobpool._pool import AHEAD, JobPool
        from ._options import flag, name

        if ahead is not None and (not isinstance(ahead, int) or isinstance(ahead, bool) or ahead < 1):
            raise wrong("ahead", ahead, f"a number of jobs from 1 up; None for {AHEAD:,}")
        queue = None if queue is None else name("queue", queue)
        return JobPool(self, queue=queue, is_durable=flag("durable", durable), ahead=AHEAD if ahead is None else ahead)

    def run_worker(
        self,
        processes: int | None = None,
        *,
        slots: int | None = None,
        kind: str | None = None,
        queues: Iterable[str] | None = None,
        grace: Duration | None = None,
        recycle_jobs: int | None = None,
        recycle_age: Duration | None = None,
        recycle_growth: Size | None = None,
    ) -> None:
        """Works until SIGTERM or SIGINT: no new jobs then, running ones finish within `grace`. A second one kills.

        Defaults are those of `workers()`, and 30 s of grace. What is not said here, `LINESHAFT_PROCESSES` and the like
        or the project's file may say.
        """
        from ._settings import worker_settings
        from ._workers import run_worker

        settings = worker_settings(
            self,
            processes=processes,
            slots=slots,
            kind=kind,
            queues=queues,
            grace=grace,
            recycle_jobs=recycle_jobs,
            recycle_age=recycle_age,
            recycle_growth=recycle_growth,
        )
        run_worker(self, settings)

    @contextmanager
    def override(
        self,
        fakes: Mapping[Resource[Any], Any] | None = None,
        /,
        *,
        home: str | os.PathLike[str] | None = None,
        **named: Any,
    ) -> Iterator[None]:
        """For tests: in the block, others take the place of resources, as `app.override(pool=fake)`.

        What is given is a value, or another resource, which is opened. `{pool: fake}` names the resource itself. `home`
        moves the app to another home. The block counts for the whole process, but not for workers that it starts.
        """
        before = self._fakes, self._connection, self._attendance
        added = dict(fakes or {})
        for name, fake in named.items():
            if name not in self._resources.by_name:
                self._includes.load()
            added[self._resources.named(name, "override()")] = fake
        self._resources.check({**self._fakes, **added})
        self._fakes = {**self._fakes, **added}
        if home is not None:
            self._connection, self._attendance = Connection(os.fspath(home), self._file), Attendance(self)
        try:
            yield
        finally:
            self._fakes, self._connection, self._attendance = before

    def _begin_work(self, home: str | None = None) -> Kept:
        """In a worker: from here on, resources stay open between attempts. Opens those that are opened ahead.

        Jobs that bodies make go to the worker's home, which need not be the one that the app says.
        """
        from ._opening import Kept

        if home is not None:
            self._connection = Connection(home, self._file)
        for task in self._declared.values():
            task.check_uses()
            task.binder.settle()
        self._kept = Kept(self._resources)
        self._kept.open_ahead(self._declared)
        return self._kept

    def _declare(self, function: Any, options: dict[str, Any]) -> BaseTask[..., Any]:
        kind = AsyncTask if is_coroutine_function(function) else Task
        task: BaseTask[..., Any] = kind(self, function, options)
        self._add(task)
        return task

    def _adopt(self, task: BaseTask[..., Any]) -> None:
        """Takes a task of a group over."""
        self._add(task._of(self))

    def _add(self, task: BaseTask[..., Any]) -> None:
        check_names(task, self._declared)
        self._resources.check_task(task)
        check_row(task, {**self._declared, task.name: task})
        check_app(self, task)
        for name in (task.name, *task.aliases):
            self._declared[name] = task
        self._types_are_learnt = False

    def _check_tasks(self) -> list[str]:
        """Raises an error for options that cannot hold; gives what is odd about others, in words."""
        return [*self._overrides.check(self.tasks), *unknown_handlers(self)]

    def _learn_types(self) -> None:
        """Before a value is read that any of the tasks may have returned: this process may have run or called none."""
        if not self._types_are_learnt:
            # What is included and not imported yet has made no call here; its module may be one for workers only.
            for task in self._declared.values():
                self._types.learn(task)
            self._types_are_learnt = True


def _creator(app: App) -> tuple[str, str | None, Place | None]:
    """Module and file that make `app`, looking past constructors of subclasses; its place if that is the top level."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_locals.get("self") is app:
        frame = frame.f_back
    file = frame.f_code.co_filename
    module = str(frame.f_globals.get("__name__", "__main__"))
    place = Place(file, frame.f_lineno) if frame.f_code.co_name == "<module>" else None
    return module, os.path.abspath(file) if os.path.isfile(file) else None, place
