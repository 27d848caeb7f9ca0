"""Functions whose results all processes of a host share: what `app.cached` gives.

Other processes wait while one computes; in this one its threads wait for each other at a lock for each key, and
coroutines as those of any cached function do.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import functools
import inspect
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet, WeakValueDictionary

from .. import _native
from .._errors import SerializationError
from ._cache import CacheInfo
from ._flights import Flight, Flights
from ._functions import AsyncCachedFunction, CachedFunction, mark_coroutine_function
from ._host import host_table, leave_tables, namespace
from ._keys import canonical, host_binder
from ._methods import BoundShared
from ._refresh import Refreshes, in_background
from ._sources import SharedKey, own_sources, sources

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._app import App
    from ._dependencies import CacheKey
    from ._options import Options

P = ParamSpec("P")
R = TypeVar("R")

_LOOK_EVERY_S = 0.25
"""How long a thread waits for another process without looking whether it was asked to stop."""


class _Level:
    """Where a function's results are: in the table of the app's home, which is found at the first call."""

    scope = "host"
    own: Callable[..., Any] | None

    def __init__(self, app: App, function: Callable[..., Any], options: Options, own: Callable[..., Any]) -> None:
        self.app, self._function, self.options, self.own = app, function, options, own
        self.name = getattr(function, "__qualname__", repr(function))
        self._namespace: bytes | None = None
        self._is_found = False
        self._memory: _native.HostMemory | None = None
        self._said: set[str] = set()
        self.table: _native.HostTable | None = None
        self.forked()
        _levels.add(self)

    def forked(self) -> None:
        """Threads that had a lock are not in a forked child."""
        self.leave_closed()
        self._guard = threading.RLock()
        self._locks: WeakValueDictionary[Any, Any] = WeakValueDictionary()

    def leave_closed(self) -> None:
        """Without the table, as at the end of the interpreter, the process keeps its own."""
        if self.table is not None and self.table.is_closed:
            self._memory = None

    def lock_of(self, key: Any) -> Any:
        """Of the threads of this process; a thread that asks for what it computes does not wait for itself."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = threading.RLock()
            return lock

    def memory(self) -> _native.HostMemory | None:
        """None where processes cannot share anything."""
        if not self._is_found:
            with self._guard:
                self._find()
        return self._memory

    def _find(self) -> None:
        if self._is_found:
            return
        options, app = self.options, self.app
        self.table = host_table(app.url, app._host_cache_bytes)
        if self.table is not None:
            app._types.learn_function(self._function)
            self._memory = _native.HostMemory(
                self.table,
                self.namespace(),
                app._types.registry,
                canonical,
                ttl_ms=options.ttl_ms,
                idle_ms=options.idle_ms,
                stale_ms=options.stale_ms,
                negative_ms=options.negative_ms,
            )
        self._is_found = True

    def namespace(self) -> bytes:
        if self._namespace is None:
            self._namespace = namespace(self._function)
        return self._namespace

    def tag_names(self, args: Any, kwargs: Any) -> list[str]:
        return [] if self.options.tags is None else list(self.options.tags(*args, **kwargs))

    def shared_key(self, key: Any, args: Any, kwargs: Any) -> SharedKey:
        return SharedKey(self, self.name, key, args, kwargs)

    def sources(self, key: Any, args: Any, kwargs: Any) -> list[_native.HostSource]:
        """All that a call's entry is made of. Raises for what it cannot be made of."""
        if self.options.depends_on is None:
            return []
        return [source.of.source_of(source) for source in sources(self.shared_key(key, args, kwargs))]  # type: ignore[attr-defined]

    def source_of(self, key: SharedKey) -> _native.HostSource:
        memory = self.memory()
        if memory is None:
            raise ValueError("the cache of this host is closed: the interpreter ends")
        return memory.source(key.value, key.tags)

    def put(
        self,
        memory: _native.HostMemory,
        computing: _native.HostComputing,
        value: Any,
        is_error: bool,
        call: Any,
        of: list[_native.HostSource],
    ) -> None:
        """Keeps a value, which is made of others, if it can be; says once for each reason that it cannot."""
        args, kwargs = call
        try:
            why = memory.put(computing, value, is_error, self.tag_names(args, kwargs), of)
        except SerializationError as error:
            why = str(error)
        if why is not None and why not in self._said:
            self._said.add(why)
            logging.getLogger("lineshaft").warning("a result of %s is not kept for other processes: %s", self.name, why)


_levels: WeakSet[_Level] = WeakSet()


def _forked() -> None:
    for level in list(_levels):
        level.forked()


def _leave() -> None:
    leave_tables()
    for level in list(_levels):
        level.leave_closed()


os.register_at_fork(after_in_child=_forked)
atexit.register(_leave)


