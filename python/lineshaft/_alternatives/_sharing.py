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
from .._native import ChoiceKeys

if TYPE_CHECKING:
    from .._app import App

LOOK_EVERY_S = ChoiceKeys.LOOK_EVERY_S
"""How often it is looked whether somebody else knows more about a class."""
WRITE_AFTER_S = ChoiceKeys.TELL_AFTER_S

_logger = logging.getLogger("lineshaft")


class Sharing:
    """The choices of one function in the cache of an app, as durable as all that is there.

    Nothing here holds a call up: a thread reads and another one writes, and where the engine does not answer each
    process goes on with what it knows.
    """

    adopt: Callable[[Hashable, _native.Choice, str | None], None]
    """Told what others know of a class, and who gave another result there."""

    def __init__(self, app: App, name: str, names: Sequence[str]) -> None:
        self._app, self._name, self._names, self._count = app, name, list(names), len(names)
        self._keys = ChoiceKeys(name, _digest(self._names))
        self._looked: dict[Hashable, float] = {}
        # Calls of each class that others were told of.
        self._told: dict[Hashable, int] = {}
        # Who gave another result, in each class of which that is known.
        self._wrong: dict[Hashable, str] = {}
        self._lock = threading.Lock()
        self._writes = Writes(self._write, WRITE_AFTER_S, name)
        # That one is wrong is told at once, and again until it can be.
        self._pins = Writes(self._write_pin, 0.0, name)

    def look(self, kind: Hashable, choice: _native.Choice) -> None:
        """Looks whether others know more, once in a while, and whether they are to be told once more."""
        now = time.monotonic()
        if now < self._looked.get(kind, 0.0):
            return
        with self._lock:
            if now < self._looked.get(kind, 0.0):
                return
            self._looked[kind] = now + LOOK_EVERY_S
        # If there is no thread for it now, the next call asks again.
        in_background(lambda: self._read(kind, choice), lambda: self._looked.pop(kind, None))

    def changed(self, kind: Hashable, choice: _native.Choice) -> None:
        """Tells others soon."""
        self._writes.add(kind, Call(choice, (kind,), {}))

    def pinned(self, kind: Hashable, wrong: str) -> None:
        """Tells others that `wrong` gave another result than the first one."""
        self._wrong.setdefault(kind, wrong)
        self._pins.add(kind, Call(wrong, (kind,), {}))

    def key(self, kind: Hashable) -> str:
        """The name of a class in the cache."""
        return self._keys.choice(_digest(kind))

    def _read(self, kind: Hashable, choice: _native.Choice) -> None:
        try:
            found = self._found(kind)
        except LineshaftError as error:
            _logger.debug("%s: what others know of its implementations could not be read: %s", self._name, error)
            return
        is_pinned = False
        if found is not None:
            theirs, wrong = found
            is_pinned = theirs.is_pinned
            if wrong is not None:
                self._wrong.setdefault(kind, wrong)
            self._told.setdefault(kind, theirs.runs)
            self.adopt(kind, theirs, wrong)
        self._told.setdefault(kind, choice.runs)  # the first look tells nothing
        if not is_pinned and kind in self._wrong:
            self.pinned(kind, self._wrong[kind])  # it went, for room
        if choice.has_grown(self._told[kind]):
            self.changed(kind, choice)

    def _found(self, kind: Hashable) -> tuple[_native.Choice, str | None] | None:
        wrong = self._app.cache.get(self._keys.pin(_digest(kind)))
        if wrong is not None:
            pinned = _native.Choice(self._count)
            pinned.pin()
            return pinned, wrong if isinstance(wrong, str) else None  # True from older versions
        found = self._app.cache.get(self.key(kind))
        try:
            return (_native.Choice.from_bytes(found, self._count), None) if isinstance(found, bytes) else None
        except ValueError:
            return None  # of another version

    def _write_pin(self, wrong: str, kind: Hashable) -> None:
        self._app.cache.set(self._keys.pin(_digest(kind)), wrong, idle=ChoiceKeys.KEPT_S, tags=[ChoiceKeys.TAG])

    def _write(self, choice: _native.Choice, kind: Hashable) -> None:
        runs = choice.runs
        try:
            self._app.cache.set(self.key(kind), choice.to_bytes(), idle=ChoiceKeys.KEPT_S, tags=[ChoiceKeys.TAG])
            self._list(kind)
            self._told[kind] = runs
        except LineshaftError as error:
            self._told[kind] = 0  # the next look tells it
            _logger.debug("%s: what is known of its implementations could not be written: %s", self._name, error)

    def _list(self, kind: Hashable) -> None:
        """Has it found by those who ask what there is."""
        keys = self._keys
        entries = [
            (ChoiceKeys.INDEX, keys.classes, [keys.name, self._names]),
            (keys.classes, _digest(kind), ChoiceKeys.shown(str(kind))),
        ]
        if all(name in self._known(key) for key, name, _ in entries):
            return
        with self._app.lock(f"cache:{ChoiceKeys.INDEX}", timeout="10s"):
            for key, name, value in entries:
                known = self._known(key)
                if name in known or len(known) < ChoiceKeys.LISTED_MAX:
                    self._app.cache.set(key, {**known, name: value}, idle=ChoiceKeys.KEPT_S, tags=[ChoiceKeys.TAG])

    def _known(self, key: str) -> dict[Any, Any]:
        known = self._app.cache.get(key)
        return known if isinstance(known, dict) else {}


def _digest(value: Any) -> str:
    return hashlib.blake2b(encoded(value)[1], digest_size=8).hexdigest()
