"""What processes of an app tell each other about implementations, over the engine's cache."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from .. import _native
from .._cached._keys import encoded
from .._cached._refresh import in_background
from .._cached._writes import Call, Writes
from .._errors import LineshaftError

if TYPE_CHECKING:
    from .._app import App

LOOK_EVERY_S = 60.0
"""How often it is looked whether somebody else knows more about a class."""
WRITE_AFTER_S = 1.0
TTL = "90d"
"""How long it is kept after somebody learned something."""
TAG = "alternatives"
INDEX = "@alternatives"
"""The key of what functions there are: for the beginning of each one's keys its name and those of its implementations.
That beginning is the key of its classes: for the end of each one's key how the class reads. `lineshaft explain choice`
shows what is found by them.
"""
FUNCTIONS_MAX, CLASSES_MAX = 1_000, 1_000
"""That are listed."""

_logger = logging.getLogger("lineshaft")


class Sharing:
    """The choices of one function in the cache of an app, as durable as all that is there.

    Nothing here holds a call up: a thread reads and another one writes, and where the engine does not answer each
    process goes on with what it knows.
    """

    adopt: Callable[[Hashable, _native.Choice], None]
    """Told what others know."""

    def __init__(self, app: App, name: str, names: Sequence[str]) -> None:
        self._app, self._name, self._names, self._count = app, name, list(names), len(names)
        self._prefix = f"{INDEX}:{name[:120]}:{_digest(self._names)}"
        self._looked: dict[Hashable, float] = {}
        self._lock = threading.Lock()
        self._writes = Writes(self._write, WRITE_AFTER_S, name)

    def look(self, kind: Hashable) -> None:
        """Looks whether others know more, once in a while."""
        now = time.monotonic()
        if now < self._looked.get(kind, 0.0):
            return
        with self._lock:
            if now < self._looked.get(kind, 0.0):
                return
            self._looked[kind] = now + LOOK_EVERY_S
        # If there is no thread for it now, the next call asks again.
        in_background(lambda: self._read(kind), lambda: self._looked.pop(kind, None))

    def changed(self, kind: Hashable, choice: _native.Choice) -> None:
        """Tells others soon."""
        self._writes.add(kind, Call(choice, (kind,), {}))

    def key(self, kind: Hashable) -> str:
        """The name of a class in the cache."""
        return f"{self._prefix}:{_digest(kind)}"

    def _read(self, kind: Hashable) -> None:
        try:
            found = self._found(kind)
        except LineshaftError as error:
            _logger.debug("%s: what others know of its implementations could not be read: %s", self._name, error)
            return
        if found is not None:
            self.adopt(kind, found)

    def _found(self, kind: Hashable) -> _native.Choice | None:
        if self._app.cache.get(self._key_of_pin(kind)) is not None:
            pinned = _native.Choice(self._count)
            pinned.pin()
            return pinned
        found = self._app.cache.get(self.key(kind))
        try:
            return _native.Choice.from_bytes(found, self._count) if isinstance(found, bytes) else None
        except ValueError:
            return None  # of another version

    def _key_of_pin(self, kind: Hashable) -> str:
        # A name of its own: that another result was given is not forgotten for what somebody writes at the same time
        # who has not heard of it.
        return f"{self.key(kind)}:pinned"

    def _write(self, choice: _native.Choice, kind: Hashable) -> None:
        if choice.is_pinned:
            # Tried again until it can be.
            self._app.cache.set(self._key_of_pin(kind), True, ttl=TTL, tags=[TAG])
        try:
            self._app.cache.set(self.key(kind), choice.to_bytes(), ttl=TTL, tags=[TAG])
            self._list(kind)
        except LineshaftError as error:
            _logger.debug("%s: what is known of its implementations could not be written: %s", self._name, error)

    def _list(self, kind: Hashable) -> None:
        """Has it found by those who ask what there is."""
        entries = [
            (INDEX, self._prefix, [self._name[:120], self._names], FUNCTIONS_MAX),
            (self._prefix, _digest(kind), str(kind)[:200], CLASSES_MAX),
        ]
        if all(name in self._known(key) for key, name, _, _ in entries):
            return
        with self._app.lock(f"cache:{INDEX}", timeout="10s"):
            for key, name, value, count_max in entries:
                known = self._known(key)
                if name in known or len(known) < count_max:
                    self._app.cache.set(key, {**known, name: value}, ttl=TTL, tags=[TAG])

    def _known(self, key: str) -> dict[Any, Any]:
        known = self._app.cache.get(key)
        return known if isinstance(known, dict) else {}


def _digest(value: Any) -> str:
    return hashlib.blake2b(encoded(value)[1], digest_size=8).hexdigest()
