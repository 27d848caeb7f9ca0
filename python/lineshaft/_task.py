"""Tasks: declared functions that can be enqueued.

`Task` is what `@app.task` and `@tasks.task` return. It is still the function when called; `enqueue` and its kin make
jobs of it.
`Using` is a task together with the options of the next calls.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

from . import _guard, _native
from ._batch import aenqueue_calls, aenqueue_one, enqueue_calls, enqueue_one
from ._cleanup import with_cleanup
from ._declare import check_function, default_name
from ._errors import TaskNotFound
from ._guard import refuse_import_side_effect
from ._names import Place, place_of
from ._native import Call
from ._options import CALL_OPTIONS, checked, wrong
from ._record import Snapshot
from ._resource import uses_of
from ._retrying import narrowed
from ._signature import Binder
from ._task_cache import TaskCache, cached_key, check_cache, with_cache
from ._template import described, template_of

if TYPE_CHECKING:
    from inspect import Signature

    from typing_extensions import Self, Unpack

    from ._app import App
    from ._group import Tasks
    from ._job import AsyncJob, Job
    from ._options import CallOptions, Share
    from ._unique import Unique

__all__ = ["AsyncTask", "BaseTask", "Enqueues", "Task", "Using"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)


class _TakesOne(Protocol[Item_contra, R]):
    """What can be called with one argument alone: `map` is typed by it, since a `ParamSpec` has no first parameter."""

    @property
    def app(self) -> App: ...

    def si(self, item: Item_contra, /) -> Call[R]: ...


class Enqueues(Generic[P, R]):
    """What a task and a task with options have in common: making calls and jobs."""

    app: App
    task: BaseTask[P, R]
    options: dict[str, Any]
    _given: Mapping[str, Any] = MappingProxyType({})
    _template_made: _native.Template | None
    _effective_made: dict[str, Any] | None = None
    _snapshot_made: Snapshot | None = None

    if not TYPE_CHECKING:  # a checker would believe that everything else is there, too

        def __getattr__(self, name: str) -> Any:
            """Only `app` can be missing: of a task that one app does not include, nor of what was made of it."""
            if name == "app":
                return self._find_app()
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Makes a job; it is durable when this returns. Raises TypeError if the arguments do not fit the task."""
        binder = self.task.binder
        if kwargs or not binder.least <= len(args) <= binder.most:
            args, kwargs = binder.fit(args, kwargs)  # type: ignore[assignment]
        if _guard._depth:
            refuse_import_side_effect("enqueue()")
        return enqueue_one(self.app, self, args, kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]:
        """`enqueue` for coroutines: the job it gives can be awaited for its result."""
        binder = self.task.binder
        if kwargs or not binder.least <= len(args) <= binder.most:
            args, kwargs = binder.fit(args, kwargs)  # type: ignore[assignment]
        if _guard._depth:
            refuse_import_side_effect("aenqueue()")
        return await aenqueue_one(self.app, self, args, kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """The same as `enqueue`, under the name that other task queues use."""
        return self.enqueue(*args, **kwargs)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """A complete call, to be enqueued later or together with others."""
        binder = self.task.binder
        if kwargs or not binder.least <= len(args) <= binder.most:
            return Call(self, *binder.fit(args, kwargs))
        return Call(self, args, kwargs)

    def map(self: _TakesOne[Item, R], items: Iterable[Item]) -> list[Job[R]]:
        """One job per item, which is its only argument, in batches of 1,000."""
        return enqueue_calls(self.app, map(self.si, items))

    async def amap(self: _TakesOne[Item, R], items: Iterable[Item]) -> list[AsyncJob[R]]:
        """`map` for coroutines."""
        return await aenqueue_calls(self.app, map(self.si, items))

    def using(self, **options: Unpack[CallOptions]) -> Using[P, R]:
        """The same task with these options for the calls made from what this returns."""
        given = checked(options, CALL_OPTIONS, f"using() of {self.task.name}")
        if "retries" in given:
            given["retries"] = narrowed(self.task.options.get("retries"), given["retries"], self.task.name)
        return Using(self.task, {**self._given, **given})

    @property
    def _effective(self) -> dict[str, Any]:
        """The options that hold: of the declaration, of configuration files, of `using()`, the last one winning."""
        options = self._effective_made
        if options is None:
            of_files = self.app._overrides.of(self.task)
            if "retries" in of_files:
                of_files["retries"] = narrowed(self.task.options.get("retries"), of_files["retries"], self.task.name)
            options = with_cache({**self.task.options, **of_files}, self._given)
            check_cache(self.task.name, options)
            self._effective_made = options
        return options

    @property
    def _template(self) -> _native.Template:
        """The options as the wire knows them, made at the first call."""
        template = self._template_made
        if template is None:
            self.app._types.learn(self.task)
            task = self.task
            template = self._template_made = template_of(self.app, task.name, task.version, self._effective)
        return template

    def _find_app(self) -> App:
        raise NotImplementedError

    @property
    def _first_snapshot(self) -> Snapshot:
        """What is known of a job that was just made."""
        snapshot = self._snapshot_made
        if snapshot is None:
            options = self._effective
            state = "available" if options.get("run_after") is None else "scheduled"
            queue = options.get("queue", "default")
            snapshot = self._snapshot_made = Snapshot(state, self.task.name, queue=queue)
        return snapshot

    def _unique_key(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> str:
        """Called by the extension for the calls of a template with `unique`."""
        unique: Unique | None = self._effective.get("unique")
        return (unique.key if unique is not None else cached_key)(self.task, args, kwargs or {})


class Using(Enqueues[P, R]):
    """A task with the options of the next calls; made by `task.using(...)`."""

    def __init__(self, task: BaseTask[P, R], given: dict[str, Any]) -> None:
        if "app" in vars(task):
            self.app = task.app
        self.task = task
        self.options = {**task.options, **given}
        self._given = given
        self._template_made = None
        if given.get("unique") is not None:
            given["unique"].check(task)
        check_cache(task.name, with_cache(task.options, given))

    def __repr__(self) -> str:
        return f"<{self.task.name} using {self.options}>"

    def _find_app(self) -> App:
        return self.task.app


class BaseTask(Enqueues[P, R]):
    """A declared function. `name` is what workers and the journal know it by."""

    # What functools.update_wrapper copies from the function.
    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Any]

    is_async = False
    """Whether its function was written with `async def`."""
    _group: Tasks | None = None

    def __init__(self, app: App | None, function: Callable[P, Any], options: Mapping[str, Any]) -> None:
        check_function(function)
        given = dict(options)
        functools.update_wrapper(cast("Callable[P, Any]", self), function)
        if app is not None:
            self.app = app
        self.task = self
        self.function = function
        self.name: str = given.pop("name", None) or default_name(function)
        self.aliases: tuple[str, ...] = given.pop("aliases", ())
        self.version: int = given.pop("version", 1)
        self.from_version: int = given.pop("from_version", 1)
        if self.from_version > self.version:
            raise wrong("from_version", self.from_version, f"1 to {self.version}, which is the task's version")
        validate: bool | None = given.pop("validate", None)
        self.options = given
        self.place: Place = place_of(function)
        self.uses = uses_of(function, self.name)
        self.binder = Binder(function, self.name, self.uses, validate)
        self._template_made = None
        if given.get("unique") is not None:
            given["unique"].check(self)
        check_cache(self.name, given)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _described_as(self, name: str) -> tuple[_native.OnFailure, bool] | None:
        """What its worker tells those who make jobs by this name alone; None for a task of nobody."""
        return described(self.app, name, self.version, self._effective) if "app" in vars(self) else None

    def _of(self, app: App) -> Self:
        """The same task as one of `app`."""
        task = copy.copy(self)
        task.app, task.task = app, task
        task._template_made = task._effective_made = task._snapshot_made = None
        for cached in ("entry", "_here"):
            vars(task).pop(cached, None)
        return task

    def _app_here(self) -> App | None:
        """The app whose resources a direct call takes; None if that is nobody's."""
        app: App | None = vars(self).get("app")
        return app if app is not None or self._group is None else self._group._running_app()

    def _find_app(self) -> App:
        if self._group is None:
            raise TaskNotFound(f"{self.name} belongs to no app", task=self.name)
        return self._group._app_of(self)

    @property
    def cache(self) -> TaskCache[P]:
        """The results of its jobs that `cache=` keeps, to let go of them."""
        return TaskCache(self)

    @property
    def queue(self) -> str:
        """The queue that its jobs go to."""
        return str(self._options_here.get("queue", "default"))

    @property
    def memory(self) -> int | None:
        """Bytes of memory that the process of an attempt may have; None for as many as it likes."""
        limit: int | None = self._options_here.get("memory")
        return limit

    @property
    def _profiled(self) -> tuple[float | None, tuple[str, ...]]:
        """The part of its attempts that are profiled, from 0 to 1, or None if that is not said; and how else."""
        share: Share | None = self._options_here.get("profile")
        return (None, ()) if share is None else share

    @property
    def _options_here(self) -> dict[str, Any]:
        # Files say something about the tasks of an app; without one there is only the declaration.
        return self._effective if "app" in vars(self) else self.options

    @property
    def signature(self) -> Signature:
        """The function's signature."""
        return self.binder.signature

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Job[R]]:
        """Makes a job of every call of this task, in batches of 1,000, each one commit; in the order of the calls.

        Raises TypeError for a call of another task. Where a batch fails or `calls` raises, the batches before stay; a
        note on the exception says how many jobs they are.
        """
        return enqueue_calls(self.app, calls, self)

    async def aenqueue_many(self, calls: Iterable[Call[R]]) -> list[AsyncJob[R]]:
        """`enqueue_many` for coroutines."""
        return await aenqueue_calls(self.app, calls, self)

    def check_uses(self) -> None:
        """Raises `DeclarationError` if it uses a resource that its app does not have, or that it cannot open."""
        for use in self.uses.values():
            self.app._resources.find(use, self.name)
        self.app._resources.check_task(self)

    @functools.cached_property
    def entry(self) -> Callable[..., Any]:
        """What a worker calls; gives a coroutine if the function does."""
        hooks = self.app._hooks
        if not hooks.hears_attempts:
            return self._here
        return (hooks.around_async if self.is_async else hooks.around)(self, self._here)

    @functools.cached_property
    def _here(self) -> Callable[..., Any]:
        """What a direct call calls."""
        function = with_cleanup(self.function, self.is_async)
        if not self.uses:
            return function
        from ._opening import with_resources

        return with_resources(self, function)

    def body(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function to its end, as a worker does."""
        return self.entry(*args, **kwargs)


class Task(BaseTask[P, R]):
    """A declared `def` function."""

    function: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function here and now; no job is made."""
        result: R = self._here(*args, **kwargs)
        return result


class AsyncTask(BaseTask[P, R]):
    """A declared `async def` function; each of its jobs runs in an event loop of its own."""

    is_async = True
    function: Callable[P, Coroutine[Any, Any, R]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Calls the function here and now; no job is made."""
        coroutine: Coroutine[Any, Any, R] = self._here(*args, **kwargs)
        return coroutine

    def body(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the coroutine to its end, as a worker does."""
        hooks = self.app._hooks
        # Around the loop rather than in it, where each request to stop is a CancelledError.
        return (hooks.around(self, self._run) if hooks.hears_attempts else self._run)(*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        import asyncio

        kept = self.app._kept if self.uses else None
        if kept is not None and kept.holds_loop_of(self):
            return kept.run(self._here(*args, **kwargs))
        return asyncio.run(self._here(*args, **kwargs))
