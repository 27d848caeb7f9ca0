"""`app.cached`: functions that keep their results where all processes of the app find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .._options import SIZE_FORMS, size, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import ParamSpec, Protocol, TypeVar

    from .._app import App
    from .._options import Duration, Size
    from ._decorator import Decorator
    from ._dependencies import CacheKey
    from ._engine import AsyncEngineFunction, EngineFunction
    from ._engine_cache import EngineCache
    from ._shared import AsyncHostFunction, HostFunction

    P = ParamSpec("P")
    R = TypeVar("R")

    class HostDecorator(Protocol):
        """`app.cached(...)` with options."""

        @overload
        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncHostFunction[P, R]: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[P, R], /) -> HostFunction[P, R]: ...

    class EngineDecorator(Protocol):
        """`app.cached(scope="engine", ...)`."""

        @overload
        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncEngineFunction[P, R]: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[P, R], /) -> EngineFunction[P, R]: ...


ROOM_BYTES = 64 << 20
"""Room for results that the processes of a host share, unless an app says otherwise."""


def room_of(host_cache: Size) -> int:
    """Bytes of the option `host_cache`."""
    room_bytes = size("host_cache", host_cache)
    if not 64 << 10 <= room_bytes <= 64 << 30:
        raise wrong("host_cache", host_cache, f"64 KiB to 64 GiB, as {SIZE_FORMS}")
    return room_bytes


class CachesResults:
    """What an app can do about results of functions."""

    _cache: EngineCache | None = None

    @property
    def cache(self) -> EngineCache:
        """The cache of the engine: values by name, for every program of the home."""
        if self._cache is None:
            from ._engine_cache import EngineCache

            self._cache = EngineCache(cast("App", self))
        return self._cache

    @overload
    def cached(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncHostFunction[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def cached(self, function: Callable[P, R], /) -> HostFunction[P, R]: ...
    @overload
    def cached(
        self,
        *,
        scope: Literal["host"] = "host",
        ttl: Duration | None = None,
        idle: Duration | None = None,
        key: Callable[..., object] | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] | None = None,
        depends_on: Sequence[CacheKey] | Callable[..., Sequence[CacheKey]] | None = None,
        negative: Duration | None = None,
        stale: Duration | None = None,
    ) -> HostDecorator: ...
    @overload
    def cached(
        self,
        *,
        scope: Literal["engine"],
        ttl: Duration | None = None,
        idle: Duration | None = None,
        key: Callable[..., object] | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] | None = None,
        depends_on: Sequence[CacheKey] | Callable[..., Sequence[CacheKey]] | None = None,
        negative: Duration | None = None,
        stale: Duration | None = None,
    ) -> EngineDecorator: ...
    @overload
    def cached(
        self,
        *,
        scope: Literal["process"],
        ttl: Duration | None = None,
        idle: Duration | None = None,
        max: int | None = ...,
        policy: Literal["s3fifo", "lru", "sieve", "lfu"] = "s3fifo",
        key: Callable[..., object] | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] | None = None,
        depends_on: Sequence[CacheKey] | Callable[..., Sequence[CacheKey]] | None = None,
        negative: Duration | None = None,
        stale: Duration | None = None,
        typed: bool = False,
        shared: bool = False,
    ) -> Decorator: ...
    def cached(self, *function: Any, scope: Any = "host", **options: Any) -> Any:
        """Has all processes of the host that use this app's home share the results of a function: of those who call it
        with equal arguments at the same time one computes, whoever they are.

        They are kept in shared memory, in a room of `host_cache` for all functions of the app together, out of which
        goes what is used least. So arguments and results have to be values, and each caller gets a copy. Arguments are
        equal if they are of the same type and value. A method has `self` among its arguments.

        `ttl`, `idle`, `key`, `tags`, `depends_on`, `negative` and `stale` are as of `lineshaft.cached`. What it gives
        has `cache`: `info()`, `peek(...)`, `invalidate(...)`, `invalidate(tag=...)`, `clear()`, `warm(...)` and
        `key(...)`; what one process makes untrue is so in all of them before the call returns, with all that depends
        on it. `depends_on` names keys of functions of the same scope and home, up to 256 with all that those depend on.
        A process that is killed keeps nobody waiting. Results last as long as some process uses the home's cache, and
        no longer than the code of the function stays as it is.

        Where there is no shared memory each process keeps its own results, which is said once in the log. A result that
        is no value, or has more than 4 MiB with the room as it is by default, is given to the caller and not kept,
        which is said likewise.

        With `scope="engine"` every program of the home shares them, also after restarts: they
        are in the engine, on its disk, and what is made untrue is so everywhere before the call returns. A call that is
        answered from there asks the server, some 50 us, so it is for what takes longer than that by far. Tags are those
        of `app.cache`, too: `app.cache.invalidate(tag=...)` reaches all functions. The verbs of `cache` have twins for
        coroutines, as `ainvalidate`. Where the engine does not answer each call computes, which is said in the log.

        With `scope="process"` it is `lineshaft.cached`, of each process by itself.

        Raises `DeclarationError` for what cannot be cached, `OptionError` for what an option does not take.
        """
        from ._decorator import cached, refuse
        from ._options import checked, without

        if scope == "process":
            return cached(*function, **options)
        checked_options = checked(**without(scope, options))
        if scope == "engine":
            if checked_options.stale_ms and checked_options.ttl_ms is None:
                raise wrong("stale", options["stale"], "a duration beside `ttl`, after which a value is stale")
            from ._engine import of_engine as shared
        else:
            from ._shared import shared

        def decorated(function: Any) -> Any:
            refuse(function)
            return shared(function, checked_options, cast("App", self))

        return decorated(*function) if function else decorated
