"""Decorated functions: what `cached` gives."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from .. import _native
from .._errors import DeclarationError
from ._cache import AsyncCache, Cache
from ._dependencies import dependencies
from ._flights import Flight, Flights
from ._keys import binders
from ._options import Options
from ._refresh import Refreshes, in_background
from ._writes import Writes

_numbers = count()
_making = threading.RLock()


def _forked() -> None:
    global _making
    _making = threading.RLock()
    _native.cache_forked()
    dependencies.forked()


os.register_at_fork(after_in_child=_forked)


def instance_memory(attribute: str, options: Options, name: str) -> Callable[[Any], _native.Memory]:
    """What gives an instance its own memory.

    It is kept in the instance: so both go together, also when a result refers to the instance.
    """

    def make(instance: Any) -> _native.Memory:
        attributes = getattr(instance, "__dict__", None)
        with _making:
            there = attributes.get(attribute) if isinstance(attributes, dict) else None
            # An instance that was copied has brought the memory of another.
            if isinstance(there, _native.Memory) and there.is_of(instance):
                return there
            try:
                memory = options.memory(name, instance)
                attributes[attribute] = memory  # type: ignore[index]
            except TypeError:
                raise DeclarationError(
                    f"{name}: an instance of {type(instance).__qualname__} has no room for the results of its methods",
                    hint='add "__dict__" and "__weakref__" to its __slots__, or say @cached(shared=True), '
                    "which keeps instances alive while their results are kept",
                ) from None
        return memory

    return make


class CachedFunction(_native.CachedCall):
    """A function that keeps its results; `cache` is what it keeps."""

    _options: Options
    _writes: Writes | None
    _is_method: bool
    _binders: tuple[_native.Binder, _native.Binder]
    _shared: _native.Memory
    __wrapped__: Callable[..., Any]

    def __new__(cls, function: Callable[..., Any], options: Options) -> CachedFunction:
        binder, method_binder = binders(function, options.key, options.typed)
        attribute = f"_cached_{next(_numbers)}"
        name = getattr(function, "__qualname__", repr(function))
        memory = options.memory(name)
        front: list[weakref.ref[CachedFunction]] = []
        writes = None
        if options.write is not None and options.behind_ms is not None:
            writes = Writes(options.write, options.behind_ms / 1000, name)
        made = super().__new__(
            cls,
            function if writes is None else _unless_put(function, writes, front),
            binder,
            method_binder,
            memory,
            options.tags,
            _refreshing(front) if options.refreshes else None,
            None if options.shared else attribute,
            instance_memory(attribute, options, name),
        )
        functools.update_wrapper(made, function)
        made.__qualname__ = name
        made._options, made._binders, made._shared = options, (binder, method_binder), memory
        made._writes, made._is_method = writes, False
        front.append(weakref.ref(made))
        return made

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        """All of it is done when it is made."""

    def __repr__(self) -> str:
        return f"<cached function {self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __copy__(self) -> CachedFunction:
        return self

    def __deepcopy__(self, memo: Any) -> CachedFunction:
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self._becomes_method()
        self._is_method = True

    @property
    def cache(self) -> Cache[Any, Any]:
        return self._cache(self._shared, self._binders[0], None)

    def _cache_of(self, instance: Any, memory: _native.Memory | None) -> Cache[Any, Any]:
        return self.cache if memory is None else self._cache(memory, self._binders[1], instance)

    def _cache(self, memory: _native.Memory, binder: _native.Binder, instance: Any) -> Cache[Any, Any]:
        return Cache(self.__qualname__, memory, binder, self._options, instance, self._compute, self._writes)

    def _put_before(self, writes: Writes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
        """What was put for these arguments and is not written yet."""
        memory = self._memory_of(args[0]) if self._is_method and args else None
        if memory is None:
            return writes.value((self._shared, self._binders[0].key(args, kwargs, None)))
        return writes.value((memory, self._binders[1].key(args[1:], kwargs, args[0])))


def _unless_put(
    function: Callable[..., Any], writes: Writes, front: list[weakref.ref[CachedFunction]]
) -> Callable[..., Any]:
    """The function, for which what was put counts that it would not read yet."""

    def read(*args: Any, **kwargs: Any) -> Any:
        made = front[0]()
        if len(writes) and made is not None and (value := made._put_before(writes, args, kwargs)) is not None:
            return value[0]
        return function(*args, **kwargs)

    return read


def _refreshing(front: list[weakref.ref[CachedFunction]]) -> Callable[..., None]:
    """What has a stale value of the function, which is not made yet, computed in the background."""

    def refresh(instance: Any, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        function = front[0]()
        if function is not None:
            memory = function._shared if instance is None else function._memory_of(instance)
            in_background(lambda: function._compute(memory or function._shared, key, args, kwargs))

    return refresh


def mark_coroutine_function(function: Any) -> None:
    """Both ways in which the standard library recognises a coroutine function that is not one."""
    function._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(function)


class AsyncCachedFunction:
    """A coroutine function that keeps its results; `cache` is what it keeps."""

    __wrapped__: Callable[..., Coroutine[Any, Any, Any]]

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], options: Options) -> None:
        self._function, self._options = function, options
        self._binders = binders(function, options.key, options.typed)
        self._shared = options.memory(getattr(function, "__qualname__", repr(function)))
        self._flights = Flights()
        self._refreshes = Refreshes()
        self._attribute = f"_cached_{next(_numbers)}"
        self._is_method = False
        functools.update_wrapper(self, function)
        self.__qualname__ = getattr(function, "__qualname__", repr(function))
        self._own_memory = instance_memory(self._attribute, options, self.__qualname__)
        mark_coroutine_function(self)

    def __repr__(self) -> str:
        return f"<cached coroutine function {self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __set_name__(self, owner: type, name: str) -> None:
        self._is_method = True

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        if self._is_method and args and (memory := self._memory_of(args[0])) is not None:
            return self._answer(memory, self._binders[1], args[0], args[1:], kwargs)
        return self._answer(self._shared, self._binders[0], None, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _BoundAsync(self, instance)

    @property
    def cache(self) -> AsyncCache[Any, Any]:
        return AsyncCache(self.__qualname__, self._shared, self._binders[0], self._options, None, self._fill)

    def _cache_of(self, instance: Any) -> AsyncCache[Any, Any]:
        memory = self._memory_of(instance)
        if memory is None:
            return self.cache
        return AsyncCache(self.__qualname__, memory, self._binders[1], self._options, instance, self._fill)

    def _memory_of(self, instance: Any) -> _native.Memory | None:
        # A class method's instance is the class.
        if self._options.shared or isinstance(instance, type):
            return None
        return self._own_memory(instance)

    async def _answer(
        self,
        memory: _native.Memory,
        binder: _native.Binder,
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        key = binder.key(args, kwargs, instance)
        whole = args if instance is None else (instance, *args)
        if key is None:
            return await self._function(*whole, **kwargs)
        found = memory.look(key)
        if found is None:
            return await self._fill(memory, key, whole, kwargs)
        value, is_error, is_due = found
        if is_due:
            self._refresh(memory, key, whole, kwargs)
        if is_error:
            raise value.with_traceback(None)
        return value

    async def _fill(self, memory: _native.Memory, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        compute = functools.partial(self._run, memory, key, args, kwargs)
        return await self._flights.once((id(memory), key), compute)

    async def _run(
        self, memory: _native.Memory, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], flight: Flight
    ) -> Any:
        computing, watcher = memory.begin(key), memory.watcher
        flight.is_open = computing.is_open
        is_error = is_stored = False
        if watcher is not None:
            watcher.begins(key, args, kwargs)
        try:
            try:
                value = await self._function(*args, **kwargs)
            except Exception as error:
                if self._options.negative_ms is None:
                    raise
                value, is_error = error, True
            if computing.is_wanted():
                tags = [] if self._options.tags is None else list(self._options.tags(*args, **kwargs))
                memory.put(computing, value, is_error, tags)
                is_stored = True
        finally:
            # Not the one of before: somebody may depend on it since.
            if (watcher := memory.watcher) is not None:
                if is_stored:
                    watcher.came(key, args, kwargs)
                else:
                    watcher.failed(key)
        if is_error:
            raise value
        return value

    def _refresh(self, memory: _native.Memory, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if (id(memory), key) not in self._flights:
            self._refreshes.begin(functools.partial(self._fill, memory, key, args, kwargs))


class _BoundAsync:
    """What `instance.method` is."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: AsyncCachedFunction, instance: Any) -> None:
        self.__func__, self.__self__ = function, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        function, instance = self.__func__, self.__self__
        memory = function._memory_of(instance)
        if memory is None:
            return function._answer(function._shared, function._binders[0], None, (instance, *args), kwargs)
        return function._answer(memory, function._binders[1], instance, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __repr__(self) -> str:
        return f"<bound method {self.__func__.__qualname__} of {self.__self__!r}, cached>"

    @property
    def cache(self) -> AsyncCache[Any, Any]:
        return self.__func__._cache_of(self.__self__)
