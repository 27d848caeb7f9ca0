"""What depends on what among the entries of this process's caches: a change reaches all that depends on it.

An entry's sources are known from its arguments. They are noted before it is computed, so that a change meanwhile is not
missed, and once more when it is stored, with the tags that its sources have by then.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, cast

from .. import _native
from .._errors import DependencyCycle
from .._options import wrong

KEYS = "keys of caches, as `function.cache.key(...)` gives them, or a callable that gives some from the arguments"


class CacheKey:
    """An entry of a cache, whether it is there or not: what `depends_on` of others may name."""

    __slots__ = ()


class OwnKey(CacheKey):
    """An entry of a cache of this process."""

    __slots__ = ("_key", "_memory", "_shown")

    def __init__(self, memory: _native.Memory, key: Any, shown: str) -> None:
        self._memory, self._key, self._shown = memory, key, shown

    def __repr__(self) -> str:
        return f"<key {self._shown}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OwnKey):
            return NotImplemented
        return self._memory is other._memory and bool(self._key == other._key)

    def __hash__(self) -> int:
        return hash((id(self._memory), self._key))


class _All:
    """Every entry of a memory."""


class _Tagged(NamedTuple):
    """Every entry of a memory with this tag."""

    tag: str


class _Place(NamedTuple):
    memory: weakref.ref[_native.Memory]
    key: Any
    shown: str


class _Dependencies:
    """The graph. What is in it has a number; keys are compared by Python code, which may come back here."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._graph = _native.Graph()
        self._numbers: dict[int, dict[Hashable, int]] = {}
        self._places: dict[int, _Place] = {}
        self._last = 0

    def forked(self) -> None:
        self._lock = threading.RLock()

    def set(self, memory: _native.Memory, key: Any, shown: str, sources: list[OwnKey]) -> None:
        """Has an entry depend on `sources`, on their tags and on nothing else. Raises for a cycle."""
        for source in sources:
            if source._memory.watcher is None:
                source._memory.watch(Watcher(source._memory, None, ""))
        with self._lock:
            name = self._number(memory, key, shown)
            numbers = []
            for source in sources:
                numbers.append(self._number(source._memory, source._key, source._shown))
                numbers.append(self._number(source._memory, _All, source._shown))
                for tag in source._memory.tags(source._key):
                    numbers.append(self._number(source._memory, _Tagged(tag), source._shown))
            before = self._graph.sources(name)
            way = self._graph.set(name, numbers)
            path = [self._places[number].shown for number in way or ()]
            self._forget_lone({name, *before, *numbers})
        if path:
            raise cycle(path)

    def forget(self, memory: _native.Memory, key: Any) -> None:
        """Has an entry depend on nothing any more."""
        with self._lock:
            number = self._numbers.get(id(memory), {}).get(key)
            if number is not None:
                sources = self._graph.sources(number)
                self._graph.forget(number)
                self._forget_lone([number, *sources])

    def dependants(self, memory: _native.Memory, key: Any) -> list[tuple[_native.Memory, Any]]:
        """What depends on an entry, by whatever way."""
        with self._lock:
            number = self._numbers.get(id(memory), {}).get(key)
            found = [] if number is None else [self._places[one] for one in self._graph.dependants(number)]
        return [(there, place.key) for place in found if (there := place.memory()) is not None]

    def depended_on(self, memory: _native.Memory) -> list[Any]:
        """The keys of a memory that something may depend on."""
        with self._lock:
            return [key for key in self._numbers.get(id(memory), {}) if key is not _All and type(key) is not _Tagged]

    def _number(self, memory: _native.Memory, key: Any, shown: str) -> int:
        numbers = self._numbers.get(id(memory))
        if numbers is None:
            numbers = self._numbers[id(memory)] = {}
            weakref.finalize(memory, self._drop, id(memory)).atexit = False
        number = numbers.get(key)
        if number is None:
            self._last += 1
            number = numbers[key] = self._last
            self._places[number] = _Place(weakref.ref(memory), key, shown)
        return number

    def _forget_lone(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number in self._graph or number not in self._places:
                continue
            memory, key, _ = self._places.pop(number)
            if (there := memory()) is not None:
                self._numbers.get(id(there), {}).pop(key, None)

    def _drop(self, memory: int) -> None:
        """A memory is gone, with all its entries."""
        with self._lock:
            for number in self._numbers.pop(memory, {}).values():
                sources = self._graph.sources(number)
                self._graph.forget(number)
                self._forget_lone([number, *sources])


class Watcher:
    """Told of the entries of a memory that depends on others, or that others depend on."""

    def __init__(self, memory: _native.Memory, depends_on: Callable[..., list[Any]] | None, name: str) -> None:
        self._reference, self._depends_on, self._name = weakref.ref(memory), depends_on, name

    def begins(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        """An entry is about to be computed from these arguments."""
        self._note(key, args, kwargs or {})

    def came(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        """It is stored. What was computed from another value before is not true any more."""
        memory = self._memory
        for dependant, its_key in dependencies.dependants(memory, key):
            dependant.discard(its_key)
        self._note(key, args, kwargs or {})

    def failed(self, key: Any) -> None:
        """It could not be computed, or is not stored."""
        if self._depends_on is not None and self._memory.look(key, counts=False) is None:
            dependencies.forget(self._memory, key)

    def gone(self, key: Any) -> None:
        """It is not there any more."""
        if self._depends_on is not None and (memory := self._reference()) is not None:
            dependencies.forget(memory, key)

    @property
    def _memory(self) -> _native.Memory:
        return cast("_native.Memory", self._reference())

    def _note(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._depends_on is None:
            return
        sources = self._depends_on(*args, **kwargs)
        for source in sources:
            if not isinstance(source, OwnKey):
                raise wrong("depends_on", source, f"keys of this process, as {self._name} is; this one is shared")
        shown = shown_call(self._name, args, kwargs)
        try:
            dependencies.set(self._memory, key, shown, sources)
        except DependencyCycle:
            self._memory.discard(key)
            raise


def changed(memory: _native.Memory, key: Any) -> None:
    """Makes untrue what depends on an entry, and what is being computed from it."""
    if memory.watcher is not None:
        for dependant, its_key in dependencies.dependants(memory, key):
            dependant.invalidate(its_key)


def tag_changed(memory: _native.Memory, tag: str) -> None:
    """The same for what depends on an entry with a tag; to be called before those go."""
    if memory.watcher is not None:
        changed(memory, _Tagged(tag))
        for key in dependencies.depended_on(memory):
            if tag in memory.tags(key):
                changed(memory, key)


def prefix_changed(memory: _native.Memory, prefix: str, place: int) -> None:
    """The same for what depends on an entry with a text that begins with `prefix` at this place of its key."""
    if memory.watcher is not None:
        for key in dependencies.depended_on(memory):
            if len(key) > place and isinstance(text := key[place], str) and str.startswith(text, prefix):
                changed(memory, key)


def all_changed(memory: _native.Memory) -> None:
    """The same for what depends on any entry of a memory."""
    changed(memory, _All)


def cycle(path: list[str]) -> DependencyCycle:
    """The error for a way that comes back to where it began."""
    return DependencyCycle(
        "an entry of a cache would depend on itself: " + ", which depends on ".join(path),
        hint="`depends_on` names what a function's value is computed from, and that is not computed from it",
    )


def shown_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A call as it is written, for people."""
    given = [repr(one) for one in args] + [f"{word}={value!r}" for word, value in kwargs.items()]
    shown = f"{name}({', '.join(given)})"
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[: _SHOWN_MAX - 3]}..."


_SHOWN_MAX = 100
dependencies = _Dependencies()
CacheKey.__module__ = "lineshaft"
