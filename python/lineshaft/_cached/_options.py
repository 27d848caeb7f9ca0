"""The options of `cached`: which exist and what they take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
_EARLY_MAX = 100
_ROOMS = {
    "host": 'what processes share has one room with one policy, as large as `App(host_cache="1GiB")` says',
    "engine": "what programs share has one room with one policy, as large as `lineshaft serve --cache-bytes 1GiB` says",
}
"""See docs/adr/0015-shared-results-have-one-room-and-one-policy.md."""
_OF_HOSTS = frozenset(("ttl", "idle", "key", "tags", "depends_on", "negative", "stale"))


@dataclass(frozen=True)
class Options:
    """Checked. Durations are milliseconds."""

    ttl_ms: int | None
    idle_ms: int | None
    stale_ms: int
    early: float
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
    write: Callable[..., Any] | None
    behind_ms: int | None
    on_removal: Callable[[Any, str], Any] | None

    @property
    def refreshes(self) -> bool:
        """Whether values are computed anew while they are served."""
        return self.stale_ms > 0 or self.early > 0

    def memory(self, name: str, owner: object = None) -> _native.Memory:
        """A memory without entries of the function `name`; `owner` is the instance whose methods' results are in it."""
        memory = _native.Memory(
            max=self.max,
            size=self.size,
            policy=self.policy,
            ttl_ms=self.ttl_ms,
            idle_ms=self.idle_ms,
            stale_ms=self.stale_ms,
            early=self.early,
            negative_ms=self.negative_ms,
            on_removal=self.on_removal,
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
    early: Any = 0.0,
    write: Any = None,
    behind: Any = None,
    on_removal: Any = None,
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
    if isinstance(early, bool) or not isinstance(early, int | float) or not 0 <= early <= _EARLY_MAX:
        raise wrong("early", early, f"a number from 0, which is never, to {_EARLY_MAX}; 1 is a good one")
    if early and ttl is None:
        raise wrong("early", early, "a number beside `ttl`, before whose end values are computed anew")
    if write is not None and not callable(write):
        raise wrong("write", write, "a callable that takes a value and what the function takes")
    if behind is not None and write is None:
        raise wrong("behind", behind, "a duration beside `write`, within which a value is written")
    if on_removal is not None and not callable(on_removal):
        raise wrong("on_removal", on_removal, "a callable that takes a value and why it went")
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
        early=float(early),
        write=write,
        behind_ms=life_ms("behind", behind),
        on_removal=on_removal,
    )


def without(scope: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of results that processes share, those of one process left at their defaults."""
    if scope not in ("host", "engine"):
        raise wrong("scope", scope, '"host", "engine" or "process"')
    for option, value in options.items():
        if option in ("max", "size", "policy"):
            raise wrong(option, value, f'it is for scope="process"; {_ROOMS[scope]}')
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


def _sources(value: Any) -> Callable[..., list[CacheKey]] | None:
    if value is None:
        return None
    if callable(value):
        return lambda *args, **kwargs: _keys(value(*args, **kwargs))
    sources = _keys(value)
    return lambda *_args, **_kwargs: sources


def _keys(value: Any) -> list[CacheKey]:
    """Keys, of which one may be there by itself."""
    listed = [value] if isinstance(value, CacheKey) else list(value) if isinstance(value, Iterable) else [value]
    if all(isinstance(key, CacheKey) for key in listed):
        return listed
    raise wrong("depends_on", value, KEYS)
