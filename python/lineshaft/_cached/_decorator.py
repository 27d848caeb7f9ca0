"""`cached`, the decorator, and the types of what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from .._errors import DeclarationError
from ._functions import AsyncCachedFunction, CachedFunction
from ._options import MAX_DEFAULT, Options, checked

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

if TYPE_CHECKING:
    from typing import Protocol

    from ._cache import AsyncCache, Cache
    from ._dependencies import CacheKey

    class Cached(Protocol[P, R]):
        """A function that keeps its results."""

        __wrapped__: Callable[P, R]

        @property
        def cache(self) -> Cache[P, R]: ...
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Cached[P, R]: ...
        @overload
        def __get__(self: Cached[Concatenate[S, Q], R], instance: S, owner: type) -> Cached[Q, R]: ...

    class AsyncCached(Protocol[P, R]):
        """A coroutine function that keeps its results."""

        __wrapped__: Callable[P, Coroutine[Any, Any, R]]

        @property
        def cache(self) -> AsyncCache[P, R]: ...
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
        @overload
        def __get__(self, instance: None, owner: type) -> AsyncCached[P, R]: ...
        @overload
        def __get__(self: AsyncCached[Concatenate[S, Q], R], instance: S, owner: type) -> AsyncCached[Q, R]: ...

    class Decorator(Protocol):
        """`cached(...)` with options."""

        @overload
        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncCached[P, R]: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


Duration = str | float | timedelta
Removal = Literal["evicted", "expired", "invalidated", "replaced", "cleared"]


@overload
def cached(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncCached[P, R]: ...  # type: ignore[overload-overlap]
@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(
    *,
    ttl: Duration | None = None,
    idle: Duration | None = None,
    max: int | str | None = MAX_DEFAULT,
    size: Callable[[Any], int] | None = None,
    policy: Literal["s3fifo", "lru", "sieve", "lfu"] = "s3fifo",
    key: Callable[..., object] | None = None,
    tags: Sequence[str] | Callable[..., Sequence[str]] | None = None,
    depends_on: Sequence[CacheKey] | Callable[..., Sequence[CacheKey]] | None = None,
    negative: Duration | None = None,
    stale: Duration | None = None,
    typed: bool = False,
    shared: bool = False,
    early: float = 0.0,
    write: Callable[..., object] | None = None,
    behind: Duration | None = None,
    on_removal: Callable[[Any, Removal], object] | None = None,
) -> Decorator: ...
def cached(
    function: Any = None,
    /,
    *,
    ttl: Any = None,
    idle: Any = None,
    max: Any = MAX_DEFAULT,  # noqa: A002
    size: Any = None,
    policy: Any = "s3fifo",
    key: Any = None,
    tags: Any = None,
    depends_on: Any = None,
    negative: Any = None,
    stale: Any = None,
    typed: bool = False,
    shared: bool = False,
    early: float = 0.0,
    write: Any = None,
    behind: Any = None,
    on_removal: Any = None,
) -> Any:
    """Has a function keep its results, in this process: calls with equal arguments are computed once.

    Arguments are bound first: `f(1)`, `f(x=1)` and `f(1, y=2)` with 2 as the default of `y` are one entry. They need
    not be hashable; those that are not count by what they contain. Values are the objects themselves: whoever changes
    one changes it for all. Threads, and coroutines of all event loops, that ask for what is being computed wait for it.

    - `ttl`, `idle`: how long an entry lives from when it was computed, and from when it was last used. For ever by
      default. Durations are `"30s"`, `"1h30m"`, a timedelta or a number of seconds. Entries may live some
      milliseconds longer.
    - `max`: how many entries there are, 10,000 by default; None for as many as come, 0 for none. A size such as
      `"64MiB"` bounds what the values take instead; one that takes more by itself is not kept.
    - `size`: gives the bytes that a value takes, where `max` is a size; they are estimated by default, which takes time
      for large values.
    - `policy`: who goes when room is needed: `"s3fifo"`, `"lru"`, `"sieve"` or `"lfu"` (W-TinyLFU).
    - `key`: computes what makes calls equal, from the arguments.
    - `tags`: names to invalidate entries by, or a callable that gives them from the arguments.
    - `depends_on`: keys of what an entry is computed from, `other.cache.key(...)`, or a callable that gives them from
      the arguments: when one of those is invalidated or computed anew, the entry goes, and so does all that depends on
      it. `DependencyCycle` is raised if it would depend on itself.
    - `negative`: how long an exception is kept and raised again. By default none is: it is raised in all who waited,
      and the next call computes.
    - `stale`: for how long after its time an entry is still served while it is computed anew in the background.
    - `typed`: whether `1`, `1.0` and `True` are different.
    - `shared`: whether the results of a method are kept together, with `self` as part of their key. By default each
      instance has its own, as many as `max`, in its `__dict__`, and is not kept alive by them.
    - `early`: how eagerly an entry is computed anew in the background before its `ttl` is over, by one of those who
      ask: the nearer the end and the longer its computing took, the likelier. Never by default; 1 is what the authors
      of XFetch (Vattani and others, VLDB 2015) advise.
    - `write`: writes a value that `cache.put(value, ...)` brings to where the function reads it, before it is kept:
      `write(value, ...)`, a coroutine function for a coroutine function.
    - `behind`: has `put` return at once and a thread write within that time, of each entry the last value. What is not
      written is served, tried again when `write` raises, and lost with a process that is killed.
    - `on_removal`: called with a value that is not kept any more, and why: `"evicted"`, `"expired"`, `"invalidated"`,
      `"replaced"` or `"cleared"`; in the thread that found it so.

    What it gives has `cache`: `info()`, `peek(...)`, `put(value, ...)`, `invalidate(...)`, `invalidate(tag=...)`,
    `invalidate(prefix=...)`, `clear()`, `warm(...)` and `flush()`. Raises `DeclarationError` for what cannot be cached,
    `OptionError` for what an option does not take.
    """
    options = checked(
        ttl=ttl,
        idle=idle,
        max=max,
        size=size,
        policy=policy,
        key=key,
        tags=tags,
        depends_on=depends_on,
        negative=negative,
        stale=stale,
        typed=typed,
        shared=shared,
        early=early,
        write=write,
        behind=behind,
        on_removal=on_removal,
    )
    if function is None:
        return lambda function: _decorated(function, options)
    return _decorated(function, options)


def _decorated(function: Any, options: Options) -> Any:
    refuse(function)
    if inspect.iscoroutinefunction(function):
        if options.behind_ms is not None:
            raise DeclarationError(
                f"{function.__qualname__}: `behind` is not for coroutine functions, whose loop may end before",
                hint="leave it out, so that `put` awaits `write`; one that enqueues a job returns soon",
            )
        return AsyncCachedFunction(function, options)
    return CachedFunction(function, options)


def refuse(function: Any) -> None:
    """Raises for what has no result to keep."""
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, staticmethod | classmethod | property):
        kind = type(function).__name__
        raise DeclarationError(f"{name}: a {kind} cannot be cached", hint=f"put @cached below @{kind}")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        kind = "an async generator" if inspect.isasyncgenfunction(function) else "a generator"
        raise DeclarationError(
            f"{name}: {kind} cannot be cached, since it is used up by the first who goes through it",
            hint="cache a function that returns a list or a tuple of what it yields",
        )
    if not callable(function):
        raise DeclarationError(f"{name}: only a function can be cached", hint="@cached stands above a def")
