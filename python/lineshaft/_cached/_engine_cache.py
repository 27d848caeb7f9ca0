"""`app.cache`: values by name, for every program of a home."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._guard import refuse_import_side_effect
from .._options import wrong
from ._entries import Entries, Found, Terms, checked_tags, is_text
from ._flows import Asked, Flow, arun, run
from ._options import life_ms
from ._sources import SOURCES_MAX, TAGS_MAX, SharedKey, sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from .._app import App
    from .._options import Duration
    from ._dependencies import CacheKey

    Sources: TypeAlias = str | CacheKey | Sequence[str | CacheKey]

T = TypeVar("T")

KEY_BYTES_MAX = 200
KEYS_MAX = 1_024
"""Of one invalidation; tags likewise."""


class EngineCacheInfo(NamedTuple):
    """What the engine's cache has, and what happened since its server started."""

    entries: int
    """Entries of all functions and programs, those included that are not true any more and have not gone yet."""
    bytes: int
    """What they take: values, keys and tags, and 200 bytes each."""
    bytes_max: int
    """Most bytes; beyond that goes what is used least."""
    hits: int
    """Look-ups that found something."""
    misses: int
    """Look-ups that did not."""
    evictions: int
    """Entries that went for room."""


class EngineCache:
    """The cache of the engine: `app.cache`. Every verb has a twin for coroutines, as `aget`.

    Values are those of `docs/values.md`, and whoever gets one gets a copy. Entries are on the disk when a call returns,
    and are there after a restart. Keys are texts of 1 to 200 bytes. Raises a `ServerError` where the engine does not
    answer.
    """

    __slots__ = ("_app", "_entries")

    def __init__(self, app: App) -> None:
        self._app = app
        self._entries = Entries(app)

    def __repr__(self) -> str:
        return f"<cache of the engine of {self._app.url}>"

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        return run(self._got(key, default), self._app)

    async def aget(self, key: str, default: Any = None) -> Any:
        """`get` for coroutines."""
        return await arun(self._got(key, default), self._app)

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        tags: Sequence[str] = (),
        depends_on: Sources = (),
    ) -> None:
        """Keeps a value in place of the one that the key had: for `ttl`, as long as it is looked up once in `idle`, and
        until room is needed.

        `tags`, up to 16, are names under which it is invalidated together with others. `depends_on` names what it is
        computed from: keys of this cache, and `f.cache.key(...)` of functions with `scope="engine"`. It is untrue when
        one of them is invalidated or gets another value. What those are computed from counts as well for functions, and
        has to be named, too, for keys of this cache; 256 in all.

        Raises `SerializationError` for what is no value, `OptionError` for a key or tag that cannot be, and
        `LineshaftError` for a value that is larger than 64 MiB or than the cache.
        """
        run(self._stored(key, value, ttl, idle, tags, depends_on), self._app)

    async def aset(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        tags: Sequence[str] = (),
        depends_on: Sources = (),
    ) -> None:
        """`set` for coroutines."""
        await arun(self._stored(key, value, ttl, idle, tags, depends_on), self._app)

    def get_or_set(
        self,
        key: str,
        compute: Callable[[], T],
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        tags: Sequence[str] = (),
        depends_on: Sources = (),
    ) -> T:
        """The value of a key, computed if there is none: by one of those who ask for it at the same time, in whatever
        program, while the others wait.

        What is invalidated while it is computed is given to those who wait, and not kept. Where the engine does not
        answer each computes for itself, which is said in the log. Options are as of `set`; raises what `compute`
        raises.
        """
        return run(self._got_or_set(key, compute, ttl, idle, tags, depends_on), self._app).given()  # type: ignore[no-any-return]

    async def aget_or_set(
        self,
        key: str,
        compute: Callable[[], Awaitable[T]],
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        tags: Sequence[str] = (),
        depends_on: Sources = (),
    ) -> T:
        """`get_or_set` for coroutines; `compute` is a coroutine function."""
        found = await arun(self._got_or_set(key, compute, ttl, idle, tags, depends_on), self._app)
        return found.given()  # type: ignore[no-any-return]

    def invalidate(self, *keys: str, tag: str | Sequence[str] = ()) -> int:
        """Makes entries untrue, by their keys and by tags, those of cached functions included, and what is being
        computed for them: for every program of the home, on the disk before it returns. Gives how many of the keys
        there were.
        """
        return run(self._invalidated(keys, tag), self._app)

    async def ainvalidate(self, *keys: str, tag: str | Sequence[str] = ()) -> int:
        """`invalidate` for coroutines."""
        return await arun(self._invalidated(keys, tag), self._app)

    def clear(self) -> None:
        """Makes every entry of the home untrue, those of cached functions included."""
        run(self._cleared(), self._app)

    async def aclear(self) -> None:
        """`clear` for coroutines."""
        await arun(self._cleared(), self._app)

    def info(self) -> EngineCacheInfo:
        """What it has, and what happened since the server started."""
        return run(self._told(), self._app)

    async def ainfo(self) -> EngineCacheInfo:
        """`info` for coroutines."""
        return await arun(self._told(), self._app)

    # What both twins do.

    def _got(self, key: str, default: Any) -> Flow[Any]:
        found, _ = yield from self._entries.look(_key(key))
        return default if found is None or found.is_error or found.is_stale else found.value

    def _stored(self, key: str, value: Any, ttl: Any, idle: Any, tags: Any, depends_on: Any) -> Flow[None]:
        yield from self._entries.store(_key(key), value, self._terms(ttl, idle, tags, depends_on), None)

    def _got_or_set(
        self, key: str, compute: Callable[[], Any], ttl: Any, idle: Any, tags: Any, depends_on: Any
    ) -> Flow[Found]:
        terms = self._terms(ttl, idle, tags, depends_on)
        found, _ = yield from self._entries.looked(_key(key))
        if found is not None and not found.is_error:
            return found
        filled = yield from self._entries.filled(_key(key), compute, lambda is_error: None if is_error else terms, key)
        assert filled is not None
        return filled

    def _invalidated(self, keys: tuple[str, ...], tag: str | Sequence[str]) -> Flow[int]:
        if len(keys) > KEYS_MAX:
            raise wrong("keys", f"{len(keys)} of them", f"up to {KEYS_MAX}")
        names, tags = [_key(key) for key in keys], checked_tags(tag, "tag", KEYS_MAX)
        _, _, count = yield Asked(lambda client: client.cache_invalidate(names, tags, False))
        return int(count)

    def _cleared(self) -> Flow[None]:
        yield Asked(lambda client: client.cache_invalidate([], [], True))

    def _told(self) -> Flow[EngineCacheInfo]:
        status = yield Asked(lambda client: client.status())
        return EngineCacheInfo(*status.cache)

    def _terms(self, ttl: Any, idle: Any, tags: Any, depends_on: Any) -> Terms:
        names, keys = dict.fromkeys(checked_tags(tags)), dict[str, None]()
        is_one = isinstance(depends_on, str) or not isinstance(depends_on, Iterable)
        for source in [depends_on] if is_one else depends_on:
            if isinstance(source, str):
                keys[_key(source)] = None
                continue
            if not isinstance(source, SharedKey) or source.of.scope != "engine" or not self._is_ours(source.of.app):
                raise wrong(
                    "depends_on", source, f'keys of this cache, and of functions of scope="engine" of {self._app.url}'
                )
            for each in (source, *sources(source)):
                keys[each.value] = None
                names |= dict.fromkeys(each.tags)
        for what, count, most in [("entries", len(keys), SOURCES_MAX), ("tags of entries", len(names), TAGS_MAX)]:
            if count > most:
                raise wrong("depends_on", f"{count} {what}", f"up to {most}")
        return Terms(ttl_ms=life_ms("ttl", ttl), idle_ms=life_ms("idle", idle), tags=list(names), sources=list(keys))

    def _is_ours(self, app: App) -> bool:
        return app is self._app or app.url == self._app.url


def _key(key: Any) -> str:
    refuse_import_side_effect("app.cache")
    if is_text(key, KEY_BYTES_MAX):
        return key  # type: ignore[no-any-return]
    raise wrong("key", key, f"1 to {KEY_BYTES_MAX} bytes of text without control characters")


EngineCacheInfo.__module__ = "lineshaft"
