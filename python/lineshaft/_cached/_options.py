"""The options of `cached`: which exist and what they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .. import _native
from .._options import DURATION_FORMS, duration, wrong
from .._options import size as size_of
from ._dependencies import KEYS, CacheKey, Watcher
from ._sizes import estimated_bytes

MAX_DEFAULT = 10_000
_POLICIES = ("s3fifo", "lru", "sieve", "lfu")
_MAX = 2**32 - 2
_OF_HOSTS = frozenset(("ttl", "idle", "key", "tags", "negative", "stale"))


@dataclass(frozen=True)
class Options:
    """Checked. Durations are milliseconds."""

    ttl_ms: int | None
    idle_ms: int | None
    stale_ms: int
    negative_ms: int | None
    max: int | None
    """Entries, or bytes if there is a `size`."""
    size: Callable[[Any], int] | None
    policy: str
    key: Callable[..., Any] | None
    tags: Callable[..., Any] | None
    depends_on: Callable[..., Any] | None
    typed: bool
    shared: bool

    def memory(self, name: str, owner: object = None) -> _native.Memory:
        """A memory without entries of the function `name`; `owner` is the instance whose methods' results are in it."""
        memory = _native.Memory(
            max=self.max,
            size=self.size,
            policy=self.policy,
            ttl_ms=self.ttl_ms,
            idle_ms=self.idle_ms,
            stale_ms=self.stale_ms,
            negative_ms=self.negative_ms,
            owner=owner,
        )
        if self.depends_on is not None:
            memory.watch(Watcher(memory, self.depends_on, name))
        return memory


def checked(
    *,
    ttl: Any,
    idle: Any,
    max: Any,  # noqa: A002
    size: Any,
    policy: Any,
    key: Any,
    tags: Any,
    depends_on: Any,
    negative: Any,
    stale: Any,
    typed: Any,
    shared: Any,
) -> Options:
    """Refuses what an option does not take, with the forms that it does."""
    if size is not None and not (callable(size) and isinstance(max, str)):
        raise wrong("size", size, 'a callable that gives the bytes of a value, beside `max` in bytes, as max="64MiB"')
    if isinstance(max, str):
        max, size = size_of("max", max), size or estimated_bytes  # noqa: A001
    elif max is not None and (not isinstance(max, int) or isinstance(max, bool) or not 0 <= max <= _MAX):
        raise wrong("max", max, 'a number of entries, a size as "64MiB", or None for as many as come')
    if policy not in _POLICIES:
        raise wrong("policy", policy, ", ".join(f'"{one}"' for one in _POLICIES))
    if key is not None and not callable(key):
        raise wrong("key", key, "a callable that takes what the function takes")
    if stale is not None and ttl is None and idle is None:
        raise wrong("stale", stale, "a duration beside `ttl`, after which a value is stale")
    return Options(
        ttl_ms=life_ms("ttl", ttl),
        idle_ms=life_ms("idle", idle),
        stale_ms=life_ms("stale", stale) or 0,
        negative_ms=life_ms("negative", negative),
        max=max,
        size=size,
        policy=policy,
        key=key,
        tags=_tags(tags),
        depends_on=_sources(depends_on),
        typed=bool(typed),
        shared=bool(shared),
    )


def without(scope: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of results that processes share, those of one process left at their defaults."""
    if scope not in ("host", "engine"):
        raise wrong("scope", scope, '"host", "engine" or "process"')
    for option, value in options.items():
        if option not in _OF_HOSTS:
            raise wrong(
                option,
                value,
                f'it is for scope="process"; with scope="{scope}" there are {", ".join(sorted(_OF_HOSTS))}',
            )
    defaults = dict.fromkeys(_OF_HOSTS)
    return {
        **defaults,
        **options,
        "max": None,
        "size": None,
        "policy": "s3fifo",
        "depends_on": None,
        "typed": False,
        "shared": True,
    }


def life_ms(option: str, value: Any) -> int | None:
    """Milliseconds of a duration; None for none."""
    if value is None:
        return None
    seconds = duration(option, value)
    if seconds < 0.001:
        raise wrong(option, value, f"at least 1 ms, as {DURATION_FORMS}; None for none")
    return round(seconds * 1000)


def _tags(value: Any) -> Callable[..., Any] | None:
    if value is None:
        return None
    if callable(value):
        return cast("Callable[..., Any]", value)
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(tag, str) for tag in value):
        raise wrong(
            "tags", value, "a sequence of texts, or a callable that takes what the function takes and gives one"
        )
    tags = list(value)
    return lambda *_args, **_kwargs: tags


def _sources(value: Any) -> Callable[..., Any] | None:
    if value is None or callable(value):
        return cast("Callable[..., Any] | None", value)
    if not isinstance(value, Sequence) or not all(isinstance(key, CacheKey) for key in value):
        raise wrong("depends_on", value, KEYS)
    sources = list(value)
    return lambda *_args, **_kwargs: sources
