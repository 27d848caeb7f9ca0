"""`function.cache`: what is kept of a function's results, to look at and to change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, overload

from .._options import wrong
from ._dependencies import CacheKey, OwnKey, all_changed, changed, prefix_changed, shown_call, tag_changed
from ._writes import Call, Writes

if TYPE_CHECKING:
    from .. import _native
    from ._options import Options

P = ParamSpec("P")
R = TypeVar("R")


class CacheInfo(NamedTuple):
    """What has happened since the cache was made or cleared."""

    hits: int
    """Calls that were answered with what was kept."""
    misses: int
    """Calls that were not: they computed, or waited for who did."""
    max: int | None
    """Number of entries, or of bytes, that there is room for; None for as many as come."""
    size: int
    """Entries there are."""
    stale_hits: int
    """Of the hits, those whose value was stale."""
    evictions: int
    """Entries that went to make room."""
    expirations: int
    """Entries that went because their time was over."""
    invalidations: int
    """Entries that went because somebody said so."""
    bytes: int | None = None
    """What the entries take, where `max` is a number of bytes."""


class TagInfo(NamedTuple):
    """What has happened to the entries of a tag since there were any."""

    size: int
    """Entries there are."""
    hits: int
    """Calls that were answered with one."""
    invalidations: int
    """How often it was invalidated."""


class BaseCache(Generic[P, R]):
    """What caches of functions and of coroutine functions have in common."""

    __slots__ = ("_binder", "_fill", "_instance", "_memory", "_name", "_options", "_writes")

    def __init__(
        self,
        name: str,
        memory: _native.Memory,
        binder: _native.Binder,
        options: Options,
        instance: object,
        fill: Callable[[_native.Memory, Any, tuple[Any, ...], dict[str, Any]], Any],
        writes: Writes | None = None,
    ) -> None:
        self._memory, self._binder, self._options, self._instance = memory, binder, options, instance
        self._name, self._fill, self._writes = name, fill, writes

    def __repr__(self) -> str:
        info = self.info()
        return f"<cache of {info.size} entries, {info.hits} hits, {info.misses} misses>"

    def info(self) -> CacheInfo:
        """Counts, without entries whose time is over. O(entries)."""
        hits, misses, size, stale, evictions, expirations, invalidations, taken = self._memory.info()
        return CacheInfo(hits, misses, self._options.max, size, stale, evictions, expirations, invalidations, taken)

    def tag_info(self, tag: str) -> TagInfo:
        """Counts of the entries with `tag`."""
        return TagInfo(*self._memory.tag_info(tag))

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """What is kept for these arguments, or None. Computes, counts and raises nothing that is kept."""
        found = self._memory.look(self._key(args, kwargs), counts=False)
        return None if found is None or found[1] else found[0]

    @overload
    def invalidate(self, *, tag: str) -> bool: ...
    @overload
    def invalidate(self, *, prefix: str) -> bool: ...
    @overload
    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Makes what is kept for these arguments untrue, with `tag=` alone all entries that have this tag, or with
        `prefix=` alone all whose first argument, or what `key=` gave, is a text that begins with it; and all that
        depends on one of those.

        What is being computed for them meanwhile is given to those who wait, and not kept. Gives whether there was
        anything. A parameter of the function's own with the name `tag` or `prefix` is given by position. A prefix costs
        as much as there are entries with it; the first one also goes through all entries once.
        """
        if not args and kwargs.keys() == {"prefix"}:
            return self._invalidate_prefix(kwargs["prefix"])
        if not args and kwargs.keys() == {"tag"}:
            tag_changed(self._memory, kwargs["tag"])
            return self._memory.invalidate_tag(kwargs["tag"])
        key = self._key(args, kwargs)
        was_there = self._memory.invalidate(key)
        changed(self._memory, key)
        return was_there

    def _invalidate_prefix(self, prefix: Any) -> bool:
        if not isinstance(prefix, str):
            raise wrong("prefix", prefix, "the text that keys begin with")
        place = self._binder.first_place
        count = self._memory.invalidate_prefix(prefix, place)
        prefix_changed(self._memory, prefix, place)
        return count > 0

    def clear(self) -> None:
        """Lets go of every entry and of what depends on one, and counts from nothing."""
        all_changed(self._memory)
        self._memory.clear()

    def key(self, *args: P.args, **kwargs: P.kwargs) -> CacheKey:
        """What names the entry of these arguments, whether it is there or not: for `depends_on` of other functions."""
        return OwnKey(self._memory, self._key(args, kwargs), shown_call(self._name, args, kwargs))

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = self._binder.key(args, kwargs, self._instance)
        if key is None:
            raise TypeError("the function does not take these arguments")
        return key

    def _keep(self, computing: _native.Computing, key: Any, value: Any, call: Call) -> None:
        """Keeps a value that was put since `computing` began. Where something changed meanwhile nothing is kept."""
        if not computing.is_wanted():
            self._memory.invalidate(key)
            changed(self._memory, key)
            return
        self._memory.doom(key)
        changed(self._memory, key)
        _, args, kwargs = call
        tags = [] if self._options.tags is None else list(self._options.tags(*args, **kwargs))
        watcher = self._memory.watcher
        if watcher is not None:
            watcher.begins(key, args, kwargs)
        self._memory.put(self._memory.begin(key), value, False, tags)
        if watcher is not None:
            watcher.came(key, args, kwargs)

    def _whole(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self._instance is None else (self._instance, *args)


class Cache(BaseCache[P, R]):
    """The cache of a function: see `lineshaft.cached`."""

    __slots__ = ()

    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Keeps `value` for these arguments, as if it had been computed, and makes what depends on it untrue.

        It is written before, where the function has a `write`; what that raises is raised, and nothing is kept. With
        `behind` it is written later. Of two that are put at once none may be kept: then the next call computes.
        """
        key = self._key(args, kwargs)
        call = Call(value, self._whole(args), kwargs)
        computing = self._memory.begin(key)
        if self._writes is not None:
            self._writes.add((self._memory, key), call)
        elif self._options.write is not None:
            self._options.write(value, *call.args, **kwargs)
        self._keep(computing, key, value, call)

    def flush(self, timeout: float | None = None) -> bool:
        """Has what was put with `behind` written now; false if that takes more than `timeout` seconds."""
        return self._writes is None or self._writes.flush(timeout)

    def warm(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Has these arguments computed if nothing is kept for them. Raises what the function raises."""
        key = self._key(args, kwargs)
        if self._memory.look(key, counts=False) is None:
            self._fill(self._memory, key, self._whole(args), kwargs)


class AsyncCache(BaseCache[P, R]):
    """The cache of a coroutine function: see `lineshaft.cached`."""

    __slots__ = ()

    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """As `Cache.put`, to be awaited."""
        return self._put(value, args, kwargs)

    async def _put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        key = self._key(args, kwargs)
        call = Call(value, self._whole(args), kwargs)
        computing = self._memory.begin(key)
        if self._options.write is not None:
            written = self._options.write(value, *call.args, **kwargs)
            if inspect.isawaitable(written):
                await written
        self._keep(computing, key, value, call)

    def warm(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """As `Cache.warm`, to be awaited."""
        return self._warm(args, kwargs)

    async def _warm(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        key = self._key(args, kwargs)
        if self._memory.look(key, counts=False) is None:
            await self._fill(self._memory, key, self._whole(args), kwargs)


CacheInfo.__module__ = TagInfo.__module__ = "lineshaft"
