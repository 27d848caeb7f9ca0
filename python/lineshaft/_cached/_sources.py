"""What results that processes share are made of: the keys that `depends_on` names, and all that those are made of.

The sources of an entry follow from its arguments, and so do theirs. So whoever computes an entry knows all of them
before, and it is kept with all of them: nobody has a graph, and a change of any reaches it in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .. import _native
from .._options import wrong
from ._dependencies import CacheKey, cycle, shown_call
from ._keys import canonical

if TYPE_CHECKING:
    from .._app import App
    from ._options import Options

SOURCES_MAX = 256
"""That an entry is made of, by whatever way."""
TAGS_MAX = 960
"""That those have together; the entry's own come on top."""
_COUNTED_MAX = 10_000


class Sharing(Protocol):
    """A function whose results are shared."""

    scope: str
    app: App
    options: Options
    own: Callable[..., Any] | None
    """What keeps results in this process where they cannot be shared."""

    def namespace(self) -> bytes: ...
    def tag_names(self, args: Any, kwargs: Any) -> list[str]: ...


class SharedKey(CacheKey):
    """An entry of a function whose results are shared, whether it is there or not."""

    __slots__ = ("_args", "_known", "_kwargs", "_name", "of", "value")

    def __init__(self, of: Sharing, name: str, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.of, self.value, self._name, self._args, self._kwargs = of, value, name, args, kwargs
        self._known: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        return f"<key {self.shown}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedKey):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def shown(self) -> str:
        return shown_call(self._name, self._args, self._kwargs)

    @property
    def tags(self) -> list[str]:
        """The names of all tags that its entry has."""
        return self.of.tag_names(self._args, self._kwargs)

    def own(self) -> CacheKey:
        """The same entry where each process keeps its own."""
        assert self.of.own is not None
        return self.of.own.cache.key(*self._args, **self._kwargs)  # type: ignore[attr-defined, no-any-return]

    def named(self) -> list[SharedKey]:
        """The keys that `depends_on` names for it. Raises `OptionError` for what cannot be one."""
        depends_on = self.of.options.depends_on
        named = [] if depends_on is None else depends_on(*self._args, **self._kwargs)
        for key in named:
            if not isinstance(key, SharedKey):
                raise wrong("depends_on", key, f"{self._wanted()}; this is one of this process alone")
            if key.of.scope != self.of.scope:
                raise wrong("depends_on", key, f'{self._wanted()}; this is of scope="{key.of.scope}"')
            if key.of.app is not self.of.app and key.of.app.url != self.of.app.url:
                raise wrong("depends_on", key, f"{self._wanted()}; this is of {key.of.app.url}")
        return named

    def _wanted(self) -> str:
        return f'keys of scope="{self.of.scope}" of {self.of.app.url}, as {self._name} is'

    @property
    def _identity(self) -> tuple[Any, ...]:
        if self._known is None:
            value = self.value
            if not isinstance(value, str):
                value = _native.encode(canonical(value), self.of.app._types.registry)
            self._known = self.of.scope, self.of.namespace(), value
        return self._known


def sources(key: SharedKey) -> list[SharedKey]:
    """All that an entry is made of, by whatever way, each once. Raises `DependencyCycle` if it is made of itself, and
    `OptionError` if that is too much to be kept.
    """
    if key.of.options.depends_on is None:
        return []
    found: dict[SharedKey, None] = {}
    way: dict[SharedKey, None] = {key: None}
    ahead: list[Iterator[SharedKey]] = [iter(key.named())]
    while ahead:
        source = next(ahead[-1], None)
        if source is None:
            ahead.pop()
            way.popitem()
        elif source in way:
            path = list(way)
            raise cycle([one.shown for one in [*path[path.index(source) :], source]])
        elif source not in found and len(found) < _COUNTED_MAX:
            found[source] = None
            way[source] = None
            ahead.append(iter(source.named()))
    _check_counts(key, list(found))
    return list(found)


def _check_counts(key: SharedKey, found: list[SharedKey]) -> None:
    tags = {name for source in found for name in source.tags} if len(found) <= SOURCES_MAX else set()
    for what, count, most in [("entries", len(found), SOURCES_MAX), ("tags of entries", len(tags), TAGS_MAX)]:
        if count > most:
            shown = f"{count} or more" if count == _COUNTED_MAX else str(count)
            raise wrong("depends_on", key, f"up to {most} {what} that one is made of, by whatever way; here {shown}")


def own_sources(depends_on: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """`depends_on` where each process keeps its own results."""
    if depends_on is None:
        return None
    return lambda *args, **kwargs: [
        key.own() if isinstance(key, SharedKey) and key.of.own is not None else key
        for key in depends_on(*args, **kwargs)
    ]
