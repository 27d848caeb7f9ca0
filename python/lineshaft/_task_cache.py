"""Cached results of tasks: `@app.task(cache="10m")`, and `task.cache`.

The engine keeps them: under the key of a call it answers with the job that is unfinished, or was completed so long ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

from ._errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _native
    from ._task import BaseTask

__all__ = ["TaskCache", "cached_key", "check_cache", "with_cache"]

P = ParamSpec("P")


class TaskCache(Generic[P]):
    """The results of a task that are cached; those of its other versions are not among them.

    What it does is durable, and counts for all programs, when it returns. A job that runs meanwhile goes on for those
    who have it, and its result is not kept.
    """

    def __init__(self, task: BaseTask[P, Any]) -> None:
        self._task = task

    def __repr__(self) -> str:
        return f"<cache of {self._task.name}>"

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Lets go of the result of this call, so that the next one computes anew. True if there was one."""
        return self._task.app._connection.ask(self._one(args, kwargs), _count) > 0

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """`invalidate` for coroutines."""
        return await self._task.app._connection.aask(self._one(args, kwargs), _count) > 0

    def clear(self) -> int:
        """Lets go of all results; gives how many there were."""
        cleared = 0
        while count := self._task.app._connection.ask(self._some, _count):
            cleared += count
        return cleared

    async def aclear(self) -> int:
        """`clear` for coroutines."""
        cleared = 0
        while count := await self._task.app._connection.aask(self._some, _count):
            cleared += count
        return cleared

    def _one(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[_native.Client], _native.Reply[tuple[str | None, bool, int]]]:
        task = self._task
        task.app._types.learn(task)
        keys = [cached_key(task, *task.binder.fit(args, kwargs))]
        return lambda client: client.invalidate(keys, None)

    def _some(self, client: _native.Client) -> _native.Reply[tuple[str | None, bool, int]]:
        """The server lets go of a few thousand at a time, so that nobody else waits long."""
        return client.invalidate([], _prefix(self._task))


def cached_key(task: BaseTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The key of one call: the task's name and version, and a hash of its arguments with defaults applied."""
    from ._unique import digest_of

    bound = task.binder.bind(args, kwargs)
    bound.apply_defaults()
    return _prefix(task) + digest_of(task, list(bound.arguments.items()))


def _prefix(task: BaseTask[..., Any]) -> str:
    # No name has a blank, so no unique key begins so, nor that of a task whose name is longer.
    return f"cache {task.name.encode()[:200].decode(errors='ignore')} v{task.version} "


def with_cache(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call; one without a cache is made anew if its task has one, in place of what is there."""
    options = {**declared, **given}
    cache = declared.get("cache")
    if cache is not None and options["cache"] is None:
        options["cache"], options["anew"] = cache, True
    return options


def check_cache(task: str, options: Mapping[str, Any]) -> None:
    """Refuses what does not go together with `cache`."""
    if options.get("cache") is None:
        return
    if options.get("unique") is not None:
        raise OptionError(
            f"{task}: `cache` and `unique` do not go together",
            hint="with `cache` an equal call joins the unfinished job anyway; it compares all arguments",
        )
    if not options.get("result", True):
        raise OptionError(
            f"{task}: `cache` needs a result, and `result=False` keeps none", hint="leave one of the two away"
        )


def _count(changed: tuple[str | None, bool, int]) -> int:
    return changed[2]
