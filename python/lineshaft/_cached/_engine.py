"""Functions whose results every program of a home shares: what `app.cached(scope="engine")` gives.

Nothing is kept nearer than the engine, so that what is made untrue is so everywhere at once.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from .. import _native
from .._errors import SerializationError
from .._guard import refuse_import_side_effect
from .._names import canonical_module
from ._cache import CacheInfo
from ._entries import Entries, Found, Terms, checked_tags
from ._flows import Asked, Flow, arun, run
from ._functions import mark_coroutine_function
from ._host import namespace
from ._keys import canonical, host_binder
from ._methods import BoundShared
from ._refresh import Refreshes, in_background
from ._sources import SharedKey, sources

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._app import App
    from ._dependencies import CacheKey
    from ._options import Options

P = ParamSpec("P")
R = TypeVar("R")

_NAME_BYTES = 150


class _Results:
    """What one function has in the engine's cache."""

    scope = "engine"
    own: Callable[..., Any] | None = None

    def __init__(self, function: Callable[..., Any], options: Options, app: App) -> None:
        self.function, self.options, self.app = function, options, app
        self.entries: Entries = app.cache._entries
        self._binder = host_binder(function, options.key)
        module = canonical_module(getattr(function, "__module__", ""))
        name = f"{module}.{getattr(function, '__qualname__', repr(function))}"
        shown = "".join(char for char in name if char.isprintable())
        shown = shown.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore")
        self.shown, self._call = shown, f"{getattr(function, '__qualname__', 'a cached function')}()"
        self.name = f"@{shown}/{namespace(function).hex()[:16]}"
        """What its keys begin with, and the tag of all its entries."""
        self.hits = self.misses = self.stale_hits = 0
        self._is_learned = False
        self._refreshing: set[str] = set()

    def key(self, args: Any, kwargs: Any) -> str | None:
        """None if the function does not take these arguments."""
        refuse_import_side_effect(self._call)
        if not self._is_learned:
            self.app._types.learn_function(self.function)
            self._is_learned = True
        key = self._binder.key(args, kwargs)
        if key is None:
            return None
        try:
            encoded = _native.encode(canonical(key), self.app._types.registry)
        except SerializationError as error:
            error.hint = "an argument must be a value of docs/values.md; key= computes a key from the arguments"
            raise
        return f"{self.name}/{hashlib.sha256(encoded).hexdigest()[:32]}"

    def namespace(self) -> bytes:
        return self.name.encode()

    def shared_key(self, key: str, args: Any, kwargs: Any) -> SharedKey:
        return SharedKey(self, getattr(self.function, "__qualname__", repr(self.function)), key, args, kwargs)

    def tag_names(self, args: Any, kwargs: Any) -> list[str]:
        """All that its entry has: the one of the function, those of the call, and those as the function's own."""
        tags = [] if self.options.tags is None else checked_tags(self.options.tags(*args, **kwargs))
        return [self.name, *tags, *map(self.tag, tags)]

    def tag(self, tag: str) -> str:
        """A tag of the function's own."""
        own = f"{self.name}#{tag}"
        if len(own.encode()) <= 255:
            return own
        return f"{self.name}##{hashlib.sha256(tag.encode()).hexdigest()[:32]}"

    def terms(self, args: Any, kwargs: Any, of: list[SharedKey], is_error: bool) -> Terms | None:
        """How what a call gave, which is made of others, is kept, if at all."""
        options = self.options
        if is_error and options.negative_ms is None:
            return None
        tags = dict.fromkeys(self.tag_names(args, kwargs)) | dict.fromkeys(tag for key in of for tag in key.tags)
        names = list(tags), [key.value for key in of]
        if is_error:
            return Terms(options.negative_ms, None, 0, *names)
        return Terms(options.ttl_ms, options.idle_ms, options.stale_ms, *names)

    def look(self, key: str) -> Flow[Found | None]:
        """What there is for a call; nothing where the engine does not answer."""
        found, _ = yield from self.entries.looked(key)
        self.hits += found is not None
        self.misses += found is None
        self.stale_hits += found is not None and found.is_stale
        return found

    def filled(self, key: str, args: Any, kwargs: Any, waits: bool = True) -> Flow[Found | None]:
        of = sources(self.shared_key(key, args, kwargs))
        compute = functools.partial(self.function, *args, **kwargs)
        return self.entries.filled(key, compute, functools.partial(self.terms, args, kwargs, of), self.shown, waits)

    def is_first_to_refresh(self, key: str) -> bool:
        """Whether nobody in this process computes a stale value anew; `refreshed` is said when that is over."""
        if key in self._refreshing:
            return False
        self._refreshing.add(key)
        return True

    def refreshed(self, key: str) -> None:
        self._refreshing.discard(key)