class HostFunction(Generic[P, R]):
    """A function whose results all processes of the host share."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], options: Options, app: App) -> None:
        self._function, self._options = function, options
        self._own = CachedFunction(function, _of_its_own(options))
        """For where nothing can be shared."""
        self._level = _Level(app, function, options, self._own)
        self._binder = host_binder(function, options.key)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<cached function {self.__wrapped__.__qualname__}, of all processes of the host>"

    def __reduce__(self) -> str:
        return self.__wrapped__.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        memory = self._level._memory or self._level.memory()
        if memory is None:
            return self._own(*args, **kwargs)  # type: ignore[no-any-return]
        key = self._binder.key(args, kwargs)
        if key is None:
            return self._function(*args, **kwargs)  # it says what is wrong with the arguments
        found = memory.look(key)
        if found is None:
            return self._fill(memory, key, args, kwargs)  # type: ignore[no-any-return]
        value, is_error, is_due = found
        if is_due:
            in_background(lambda: self._fill_again(memory, key, args, kwargs))
        if is_error:
            raise value
        return value  # type: ignore[no-any-return]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundShared(self, instance)

    @property
    def cache(self) -> HostCache:
        return HostCache(self)

    def _fill(self, memory: _native.HostMemory, key: Any, args: Any, kwargs: Any) -> Any:
        with self._level.lock_of(key):
            while (computing := memory.begin(key)) is None:
                memory.wait(key, _LOOK_EVERY_S)
                if (found := memory.look(key, counts=False)) is not None and not found[2]:
                    return _given(found)
            return self._compute(memory, key, computing, args, kwargs)

    def _fill_again(self, memory: _native.HostMemory, key: Any, args: Any, kwargs: Any) -> None:
        """For a value that is stale, unless somebody is at it."""
        lock = self._level.lock_of(key)
        if not lock.acquire(blocking=False):
            return
        try:
            computing = memory.begin(key)
            if computing is not None:
                self._compute(memory, key, computing, args, kwargs)
        finally:
            lock.release()

    def _compute(
        self, memory: _native.HostMemory, key: Any, computing: _native.HostComputing, args: Any, kwargs: Any
    ) -> Any:
        try:
            # Somebody may have been done since this one looked.
            if (found := memory.look(key, counts=False)) is not None and not found[2]:
                return _given(found)
            return self._run(memory, computing, self._level.sources(key, args, kwargs), args, kwargs)
        finally:
            computing.end()

    def _run(
        self,
        memory: _native.HostMemory,
        computing: _native.HostComputing,
        of: list[_native.HostSource],
        args: Any,
        kwargs: Any,
    ) -> Any:
        try:
            value = self._function(*args, **kwargs)
        except Exception as error:
            if self._options.negative_ms is not None:
                self._level.put(memory, computing, error, True, (args, kwargs), of)
            raise
        self._level.put(memory, computing, value, False, (args, kwargs), of)
        return value


class AsyncHostFunction(Generic[P, R]):
    """A coroutine function whose results all processes of the host share."""

    __wrapped__: Callable[P, Coroutine[Any, Any, R]]

    def __init__(self, function: Callable[P, Coroutine[Any, Any, R]], options: Options, app: App) -> None:
        self._function, self._options = function, options
        self._own = AsyncCachedFunction(function, _of_its_own(options))
        self._level = _Level(app, function, options, self._own)
        self._binder = host_binder(function, options.key)
        self._flights = Flights()
        self._refreshes = Refreshes()
        functools.update_wrapper(self, function)
        mark_coroutine_function(self)

    def __repr__(self) -> str:
        return f"<cached coroutine function {self.__wrapped__.__qualname__}, of all processes of the host>"

    def __reduce__(self) -> str:
        return self.__wrapped__.__qualname__

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        memory = self._level.memory()
        if memory is None:
            return await self._own(*args, **kwargs)  # type: ignore[no-any-return]
        key = self._binder.key(args, kwargs)
        if key is None:
            return await self._function(*args, **kwargs)
        found = memory.look(key)
        if found is None:
            return await self._fill(memory, key, args, kwargs)  # type: ignore[no-any-return]
        value, is_error, is_due = found
        if is_due:
            self._refresh(memory, key, args, kwargs)
        if is_error:
            raise value
        return value  # type: ignore[no-any-return]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundShared(self, instance)

    @property
    def cache(self) -> AsyncHostCache:
        return AsyncHostCache(self)

    async def _fill(self, memory: _native.HostMemory, key: Any, args: Any, kwargs: Any) -> Any:
        return await self._flights.once(key, functools.partial(self._run, memory, key, args, kwargs))

    async def _run(self, memory: _native.HostMemory, key: Any, args: Any, kwargs: Any, flight: Flight) -> Any:
        while (computing := memory.begin(key)) is None:
            await asyncio.to_thread(memory.wait, key, _LOOK_EVERY_S)
            if (found := memory.look(key, counts=False)) is not None and not found[2]:
                return _given(found)
        try:
            if (found := memory.look(key, counts=False)) is not None and not found[2]:
                return _given(found)
            of = self._level.sources(key, args, kwargs)
            if of:
                flight.is_open = functools.partial(memory.stands, computing, of)
            try:
                value = await self._function(*args, **kwargs)
            except Exception as error:
                if self._options.negative_ms is not None:
                    self._level.put(memory, computing, error, True, (args, kwargs), of)
                raise
            self._level.put(memory, computing, value, False, (args, kwargs), of)
            return value
        finally:
            computing.end()

    def _refresh(self, memory: _native.HostMemory, key: Any, args: Any, kwargs: Any) -> None:
        if key not in self._flights:
            self._refreshes.begin(functools.partial(self._fill, memory, key, args, kwargs))


class _Shared:
    """What caches of functions and of coroutine functions have in common."""

    __slots__ = ("_first", "_of")

    def __init__(self, of: Any, first: tuple[Any, ...] = ()) -> None:
        self._of, self._first = of, first
        """The first arguments of every call: the instance whose method it is."""

    def of_instance(self, instance: object) -> Self:
        """The same of a method, as seen from its instance."""
        return type(self)(self._of, (instance,))

    def __repr__(self) -> str:
        info = self.info()
        return f"<cache of a host with {info.size} entries, {info.hits} hits, {info.misses} misses>"

    def info(self) -> CacheInfo:
        """Hits and misses of this function in this process; entries, and what went, of all functions and processes that
        share the table.
        """
        memory = self._of._level.memory()
        if memory is None:
            return self._of._own.cache.info()  # type: ignore[no-any-return]
        hits, misses, stale_hits = memory.counts()
        _, _, _, entries, _, _, *went = self._of._level.table.statistics()
        return CacheInfo(hits, misses, None, entries, stale_hits, *went)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """What is kept for these arguments, or None. Computes, counts and raises nothing that is kept."""
        memory = self._of._level.memory()
        if memory is None:
            return self._of._own.cache.peek(*self._first, *args, **kwargs)
        found = memory.look(self._key(args, kwargs), counts=False)
        return None if found is None or found[1] else found[0]

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Makes what is kept for these arguments untrue, or with `tag=` alone all entries of the function that have
        this tag; and what depends on them, by whatever way: in all processes of the host, before it returns.

        What is being computed for them meanwhile is given to those who wait, and not kept. Gives whether there was
        anything; of a tag that is not known, so it gives True.
        """
        memory = self._of._level.memory()
        is_tag = not args and kwargs.keys() == {"tag"}
        if memory is None:
            whole = () if is_tag else (*self._first, *args)
            return self._of._own.cache.invalidate(*whole, **kwargs)  # type: ignore[no-any-return]
        if is_tag:
            memory.invalidate_all(kwargs["tag"])
            self._close(None)
            return True
        key = self._key(args, kwargs)
        was_there = bool(memory.invalidate(key))
        self._close(key)
        return was_there

    def clear(self) -> None:
        """Makes every entry of the function untrue, of a method those of all instances, and what depends on one: in all
        processes of the host.
        """
        memory = self._of._level.memory()
        if memory is None:
            self._of._own.cache.clear()
        else:
            memory.invalidate_all()
            self._close(None)

    def key(self, *args: Any, **kwargs: Any) -> CacheKey:
        """What names the entry of these arguments, whether it is there or not: for `depends_on` of other functions that
        the processes of the host share.
        """
        return self._of._level.shared_key(self._key(args, kwargs), (*self._first, *args), kwargs)  # type: ignore[no-any-return]

    def _close(self, key: Any) -> None:
        """Who asks from now on waits for no computing of this process that began before. Threads look again anyway."""

    def _key(self, args: Any, kwargs: Any) -> Any:
        key = self._of._binder.key((*self._first, *args), kwargs)
        if key is None:
            raise TypeError("the function does not take these arguments")
        return key