class EngineFunction(Generic[P, R]):
    """A function whose results every program of the home shares."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], options: Options, app: App) -> None:
        self._results = _Results(function, options, app)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<cached function {self.__wrapped__.__qualname__}, of all programs of the home>"

    def __reduce__(self) -> str:
        return self.__wrapped__.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        results = self._results
        key = results.key(args, kwargs)
        if key is None:
            return results.function(*args, **kwargs)  # type: ignore[no-any-return]  # it says what is wrong
        found = run(results.look(key), results.app) or run(results.filled(key, args, kwargs), results.app)
        assert found is not None
        if found.is_stale and results.is_first_to_refresh(key):
            in_background(lambda: self._refresh(key, args, kwargs), otherwise=lambda: results.refreshed(key))
        return found.given()  # type: ignore[no-any-return]

    def _refresh(self, key: str, args: Any, kwargs: Any) -> None:
        try:
            run(self._results.filled(key, args, kwargs, waits=False), self._results.app)
        finally:
            self._results.refreshed(key)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundShared(self, instance)

    @property
    def cache(self) -> FunctionCache:
        return FunctionCache(self._results)


class AsyncEngineFunction(Generic[P, R]):
    """A coroutine function whose results every program of the home shares."""

    __wrapped__: Callable[P, Coroutine[Any, Any, R]]

    def __init__(self, function: Callable[P, Coroutine[Any, Any, R]], options: Options, app: App) -> None:
        self._results = _Results(function, options, app)
        self._refreshes = Refreshes()
        functools.update_wrapper(self, function)
        mark_coroutine_function(self)

    def __repr__(self) -> str:
        return f"<cached coroutine function {self.__wrapped__.__qualname__}, of all programs of the home>"

    def __reduce__(self) -> str:
        return self.__wrapped__.__qualname__

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        results = self._results
        key = results.key(args, kwargs)
        if key is None:
            return await results.function(*args, **kwargs)  # type: ignore[no-any-return]
        found = await arun(results.look(key), results.app)
        if found is None:
            found = await arun(results.filled(key, args, kwargs), results.app)
        assert found is not None
        if found.is_stale and results.is_first_to_refresh(key):
            self._refreshes.begin(lambda: self._refresh(key, args, kwargs))
        return found.given()  # type: ignore[no-any-return]

    async def _refresh(self, key: str, args: Any, kwargs: Any) -> None:
        try:
            await arun(self._results.filled(key, args, kwargs, waits=False), self._results.app)
        finally:
            self._results.refreshed(key)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundShared(self, instance)

    @property
    def cache(self) -> AsyncFunctionCache:
        return AsyncFunctionCache(self._results)


class _OfFunction:
    """What caches of functions and of coroutine functions have in common. All but `warm` has a twin to be awaited."""

    __slots__ = ("_first", "_of")

    def __init__(self, of: _Results, first: tuple[Any, ...] = ()) -> None:
        self._of, self._first = of, first
        """The first arguments of every call: the instance whose method it is."""

    def of_instance(self, instance: object) -> Self:
        """The same of a method, as seen from its instance."""
        return type(self)(self._of, (instance,))

    def __repr__(self) -> str:
        return f"<cache of the engine, {self._of.hits} hits and {self._of.misses} misses here>"

    def info(self) -> CacheInfo:
        """Hits and misses of this function in this process; entries, bytes, and what went for room, of all that is in
        the engine's cache, since the server started. What ended or was invalidated is not counted.
        """
        return self._info(self._of.app.cache.info())

    async def ainfo(self) -> CacheInfo:
        """`info` for coroutines."""
        return self._info(await self._of.app.cache.ainfo())

    def _info(self, of_all: Any) -> CacheInfo:
        of = self._of
        sizes = of_all.bytes_max, of_all.entries, of.stale_hits, of_all.evictions
        return CacheInfo(of.hits, of.misses, *sizes, 0, 0, of_all.bytes)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """What is kept for these arguments, or None. Computes, counts and raises nothing that is kept."""
        return _peeked(run(self._of.entries.look(self._key(args, kwargs), peek=True), self._of.app))

    async def apeek(self, *args: Any, **kwargs: Any) -> Any:
        """`peek` for coroutines."""
        return _peeked(await arun(self._of.entries.look(self._key(args, kwargs), peek=True), self._of.app))

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Makes what is kept for these arguments untrue, or with `tag=` alone, a text or some, all entries of the
        function that have it; and what depends on them, by whatever way: for every program of the home, on the disk
        before it returns.

        A parameter of the function's own with the name `tag` is given by position. What is being computed for them
        meanwhile is given to those who wait, and not kept. Gives whether there was anything; of a tag that is not
        known, so it gives True.
        """
        return run(self._invalidated(args, kwargs), self._of.app)

    async def ainvalidate(self, *args: Any, **kwargs: Any) -> bool:
        """`invalidate` for coroutines."""
        return await arun(self._invalidated(args, kwargs), self._of.app)

    def _invalidated(self, args: Any, kwargs: Any) -> Flow[bool]:
        if not args and kwargs.keys() == {"tag"}:
            tags = [self._of.tag(tag) for tag in checked_tags(kwargs["tag"], "tag")]
            yield Asked(lambda client: client.cache_invalidate([], tags, False))
            return True
        key = self._key(args, kwargs)
        _, _, count = yield Asked(lambda client: client.cache_invalidate([key], [], False))
        return bool(count)

    def clear(self) -> None:
        """Makes every entry of the function untrue, of a method those of all instances, and what depends on one: for
        every program of the home.
        """
        run(self._cleared(), self._of.app)

    async def aclear(self) -> None:
        """`clear` for coroutines."""
        await arun(self._cleared(), self._of.app)

    def _cleared(self) -> Flow[None]:
        yield Asked(lambda client: client.cache_invalidate([], [self._of.name], False))

    def key(self, *args: Any, **kwargs: Any) -> CacheKey:
        """What names the entry of these arguments, whether it is there or not: for `depends_on` of other functions that
        the programs of the home share.
        """
        return self._of.shared_key(self._key(args, kwargs), (*self._first, *args), kwargs)

    def _key(self, args: Any, kwargs: Any) -> str:
        key = self._of.key((*self._first, *args), kwargs)
        if key is None:
            raise TypeError("the function does not take these arguments")
        return key

    def _warmed(self, args: Any, kwargs: Any) -> Flow[Found | None]:
        key = self._key(args, kwargs)
        found, _ = yield from self._of.entries.look(key, peek=True)
        return None if found is not None else (yield from self._of.filled(key, (*self._first, *args), kwargs))


class FunctionCache(_OfFunction):
    """The cache of a function that every program of the home shares: see `App.cached`."""

    __slots__ = ()

    def warm(self, *args: Any, **kwargs: Any) -> None:
        """Has these arguments computed if nothing is kept for them. Raises what the function raises."""
        _raise(run(self._warmed(args, kwargs), self._of.app))


class AsyncFunctionCache(_OfFunction):
    """The cache of a coroutine function that every program of the home shares: see `App.cached`."""

    __slots__ = ()

    async def warm(self, *args: Any, **kwargs: Any) -> None:
        """As `FunctionCache.warm`, to be awaited."""
        _raise(await arun(self._warmed(args, kwargs), self._of.app))


def of_engine(function: Any, options: Options, app: App) -> Any:
    """`function`, sharing its results with every program of the home."""
    if inspect.iscoroutinefunction(function):
        return AsyncEngineFunction(function, options, app)
    return EngineFunction(function, options, app)


def _raise(found: Found | None) -> None:
    if found is not None:
        found.given()


def _peeked(looked: tuple[Found | None, int]) -> Any:
    found, _ = looked
    return None if found is None or found.is_error else found.value