class HostCache(_Shared):
    """The cache of a function that all processes of the host share: see `App.cached`."""

    __slots__ = ()

    def warm(self, *args: Any, **kwargs: Any) -> None:
        """Has these arguments computed if nothing is kept for them. Raises what the function raises."""
        memory = self._of._level.memory()
        if memory is None:
            self._of._own.cache.warm(*self._first, *args, **kwargs)
        elif memory.look(key := self._key(args, kwargs), counts=False) is None:
            self._of._fill(memory, key, (*self._first, *args), kwargs)


class AsyncHostCache(_Shared):
    """The cache of a coroutine function that all processes of the host share: see `App.cached`."""

    __slots__ = ()

    def _close(self, key: Any) -> None:
        self._of._flights.close(key)

    async def warm(self, *args: Any, **kwargs: Any) -> None:
        """As `HostCache.warm`, to be awaited."""
        memory = self._of._level.memory()
        if memory is None:
            await self._of._own.cache.warm(*self._first, *args, **kwargs)
        elif memory.look(key := self._key(args, kwargs), counts=False) is None:
            await self._of._fill(memory, key, (*self._first, *args), kwargs)


def _of_its_own(options: Options) -> Options:
    """Where each process keeps its own results."""
    return dataclasses.replace(options, depends_on=own_sources(options.depends_on))


def shared(function: Any, options: Options, app: App) -> Any:
    """`function`, sharing its results with all processes of the host."""
    if inspect.iscoroutinefunction(function):
        return AsyncHostFunction(function, options, app)
    return HostFunction(function, options, app)


def _given(found: tuple[Any, bool, bool]) -> Any:
    value, is_error, _ = found
    if is_error:
        raise value
    return value
